//! SIGINT and SIGTERM stop the daemon: received bytes are echoed, every session ends cleanly, and the exit code
//! is 0. A second signal stops it at once. SIGQUIT lets sessions finish first. SIGUSR1 logs the counters.

mod util;

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use util::{
    Daemon, PLAIN, ROOM_FOR_A_CROWD, TLS, TlsClient, WEB, assert_echo, end_tls, field,
    folder_with_certificates, noise, plain_and_tls, read_to_end,
};

fn stops_cleanly(signal: Signal) {
    let mut daemon = plain_and_tls();
    let mut plain = daemon.connect("plain");
    let mut tls = TlsClient::default().connect(&daemon);
    assert_echo(&mut plain, b"plain");
    assert_echo(&mut tls, b"tls");
    let (plain_peer, tls_peer) = (plain.local_addr().unwrap(), tls.sock.local_addr().unwrap());
    let addresses = ["plain", "tls"].map(|name| daemon.address(name));

    // Sent, but not read yet, when the signal arrives.
    let last = noise(10_000, 2);
    plain.write_all(&last).unwrap();
    tls.write_all(&last).unwrap();
    daemon.signal(signal);
    assert!(read_to_end(&mut plain) == last, "the plain echo was cut");
    assert!(read_to_end(&mut tls) == last, "the TLS echo was cut");
    // close_notify arrived, and then the FIN.
    let mut byte = [0];
    assert_eq!(tls.sock.read(&mut byte).unwrap(), 0);
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} still listens");
    }
    drop((plain, tls));
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.whole_log();
    for (peer, length) in [(plain_peer, 10_005), (tls_peer, 10_003)] {
        let line = log.iter().find(|line| line.contains(&format!("peer={peer} "))).unwrap();
        assert_eq!(field(line, "reason"), "stopping");
        assert_eq!(field(line, "out"), length.to_string());
    }
    assert!(log.last().unwrap().contains(" stopped, 0 sessions (0 TLS), "), "{log:#?}");
}

#[test]
fn term_closes_every_session_cleanly_and_exits_with_0() {
    stops_cleanly(Signal::TERM);
}

#[test]
fn int_closes_every_session_cleanly_and_exits_with_0() {
    stops_cleanly(Signal::INT);
}

#[test]
fn an_idle_daemon_stops_at_once() {
    let mut daemon = Daemon::start(PLAIN);
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn quit_closes_the_listeners_and_lets_sessions_finish() {
    let mut daemon = plain_and_tls();
    let mut plain = daemon.connect("plain");
    let mut tls = TlsClient::default().connect(&daemon);
    assert_echo(&mut plain, b"plain");
    assert_echo(&mut tls, b"tls");
    daemon.signal(Signal::QUIT);
    daemon.wait_for_line(|line| line.contains(" stopping when the last peer is done, 2 sessions "));
    for name in ["plain", "tls"] {
        let address = daemon.address(name);
        assert!(TcpStream::connect(address).is_err(), "{name} still listens");
    }
    // A second one changes nothing.
    daemon.signal(Signal::QUIT);
    assert_echo(&mut plain, &noise(100_000, 1));
    assert_echo(&mut tls, &noise(100_000, 2));
    let peers = [plain.local_addr().unwrap(), tls.sock.local_addr().unwrap()];
    end_tls(&mut tls);
    drop((plain, tls));
    assert_eq!(daemon.wait().code(), Some(0));
    for peer in peers {
        assert_eq!(field(&daemon.session_line(peer), "reason"), "peer-done");
    }
}

#[test]
fn after_quit_sessions_have_drain_timeout_and_term_ends_them_at_once() {
    for timeout in ["300ms", "1h"] {
        let mut daemon =
            Daemon::start(&format!("[limits]\ndrain-timeout = \"{timeout}\"\n{PLAIN}"));
        let mut session = daemon.connect("plain");
        assert_echo(&mut session, b"it stays");
        daemon.signal(Signal::QUIT);
        daemon.wait_for_line(|line| line.contains(" stopping when the last peer is done, "));
        if timeout == "1h" {
            daemon.signal(Signal::TERM);
            assert_eq!(read_to_end(&mut session), b"");
            drop(session);
        } else {
            daemon.wait_for_line(|line| line.contains("drain-timeout is over: 1 session "));
        }
        assert_eq!(daemon.wait().code(), Some(0), "{timeout}");
    }
}

#[test]
fn after_quit_a_connection_that_a_scraper_keeps_does_not_delay_the_end() {
    let mut daemon = Daemon::start(&format!("[limits]\ndrain-timeout = \"none\"\n{WEB}"));
    let mut scraper = daemon.connect("web");
    scraper.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    scraper.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    daemon.signal(Signal::QUIT);
    let answer = String::from_utf8(read_to_end(&mut scraper)).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("\nContent-Length: {}\r\n", body.len())), "{answer}");
    drop(scraper);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn an_unfinished_handshake_does_not_delay_the_stop() {
    let mut daemon = Daemon::start_in(
        folder_with_certificates(),
        &format!("[limits]\ndrain-timeout = \"none\"\nhandshake-timeout = \"1h\"\n{TLS}"),
        |_| {},
    );
    let silent = daemon.connect("tls");
    daemon.wait_for_notification(|text| text.contains("STATUS=1 session (1 TLS)"));
    assert_eq!(daemon.stop().code(), Some(0));
    let line = daemon.session_line(silent.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "stopping");
}

