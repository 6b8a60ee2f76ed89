//! The peer's FIN (with TLS: `close_notify`) means that it sends no more, and never that it reads no more: the
//! daemon sends the rest of the echo, and then closes in the same way.

mod util;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;
use util::{
    Daemon, PLAIN, Running, TlsClient, assert_echo, echo_all, echo_all_tls, end_tls, field, noise,
    plain_and_tls, send_until_stuck, tool, wait,
};

/// Asserts that the log has `reason` for the session of `stream`, and all `bytes` as echoed.
fn assert_ended(daemon: &Daemon, stream: &TcpStream, bytes: usize, reason: &str) {
    let line = daemon.session_line(stream.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), reason, "{line}");
    assert_eq!(field(&line, "in"), bytes.to_string(), "{line}");
    assert_eq!(field(&line, "out"), bytes.to_string(), "{line}");
    assert!(!line.contains(" unsent="), "{line}");
}

/// Holds written bytes back until the socket is shut down, so that data and FIN are in one segment
/// (`TCP_CORK`, tcp(7)).
fn cork(stream: &TcpStream) {
    SockRef::from(stream).set_tcp_cork(true).unwrap();
}

#[test]
fn a_fin_with_much_data_in_flight_loses_nothing() {
    let daemon = Daemon::start(PLAIN);
    let stream = daemon.connect("plain");
    let sent = noise(32 << 20, 1);
    assert!(echo_all(&stream, &sent) == sent);
    assert_ended(&daemon, &stream, sent.len(), "peer-done");
}

#[test]
fn data_in_one_segment_with_the_fin_is_echoed() {
    let daemon = Daemon::start(PLAIN);
    for seed in 0..50 {
        let stream = daemon.connect("plain");
        cork(&stream);
        // Less than a segment on the loopback interface.
        let sent = noise(1 + 100 * usize::try_from(seed).unwrap(), seed);
        assert_eq!(echo_all(&stream, &sent), sent);
        assert_ended(&daemon, &stream, sent.len(), "peer-done");
    }
}

#[test]
fn data_with_the_fin_after_an_exchange_is_echoed() {
    let daemon = Daemon::start(PLAIN);
    let mut stream = daemon.connect("plain");
    assert_echo(&mut stream, b"first");
    cork(&stream);
    assert_eq!(echo_all(&stream, b"and last"), b"and last");
    assert_ended(&daemon, &stream, 13, "peer-done");
}

#[test]
fn an_empty_session_ends_cleanly() {
    let daemon = Daemon::start(PLAIN);
    let stream = daemon.connect("plain");
    assert_eq!(echo_all(&stream, b""), b"");
    assert_ended(&daemon, &stream, 0, "peer-done");
}

#[test]
fn a_peer_that_half_closes_and_reads_slowly_gets_all() {
    let daemon = Daemon::start(PLAIN);
    let mut stream = daemon.connect("plain");
    let pieces: Vec<Vec<u8>> = (0..1024).map(|seed| noise(64 << 10, seed)).collect();
    let sent = pieces.concat();
    // Every buffer on the way is full when the FIN is sent.
    let count = send_until_stuck(&stream, pieces.into_iter());
    assert!(count < sent.len(), "{count} bytes were taken from a peer that does not read");
    stream.shutdown(Shutdown::Write).unwrap();
    let (mut back, mut piece) = (Vec::new(), [0; 1000]);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            read => back.extend_from_slice(&piece[..read]),
        }
    }
    assert!(back == sent[..count], "the echo differs");
    assert_ended(&daemon, &stream, count, "peer-done");
}

#[test]
fn close_notify_is_answered_by_close_notify_and_fin_after_all_data() {
    let daemon = plain_and_tls();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = TlsClient { only: Some(version), ..TlsClient::default() }.connect(&daemon);
        let sent = noise(32 << 20, 3);
        // This returns at the daemon's close_notify.
        assert!(echo_all_tls(&mut stream, &sent) == sent);
        // The test has not sent a FIN: the daemon's did not wait for it.
        assert_eq!(stream.sock.read(&mut [0; 1]).unwrap(), 0, "no FIN after close_notify");
        stream.sock.shutdown(Shutdown::Write).unwrap();
        assert_ended(&daemon, &stream.sock, sent.len(), "peer-done");
    }
}

