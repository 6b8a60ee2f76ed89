//! The service `web`: requests of HTTP/1.1, probes, and what peers may do to it.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use util::{
    Daemon, PATIENCE, PLAIN, TlsClient, assert_echo, field, folder_with_certificates, read_to_end,
};

const WEB: &str = "
[[listener]]
name = \"web\"
service = \"web\"
listen = \"127.0.0.1:0\"
";

const TLS_WEB: &str = "
[[listener]]
name = \"tls\"
service = \"web\"
listen = \"127.0.0.1:0\"
[listener.tls]
certificate = \"alex.crt\"
key = \"alex.key\"
";

/// The number of the answer's status, its head and its body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Reads one answer.
fn answer(stream: &mut impl Read) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.split_once("Content-Length: ").unwrap().1;
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: String::from_utf8(body).unwrap(), head }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The answer to a GET.
fn get(stream: &mut (impl Read + Write), path: &str) -> Answer {
    stream.write_all(request(path).as_bytes()).unwrap();
    stream.flush().unwrap();
    answer(stream)
}

#[test]
fn probes_are_answered_over_plain_and_tls_and_a_connection_is_kept() {
    let daemon = Daemon::start_in(folder_with_certificates(), &format!("{WEB}{TLS_WEB}"), |_| {});
    let mut plain = daemon.connect("web");
    let mut tls = TlsClient::default().connect(&daemon);
    for _ in 0..3 {
        for (path, status, body) in [
            ("/healthz", 200, "ok\n"),
            ("/readyz", 200, "ready\n"),
            ("/no", 404, "there is no such page\n"),
        ] {
            let Answer { status: found, body: text, head } = get(&mut plain, path);
            assert_eq!((found, text.as_str()), (status, body), "{path}");
            assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{head}");
            assert_eq!(get(&mut tls, path).status, status);
        }
    }
}

#[test]
fn probes_leave_no_line_and_do_not_count_as_lines_of_others() {
    let mut daemon =
        Daemon::start_in(folder_with_certificates(), &format!("{WEB}{TLS_WEB}"), |_| {});
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&mut daemon.connect("web"), path).status, 200);
        assert_eq!(get(&mut TlsClient::default().connect(&daemon), path).status, 200);
    }
    // Those that only connect.
    drop((daemon.connect("web"), daemon.connect("tls")));
    let mut visit = daemon.connect("web");
    assert_eq!(get(&mut visit, "/").status, 404);
    let visitor = visit.local_addr().unwrap();
    drop(visit);
    let line = daemon.session_line(visitor);
    assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    daemon.stop();
    let lines = daemon.whole_log();
    let sessions: Vec<_> =
        lines.iter().filter(|line| line.contains(" session listener=")).collect();
    assert_eq!(sessions.len(), 1, "{sessions:#?}");
}

#[test]
fn a_probe_has_a_line_at_debug() {
    let daemon = Daemon::start(&format!("[log]\nlevel = \"debug\"\n{WEB}"));
    let mut probe = daemon.connect("web");
    assert_eq!(get(&mut probe, "/healthz").status, 200);
    let peer = probe.local_addr().unwrap();
    drop(probe);
    let line = daemon.session_line(peer);
    assert!(line.contains(" DEBUG session listener=web "), "{line}");
}

#[test]
fn readiness_ends_with_the_signal_and_connections_are_accepted_for_drain_delay() {
    let mut daemon = Daemon::start(&format!("[limits]\ndrain-delay = \"2s\"\n{PLAIN}{WEB}"));
    let mut kept = daemon.connect("web");
    assert_eq!(get(&mut kept, "/readyz").status, 200);
    let mut echo = daemon.connect("plain");
    let asked = Instant::now();
    daemon.signal(Signal::TERM);
    daemon.wait_for_line(|line| line.contains(" not ready, and listening for 2s more, "));
    assert_eq!(get(&mut kept, "/readyz").status, 503);
    assert_eq!(get(&mut daemon.connect("web"), "/readyz").status, 503);
    assert_eq!(get(&mut kept, "/healthz").status, 200);
    assert_echo(&mut echo, b"hello");
    assert_echo(&mut daemon.connect("plain"), b"hello");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(2), "it did not wait");
    assert_eq!(read_to_end(&mut echo), b"");
}

#[test]
fn a_second_signal_ends_drain_delay_at_once() {
    let mut daemon = Daemon::start(&format!("[limits]\ndrain-delay = \"1h\"\n{PLAIN}"));
    let mut echo = daemon.connect("plain");
    assert_echo(&mut echo, b"hello");
    daemon.signal(Signal::TERM);
    daemon.wait_for_line(|line| line.contains(" not ready, "));
    // A reload is ignored while the daemon stops.
    daemon.signal(Signal::HUP);
    daemon.statistics();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.seen().iter().any(|line| line.contains("reloaded")));
}

