//! The report without a session.

use serde_json::Value;

use super::*;
use crate::daemon::service::next::Secured;
use crate::os::tcp_info::TcpInfo;
use crate::wire::transport::Agreed;

const SECOND: Duration = Duration::from_secs(1);

fn report() -> Report {
    let context = Context { listener: "report".into(), ..Context::default() };
    Report::new(context.into(), Moment::now())
}

fn connection(seconds: u64) -> Connection {
    Connection {
        peer: "[::ffff:192.0.2.1]:50000".parse().unwrap(),
        local: Some("192.0.2.7:5007".parse().unwrap()),
        age: Duration::from_secs(seconds),
        reason: None,
        tcp: None,
        tls: None,
    }
}

fn said(report: &mut Report, connection: &Connection) -> Value {
    let mut said = Vec::new();
    report.report(connection, &mut said);
    assert_eq!(said.iter().position(|byte| *byte == b'\n'), Some(said.len() - 1));
    serde_json::from_slice(&said).unwrap()
}

#[test]
fn a_report_says_what_came_and_when() {
    let mut report = report();
    let empty = said(&mut report, &connection(0));
    assert_eq!(empty["received"]["first_seconds"], Value::Null);
    report.receive(b"hello", Duration::from_micros(1234));
    report.receive(b"", SECOND);
    report.receive(b"hello again", 2 * SECOND);
    let said = said(&mut report, &connection(3));
    assert_eq!(said["type"], "report");
    assert_eq!(said["listener"], "report");
    assert_eq!(said["peer"], serde_json::json!({"address": "192.0.2.1", "port": 50000}));
    assert_eq!(said["local"]["port"], 5007);
    assert_eq!(said["seconds"], 3.0);
    let received = serde_json::json!({
        "bytes": 16, "chunks": 2, "first_seconds": 0.001_234, "last_seconds": 2.0
    });
    assert_eq!(said["received"], received);
    assert_eq!(said["chunks"][0], serde_json::json!({"seconds": 0.001_234, "bytes": 5}));
    assert_eq!((&said["tcp"], &said["tls"]), (&Value::Null, &Value::Null));
    humantime::parse_rfc3339(said["accepted"].as_str().unwrap()).unwrap();
}

#[test]
fn the_time_of_accept_is_that_from_which_chunks_count() {
    let accepted = Moment::now();
    let wall = SystemTime::now();
    // The event loop may be interrupted between a poll and the accept.
    while wall.elapsed().is_ok_and(|time| time < Duration::from_millis(20)) {}
    let mut report = Report::new(Rc::default(), accepted);
    let said = said(&mut report, &connection(0));
    let said = humantime::parse_rfc3339(said["accepted"].as_str().unwrap()).unwrap();
    assert!(said <= wall, "{said:?} {wall:?}");
}

#[test]
fn the_first_256_chunks_are_listed_and_all_are_counted() {
    let mut report = report();
    for _ in 0..1000 {
        report.receive(b"xy", SECOND);
    }
    let said = said(&mut report, &connection(1));
    assert_eq!(said["chunks"].as_array().unwrap().len(), 256);
    assert_eq!(said["chunks_left_out"], 744);
    assert_eq!(
        (&said["received"]["chunks"], &said["received"]["bytes"]),
        (&1000.into(), &2000.into())
    );
}

#[test]
fn a_report_every_second_is_for_peers_that_ask_in_their_first_bytes() {
    for (parts, asks) in [
        (&["every second\n"][..], true),
        (&["every", " second", "\nand more"], true),
        (&["every second\nevery second\n"], true),
        (&["every second"], false),
        (&["every minute\n"], false),
        (&["hello\n", "every second\n"], false),
        (&["every second\r\n"], false),
    ] {
        let mut report = report();
        for part in parts {
            report.receive(part.as_bytes(), 5 * SECOND);
        }
        assert_eq!(matches!(report.next(), Next::Report), asks, "{parts:?}");
        assert_eq!(report.due(), asks.then_some(6 * SECOND), "{parts:?}");
        said(&mut report, &connection(7));
        assert!(matches!(report.next(), Next::Read), "{parts:?}");
        assert_eq!(report.due(), asks.then_some(8 * SECOND), "{parts:?}");
        report.wake();
        assert!(matches!(report.next(), Next::Report));
    }
}

#[test]
fn what_a_peer_can_make_the_report_say_is_escaped_and_bounded() {
    let mut report = report();
    for _ in 0..10_000 {
        report.receive(&vec![b'x'; 32 * 1024], Duration::from_micros(9_999_999_999_999));
    }
    let long = "\"\\\u{1F980}".repeat(1000);
    let shortened = |most| long.chars().take(most).collect::<String>();
    report.take_hello(Offered {
        sni: Some(shortened(255)),
        alpn: vec![shortened(64); 32],
        schemes: vec!["RSA_PSS_RSAE_SHA256".into(); 32],
        sha256: "0".repeat(64),
    });
    let agreed = Agreed {
        version: "1.2",
        cipher_suite: "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        group: Some("X25519MLKEM768"),
        resumed: false,
        retried: false,
    };
    let connection = Connection {
        tcp: Some(TcpInfo { bytes_acked: Some(u64::MAX), ..TcpInfo::default() }),
        tls: Some(Secured {
            agreed,
            alpn: Some(shortened(64)),
            client_certificate: Some(shortened(255)),
        }),
        ..connection(u64::MAX / 2_000_000)
    };
    let mut bytes = Vec::new();
    report.report(&connection, &mut bytes);
    // docs/report.md and SECURITY.md say so.
    assert!(bytes.len() > 10_000 && bytes.len() < 24 * 1024, "{} bytes", bytes.len());
    let said: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(said["tls"]["sni"], *shortened(255));
    assert_eq!(said["tls"]["alpn_offered"][31], *shortened(64));
    assert_eq!((report.reports(), report.sent()), (1, bytes.len() as u64));
}
