//! `both`: what the client makes of what the server reports, and what it finds between the two.

mod util;

use serde_json::{Value, json};
use util::client::{end, port, run, server, stderr};
use util::report::{both, differences, explanation, json_of, lying, reporter};
use util::{Daemon, PLAIN};

#[test]
fn an_honest_report_of_an_untouched_connection_agrees() {
    let daemon = Daemon::start(PLAIN);
    let reporter = lying(|_| {});
    let output = both(&daemon, &reporter, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json_of(&output);
    // A busy machine may delay a message in one direction.
    let others = differences(&report).into_iter().filter(|what| *what != "time");
    assert_eq!(others.count(), 0, "{report:#}");
    assert_eq!(report["client"]["client_address"], report["server"]["client_address"]);
    assert_eq!(
        (&report["client"]["bytes"], &report["server"]["bytes"]),
        (&192.into(), &192.into())
    );
    let time = &report["time"];
    assert_eq!(time["messages"], 3);
    // The two ways are the round trip, unless a busy machine reads the messages later than it echoes them.
    let least = |way: &str| time[way]["least_ms"].as_f64();
    if let (Some(up), Some(back)) = (least("to_server"), least("back")) {
        assert!((up + back - least("round_trip").unwrap()).abs() < 0.002, "{time}");
    }
}

#[test]
fn the_views_stand_side_by_side_in_80_columns() {
    let daemon = Daemon::start(PLAIN);
    let reporter = lying(|report| report["peer"]["address"] = "2001:db8:1:2:3:4:5:6".into());
    let output = both(&daemon, &reporter, &[]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap();
    assert!(
        row("bytes").starts_with("  bytes               192 ") && row("bytes").ends_with("192")
    );
    assert!(row("client's address").starts_with("* client's address    127.0.0.1:"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the server saw your address as [2001:db8:1:2:3:4:5:6]:"), "{text}");
    assert!(!text.contains('\x1b'), "a file gets no colours");
}

#[test]
fn another_number_of_bytes_is_a_change_and_another_address_is_none() {
    let daemon = Daemon::start(PLAIN);
    let output = both(&daemon, &lying(|report| report["received"]["bytes"] = 191.into()), &[]);
    let (code, said) = end(&output);
    assert_eq!(code, 1);
    assert_eq!(said, "echo-alex-client: what was sent arrived changed: bytes\n");
    assert!(!output.stdout.is_empty(), "the comparison is printed, too");
    let port = lying(|report| report["local"]["port"] = 7.into());
    let output = both(&daemon, &port, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let why = explanation(&json_of(&output), "server's address").to_owned();
    assert!(why.contains("127.0.0.1:7: something in between forwards to it"), "{why}");
}

#[test]
fn clocks_that_differ_are_not_taken_for_a_delay() {
    let daemon = Daemon::start(PLAIN);
    // Leap years, before the 32 bits of a Pi's seconds end in 2038.
    for (year, side) in [("2036", "ahead of"), ("2000", "behind")] {
        let reporter = lying(move |report| {
            let now = report["accepted"].as_str().unwrap().to_owned();
            report["accepted"] = format!("{year}{}", &now[4..]).into();
        });
        let output = both(&daemon, &reporter, &["--json"]);
        let time = &json_of(&output)["time"];
        assert!(time["to_server"]["least_ms"].is_null() && time["back"]["least_ms"].is_null());
        let offset = time["clock_offset_ms"].as_f64().unwrap();
        assert_eq!(offset > 0.0, side == "ahead of", "{time}");
        // The variation does not depend on the offset.
        assert!(time["to_server"]["varied_ms"].as_f64().unwrap() < 60_000.0, "{time}");
        let text = String::from_utf8(both(&daemon, &reporter, &[]).stdout).unwrap();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("the clocks differ, so that the ways cannot be told apart"),
            "{text}"
        );
        assert!(words.contains(&format!(" s {side} this one")), "{text}");
    }
}

#[test]
fn a_missing_report_listener_is_explained_with_its_configuration() {
    let daemon = Daemon::start(PLAIN);
    let free = util::ReservedPort::new().number.to_string();
    let echo = port(daemon.address("plain"));
    let output = run(&["both", "--report-port", &free, "127.0.0.1", &echo], b"");
    let (code, said) = end(&output);
    assert_eq!(code, 2, "{said}");
    let lines = format!("[[listener]]\nname = \"report\"\nlisten = {free}\nservice = \"report\"\n");
    assert!(said.contains(&lines), "{said}");
    let error = said.lines().last().unwrap();
    assert!(error.contains("connection refused; it needs a listener with service = "), "{error}");
    // With -q, the line alone.
    let (code, said) = end(&both(&daemon, &free, &[]));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
}

/// What a server answers, made of an honest report.
type Answer = fn(Value) -> Vec<u8>;

/// A report with another value at this place.
fn changed(mut report: Value, place: &str, value: impl Into<Value>) -> Vec<u8> {
    *report.pointer_mut(place).unwrap() = value.into();
    format!("{report}\n").into_bytes()
}

#[test]
fn what_is_not_a_report_is_one_line() {
    let daemon = Daemon::start(PLAIN);
    let echo = port(daemon.address("plain"));
    let (code, said) = end(&both(&daemon, &echo, &[]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(
        said.contains("is not a report: expected value at line 1 column 1; it needs a "),
        "{said}"
    );

    let cases: [(&str, Answer); 12] = [
        ("the connection ended without one", |_| Vec::new()),
        ("EOF while parsing", |report| report.to_string()[..99].into()),
        ("expected value", |_| b"\x1b[2J\xff\xfe\0\n".into()),
        ("longer than 262144 bytes", |_| vec![b'['; 10 << 20]),
        ("EOF while parsing a list", |_| format!("{{\"x\":{}\n", "[".repeat(1 << 17)).into()),
        ("missing field", |_| b"{}\n".into()),
        ("its type is \"\\u{1b}[2J\"", |it| changed(it, "/type", "\x1b[2J")),
        ("no time of day", |it| changed(it, "/accepted", "\u{9b}2J now")),
        ("no time of day", |it| changed(it, "/accepted", "x".repeat(99_999))),
        ("no possible time", |it| changed(it, "/chunks/0/seconds", -1)),
        ("no possible time", |it| changed(it, "/chunks/0/seconds", 1e300)),
        ("invalid IP address", |it| changed(it, "/peer/address", "\u{202e}")),
    ];
    for (words, answer) in cases {
        let output = both(&daemon, &reporter(answer), &[]);
        let (code, said) = end(&output);
        assert_eq!((code, said.lines().count(), output.stdout.len()), (1, 1, 0), "{said}");
        assert!(said.contains("is not a report: ") && said.contains(words), "{words}: {said}");
        assert!(said.len() < 700, "{} bytes", said.len());
        assert!(!said.trim_end().contains(char::is_control), "{said:?}");
        assert!(!said.contains('\u{202e}'), "{said:?}");
    }
}

#[test]
fn texts_of_a_report_cannot_control_the_terminal() {
    let daemon = Daemon::start(PLAIN);
    let reporter = lying(|report| {
        let evil = "\x1b]0;x\x07\u{9b}2J\u{202e}";
        report["tcp"] = json!({
            "rtt_us": u32::MAX, "rtt_variance_us": 0, "min_rtt_us": u32::MAX,
            "retransmits": u32::MAX, "out_of_order": u32::MAX, "reordering": u32::MAX,
            "send_mss": u32::MAX, "receive_mss": u32::MAX, "advertised_mss": u32::MAX,
            "path_mtu": 0, "congestion_control": evil, "congestion_window": u32::MAX,
        });
        report["tls"] = json!({
            "version": evil, "cipher_suite": evil, "group": evil, "sni": evil,
            "alpn_offered": [evil], "alpn": evil, "signature_schemes_offered": [evil],
            "resumed": true, "retried": true, "client_certificate": evil,
            "client_hello_sha256": evil,
        });
        report["received"]["bytes"] = u64::MAX.into();
        report["chunks"] = json!([{ "seconds": 0, "bytes": u64::MAX }]);
    });
    for options in [&["--json"][..], &[]] {
        let output = both(&daemon, &reporter, options);
        let (code, said) = end(&output);
        let text = String::from_utf8(output.stdout).unwrap() + &said;
        assert_eq!(code, 1, "{said}");
        let is_harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(is_harmful), "{text:?}");
        assert!(text.contains("transport"), "plain here and TLS there: {text}");
    }
}

#[test]
fn a_report_that_does_not_come_is_a_timeout() {
    let daemon = Daemon::start(PLAIN);
    let silent = server(|stream| {
        let _ = std::io::Read::read_to_end(&mut &stream, &mut Vec::new());
        std::thread::park();
    });
    let (code, said) = end(&both(&daemon, &silent, &["--timeout=0.5"]));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(": no report within 0.5 s; it needs a listener with "), "{said}");
}

#[test]
fn explain_shows_what_the_server_saw_beside_what_the_client_did() {
    let reporter = lying(|report| report["peer"]["port"] = 7.into());
    let explained = |format: &str| {
        let output = run(&["explain", "--report", "--format", format, "127.0.0.1", &reporter], b"");
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let page = explained("html");
    let row = page.lines().find(|line| line.contains(">client's address<")).unwrap();
    assert!(row.starts_with("<tr class=\"local\"><th scope=\"row\">"), "{row}");
    assert!(row.ends_with("</td><td>127.0.0.1:7</td></tr>"), "{row}");
    assert!(page.contains("the server saw your port as 7: there is a NAT"), "{page}");
    let text = explained("text");
    assert!(text.contains("\n* client's address    127.0.0.1:"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let report: Value = serde_json::from_str(&explained("json")).unwrap();
    let bytes = report["ends"].as_array().unwrap().iter().find(|row| row["name"] == "bytes");
    assert_eq!(bytes.unwrap()["server"], "32");
    let (code, said) = end(&run(&["explain", "--report", "127.0.0.1", &echoing()], b""));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("what came is not a report: "), "{said}");
}

/// An echo server for one session: its port.
fn echoing() -> String {
    server(|mut stream| drop(std::io::copy(&mut stream.try_clone().unwrap(), &mut stream)))
}
