//! Resolves a host and connects to the address that answers first (Happy Eyeballs, RFC 8305).

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::cli::Family;
use super::error::{Awaited, Error};
use super::tap::{Event, Tap};
use super::wait::Waiter;
use crate::exit::{Failure, plain};

/// How long to wait for one address before the next is tried as well (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The token of a socket until its owner registers it again.
const SOCKET: Token = Token(0);

/// Resolves `host` to its addresses, in the order to try them.
pub fn resolve(
    host: &str,
    port: u16,
    family: Option<Family>,
    timeout: Duration,
    waiter: &mut Waiter,
) -> Result<Vec<SocketAddr>, Error> {
    let until = Instant::now() + timeout;
    let look_up = LookUp::begin(host, port, family, waiter)?;
    loop {
        match look_up.outcome() {
            Some(outcome) => return outcome,
            None if Instant::now() >= until => {
                return Err(Error::TimedOut { what: Awaited::Address, timeout });
            }
            None => waiter.wait(Some(until))?,
        }
    }
}

/// A name look-up that goes on while other things are done.
pub(super) struct LookUp {
    host: String,
    family: Option<Family>,
    answer: Receiver<io::Result<Vec<SocketAddr>>>,
}

impl LookUp {
    /// Asks for the addresses of `host`. The answer wakes the poll.
    pub(super) fn begin(
        host: &str,
        port: u16,
        family: Option<Family>,
        waiter: &Waiter,
    ) -> Result<Self, Failure> {
        let (sender, answer) = channel();
        let name = host.to_owned();
        // getaddrinfo(3) blocks.
        waiter.spawn(move |wake| {
            let _ = sender.send((name, port).to_socket_addrs().map(Vec::from_iter));
            wake();
        })?;
        Ok(Self { host: host.to_owned(), family, answer })
    }

    /// The addresses in the order to try them, once the answer is there.
    pub(super) fn outcome(&self) -> Option<Result<Vec<SocketAddr>, Error>> {
        let host = || self.host.clone();
        let mut addresses: Vec<SocketAddr> = match self.answer.try_recv() {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                let text = error.to_string();
                let reason =
                    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
                return Some(Err(Error::Unresolved { host: host(), reason: reason.to_owned() }));
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
        };
        if let Some(family) = self.family {
            addresses.retain(|address| address.is_ipv4() == (family == Family::V4));
            if addresses.is_empty() {
                return Some(Err(Error::NoAddress { host: host(), family }));
            }
        }
        Some(Ok(in_order(&addresses)))
    }
}

/// Removes duplicates and alternates the families (RFC 8305 §4), so that a family without a route
/// costs one attempt delay.
fn in_order(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let unique = addresses.iter().copied().filter(|address| seen.insert(*address));
    let begins_with_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        unique.partition(|address| address.is_ipv6() == begins_with_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    while first.len() + second.len() > 0 {
        ordered.extend(first.next());
        ordered.extend(second.next());
    }
    ordered
}

/// A connection that is not established yet.
struct Attempt {
    /// The index of its address.
    number: usize,
    stream: TcpStream,
}

/// Connects to the first of `addresses` that answers, from the address `from` of this machine if there is
/// one, and returns the index of the address that answered. Fails after `timeout`, or once every address has
/// failed.
pub fn connect(
    host: &str,
    addresses: &[SocketAddr],
    from: Option<IpAddr>,
    timeout: Duration,
    waiter: &mut Waiter,
    tap: &Tap,
) -> Result<(TcpStream, usize), Error> {
    let start = Instant::now();
    let end = start + timeout;
    // With a short timeout, the last address is tried too.
    let tries = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let delay = ATTEMPT_DELAY.min(timeout / tries);
    let mut untried = addresses.iter().enumerate();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    let unreachable = |attempts| Err(Error::Unreachable { host: host.to_owned(), attempts });
    let mut next_try = start;
    loop {
        let mut number = 0;
        while let Some(attempt) = attempts.get(number) {
            match outcome(&attempt.stream) {
                None => number += 1,
                Some(outcome) => {
                    let attempt = attempts.remove(number);
                    match outcome.and_then(|()| attempt.stream.set_nodelay(true)) {
                        Ok(()) => {
                            tap.note(|| Event::Connected {
                                address: addresses[attempt.number],
                                from: attempt.stream.local_addr().ok(),
                            });
                            return Ok((attempt.stream, attempt.number));
                        }
                        Err(error) => {
                            let address = addresses[attempt.number];
                            tap.note(|| Event::Refused(address, plain(&error)));
                            failures.push((address, error));
                        }
                    }
                    next_try = Instant::now();
                }
            }
        }
        let now = Instant::now();
        if now >= end {
            let pending = attempts.iter().map(|attempt| attempt.number);
            let late = pending.chain(untried.map(|(number, _)| number));
            for number in late {
                let error: io::Error = io::ErrorKind::TimedOut.into();
                tap.note(|| Event::Refused(addresses[number], plain(&error)));
                failures.push((addresses[number], error));
            }
            return unreachable(failures);
        }
        if now >= next_try
            && let Some((number, address)) = untried.next()
        {
            tap.note(|| Event::Attempt(*address));
            match begin(*address, from, SOCKET, waiter) {
                Ok(stream) => {
                    attempts.push(Attempt { number, stream });
                    next_try = now + delay;
                }
                Err(error) => {
                    tap.note(|| Event::Refused(*address, plain(&error)));
                    failures.push((*address, error));
                }
            }
            continue;
        }
        if attempts.is_empty() && untried.len() == 0 {
            return unreachable(failures);
        }
        let until = if untried.len() == 0 { end } else { end.min(next_try) };
        waiter.wait(Some(until))?;
    }
}

/// Fails for a link-local address without its interface, of which the kernel would say "invalid argument".
pub(super) fn need_scope(address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V6(address)
            if address.ip().is_unicast_link_local() && address.scope_id() == 0 =>
        {
            Err(io::Error::other(format!(
                "a link-local address needs its interface, such as {}%eth0",
                address.ip()
            )))
        }
        _ => Ok(()),
    }
}

