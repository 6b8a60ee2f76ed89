//! A proxy of the test: connections that begin with a header of the PROXY protocol.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// What a header of version 2 begins with.
pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A line of version 1 for a client of this address.
pub fn line(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, server) = if client.is_ipv4() { (4, "192.0.2.7") } else { (6, "2001:db8::7") };
    format!("PROXY TCP{family} {} {server} {} 5000\r\n", client.ip(), client.port()).into_bytes()
}

/// A header of version 2 with this command (0 is LOCAL, 1 is PROXY), family and rest.
pub fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
}

/// A header of version 2 for a client of this address, with TLVs.
pub fn binary_for(client: &str, tlvs: &[u8]) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let ports = [&client.port().to_be_bytes()[..], &5000_u16.to_be_bytes()].concat();
    let (family, addresses) = match client.ip() {
        IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[192, 0, 2, 7]].concat()),
        IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[0x20; 16]].concat()),
    };
    binary(1, family, &[&addresses, &ports, tlvs].concat())
}

/// A TLV of this type.
pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// A connection to `server` from this address of the loopback network.
pub fn connect_from(source: &str, server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: IpAddr = source.parse().unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `bytes` in so many pieces, with a pause behind each, so that most are received apart.
pub fn send_apart(mut stream: &TcpStream, bytes: &[u8], pieces: usize) {
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        stream.write_all(piece).unwrap();
        // No event tells that the daemon has read a piece of a header.
        std::thread::sleep(Duration::from_millis(20));
    }
}
