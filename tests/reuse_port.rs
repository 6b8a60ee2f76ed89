//! With `reuse-port`, several daemons share a port, each with its own limits and counters, and one of them can
//! stop while the others continue. Without it, a second daemon does not start.

mod util;

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use util::{
    Daemon, PATIENCE, ROOM_FOR_A_CROWD, assert_echo, connect, field, read_to_end, tool, wait_until,
};

const UNAVAILABLE: i32 = 69;

/// A port that is reserved while this exists: a socket is bound to it, which shares its address and does not
/// listen.
struct Port {
    address: SocketAddr,
    _socket: Socket,
}

impl Port {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: socket }
    }

    fn config(&self, reuse_port: bool) -> String {
        let address = self.address;
        let listener = format!("name = \"plain\"\nlisten = \"{address}\"");
        format!("{ROOM_FOR_A_CROWD}[[listener]]\n{listener}\nreuse-port = {reuse_port}\n")
    }

    fn daemon(&self, reuse_port: bool) -> Daemon {
        Daemon::start(&self.config(reuse_port))
    }

    /// Starts a daemon, which must fail because the port is in use: its error.
    fn no_daemon(&self, reuse_port: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        refused(Daemon::launch_in(folder, &self.config(reuse_port), |_| {}))
    }
}

fn refused(mut daemon: Daemon) -> String {
    assert_eq!(daemon.wait().code(), Some(UNAVAILABLE));
    let log = daemon.whole_log();
    let line = log.iter().find(|line| line.starts_with("echo-alex: ")).unwrap();
    assert!(line.contains(": address already in use; "), "{line}");
    line.clone()
}

fn accepted(daemon: &Daemon) -> usize {
    field(&daemon.statistics(), "accepted").parse().unwrap()
}

#[test]
fn two_daemons_share_a_port_and_both_get_sessions() {
    let port = Port::new();
    let daemons = [port.daemon(true), port.daemon(true)];
    let mut sessions: Vec<TcpStream> = (0..100).map(|_| connect(port.address)).collect();
    for session in &mut sessions {
        assert_echo(session, b"from either");
    }
    // The kernel chooses by a hash of the addresses, so each daemon gets some of 100.
    let counts = [accepted(&daemons[0]), accepted(&daemons[1])];
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 100, "each daemon counts its own sessions");
}

#[test]
fn each_daemon_has_its_own_limits() {
    let port = Port::new();
    let one = format!("{}[listener.limits]\nmax-sessions = 1\n", port.config(true));
    let daemons = [Daemon::start(&one), Daemon::start(&one)];
    let mut served = Vec::new();
    // Most are refused, by a daemon that already has its one session.
    wait_until("a session with each", || {
        let mut stream = connect(port.address);
        let mut byte = [0];
        if stream.write_all(b"x").is_ok() && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            served.push(stream);
        }
        served.len() == 2
    });
    assert_eq!(daemons.map(|daemon| accepted(&daemon)), [1, 1]);
}

#[test]
fn connections_in_the_backlog_of_a_stopping_daemon_get_their_echo() {
    let port = Port::new();
    let (mut stops, stays) = (port.daemon(true), port.daemon(true));
    let mut crowd = stops.crowd_before(Signal::TERM, port.address, b"waits");
    for stream in &mut crowd {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(stream), b"waits");
    }
    assert_eq!(stops.wait().code(), Some(0));
    assert_ne!(accepted(&stays), crowd.len(), "the stopping daemon had none of them");
}

/// Whether the session got its echo. If a daemon stops before it has read anything, the stream ends or is
/// reset.
fn short_session(address: SocketAddr) -> bool {
    let mut stream = match TcpStream::connect(address) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
        Err(error) => panic!("{address} is not served: {error}"),
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut echo = Vec::new();
    let ended = stream
        .write_all(b"short")
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.read_to_end(&mut echo));
    match ended {
        Ok(_) if echo == b"short" => true,
        Ok(_) if echo.is_empty() => false,
        Ok(_) => panic!("a part of the echo: {echo:?}"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no end: {error}"),
        Err(_) => false,
    }
}

#[test]
fn short_sessions_continue_while_one_daemon_stops() {
    const THREADS: usize = 3;
    let port = Port::new();
    let (mut stops, stays) = (port.daemon(true), port.daemon(true));
    let (done, echoed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = || {
        let so_far = echoed.load(Ordering::Relaxed);
        wait_until("more sessions", || echoed.load(Ordering::Relaxed) > so_far + 200);
    };
    thread::scope(|scope| {
        let work = || {
            let mut cut = 0;
            while !done.load(Ordering::Relaxed) {
                if short_session(port.address) {
                    echoed.fetch_add(1, Ordering::Relaxed);
                } else {
                    cut += 1;
                }
            }
            cut
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        more();
        assert_eq!(stops.stop().code(), Some(0));
        more();
        done.store(true, Ordering::Relaxed);
        for thread in threads {
            // At most the session that was connecting at that moment.
            let cut: usize = thread.join().unwrap();
            assert!(cut <= 1, "{cut} sessions were cut");
        }
    });
    assert!(accepted(&stays) > 200);
}

#[test]
fn without_the_key_in_both_the_second_daemon_exits_with_69_and_a_hint() {
    for (first, second) in [(false, false), (false, true), (true, false)] {
        let port = Port::new();
        let mut daemon = port.daemon(first);
        let line = port.no_daemon(second);
        let hint = if second { "needs reuse-port too, and the same user" } else { "ss -ltnp" };
        assert!(line.contains(hint), "{line}");
        assert_echo(&mut connect(port.address), b"the first one continues");
        assert_eq!(daemon.stop().code(), Some(0));
    }
}

#[test]
fn a_port_is_not_shared_with_another_user() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can be two users");
    }
    if tool("setpriv").is_none() {
        return;
    }
    let port = Port::new();
    let _first = port.daemon(true);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let script = "folder=$(dirname \"$3\"); cp \"$1\" \"$folder\"; shift; \
                  exec setpriv --reuid=65534 --regid=65534 --clear-groups \
                  \"$folder/echo-alex\" \"$@\"";
    let line = refused(Daemon::launch_through(folder, &port.config(true), script));
    assert!(line.contains("the same user"), "{line}");
}

#[test]
fn a_reload_that_changes_the_key_warns_that_a_restart_is_needed() {
    for before in [false, true] {
        let port = Port::new();
        let mut daemon = port.daemon(before);
        let warnings = || daemon.seen().iter().filter(|line| line.contains("reuse-port")).count();
        assert!(daemon.reload().ends_with(" reloaded"));
        assert_eq!(warnings(), 0);

        daemon.rewrite_config(&port.config(!before));
        assert!(daemon.reload().ends_with(" reloaded"));
        let line = daemon.wait_for_line(|line| line.contains(" WARN "));
        assert!(line.contains(&format!("reuse-port = {} waits for a restart", !before)), "{line}");
        assert_eq!(field(&line, "address"), port.address.to_string());
        assert_echo(&mut connect(port.address), b"served as before");
        // The socket keeps the option that it was bound with, which decides whether others can share it.
        if before {
            port.daemon(true);
        } else {
            port.no_daemon(true);
        }

        daemon.rewrite_config(&port.config(before));
        assert!(daemon.reload().ends_with(" reloaded"));
        assert_eq!(warnings(), 1);
        assert_eq!(daemon.stop().code(), Some(0));
    }
}