/// Begins to connect, from the address `from` of this machine if there is one.
pub(super) fn begin(
    address: SocketAddr,
    from: Option<IpAddr>,
    token: Token,
    waiter: &Waiter,
) -> io::Result<TcpStream> {
    need_scope(address)?;
    let mut stream = match from {
        None => TcpStream::connect(address)?,
        Some(from) => {
            let socket = bound(from)?;
            match socket.connect(&address.into()) {
                Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                    return Err(error);
                }
                _ => TcpStream::from_std(socket.into()),
            }
        }
    };
    let interest = Interest::READABLE | Interest::WRITABLE;
    waiter.registry().register(&mut stream, token, interest)?;
    Ok(stream)
}

/// A socket with this address, and a port that the kernel chooses.
pub(super) fn bound(from: IpAddr) -> io::Result<Socket> {
    let address = SocketAddr::new(from, 0);
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the attempt has succeeded or failed; `None` while it is pending.
pub(super) fn outcome(stream: &TcpStream) -> Option<io::Result<()>> {
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
    }
    // Without an error, a socket that has a peer is connected.
    match stream.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn bound() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    /// A port that is bound, so that no other process gets it, and does not listen.
    fn refusing() -> (Socket, SocketAddr) {
        bound()
    }

    /// A port where a connection is neither accepted nor refused: its backlog is full, and the kernel
    /// drops further connections (listen(2)).
    fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let (socket, address) = bound();
        socket.listen(0).unwrap();
        let mut queue = Vec::new();
        loop {
            let stream = TcpStream::connect(address).unwrap();
            let end = Instant::now() + Duration::from_millis(200);
            while outcome(&stream).is_none() {
                if Instant::now() > end {
                    return (socket, queue, address);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            queue.push(stream);
        }
    }

    fn there() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn failures(outcome: Result<(TcpStream, usize), Error>) -> Vec<(SocketAddr, io::ErrorKind)> {
        match outcome {
            Err(Error::Unreachable { attempts, .. }) => {
                attempts.into_iter().map(|(address, error)| (address, error.kind())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_next_address_is_tried_at_once_if_one_refuses() {
        let ((_held, refusing), (_listener, there)) = (refusing(), there());
        let mut waiter = Waiter::new().unwrap();
        let (_, number) =
            connect("alex", &[refusing, there], None, PATIENCE, &mut waiter, &Tap::default())
                .unwrap();
        assert_eq!(number, 1);
    }

    #[test]
    fn an_address_that_does_not_answer_costs_a_delay_and_not_the_timeout() {
        let ((_socket, _queue, silent), (_listener, there)) = (silent(), there());
        let mut waiter = Waiter::new().unwrap();
        let start = Instant::now();
        let timeout = Duration::from_secs(600);
        let (_, number) =
            connect("alex", &[silent, silent, there], None, timeout, &mut waiter, &Tap::default())
                .unwrap();
        assert_eq!(number, 2);
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn each_address_has_its_reason_if_none_answers() {
        let ((_held, refusing), (_socket, _queue, silent)) = (refusing(), silent());
        let mut waiter = Waiter::new().unwrap();
        // Shorter than the attempt delay, and yet all are tried.
        let timeout = Duration::from_millis(240);
        let outcome = connect(
            "alex",
            &[silent, silent, refusing],
            None,
            timeout,
            &mut waiter,
            &Tap::default(),
        );
        let (refused, late) = (io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut);
        assert_eq!(failures(outcome), [(refusing, refused), (silent, late), (silent, late)]);
    }

    #[test]
    fn families_take_turns_and_an_address_is_tried_once() {
        let order = in_order(&addresses(&[
            "[2001:db8::1]:7",
            "[2001:db8::2]:7",
            "[2001:db8::1]:7",
            "192.0.2.1:7",
            "[2001:db8::3]:7",
        ]));
        let expected = ["[2001:db8::1]:7", "192.0.2.1:7", "[2001:db8::2]:7", "[2001:db8::3]:7"];
        assert_eq!(order, addresses(&expected));
        // On two interfaces, the same address is two hosts.
        let both = addresses(&["[fe80::1%2]:7", "[fe80::1%3]:7"]);
        assert_eq!(in_order(&both), both);
    }
}
