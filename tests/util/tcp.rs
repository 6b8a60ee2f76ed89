//! Connections of the test, and what is sent over them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;

/// How long a write must block before the test takes the connection for stuck.
pub const STUCK: Duration = Duration::from_millis(300);

/// A port for a program that takes a number. A socket is bound to it and does not listen: the kernel
/// gives the port to nobody else who asks for any port, but a server that sets `SO_REUSEADDR` can have it.
pub struct ReservedPort {
    pub number: u16,
    _socket: Socket,
}

impl ReservedPort {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let number = socket.local_addr().unwrap().as_socket().unwrap().port();
        Self { number, _socket: socket }
    }

    /// Whether a socket listens on the port.
    pub fn is_listening(&self) -> bool {
        let (ending, listening) = (format!(":{:04X}", self.number), "0A");
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
            let table = std::fs::read_to_string(table).unwrap_or_default();
            table.lines().any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields[1].ends_with(&ending) && fields[3] == listening
            })
        })
    }
}

/// A connection with a time limit on each read and write.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `bytes` and reads as many back, which must be the same.
pub fn assert_echo(stream: &mut (impl Read + Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "the echo differs");
}

/// Sends `bytes` from a thread, half-closes, and reads to the end: what came back.
pub fn echo_all(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        scope.spawn(|| {
            (&*stream).write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&*stream).read_to_end(&mut back).unwrap();
        back
    })
}

/// Reads to a clean end: a FIN on a plain connection, `close_notify` in a TLS session.
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("no clean end");
    bytes
}

/// Reads to the end, be it a FIN or a reset.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => bytes,
    }
}

/// Closes with a reset (socket(7), `SO_LINGER`).
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Waits until the socket is ready for something of `interest`: for what.
pub fn wait_for(socket: &TcpStream, interest: PollFlags) -> PollFlags {
    let mut wanted = [PollFd::new(socket, interest)];
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert!(poll(&mut wanted, Some(&patience)).unwrap() > 0, "the socket does not get ready");
    wanted[0].revents()
}

/// Sends the bytes of `source` until a write has blocked for [`STUCK`]: how many were sent.
pub fn send_until_stuck(stream: &TcpStream, source: impl Iterator<Item = Vec<u8>>) -> usize {
    stream.set_write_timeout(Some(STUCK)).unwrap();
    let mut sent = 0;
    'sending: for piece in source {
        let mut unsent = piece.as_slice();
        while !unsent.is_empty() {
            match (&*stream).write(unsent) {
                Ok(taken) => {
                    sent += taken;
                    unsent = &unsent[taken..];
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    break 'sending;
                }
            }
        }
    }
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    sent
}

/// Bytes that look random and are the same in each run.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64*, Marsaglia 2003.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Reads the head of an HTTP answer, to the empty line.
pub fn http_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
