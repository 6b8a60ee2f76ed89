//! Hundreds of hostile peers. The daemon closes their sessions with the right reason and one log line each,
//! and afterwards it echoes as before and has as many descriptors as before.
//!
//! tests/soak has thousands of them, for minutes.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use rustix::process::Signal;
use socket2::SockRef;
use util::{
    Daemon, PLAIN, TLS, TlsClient, assert_echo, end_tls, established, field, flight,
    folder_with_certificates, new_connection, noise, plain_and_tls, reset, rest,
};

/// Asserts that the daemon is unharmed by `attack`, which makes so many sessions.
fn assert_unharmed_by(daemon: &Daemon, sessions: usize, attack: impl FnOnce()) {
    let before = daemon.state();
    attack();
    daemon.assert_unharmed_since(&before, sessions);
}

/// The logged reason for the end of the session of `stream`.
fn reason(daemon: &Daemon, stream: &TcpStream) -> String {
    let line = daemon.session_line(stream.local_addr().unwrap());
    assert!(line.contains(" INFO "), "the fault of a peer is not logged as an error: {line}");
    field(&line, "reason").to_owned()
}

#[test]
fn slow_handshakes_do_not_delay_other_sessions() {
    let config = format!("[limits]\nhandshake-timeout = \"2s\"\n{PLAIN}{TLS}");
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    assert_unharmed_by(&daemon, 201, || {
        let mut slow: Vec<TcpStream> = (0..200).map(|_| daemon.connect("tls")).collect();
        for stream in &mut slow {
            stream.write_all(&[0x16]).unwrap();
        }
        established(&daemon, &TlsClient::default());
        for mut stream in slow {
            assert_eq!(rest(&mut stream), b"");
            assert_eq!(reason(&daemon, &stream), "handshake-timeout");
        }
    });
}

#[test]
fn garbage_is_answered_by_an_alert_and_a_close() {
    let daemon = plain_and_tls();
    assert_unharmed_by(&daemon, 100, || {
        for length in (1..).step_by(37).take(100) {
            let mut stream = daemon.connect("tls");
            stream.write_all(&noise(length, length as u64)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let answer = rest(&mut stream);
            // A fatal alert (RFC 8446 §6), unless a reset destroyed it on the way.
            assert!(answer.is_empty() || (answer[0], answer[5]) == (21, 2), "{answer:?}");
            let reason = reason(&daemon, &stream);
            assert!(["not-tls", "tls-peer", "handshake-abandoned"].contains(&&*reason), "{reason}");
        }
    });
}

#[test]
fn invalid_records_end_the_session_with_an_alert() {
    let daemon = plain_and_tls();
    let broken: [(&str, &[u8]); 5] = [
        ("a record longer than TLS has", &[22, 3, 1, 0xff, 0xff]),
        ("an empty handshake record", &[22, 3, 1, 0, 0]),
        ("application data first", &[23, 3, 3, 0, 3, 1, 2, 3]),
        ("a ServerHello from a client", &[22, 3, 1, 0, 4, 2, 0, 0, 0]),
        ("a ClientHello with nothing in it", &[22, 3, 1, 0, 4, 1, 0, 0, 0]),
    ];
    assert_unharmed_by(&daemon, broken.len(), || {
        for (what, bytes) in broken {
            let mut stream = daemon.connect("tls");
            stream.write_all(bytes).unwrap();
            let answer = rest(&mut stream);
            assert_eq!((answer.first(), answer.get(5)), (Some(&21), Some(&2)), "{what}");
            stream.shutdown(Shutdown::Write).unwrap();
            let reason = reason(&daemon, &stream);
            assert!(["not-tls", "tls-peer"].contains(&&*reason), "{what}: {reason}");
        }
    });
}

#[test]
fn a_handshake_message_with_an_excessive_length_is_refused_at_once() {
    let daemon = plain_and_tls();
    let mut stream = daemon.connect("tls");
    stream.write_all(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]).unwrap();
    rest(&mut stream);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reason(&daemon, &stream), "tls-peer");
}

#[test]
fn a_modified_record_ends_the_session_with_an_alert() {
    let daemon = plain_and_tls();
    assert_unharmed_by(&daemon, 2, || {
        for only in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = TlsClient { only: Some(only), ..TlsClient::default() };
            let mut stream = established(&daemon, &client);
            stream.conn.writer().write_all(b"changed").unwrap();
            let mut record = flight(&mut stream.conn);
            *record.last_mut().unwrap() ^= 1;
            stream.sock.write_all(&record).unwrap();
            let error = stream.read(&mut [0]).unwrap_err();
            assert!(error.to_string().contains("BadRecordMac"), "{error}");
            stream.sock.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reason(&daemon, &stream.sock), "tls-peer");
        }
    });
}

#[test]
fn a_client_hello_on_a_plain_listener_is_echoed() {
    let daemon = plain_and_tls();
    assert_echo(&mut daemon.connect("plain"), &flight(&mut new_connection(&daemon)));
}

/// A read stops before an urgent byte, although there are more bytes. The bytes after it must not wait for
/// an event, which would not come.
#[test]
fn urgent_bytes_are_echoed_in_order_and_without_delay() {
    let daemon = plain_and_tls();
    let mut stream = daemon.connect("plain");
    assert_echo(&mut stream, b"hello");
    for round in 0..20 {
        // All bytes have arrived before the daemon reads.
        daemon.signal(Signal::STOP);
        stream.write_all(b"before ").unwrap();
        SockRef::from(&stream).send_out_of_band(b"!").unwrap();
        stream.write_all(b" behind").unwrap();
        daemon.signal(Signal::CONT);
        let mut echo = [0; 15];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"before ! behind", "round {round}");
    }
}

