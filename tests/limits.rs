//! A connection above a limit is closed at once, is counted, and does not flood the log. When a session ends,
//! the next connection is accepted.

mod util;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use util::{Daemon, PLAIN, assert_echo, connect, field};

fn limited(limits: &str) -> Daemon {
    Daemon::start(&format!("[limits]\n{limits}\n{PLAIN}"))
}

/// A connection that is served: it gets an echo.
fn served(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    assert_echo(&mut stream, b"served?");
    stream
}

/// A connection that is closed at once: its local address.
fn refused(address: SocketAddr) -> SocketAddr {
    let mut stream = connect(address);
    let peer = stream.local_addr().unwrap();
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).unwrap_or(0), 0, "it was served");
    peer
}

/// Ends a session and waits until the daemon has closed it.
fn end(daemon: &Daemon, stream: TcpStream) {
    let peer = stream.local_addr().unwrap();
    drop(stream);
    daemon.session_line(peer);
}

fn refused_count(daemon: &Daemon) -> String {
    field(&daemon.statistics(), "refused").to_owned()
}

/// Asserts that two connections from one address are served, that a third is refused by `limit`, and that
/// another is served when one of the two has ended. Returns a session that is still open.
fn two_and_no_third(daemon: &Daemon, limit: &str) -> TcpStream {
    let address = daemon.address("plain");
    let (mut first, second) = (served(address), served(address));
    let peer = refused(address);
    let line = daemon.wait_for_line(|line| line.contains(" refused listener=plain "));
    assert_eq!(field(&line, "peer"), peer.to_string());
    assert_eq!(field(&line, "limit"), limit);
    assert_eq!(refused_count(daemon), "1");

    assert_echo(&mut first, b"existing sessions continue");
    end(daemon, second);
    let second = served(address);
    refused(address);
    end(daemon, first);
    assert_eq!(refused_count(daemon), "2");
    second
}

#[test]
fn max_sessions_limits_the_daemon_as_a_whole() {
    let other = PLAIN.replace("plain", "other");
    let daemon = limited(&format!("max-sessions = 2\n{other}"));
    let _second = two_and_no_third(&daemon, "max-sessions");
    // One session is free, for any listener.
    let _third = served(daemon.address("other"));
    refused(daemon.address("plain"));
    refused(daemon.address("other"));
    assert_eq!(refused_count(&daemon), "4");
}

#[test]
fn max_sessions_per_address_does_not_affect_other_addresses() {
    let daemon = Daemon::start(
        "[limits]\nmax-sessions-per-address = 2\n\
         [[listener]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n",
    );
    let _second = two_and_no_third(&daemon, "max-sessions-per-address");
    let _third = served(daemon.address("plain"));
    refused(daemon.address("plain"));
    let mut from_elsewhere = connect_from([127, 0, 0, 2].into(), daemon.address("plain"));
    assert_echo(&mut from_elsewhere, b"another address");
}

/// A connection from a specific address of this machine.
fn connect_from(from: std::net::Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(util::PATIENCE)).unwrap();
    stream
}

#[test]
fn a_listener_has_its_own_max_sessions() {
    let other = PLAIN.replace("plain", "other");
    let daemon = Daemon::start(&format!("{PLAIN}[listener.limits]\nmax-sessions = 2\n{other}"));
    let _second = two_and_no_third(&daemon, "max-sessions");
    let _others: Vec<TcpStream> = (0..5).map(|_| served(daemon.address("other"))).collect();
}

#[test]
fn a_listener_has_its_own_max_sessions_per_address() {
    let other = PLAIN.replace("plain", "other");
    let limits = "[listener.limits]\nmax-sessions-per-address = 2\n";
    let daemon = Daemon::start(&format!("{PLAIN}{limits}{other}"));
    let _second = two_and_no_third(&daemon, "max-sessions-per-address");
    let _others: Vec<TcpStream> = (0..5).map(|_| served(daemon.address("other"))).collect();
    let mut from_elsewhere = connect_from([127, 0, 0, 2].into(), daemon.address("plain"));
    assert_echo(&mut from_elsewhere, b"another address");
}

#[test]
fn refused_connections_are_counted_and_do_not_flood_the_log() {
    let daemon = limited("max-sessions = 1");
    let mut only = served(daemon.address("plain"));
    for _ in 0..100 {
        refused(daemon.address("plain"));
    }
    let statistics = daemon.statistics();
    assert_eq!(field(&statistics, "refused"), "100");
    assert_eq!(field(&statistics, "accepted"), "1");
    let lines = || daemon.seen().into_iter().filter(|line| line.contains(" refused listener="));
    // On a slow machine, a sum may be among them.
    assert!(lines().count() < 10, "{:#?}", lines().collect::<Vec<_>>());
    // The sum has all others.
    let sum = daemon.wait_for_line(|line| line.contains(" more="));
    assert_eq!(field(&sum, "listener"), "plain");
    let summed: usize = lines().filter(|line| line.contains(" more=")).map(|l| count(&l)).sum();
    let logged = lines().filter(|line| line.contains(" peer=")).count();
    assert!(logged >= 1 && logged + summed <= 100 && summed > 0);
    assert_echo(&mut only, b"still here");
}

fn count(sum: &str) -> usize {
    field(sum, "more").parse().unwrap()
}