#[test]
fn a_peer_that_does_not_read_delays_the_stop_by_drain_timeout_at_most() {
    let mut daemon = Daemon::start(&format!(
        "[limits]\ndrain-timeout = \"300ms\"\nwrite-timeout = \"1h\"\n{PLAIN}"
    ));
    let stuck = daemon.stuck("plain");
    assert_eq!(daemon.stop().code(), Some(0));
    daemon.wait_for_line(|line| line.contains("drain-timeout is over: 1 session "));
    let line = daemon.session_line(stuck.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "stopping");
    assert!(field(&line, "unsent").parse::<u64>().unwrap() > 0);
}

#[test]
fn a_peer_that_reads_late_gets_all_of_its_echo_after_term() {
    let mut daemon = Daemon::start(&format!("[limits]\ndrain-timeout = \"1h\"\n{PLAIN}"));
    let mut stuck = daemon.stuck("plain");
    let peer = stuck.local_addr().unwrap();
    daemon.signal(Signal::TERM);
    daemon.wait_for_line(|line| line.contains(" stopping, 1 session "));
    let echoed = read_to_end(&mut stuck);
    drop(stuck);
    assert_eq!(daemon.wait().code(), Some(0));
    let line = daemon.session_line(peer);
    assert_eq!(field(&line, "out"), echoed.len().to_string());
    assert_eq!(field(&line, "in"), echoed.len().to_string());
}

#[test]
fn connections_in_the_backlog_get_their_echo_too() {
    let mut daemon = Daemon::start(&format!("{ROOM_FOR_A_CROWD}{PLAIN}"));
    let mut crowd = daemon.crowd_before(Signal::TERM, daemon.address("plain"), b"waits");
    for stream in &mut crowd {
        assert_eq!(read_to_end(stream), b"waits");
    }
    drop(crowd);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start(&format!(
            "[limits]\ndrain-timeout = \"none\"\nwrite-timeout = \"none\"\n{PLAIN}"
        ));
        let stuck = daemon.stuck("plain");
        daemon.signal(Signal::TERM);
        daemon.wait_for_line(|line| line.contains(" stopping, 1 session "));
        assert!(daemon.child.try_wait().unwrap().is_none(), "it did not wait for the peer");
        daemon.signal(second);
        assert_eq!(daemon.wait().code(), Some(0));
        daemon.wait_for_line(|line| line.contains(" asked to stop again: 1 session "));
        let line = daemon.session_line(stuck.local_addr().unwrap());
        assert_eq!(field(&line, "reason"), "stopping");
    }
}

#[test]
fn stop_is_handled_first_if_signals_arrive_together() {
    let mut daemon = Daemon::start(PLAIN);
    // While the process is stopped, the signals are pending.
    daemon.signal(Signal::STOP);
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::USR1);
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::CONT);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.whole_log();
    assert!(!log.iter().any(|line| line.contains("reloaded")), "{log:#?}");
    let place = |text: &str| log.iter().position(|line| line.contains(text)).unwrap();
    assert!(place(" stopping, ") < place(" statistics uptime="), "{log:#?}");
}

#[test]
fn hup_does_not_reload_a_daemon_that_is_stopping() {
    let mut daemon = Daemon::start(&format!("[limits]\ndrain-timeout = \"1h\"\n{PLAIN}"));
    let mut stuck = daemon.stuck("plain");
    daemon.signal(Signal::TERM);
    daemon.wait_for_line(|line| line.contains(" stopping, "));
    daemon.signal(Signal::HUP);
    daemon.statistics();
    read_to_end(&mut stuck);
    drop(stuck);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.whole_log().iter().any(|line| line.contains("reloaded")));
}

#[test]
fn usr1_logs_the_counters_in_all_and_for_each_listener() {
    let daemon = plain_and_tls();
    let mut plain = daemon.connect("plain");
    assert_echo(&mut plain, &[7; 1000]);
    let peer = plain.local_addr().unwrap();
    drop(plain);
    daemon.session_line(peer);
    let mut tls = TlsClient::default().connect(&daemon);
    assert_echo(&mut tls, &[7; 234]);
    let _silent = daemon.connect("tls");
    util::wait_until("a handshake", || daemon.statistics().contains(" handshaking=1 "));

    let all = daemon.statistics();
    for (key, value) in [
        ("sessions", "2"),
        ("tls", "2"),
        ("handshaking", "1"),
        ("accepted", "3"),
        ("refused", "0"),
        ("echoed", "1234"),
        ("peer-done", "1"),
        ("log-lines-lost", "0"),
    ] {
        assert_eq!(field(&all, key), value, "{key} in {all}");
    }
    let of = |name: &str| {
        daemon.wait_for_line(|line| line.contains(&format!(" statistics listener={name} ")))
    };
    assert_eq!(field(&of("plain"), "echoed"), "1000");
    assert_eq!(field(&of("tls"), "echoed"), "234");
}

#[test]
fn usr1_logs_at_any_log_level() {
    let daemon = Daemon::start(&format!("[log]\nlevel = \"error\"\n{PLAIN}"));
    let line = daemon.statistics();
    assert!(line.contains(" sessions=0 "), "{line}");
    // Nothing else is logged at that level.
    assert!(daemon.seen().iter().all(|line| line.contains(" statistics ")), "{:#?}", daemon.seen());
}