#[test]
fn resets_during_a_transfer_leak_nothing() {
    let daemon = plain_and_tls();
    assert_unharmed_by(&daemon, 200, || {
        let bytes = noise(100_000, 1);
        let tls = TlsClient::default();
        for _ in 0..100 {
            let mut stream = daemon.connect("plain");
            stream.write_all(&bytes).unwrap();
            reset(stream);
            let mut stream = established(&daemon, &tls);
            stream.write_all(&bytes).unwrap();
            reset(stream.sock);
        }
    });
    let reset = |line: &&String| line.contains(" reason=peer-reset");
    assert_eq!(daemon.seen().iter().filter(reset).count(), 200);
}

/// Brings a session into some state.
type Reach = fn(&Daemon) -> TcpStream;

/// How a peer ends its connection.
type Ending = fn(TcpStream);

const ENDINGS: [(&str, Ending); 3] = [
    ("close", drop),
    ("reset", reset),
    ("half-close", |mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        rest(&mut stream);
    }),
];

#[test]
fn a_peer_may_disconnect_at_any_byte_of_the_handshake() {
    let daemon = plain_and_tls();
    let hello = flight(&mut new_connection(&daemon)).len();
    let cuts: Vec<usize> = (0..hello).step_by(16).collect();
    assert_unharmed_by(&daemon, ENDINGS.len() * cuts.len(), || {
        for (_, end) in ENDINGS {
            for cut in &cuts {
                let mut stream = daemon.connect("tls");
                stream.write_all(&flight(&mut new_connection(&daemon))[..*cut]).unwrap();
                end(stream);
            }
        }
    });
}

#[test]
fn a_peer_may_disconnect_in_any_state_of_a_session() {
    let daemon = plain_and_tls();
    // What the peer does before it disconnects, and the reasons that may be logged.
    let states: [(Reach, [&str; 2]); 5] = [
        (|daemon| daemon.connect("plain"), ["peer-done", "peer-reset"]),
        (
            // The server's flight has arrived, and is not answered.
            |daemon| {
                let mut stream = daemon.connect("tls");
                stream.write_all(&flight(&mut new_connection(daemon))).unwrap();
                stream.read_exact(&mut [0; 100]).unwrap();
                stream
            },
            ["handshake-abandoned", "peer-reset"],
        ),
        (
            |daemon| established(daemon, &TlsClient::default()).sock,
            ["peer-truncated", "peer-reset"],
        ),
        (
            |daemon| {
                let mut stream = established(daemon, &TlsClient::default());
                end_tls(&mut stream);
                stream.sock
            },
            ["peer-done", "peer-done"],
        ),
        (|daemon| daemon.stuck("plain"), ["peer-done", "peer-reset"]),
    ];
    assert_unharmed_by(&daemon, ENDINGS.len() * states.len(), || {
        for (number, (reach, reasons)) in states.into_iter().enumerate() {
            for (how, end) in ENDINGS {
                let stream = reach(&daemon);
                let peer = stream.local_addr().unwrap();
                end(stream);
                let line = daemon.session_line(peer);
                let reason = field(&line, "reason");
                assert!(reasons.contains(&reason), "state {number}, {how}: {line}");
            }
        }
    });
}

#[test]
fn thousands_of_one_byte_records_are_echoed() {
    let daemon = plain_and_tls();
    let mut stream = established(&daemon, &TlsClient::default());
    let bytes = noise(3000, 1);
    stream.conn.set_buffer_limit(None);
    for byte in &bytes {
        stream.conn.writer().write_all(&[*byte]).unwrap();
    }
    let wire = flight(&mut stream.conn);
    assert!(wire.len() > 20 * bytes.len(), "each byte is a record");
    stream.sock.write_all(&wire).unwrap();
    let mut echo = vec![0; bytes.len()];
    stream.read_exact(&mut echo).unwrap();
    assert!(echo == bytes);
}

#[test]
fn key_updates_are_accepted_between_data_but_not_in_a_flood() {
    let daemon = plain_and_tls();
    assert_unharmed_by(&daemon, 2, || {
        let mut stream = established(&daemon, &TlsClient::default());
        for round in 0..500 {
            stream.conn.refresh_traffic_keys().unwrap();
            assert_echo(&mut stream, &noise(100, round));
        }
        end_tls(&mut stream);
        assert_eq!(reason(&daemon, &stream.sock), "peer-done");

        let mut storm = established(&daemon, &TlsClient::default());
        for _ in 0..1000 {
            storm.conn.refresh_traffic_keys().unwrap();
        }
        // The session may be reset before all is written.
        let _ = storm.sock.write_all(&flight(&mut storm.conn));
        let _ = storm.sock.shutdown(Shutdown::Write);
        assert_eq!(reason(&daemon, &storm.sock), "tls-peer");
    });
}

#[test]
fn hundreds_of_resumed_sessions_cost_no_memory() {
    let daemon = plain_and_tls();
    let config = TlsClient::default().config(daemon.folder.path());
    let resume = |times: usize| {
        for _ in 0..times {
            let mut stream = util::connect_tls(&config, daemon.address("tls"));
            assert_echo(&mut stream, b"again");
            end_tls(&mut stream);
            let peer = stream.sock.local_addr().unwrap();
            drop(stream);
            // The daemon has closed the session: what it keeps now, it keeps for good.
            daemon.session_line(peer);
        }
        daemon.resident_kib()
    };
    // The first sessions fill the session cache and grow the heap.
    let before = resume(300);
    assert_unharmed_by(&daemon, 600, || {
        let after = resume(600);
        assert!(after <= before + 256, "{before} KiB, then {after}");
    });
    let resumed = |line: &&String| line.contains(" resumed=yes");
    assert!(daemon.seen().iter().filter(resumed).count() > 800);
}
