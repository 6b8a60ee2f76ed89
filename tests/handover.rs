//! Listening sockets that the service manager passes to the daemon (`sd_listen_fds(3)`).

mod util;

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use socket2::SockRef;
use util::{
    CROWD, Daemon, PATIENCE, PLAIN, ROOM_FOR_A_CROWD, assert_echo, connect, field, program, tool,
};

/// Starts a daemon as a service manager does: with `first`, and perhaps `second`, as its descriptors 3 and
/// 4. They are passed as standard input and output, and a shell moves them.
fn start_with(
    first: impl Into<OwnedFd>,
    second: Option<TcpListener>,
    names: Option<&str>,
    config: &str,
) -> Daemon {
    let daemon = launch_with(first.into(), second, names, config);
    daemon.wait_for_notification(|text| text.contains("READY=1"));
    daemon
}

/// The same, and waits for nothing.
fn launch_with(
    first: OwnedFd,
    second: Option<TcpListener>,
    names: Option<&str>,
    config: &str,
) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let (file, notify) = (folder.path().join("echo-alex.toml"), folder.path().join("notify"));
    let count = 1 + usize::from(second.is_some());
    let names = names.map_or(String::new(), |names| format!("LISTEN_FDNAMES={names}"));
    let fourth = if second.is_some() { "4<&1" } else { "" };
    let script = format!(
        "exec 3<&0 {fourth} </dev/null >/dev/null; \
         export LISTEN_PID=$$ LISTEN_FDS={count} {names}; exec \"$@\""
    );
    let second = second.map_or_else(Stdio::null, |second| Stdio::from(OwnedFd::from(second)));
    Daemon::launch_in(folder, config, move |command| {
        *command = Command::new("sh");
        command
            .args(["-c", &script, "sh", program(), "--config"])
            .arg(file)
            .env("NOTIFY_SOCKET", notify)
            .env_remove("JOURNAL_STREAM")
            .stdin(first)
            .stdout(second)
            .stderr(Stdio::piped());
    })
}

fn bound(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn listening(daemon: &Daemon) -> Vec<String> {
    // Until the log has been read up to here.
    daemon.statistics();
    daemon.seen().into_iter().filter(|line| line.contains(" listening ")).collect()
}

#[test]
fn a_named_socket_serves_the_listener_with_that_name() {
    let (listener, address) = bound("127.0.0.1:0");
    // The address in the file cannot be bound.
    let config = PLAIN.replace("127.0.0.1:0", "192.0.2.1:5000");
    let daemon = start_with(listener, None, Some("plain"), &config);
    assert_eq!(daemon.address("plain"), address);
    assert_echo(&mut connect(address), b"handed over");
    assert_eq!(listening(&daemon).len(), 1);
}

#[test]
fn connections_from_before_the_start_are_served() {
    let (listener, address) = bound("127.0.0.1:0");
    let mut early = connect(address);
    let _daemon = start_with(listener, None, Some("plain"), PLAIN);
    assert_echo(&mut early, b"early");
}

#[test]
fn connections_in_the_backlog_at_a_stop_are_served_by_the_next_daemon() {
    let config = format!("{ROOM_FOR_A_CROWD}{PLAIN}");
    let (listener, address) = bound("127.0.0.1:0");
    // The backlog of the standard library is 128.
    SockRef::from(&listener).listen(1024).unwrap();
    let mut first = start_with(listener.try_clone().unwrap(), None, Some("plain"), &config);
    let crowd = first.crowd_before(Signal::TERM, address, b"waits");
    assert_eq!(first.wait().code(), Some(0));
    let accepted = first.whole_log().iter().filter(|line| line.contains(" session ")).count();
    assert!(accepted < CROWD, "no connection was left in the backlog");

    let second = start_with(listener, None, Some("plain"), &config);
    for mut stream in crowd {
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"waits");
    }
    assert_eq!(field(&second.statistics(), "accepted"), (CROWD - accepted).to_string());
}

#[test]
fn reuse_port_is_ignored_for_a_passed_socket() {
    let (listener, address) = bound("127.0.0.1:0");
    let config = format!("{}reuse-port = true\n", PLAIN.replace(":0", ":5000"));
    let daemon = start_with(listener.try_clone().unwrap(), None, Some("plain"), &config);
    assert_echo(&mut connect(address), b"handed over");
    assert!(daemon.reload().ends_with(" reloaded"));
    assert!(!SockRef::from(&listener).reuse_port().unwrap());
    assert!(!daemon.seen().iter().any(|line| line.contains("reuse-port")));
}

#[test]
fn sockets_are_matched_by_name_in_any_order() {
    let (first, first_address) = bound("127.0.0.1:0");
    let (second, second_address) = bound("127.0.0.1:0");
    let other = PLAIN.replace("plain", "other");
    let config = format!("{PLAIN}{other}");
    let daemon = start_with(first, Some(second), Some("other:plain"), &config);
    assert_eq!(daemon.address("other"), first_address);
    assert_eq!(daemon.address("plain"), second_address);
    assert_echo(&mut connect(first_address), b"one");
    assert_echo(&mut connect(second_address), b"two");
}

#[test]
fn a_socket_without_a_matching_name_is_matched_by_its_port() {
    for names in [None, Some("echo-alex.socket")] {
        let (listener, address) = bound("127.0.0.1:0");
        let config = PLAIN.replace("127.0.0.1:0", &address.to_string());
        let daemon = start_with(listener, None, names, &config);
        assert_eq!(daemon.address("plain"), address);
        assert_echo(&mut connect(address), b"handed over");
        daemon.statistics();
        assert!(!daemon.seen().iter().any(|line| line.contains(" WARN ")), "{:?}", daemon.seen());
    }
}

