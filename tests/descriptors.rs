//! Without free descriptors, the daemon neither spins nor stops accepting for good, and it leaks none.

mod util;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use util::{
    Daemon, PLAIN, TlsClient, assert_echo, field, limit_descriptors, plain_and_tls, read_to_end,
    wait_until,
};

fn soft_limit(daemon: &Daemon) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn connections_wait_until_a_session_ends_and_none_is_lost() {
    let daemon = Daemon::start(PLAIN);
    limit_descriptors(&daemon, 3);
    let mut sessions: Vec<TcpStream> = (0..3).map(|_| daemon.connect("plain")).collect();
    for session in &mut sessions {
        assert_echo(session, b"served");
    }
    // The kernel puts these into the backlog.
    let mut waiting: Vec<TcpStream> = (0..3).map(|_| daemon.connect("plain")).collect();
    for stream in &mut waiting {
        stream.write_all(b"waits").unwrap();
    }
    let line = daemon.wait_for_line(|line| line.contains(" cannot accept connections for now: "));
    assert!(line.contains("too many open files"), "{line}");
    assert_eq!(field(&daemon.statistics(), "accepted"), "3");

    // It does not spin: ten attempts a second cost almost nothing, and a busy loop 100 ticks.
    let before = daemon.cpu_ticks();
    std::thread::sleep(Duration::from_secs(1));
    let ticks = daemon.cpu_ticks() - before;
    assert!(ticks <= 10, "{ticks} ticks in a second");

    // The open sessions are served, and for each that ends, one connection is accepted.
    for (mut session, waiter) in sessions.into_iter().zip(&mut waiting) {
        assert_echo(&mut session, b"still served");
        drop(session);
        let mut echo = [0; 5];
        std::io::Read::read_exact(waiter, &mut echo).unwrap();
        assert_eq!(&echo, b"waits");
    }
    let statistics = daemon.statistics();
    assert_eq!((field(&statistics, "accepted"), field(&statistics, "refused")), ("6", "0"));
}

#[test]
fn without_a_free_descriptor_it_recovers_by_itself() {
    let daemon = Daemon::start(PLAIN);
    limit_descriptors(&daemon, 0);
    let mut stream = daemon.connect("plain");
    stream.write_all(b"waits").unwrap();
    daemon.wait_for_line(|line| line.contains(" cannot accept connections for now: "));
    // Descriptors become free although no session ends and no connection arrives.
    limit_descriptors(&daemon, 10);
    let mut echo = [0; 5];
    std::io::Read::read_exact(&mut stream, &mut echo).unwrap();
    assert_eq!(&echo, b"waits");
}

#[test]
fn running_out_of_descriptors_does_not_flood_the_log() {
    let daemon = Daemon::start(PLAIN);
    limit_descriptors(&daemon, 0);
    let _waiting: Vec<TcpStream> = (0..20).map(|_| daemon.connect("plain")).collect();
    let is_it = |line: &str| line.contains(" cannot accept connections");
    // The first line is followed by a sum: nothing between them. Another one may begin the next interval.
    let sum = daemon.wait_for_nth_line(1, is_it);
    assert!(sum.contains(" times more in "), "{sum}");
}

#[test]
fn it_stops_on_request_without_a_free_descriptor() {
    let mut daemon = Daemon::start(PLAIN);
    limit_descriptors(&daemon, 1);
    let mut session = daemon.connect("plain");
    assert_echo(&mut session, b"served");
    let _waiting = daemon.connect("plain");
    daemon.wait_for_line(|line| line.contains(" cannot accept connections for now: "));
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(read_to_end(&mut session), b"");
    drop(session);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_low_soft_limit_is_raised_as_the_configuration_needs() {
    let config = format!("[limits]\nmax-sessions = 300\nmax-sessions-per-address = 300\n{PLAIN}");
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_through(folder, &config, "ulimit -S -n 64; exec \"$@\"");
    let limit = soft_limit(&daemon);
    assert!((300..400).contains(&limit), "{limit}");
    let mut sessions: Vec<TcpStream> = (0..300).map(|_| daemon.connect("plain")).collect();
    for session in &mut sessions {
        assert_echo(session, b"served");
    }
    // A reload may need more.
    daemon.rewrite_config(&format!("[limits]\nmax-sessions = 600\n{PLAIN}"));
    assert!(daemon.reload().ends_with(" reloaded"));
    assert!(soft_limit(&daemon) >= 600);
}

#[test]
fn a_sufficient_soft_limit_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[limits]\nmax-sessions = 10\n{PLAIN}");
    let daemon = Daemon::start_through(folder, &config, "ulimit -S -n 512; exec \"$@\"");
    assert_eq!(soft_limit(&daemon), 512);
}

#[test]
fn a_hard_limit_that_is_too_low_is_an_error_with_a_cure() {
    let low = "ulimit -n 64; exec \"$@\"";
    let mut daemon = Daemon::launch_through(tempfile::tempdir().unwrap(), PLAIN, low);
    assert_eq!(daemon.wait().code(), Some(78));
    let line = daemon.wait_for_line(|line| line.starts_with("echo-alex: "));
    for part in ["max-sessions = 1024 needs ", "may have 64", "lower max-sessions", "LimitNOFILE="]
    {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    // With fewer sessions, the same limit is sufficient.
    let config = format!("[limits]\nmax-sessions = 20\n{PLAIN}");
    let daemon = Daemon::start_through(tempfile::tempdir().unwrap(), &config, low);
    let mut sessions: Vec<TcpStream> = (0..20).map(|_| daemon.connect("plain")).collect();
    for session in &mut sessions {
        assert_echo(session, b"served");
    }
}

#[test]
fn thousands_of_sessions_leak_no_descriptor() {
    let daemon = plain_and_tls();
    daemon.wait_until_started();
    let before = daemon.descriptors();
    for _ in 0..2000 {
        assert_echo(&mut daemon.connect("plain"), b"x");
    }
    let tls = TlsClient::default().config(daemon.folder.path());
    let address = daemon.address("tls");
    for _ in 0..200 {
        assert_echo(&mut util::connect_tls(&tls, address), b"x");
        // And one that is cut off during its handshake.
        drop(util::connect(address));
    }
    wait_until("as many as before", || daemon.descriptors() == before);
    assert_eq!(field(&daemon.statistics(), "accepted"), "2400");
    assert_eq!(field(&daemon.statistics(), "sessions"), "0");
}

#[test]
fn reloads_leak_no_descriptor() {
    let daemon = plain_and_tls();
    daemon.wait_until_started();
    let before = daemon.descriptors();
    for config in ["broken", PLAIN, "", PLAIN].repeat(5) {
        daemon.rewrite_config(config);
        daemon.reload();
    }
    // The TLS listener was removed.
    daemon.wait_until_started();
    assert_eq!(daemon.descriptors(), before - 1);
}
