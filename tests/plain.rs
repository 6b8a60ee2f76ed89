//! Plain echo is byte-exact (RFC 862): received bytes are sent back in order, and nothing is added.

mod util;

use util::{Daemon, PLAIN, assert_echo, echo_all, noise};

#[test]
fn nul_bytes_and_empty_lines_are_echoed_unchanged() {
    let daemon = Daemon::start(PLAIN);
    assert_eq!(echo_all(&daemon.connect("plain"), b"hi\0there"), b"hi\0there");
    assert_eq!(echo_all(&daemon.connect("plain"), b"\n\0\0\r\n"), b"\n\0\0\r\n");
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(echo_all(&daemon.connect("plain"), &every_byte), every_byte);
}

#[test]
fn single_bytes_are_echoed_at_once() {
    let daemon = Daemon::start(PLAIN);
    let mut stream = daemon.connect("plain");
    for byte in noise(1000, 1) {
        assert_echo(&mut stream, &[byte]);
    }
}

#[test]
fn a_stream_of_100_mib_is_echoed() {
    let daemon = Daemon::start(PLAIN);
    let sent = noise(100 << 20, 2);
    assert!(echo_all(&daemon.connect("plain"), &sent) == sent);
}