#[test]
fn an_ipv6_socket_is_served_too() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let (v6, v6_address) = bound("[::1]:0");
    let (v4, v4_address) = bound("127.0.0.1:0");
    let daemon = start_with(v6, Some(v4), Some("plain:plain"), PLAIN);
    assert_echo(&mut connect(v6_address), b"IPv6");
    assert_echo(&mut connect(v4_address), b"IPv4");
    assert_eq!(listening(&daemon).len(), 2);
}

#[test]
fn a_socket_that_matches_no_listener_is_logged_and_closed() {
    let (listener, address) = bound("127.0.0.1:0");
    let daemon = start_with(listener, None, Some("nobody"), PLAIN);
    daemon.wait_for_line(|line| line.contains(" WARN ") && line.contains("\"nobody\""));
    assert_echo(&mut daemon.connect("plain"), b"x");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn sockets_for_another_process_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let script = "LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=plain exec \"$@\"";
    let daemon = Daemon::start_through(folder, PLAIN, script);
    assert_echo(&mut daemon.connect("plain"), b"x");
}

/// Has the kernel hold back connections to `listener` until their first byte, for about so many seconds
/// (`TCP_DEFER_ACCEPT`, tcp(7)), as `DeferAcceptSec=` of a socket unit does; false without Python.
fn defer_accept(listener: &TcpListener, seconds: u32) -> bool {
    let Some(mut python) = tool("python3") else { return false };
    let script = format!(
        "import socket; socket.socket(fileno=0).setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, {seconds})"
    );
    let socket = OwnedFd::from(listener.try_clone().unwrap());
    let set = python.args(["-c", &script]).stdin(socket).output().unwrap();
    assert!(set.status.success(), "{set:?}");
    true
}

#[test]
fn deferred_connections_take_no_session_until_their_first_byte() {
    let (listener, address) = bound("127.0.0.1:0");
    if !defer_accept(&listener, 30) {
        return;
    }
    let config = format!("[limits]\nmax-sessions = 1\n{PLAIN}");
    let daemon = start_with(listener, None, Some("plain"), &config);
    let _silent = connect(address);
    let mut speaks = connect(address);
    assert_echo(&mut speaks, b"hello");
    let statistics = daemon.statistics();
    let counts = (field(&statistics, "accepted"), field(&statistics, "refused"));
    assert_eq!(counts, ("1", "0"), "{statistics}");
}

#[test]
fn a_deferred_peer_that_stays_silent_is_accepted_in_the_end_and_times_out() {
    let (listener, address) = bound("127.0.0.1:0");
    if !defer_accept(&listener, 1) {
        return;
    }
    let config = format!("[limits]\nidle-timeout = \"300ms\"\n{PLAIN}");
    let daemon = start_with(listener, None, Some("plain"), &config);
    let silent = connect(address);
    let line = daemon.session_line(silent.local_addr().unwrap());
    assert_eq!((field(&line, "reason"), field(&line, "in")), ("idle-timeout", "0"));

    // A FIN is enough to be accepted.
    let finished = connect(address);
    finished.shutdown(Shutdown::Write).unwrap();
    let line = daemon.session_line(finished.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "peer-done");
}

#[test]
fn a_reload_keeps_passed_sockets_and_their_sessions() {
    let (listener, address) = bound("127.0.0.1:0");
    let daemon = start_with(listener, None, Some("plain"), PLAIN);
    let mut old = connect(address);
    assert_echo(&mut old, b"before");
    let other = PLAIN.replace("plain", "other");
    daemon.rewrite_config(&format!("[limits]\nmax-sessions = 50\n{PLAIN}{other}"));
    for _ in 0..2 {
        assert!(daemon.reload().ends_with(" reloaded"));
    }
    assert_echo(&mut old, b"after");
    assert_echo(&mut connect(address), b"new");
    assert_echo(&mut daemon.connect("other"), b"new");
    // One from the start, one that was added.
    assert_eq!(listening(&daemon).len(), 2, "{:?}", listening(&daemon));
    let line = daemon.session_line({
        let peer = old.local_addr().unwrap();
        drop(old);
        peer
    });
    assert_eq!(field(&line, "reason"), "peer-done");
}

/// A UDP listener on a port that nothing can be bound to.
const UDP: &str = "
[[listener]]
name = \"udp\"
listen = \"192.0.2.250:5000\"
transport = \"udp\"
";

#[test]
fn a_socket_for_datagrams_serves_the_udp_listener_with_its_name() {
    let passed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // It waits in the socket for the daemon.
    client.send_to(b"early", address).unwrap();
    let daemon = start_with(passed, None, Some("udp"), UDP);
    assert_eq!(daemon.address("udp"), address);
    let mut back = [0; 9];
    assert_eq!(client.recv_from(&mut back).unwrap(), (5, address));
    assert!(daemon.reload().ends_with(" reloaded"));
    client.send_to(b"after", address).unwrap();
    assert_eq!(client.recv_from(&mut back).unwrap(), (5, address));
}

#[test]
fn a_socket_of_the_other_kind_is_an_error_that_names_the_listener_and_the_cure() {
    let stream = bound("127.0.0.1:0").0.into();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap().into();
    for (passed, name, config, cure) in [
        (stream, "udp", UDP, "a stream socket, and the listener is for UDP: use ListenDatagram="),
        (
            datagrams,
            "plain",
            PLAIN,
            "for datagrams, and the listener is for TCP: use ListenStream=",
        ),
    ] {
        let mut daemon = launch_with(passed, None, Some(name), config);
        assert_eq!(daemon.wait().code(), Some(78));
        let line = daemon.wait_for_line(|line| line.contains("handed over is"));
        assert!(line.contains(&format!("listener \"{name}\": ")) && line.ends_with(cure), "{line}");
    }
}