/// What comes back to `bytes`, up to the end of the daemon's side, and the reason in the log.
fn end_of(daemon: &Daemon, bytes: &[u8]) -> (String, String) {
    let mut stream = daemon.connect("web");
    let peer = stream.local_addr().unwrap();
    stream.write_all(bytes).unwrap();
    let back = String::from_utf8(read_to_end(&mut stream)).unwrap();
    drop(stream);
    (back, daemon.session_line(peer))
}

#[test]
fn what_is_no_request_that_can_be_answered_gets_a_status_and_an_end() {
    let daemon = Daemon::start(WEB);
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
    for (bytes, status, detail) in [
        ("\x16\x03\x01\x02\x01\x01".to_owned(), 400, "not HTTP but TLS"),
        ("hello\r\n\r\n".into(), 400, "not a request of HTTP/1.1"),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400, "needs the field Host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400, "one field Host"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".into(), 400, "not a request of HTTP/1.1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400, "not a request of HTTP/1.1"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(), 413, "no body"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            413,
            "no body",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
                .into(),
            400,
            "exclude each other",
        ),
        (fields(65), 431, "8 KiB and 64 fields"),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(8192)), 431, "8 KiB and 64 fields"),
    ] {
        // A request behind it is not answered.
        let (back, line) = end_of(&daemon, format!("{bytes}{}", request("/healthz")).as_bytes());
        assert!(back.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {back}");
        assert_eq!(back.matches("HTTP/1.1 ").count(), 1, "{back}");
        assert!(back.contains("\r\nConnection: close\r\n"), "{back}");
        assert_eq!(field(&line, "reason"), "bad-request", "{line}");
        assert!(line.contains(detail), "{line}");
    }
}

#[test]
fn a_head_of_1_mb_costs_8_kib_and_is_refused() {
    let daemon = Daemon::start(WEB);
    let mut stream = daemon.connect("web");
    let peer = stream.local_addr().unwrap();
    let mut rest = vec![b'x'; 1 << 20];
    rest.splice(0..0, *b"GET / HTTP/1.1\r\nX: ");
    stream.write_all(&rest).unwrap();
    assert_eq!(answer(&mut stream).status, 431);
    drop(stream);
    let line = daemon.session_line(peer);
    // One read more than what it holds.
    assert!(field(&line, "in").parse::<usize>().unwrap() <= 40 * 1024, "{line}");
}

#[test]
fn requests_without_reading_the_answers_are_held_up() {
    let daemon = Daemon::start(&format!("[limits]\nwrite-timeout = \"500ms\"\n{WEB}"));
    let mut stream = daemon.connect("web");
    let peer = stream.local_addr().unwrap();
    stream.set_nonblocking(true).unwrap();
    let requests = request("/healthz").repeat(1000);
    let end = Instant::now() + PATIENCE;
    let line = loop {
        assert!(Instant::now() < end, "it reads on");
        let _ = stream.write(requests.as_bytes());
        let seen = daemon.seen();
        if let Some(line) = seen.iter().find(|line| line.contains(&format!("peer={peer} "))) {
            break line.clone();
        }
    };
    assert_eq!(field(&line, "reason"), "write-timeout", "{line}");
    // One answer waits at most.
    assert!(field(&line, "unsent").parse::<usize>().unwrap() < 1024, "{line}");
}

#[test]
fn a_thousand_requests_at_once_get_a_thousand_answers_and_the_end() {
    let daemon = Daemon::start(WEB);
    let mut stream: TcpStream = daemon.connect("web");
    let mut reader = stream.try_clone().unwrap();
    let back = std::thread::spawn(move || read_to_end(&mut reader));
    stream.write_all(request("/healthz").repeat(1000).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let back = String::from_utf8(back.join().unwrap()).unwrap();
    assert_eq!(back.matches("HTTP/1.1 200 OK").count(), 1000);
    assert!(daemon.statistics().contains(" requests=1000 "), "{}", daemon.statistics());
}

#[test]
fn an_http_1_0_request_and_one_that_says_close_end_the_session() {
    let daemon = Daemon::start(WEB);
    for text in
        ["GET /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
    {
        let (back, line) = end_of(&daemon, text.as_bytes());
        assert!(back.starts_with("HTTP/1.1 404 ") && back.ends_with("there is no such page\n"));
        assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    }
}