#[test]
fn an_empty_tls_session_ends_cleanly() {
    let daemon = plain_and_tls();
    let mut stream = TlsClient::default().connect(&daemon);
    stream.conn.complete_io(&mut stream.sock).unwrap();
    end_tls(&mut stream);
    stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_ended(&daemon, &stream.sock, 0, "peer-done");
}

#[test]
fn data_close_notify_and_fin_in_one_segment_are_handled() {
    let daemon = plain_and_tls();
    let mut stream = TlsClient::default().connect(&daemon);
    assert_echo(&mut stream, b"first");
    cork(&stream.sock);
    stream.conn.writer().write_all(b"and last").unwrap();
    stream.conn.send_close_notify();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"and last");
    assert_ended(&daemon, &stream.sock, 13, "peer-done");
}

#[test]
fn a_whole_session_with_the_end_of_its_handshake_in_one_segment_is_echoed() {
    let daemon = plain_and_tls();
    let config = TlsClient { only: Some(&rustls::version::TLS13), ..TlsClient::default() }
        .config(daemon.folder.path());
    let name = ServerName::try_from("localhost").unwrap();
    let mut conn = ClientConnection::new(config, name).unwrap();
    let mut sock = daemon.connect("tls");
    while conn.is_handshaking() {
        while conn.wants_write() {
            conn.write_tls(&mut sock).unwrap();
        }
        conn.read_tls(&mut sock).unwrap();
        conn.process_new_packets().unwrap();
    }
    // The client's Finished has not been sent yet.
    assert!(conn.wants_write());
    conn.writer().write_all(b"all at once").unwrap();
    conn.send_close_notify();
    cork(&sock);
    while conn.wants_write() {
        conn.write_tls(&mut sock).unwrap();
    }
    sock.shutdown(Shutdown::Write).unwrap();
    let mut stream = StreamOwned::new(conn, sock);
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"all at once");
    assert_ended(&daemon, &stream.sock, 11, "peer-done");
}

#[test]
fn a_tls_session_that_ends_without_close_notify_is_echoed_and_logged_as_truncated() {
    let daemon = plain_and_tls();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = TlsClient { only: Some(version), ..TlsClient::default() }.connect(&daemon);
        assert_echo(&mut stream, b"before");
        cork(&stream.sock);
        stream.write_all(b"cut off").unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        // The daemon itself ends with close_notify: without it, this would be an error.
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, b"cut off");
        assert_ended(&daemon, &stream.sock, 13, "peer-truncated");
    }
}

#[test]
fn a_file_through_nc_comes_back_the_same() {
    let Some(mut help) = tool("nc") else { return };
    let help = help.arg("-h").stdin(Stdio::null()).output().unwrap();
    if !String::from_utf8_lossy(&help.stderr).contains("OpenBSD") {
        assert!(std::env::var_os("ECHO_ALEX_REQUIRE_TOOLS").is_none(), "nc is not OpenBSD's");
        eprintln!("skipped: this nc is not OpenBSD's and may have no -N");
        return;
    }
    let daemon = Daemon::start(PLAIN);
    let sent = noise(64 << 20, 4);
    fs::write(daemon.path("file"), &sent).unwrap();
    let mut nc = tool("nc")
        .unwrap()
        .args(["-N", "127.0.0.1", &daemon.address("plain").port().to_string()])
        .stdin(File::open(daemon.path("file")).unwrap())
        .stdout(File::create(daemon.path("back")).unwrap())
        .spawn()
        .unwrap();
    assert!(wait(&mut nc).success());
    assert!(fs::read(daemon.path("back")).unwrap() == sent, "the echo differs");
}

#[test]
fn a_file_through_openssl_comes_back_the_same() {
    let Some(mut openssl) = tool("openssl") else { return };
    let daemon = plain_and_tls();
    let sent = noise(64 << 20, 5);
    let address = daemon.address("tls").to_string();
    openssl.args(["s_client", "-quiet", "-verify_return_error", "-connect", &address]);
    openssl.arg("-CAfile").arg(daemon.path("signing.pem"));
    let mut openssl = Running::start(openssl);
    openssl.feed(sent.clone());
    // With -quiet, openssl does not end at the end of its input.
    assert!(openssl.read(sent.len()) == sent, "the echo differs");
}
