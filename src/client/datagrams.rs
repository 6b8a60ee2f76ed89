//! Datagrams to the server and back: a connected UDP socket in the client's poll.
//!
//! Because the socket is connected, the kernel passes on only what comes from the server's address and
//! port, and reports ICMP errors that answer our datagrams: with `IP_RECVERR` (ip(7)) also those that may pass, such
//! as a host that cannot be reached.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use mio::net::UdpSocket;
use mio::{Interest, Token};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{RecvFlags, recv};

use super::connect::need_scope;
use super::error::Error;
use super::undelivered::Undelivered;
use super::wait::Waiter;

/// The length of a buffer that holds any datagram, in bytes. One byte more than UDP can say.
pub const BUFFER_LEN: usize = 65_536;

/// How many errors that the kernel keeps are forgotten at a time.
const ERRORS: usize = 64;

/// A UDP socket that is connected to one of the server's addresses.
pub struct Datagrams {
    /// The server's name, for errors.
    host: String,
    socket: UdpSocket,
    token: Token,
    /// The address that is used.
    pub address: SocketAddr,
    /// Those that were not tried.
    untried: Vec<SocketAddr>,
    /// Whether anything has come from the address.
    has_answered: bool,
}

impl Datagrams {
    /// Connects to the first of `addresses` to which there is a route. Nothing is sent. The events of the
    /// socket have this token.
    pub fn connect(
        host: &str,
        addresses: &[SocketAddr],
        token: Token,
        waiter: &Waiter,
    ) -> Result<Self, Error> {
        let mut failures = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            match open(*address, token, waiter) {
                Ok(socket) => {
                    return Ok(Self {
                        host: host.to_owned(),
                        socket,
                        token,
                        address: *address,
                        untried: addresses[number + 1..].to_vec(),
                        has_answered: false,
                    });
                }
                Err(error) => failures.push((*address, error)),
            }
        }
        Err(Error::Unreachable { host: host.to_owned(), attempts: failures })
    }

    /// Goes on to the server's next address, unless this one has answered. Returns whether it did; then
    /// what was sent is to be sent again.
    pub fn try_next(&mut self, waiter: &Waiter) -> bool {
        while !self.has_answered && !self.untried.is_empty() {
            let address = self.untried.remove(0);
            if let Ok(socket) = open(address, self.token, waiter) {
                (self.socket, self.address) = (socket, address);
                return true;
            }
        }
        false
    }

    /// The error that a datagram to the present address was not delivered.
    pub fn undelivered(&self, reason: Undelivered) -> Error {
        Error::Undelivered { host: self.host.clone(), address: Some(self.address), reason }
    }

    /// Sends a datagram. Returns whether the kernel took it: if not, it has no room now. An error can be
    /// about an earlier datagram; then this one was not sent either, and may be sent again.
    pub fn send(&self, datagram: &[u8]) -> Result<bool, Undelivered> {
        match retry(|| self.socket.send(datagram)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(self.reason(error)),
        }
    }

    /// The next datagram from the server; `None` if none is there. `buffer` has [`BUFFER_LEN`] bytes; what
    /// does not fit into a shorter one is cut. An error is about an earlier datagram of ours.
    pub fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Undelivered> {
        match retry(|| self.socket.recv(buffer)) {
            Ok(length) => {
                self.has_answered = true;
                Ok(buffer.get(..length))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.reason(error)),
        }
    }

    /// What an error says. The kernel keeps it with the datagram that it answers, and would in the end have no room for
    /// what comes.
    fn reason(&self, error: io::Error) -> Undelivered {
        let is_kept = || recv(&self.socket, &mut [0; 1], RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT);
        for _ in 0..ERRORS {
            if is_kept().is_err() {
                break;
            }
        }
        error.into()
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket on any port, connected to `address`, in the poll.
fn open(address: SocketAddr, token: Token, waiter: &Waiter) -> io::Result<UdpSocket> {
    need_scope(address)?;
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    };
    let mut socket = UdpSocket::bind(any)?;
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
    }
    socket.connect(address)?;
    let interest = Interest::READABLE | Interest::WRITABLE;
    waiter.registry().register(&mut socket, token, interest)?;
    Ok(socket)
}

/// Calls again what a signal has interrupted.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use rustix::io::Errno;

    use super::*;
    use crate::wire::probe::DATAGRAM_MAX;

    /// Receives, waiting for it.
    fn await_datagram(
        datagrams: &mut Datagrams,
        waiter: &mut Waiter,
    ) -> Result<Vec<u8>, Undelivered> {
        let (mut buffer, end) = (vec![0; BUFFER_LEN], Instant::now() + Duration::from_secs(30));
        loop {
            if let Some(datagram) = datagrams.receive(&mut buffer)? {
                return Ok(datagram.to_vec());
            }
            assert!(Instant::now() < end, "nothing came");
            waiter.wait(Some(end)).unwrap();
        }
    }

    #[test]
    fn the_next_address_is_used_if_nothing_listens_at_the_first_and_the_one_that_answers_is_kept() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let there = server.local_addr().unwrap();
        let mut closed = there;
        closed.set_ip([127, 0, 0, 2].into());
        let mut waiter = Waiter::new().unwrap();
        let addresses = [closed, there, closed];
        let mut datagrams = Datagrams::connect("alex", &addresses, Token(0), &waiter).unwrap();
        assert_eq!(datagrams.send(b"hello"), Ok(true));
        let refused = await_datagram(&mut datagrams, &mut waiter);
        assert_eq!(refused, Err(Undelivered::NothingListens));
        assert!(datagrams.try_next(&waiter) && datagrams.address == there);

        assert_eq!(datagrams.send(b"hello"), Ok(true));
        let mut buffer = [0; 10];
        let (length, peer) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..length], peer).unwrap();
        assert_eq!(await_datagram(&mut datagrams, &mut waiter), Ok(b"hello".to_vec()));
        assert!(!datagrams.try_next(&waiter));
    }

    #[test]
    fn only_the_server_is_heard_and_an_empty_datagram_is_one() {
        let [server, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut waiter = Waiter::new().unwrap();
        let address = server.local_addr().unwrap();
        let mut datagrams = Datagrams::connect("alex", &[address], Token(0), &waiter).unwrap();
        datagrams.send(b"").unwrap();
        let (length, peer) = server.recv_from(&mut [0; 10]).unwrap();
        assert_eq!(length, 0);
        other.send_to(b"forged", peer).unwrap();
        server.send_to(b"", peer).unwrap();
        assert_eq!(await_datagram(&mut datagrams, &mut waiter), Ok(Vec::new()));
    }

    #[test]
    fn a_datagram_that_is_too_long_is_refused_in_words() {
        let waiter = Waiter::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let datagrams = Datagrams::connect("alex", &[address], Token(0), &waiter).unwrap();
        let refused = datagrams.send(&vec![0; DATAGRAM_MAX + 1]);
        assert_eq!(refused, Err(Undelivered::TooLong));
        assert_eq!(Undelivered::from(Errno::NETUNREACH).to_string(), "network is unreachable");
    }
}
