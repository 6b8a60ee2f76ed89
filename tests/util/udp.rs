//! An echo of datagrams on this machine, which can be as bad as a network.

use std::net::UdpSocket;
use std::thread;

/// An echo that sends back what `answer` makes of each datagram; its port.
pub fn echo(mut answer: impl FnMut(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = super::client::port(socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if let Some(datagram) = answer(buffer[..length].to_vec()) {
                let _ = socket.send_to(&datagram, peer);
            }
        }
    });
    port
}
