//! Servers of datagrams: one in the test, which can be as bad as a network, and one that is a process.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

/// An echo that sends back what `answer` makes of each datagram; its port.
pub fn echo(mut answer: impl FnMut(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) -> String {
    server(move |_, datagram, send| {
        if let Some(datagram) = answer(std::mem::take(datagram)) {
            send(&datagram);
        }
    })
}

/// A server that does this with each datagram, of which it gets the number, and the way back; its port.
pub fn server(act: impl FnMut(u64, &mut Vec<u8>, &dyn Fn(&[u8])) + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = super::client::port(socket.local_addr().unwrap());
    thread::spawn(move || serve(&socket, act));
    port
}

/// Does this with each datagram that comes to `socket`.
pub fn serve(socket: &UdpSocket, mut act: impl FnMut(u64, &mut Vec<u8>, &dyn Fn(&[u8]))) {
    let mut buffer = vec![0; 65_536];
    for number in 1.. {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { return };
        act(number, &mut buffer[..length].to_vec(), &|datagram| {
            // A client that has ended has closed its port.
            let _ = socket.send_to(datagram, peer);
        });
    }
}

/// An echo of datagrams without any check. It prints its port, and a line when a datagram has come.
const ECHO: &str = "
import socket, sys
address, port = sys.argv[1:]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
far = socket.socket(family, socket.SOCK_DGRAM)
far.bind((address, int(port)))
print(far.getsockname()[1], flush=True)
has_come = False
while True:
    datagram, peer = far.recvfrom(65536)
    far.sendto(datagram, peer)
    if not has_come:
        print('came', flush=True)
        has_come = True
";

/// It runs, in a namespace of its own if it is started there, and ends with this.
pub struct Echo {
    child: Child,
    output: BufReader<ChildStdout>,
    pub port: String,
}

impl Echo {
    /// Has `python` listen at this address. Port 0 is any.
    pub fn start(mut python: Command, address: &str, port: u16) -> Self {
        python.args(["-c", ECHO, address, &port.to_string()]).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut echo = Self { child, output, port: String::new() };
        echo.port = echo.line();
        echo
    }

    /// Waits until a datagram has come.
    pub fn wait_for_datagram(&mut self) {
        assert_eq!(self.line(), "came");
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
