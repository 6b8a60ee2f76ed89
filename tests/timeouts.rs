//! Each state of a session has one deadline. When it passes, the session ends with its reason.

mod util;

use std::io::{Read, Write};
use std::time::Duration;

use util::{
    Daemon, PLAIN, TLS, TlsClient, assert_echo, field, folder_with_certificates, read_to_end,
    wait_until,
};

fn with_timeout(timeout: &str) -> Daemon {
    let config = format!("[limits]\n{timeout}\n{PLAIN}{TLS}");
    Daemon::start_in(folder_with_certificates(), &config, |_| {})
}

fn seconds(line: &str) -> f64 {
    field(line, "duration").strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn a_silent_peer_of_a_tls_listener_is_closed_after_handshake_timeout() {
    let daemon = with_timeout("handshake-timeout = \"300ms\"");
    let mut silent = daemon.connect("tls");
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let line = daemon.session_line(silent.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "handshake-timeout");
    assert!(seconds(&line) >= 0.3, "{line}");
}

#[test]
fn single_bytes_do_not_extend_the_handshake_timeout() {
    let daemon = with_timeout("handshake-timeout = \"300ms\"");
    let mut slow = daemon.connect("tls");
    let peer = slow.local_addr().unwrap();
    // The beginning of a ClientHello record of 512 bytes, which is never complete.
    let mut record = [0; 400];
    record[..6].copy_from_slice(&[0x16, 3, 1, 2, 0, 1]);
    let mut sent = 0;
    // More than 300 ms in all, if the daemon waited.
    for byte in record {
        if slow.write_all(&[byte]).is_err() {
            break;
        }
        sent += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(sent < record.len(), "each byte extended the timeout");
    let line = daemon.session_line(peer);
    assert_eq!(field(&line, "reason"), "handshake-timeout");
}

#[test]
fn a_complete_handshake_ends_the_handshake_timeout() {
    let daemon = with_timeout("handshake-timeout = \"3s\"\nidle-timeout = \"none\"");
    let mut tls = TlsClient::default().connect(&daemon);
    assert_echo(&mut tls, b"in time");
    // When this one times out, the other would have, too.
    let silent = daemon.connect("tls");
    daemon.session_line(silent.local_addr().unwrap());
    assert_echo(&mut tls, b"still here");
}

#[test]
fn an_idle_session_is_closed_cleanly() {
    let daemon = with_timeout("idle-timeout = \"2s\"");
    // Long enough for a handshake between the two echoes on a busy machine.
    let mut plain = daemon.connect("plain");
    let mut tls = TlsClient::default().connect(&daemon);
    assert_echo(&mut plain, b"hello");
    assert_echo(&mut tls, b"hello");
    // A clean end: FIN, with TLS after close_notify.
    assert_eq!(read_to_end(&mut plain), b"");
    assert_eq!(read_to_end(&mut tls), b"");
    assert_eq!(tls.sock.read(&mut [0]).unwrap(), 0);
    let peers = [plain.local_addr().unwrap(), tls.sock.local_addr().unwrap()];
    drop((plain, tls));
    for peer in peers {
        let line = daemon.session_line(peer);
        assert_eq!(field(&line, "reason"), "idle-timeout");
        assert!(seconds(&line) >= 2.0, "{line}");
    }
}

#[test]
fn a_session_without_a_byte_is_idle_too() {
    let daemon = with_timeout("idle-timeout = \"300ms\"");
    let mut plain = daemon.connect("plain");
    assert_eq!(read_to_end(&mut plain), b"");
    let peer = plain.local_addr().unwrap();
    drop(plain);
    assert_eq!(field(&daemon.session_line(peer), "reason"), "idle-timeout");
}

#[test]
fn each_byte_restarts_the_idle_timeout() {
    let daemon = with_timeout("idle-timeout = \"2s\"");
    let mut plain = daemon.connect("plain");
    let mut tls = TlsClient::default().connect(&daemon);
    assert_echo(&mut tls, b"x");
    let peers = [plain.local_addr().unwrap(), tls.sock.local_addr().unwrap()];
    let silent = daemon.connect("plain");
    silent.set_nonblocking(true).unwrap();
    // Until a silent session has ended, and then once again.
    while !matches!((&silent).read(&mut [0]), Ok(0)) {
        assert_echo(&mut plain, b"x");
        assert_echo(&mut tls, b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_echo(&mut plain, b"still here");
    assert_echo(&mut tls, b"still here");
    drop((plain, tls));
    for peer in peers {
        let line = daemon.session_line(peer);
        assert_ne!(field(&line, "reason"), "idle-timeout", "{line}");
        assert!(seconds(&line) >= 2.0, "{line}");
    }
}

#[test]
fn a_peer_that_never_reads_is_closed_after_write_timeout() {
    let daemon = with_timeout("write-timeout = \"500ms\"\nidle-timeout = \"none\"");
    let stuck = daemon.stuck("plain");
    let line = daemon.session_line(stuck.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "write-timeout");
    // It costs at most one read: docs/design.md, "What a peer can cost".
    let unsent: u64 = field(&line, "unsent").parse().unwrap();
    assert!(unsent > 0 && unsent <= 32 * 1024, "{line}");
}

#[test]
fn a_stuck_session_is_not_idle() {
    let daemon = with_timeout("idle-timeout = \"400ms\"\nwrite-timeout = \"none\"");
    let mut stuck = daemon.stuck("plain");
    // Another session has ended by its idle timeout.
    let mut silent = daemon.connect("plain");
    assert_eq!(read_to_end(&mut silent), b"");
    let mut echoed = vec![0; 1 << 20];
    stuck.read_exact(&mut echoed).unwrap();
    assert!(echoed == util::noise(64 * 1024, 1).repeat(16), "the echo differs");
}

#[test]
fn a_peer_that_never_closes_is_closed_after_linger_timeout() {
    let daemon = with_timeout("idle-timeout = \"300ms\"\nlinger-timeout = \"300ms\"");
    let mut open = daemon.connect("plain");
    assert_eq!(read_to_end(&mut open), b"");
    // The peer keeps its side open.
    let line = daemon.session_line(open.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "idle-timeout");
    assert!(seconds(&line) >= 0.6, "{line}");
    assert!(field(&daemon.statistics(), "sessions") == "0");
    // The connection is closed: bytes that are sent now are answered by a reset.
    wait_until("a reset", || (&open).write_all(b"late").is_err());
}

#[test]
fn a_peer_that_keeps_sending_does_not_extend_the_linger_timeout() {
    let daemon = with_timeout("idle-timeout = \"300ms\"\nlinger-timeout = \"300ms\"");
    let mut open = daemon.connect("plain");
    assert_eq!(read_to_end(&mut open), b"");
    let peer = open.local_addr().unwrap();
    wait_until("a reset", || (&open).write_all(b"more").is_err());
    assert_eq!(field(&daemon.session_line(peer), "reason"), "idle-timeout");
}

#[test]
fn a_listener_has_its_own_timeouts() {
    let config = format!("{PLAIN}[listener.limits]\nidle-timeout = \"300ms\"\n");
    let other = PLAIN.replace("plain", "other");
    let daemon = Daemon::start(&format!("{config}{other}"));
    let mut long = daemon.connect("other");
    assert_echo(&mut long, b"x");
    let mut short = daemon.connect("plain");
    assert_eq!(read_to_end(&mut short), b"");
    assert_echo(&mut long, b"still here");
}
