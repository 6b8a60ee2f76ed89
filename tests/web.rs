//! The service `web`: requests of HTTP/1.1, probes, and what peers may do to it.

mod util;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use rustix::process::Signal;
use util::{
    CROWD, Daemon, PATIENCE, PLAIN, ROOM_FOR_A_CROWD, ReservedPort, STUCK, TLS, TLS_WEB, TlsClient,
    WEB, assert_echo, connect_tls, emulated, end_tls, field, folder_with_certificates, http_head,
    outcome, raise_descriptor_limit, read_to_end, tool, wait_until,
};

/// The number of the answer's status, its head and its body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Reads one answer.
fn answer(stream: &mut impl Read) -> Answer {
    let head = http_head(stream);
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
fn every_answer_has_its_date() {
    let daemon = Daemon::start(WEB);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for (path, status) in [("/healthz", 200), ("/metrics", 200), ("/no", 404)] {
        let before = now();
        let answer = get(&mut daemon.connect("web"), path);
        assert_eq!(answer.status, status);
        let (_, date) = answer.head.split_once("\r\nDate: ").unwrap();
        let date = date.split("\r\n").next().unwrap();
        let read: u64 =
            outcome(Command::new("date").args(["-ud", date, "+%s"])).trim().parse().unwrap();
        assert!((before..=now()).contains(&read), "{date}");
        // The form of RFC 9110 §5.6.7, which has no other.
        let format = "+%a, %d %b %Y %H:%M:%S GMT";
        let same = Command::new("date").env("LC_ALL", "C").args(["-ud", date, format]).output();
        assert_eq!(String::from_utf8(same.unwrap().stdout).unwrap().trim(), date);
    }
}

#[test]
fn http_1_1_is_agreed_on_over_tls_and_a_client_that_offers_other_protocols_alone_is_refused() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS_WEB, |_| {});
    let offering = |protocols: &[&str]| {
        let config = TlsClient::default().config(daemon.folder.path());
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        connect_tls(&config.into(), daemon.address("tls"))
    };
    let mut tls = offering(&["h2", "http/1.1"]);
    assert_eq!(get(&mut tls, "/no").status, 404);
    end_tls(&mut tls);
    let line = daemon.session_line(tls.sock.local_addr().unwrap());
    assert_eq!(field(&line, "alpn"), "http/1.1", "{line}");
    let mut refused = offering(&["h2"]);
    assert!(refused.write_all(request("/no").as_bytes()).is_err());
    let line = daemon.session_line(refused.sock.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
    assert!(line.contains("the peer offers no application protocol"), "{line}");
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
    assert_eq!(get(&mut visit, "/").status, 200);
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
fn a_request_that_stops_in_its_middle_ends_with_idle_timeout() {
    let daemon = Daemon::start(&format!("[limits]\nidle-timeout = \"300ms\"\n{WEB}"));
    let mut stream = daemon.connect("web");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
    assert_eq!(read_to_end(&mut stream), b"");
    let peer = stream.local_addr().unwrap();
    drop(stream);
    wait_until("the session has ended", || daemon.statistics().contains(" idle-timeout=1 "));
    // Nothing but a part of a request came, so it is a probe.
    assert!(!daemon.seen().iter().any(|line| line.contains(&format!("peer={peer} "))));
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    let daemon = Daemon::start(WEB);
    daemon.wait_until_started();
    let before = daemon.descriptors();
    for _ in 0..10_000 {
        assert_eq!(get(&mut daemon.connect("web"), "/healthz").status, 200);
    }
    wait_until("as many descriptors as before", || daemon.descriptors() == before);
    let statistics = daemon.statistics();
    for count in [" sessions=0 ", " accepted=10000 ", " requests=10000 ", " peer-done=10000 "] {
        assert!(statistics.contains(count), "{statistics}");
    }
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

// The page.

#[test]
fn the_page_is_one_file_that_a_browser_lets_load_nothing_else() {
    let daemon = Daemon::start(WEB);
    let mut stream = daemon.connect("web");
    let Answer { status, head, body } = get(&mut stream, "/");
    assert_eq!(status, 200);
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    let policy = head.split_once("\r\nContent-Security-Policy: ").unwrap().1;
    let policy: Vec<_> = policy.split("\r\n").next().unwrap().split("; ").collect();
    for directive in [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(&directive), "{policy:?}");
    }
    for name in ["style", "script"] {
        let content = body.split_once(&format!("<{name}>")).unwrap().1;
        let content = content.split_once(&format!("</{name}>")).unwrap().0;
        let hash = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        assert!(policy.contains(&format!("{name}-src 'sha256-{hash}'").as_str()), "{policy:?}");
    }
    assert_eq!(policy.len(), 8, "{policy:?}");
    assert!(head.contains("\r\nReferrer-Policy: no-referrer\r\n"), "{head}");

    stream.write_all(request("/").replace("GET", "HEAD").as_bytes()).unwrap();
    let same = |head: &str| head.lines().filter(|it| !it.starts_with("Date: ")).collect::<String>();
    assert_eq!(same(&http_head(&mut stream)), same(&head), "and no body");
    assert_eq!(get(&mut stream, "/healthz").body, "ok\n");
}

#[test]
fn a_peer_that_does_not_read_the_page_holds_one_piece_of_it() {
    const PEERS: usize = 30;
    let daemon = Daemon::start(WEB);
    assert_eq!(get(&mut daemon.connect("web"), "/").status, 200);
    let before = daemon.resident_kib();
    // More than the kernel takes.
    let requests = request("/").repeat(300);
    let mut peers: Vec<_> = (0..PEERS).map(|_| daemon.connect("web")).collect();
    for peer in &mut peers {
        peer.write_all(requests.as_bytes()).unwrap();
    }
    let mut answered = String::new();
    wait_until("nothing more is answered", || {
        thread::sleep(STUCK);
        let last = std::mem::replace(&mut answered, field(&daemon.statistics(), "requests").into());
        last == answered
    });
    assert!(answered.parse::<usize>().unwrap() < 300 * PEERS, "{answered}");
    let each = daemon.resident_kib().saturating_sub(before) / PEERS;
    assert!(each <= 64, "{each} KiB each");
    for peer in &mut peers {
        assert_eq!(answer(peer).status, 200);
    }
}

#[test]
fn ten_thousand_connections_to_the_page_cost_a_kib_each_at_most() {
    // The emulator keeps a table of descriptors of its own.
    let peers = if emulated() { 1000 } else { 10_000 };
    if !raise_descriptor_limit(peers + 200) {
        return println!("skipped: {peers} connections need as many descriptors (ulimit -Hn)");
    }
    let most = peers + 10;
    let limits = format!("[limits]\nmax-sessions = {most}\nmax-sessions-per-address = {most}\n");
    let daemon = Daemon::start(&format!("{limits}{WEB}"));
    assert_eq!(get(&mut daemon.connect("web"), "/").status, 200);
    let before = daemon.resident_kib();
    let mut crowd: Vec<_> = (0..peers).map(|_| daemon.connect("web")).collect();
    for peer in &mut crowd {
        peer.write_all(request("/").as_bytes()).unwrap();
    }
    let answered = (peers + 1).to_string();
    wait_until("all are answered", || field(&daemon.statistics(), "requests") == answered);
    let each = daemon.resident_kib().saturating_sub(before) * 1024 / peers;
    assert!(each <= 1024 || emulated(), "{each} bytes each");
    assert_eq!(get(&mut daemon.connect("web"), "/").status, 200);
    for peer in &mut crowd {
        assert_eq!(answer(peer).status, 200);
    }
}

// Metrics.

/// The value of a sample, with its labels in the order of the text.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// The metrics, once they are not those of a second ago.
fn metrics(daemon: &Daemon, fits: impl Fn(&str) -> bool) -> String {
    let mut stream = daemon.connect("web");
    let mut text = String::new();
    wait_until("the metrics", || {
        let Answer { status, body, .. } = get(&mut stream, "/metrics");
        assert_eq!(status, 200, "{body}");
        text = body;
        fits(&text)
    });
    text
}

#[test]
fn metrics_count_sessions_bytes_ends_refusals_handshakes_reloads_and_descriptors() {
    let limited = "[[listener]]\nname = \"one\"\nlisten = \"127.0.0.1:0\"\n\
        [listener.limits]\nmax-sessions = 1\n";
    let config = format!("{PLAIN}{limited}{TLS}{WEB}");
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    assert_echo(&mut daemon.connect("plain"), b"hello");
    let mut only = daemon.connect("one");
    assert_echo(&mut only, b"hi");
    assert_eq!(read_to_end(&mut daemon.connect("one")), b"");
    let client = TlsClient::default().config(daemon.folder.path());
    for _ in 0..2 {
        let mut session = connect_tls(&client, daemon.address("tls"));
        assert_echo(&mut session, b"secret");
        end_tls(&mut session);
    }
    daemon.rewrite_config("[[listener]]\n");
    assert!(daemon.reload().contains("not reloaded"));
    daemon.rewrite_config(&config);
    assert!(daemon.reload().contains(" reloaded"));

    let text = metrics(&daemon, |text| {
        sample(text, r#"echo_alex_ended_sessions_total{listener="tls",reason="peer-done"}"#)
            == Some(2.0)
            && sample(text, r#"echo_alex_reloads_total{outcome="done"}"#) == Some(1.0)
    });
    for (name, value) in [
        (r#"echo_alex_sessions{listener="one"}"#, 1.0),
        (r#"echo_alex_sessions{listener="tls"}"#, 0.0),
        (r#"echo_alex_accepted_sessions_total{listener="plain"}"#, 1.0),
        (r#"echo_alex_accepted_sessions_total{listener="tls"}"#, 2.0),
        (r#"echo_alex_received_bytes_total{listener="plain"}"#, 5.0),
        // Those of a session that goes on.
        (r#"echo_alex_sent_bytes_total{listener="one"}"#, 2.0),
        (r#"echo_alex_refused_connections_total{listener="one",limit="max-sessions"}"#, 1.0),
        (
            r#"echo_alex_refused_connections_total{listener="one",limit="max-sessions-per-address"}"#,
            0.0,
        ),
        (r#"echo_alex_ended_sessions_total{listener="tls",reason="not-tls"}"#, 0.0),
        (r#"echo_alex_session_duration_seconds_count{listener="tls"}"#, 2.0),
        (r#"echo_alex_session_duration_seconds_bucket{listener="tls",le="+Inf"}"#, 2.0),
        ("echo_alex_tls_handshake_duration_seconds_count", 2.0),
        (r#"echo_alex_reloads_total{outcome="failed"}"#, 1.0),
        ("echo_alex_ready", 1.0),
        (r#"echo_alex_build_info{version="0.1.0"}"#, 1.0),
    ] {
        assert_eq!(sample(&text, name), Some(value), "{name}\n{text}");
    }
    let resumed = |resumed: &str| {
        let mut all =
            text.lines().filter(|line| line.starts_with("echo_alex_tls_handshakes_total{"));
        all.any(|line| {
            line.contains(resumed) && line.contains("version=\"1.3\"") && line.ends_with(" 1")
        })
    };
    assert!(resumed("resumed=\"no\"") && resumed("resumed=\"yes\""), "{text}");

    // The last session may still be open when its client has closed.
    let now = metrics(&daemon, |text| {
        let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
        sample(text, "process_open_fds") == Some(f64::from(u32::try_from(open).unwrap()))
    });
    assert!(sample(&now, "process_max_fds").unwrap() >= 1024.0);
}

#[test]
fn metrics_have_the_end_of_each_certificate() {
    let config = format!("{WEB}{TLS_WEB}client-ca = \"signing.pem\"\nclient-auth = \"optional\"\n");
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let text = metrics(&daemon, |_| true);
    let name = "echo_alex_certificate_expiry_timestamp_seconds{listener=\"tls\",";
    let of = |purpose: &str| {
        let start = format!("{name}use=\"{purpose}\",subject=\"");
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {purpose}: {text}"));
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let end = |file: &str| {
        let pem = fs::read(daemon.path(file)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        pem.parse_x509().unwrap().validity().not_after.timestamp().cast_unsigned()
    };
    assert_eq!((of("server"), of("client-ca")), (end("alex.crt"), end("signing.pem")));
}

#[test]
fn counters_do_not_shrink_when_a_reload_removes_a_listener_and_brings_it_back() {
    let daemon = Daemon::start(&format!("{PLAIN}{WEB}"));
    let mut echo = daemon.connect("plain");
    assert_echo(&mut echo, b"hello");
    drop(echo);
    let accepted = r#"echo_alex_accepted_sessions_total{listener="plain"}"#;
    let bytes = r#"echo_alex_received_bytes_total{listener="plain"}"#;
    let kept = |text: &str| sample(text, accepted) == Some(1.0) && sample(text, bytes) == Some(5.0);
    for config in [WEB.to_owned(), format!("{PLAIN}{WEB}")] {
        metrics(&daemon, kept);
        daemon.rewrite_config(&config);
        daemon.reload();
        let text = metrics(&daemon, |text| {
            sample(text, r#"echo_alex_sessions{listener="plain"}"#).is_some()
                == config.contains("plain")
        });
        assert!(kept(&text), "{text}");
    }
}

#[test]
fn metrics_are_for_the_networks_of_allow_and_for_verified_clients() {
    let folder = folder_with_certificates();
    let closed = WEB.replace("\"web\"\nservice", "\"closed\"\nservice");
    let config = format!(
        "{WEB}{closed}allow = [\"192.0.2.0/24\"]\n{}client-ca = \"signing.pem\"\nclient-auth = \"optional\"\n",
        TLS_WEB.replace("listen =", "allow = []\nlisten =")
    );
    let daemon = Daemon::start_in(folder, &config, |_| {});
    assert_eq!(get(&mut daemon.connect("web"), "/metrics").status, 200);
    let refused = get(&mut daemon.connect("closed"), "/metrics");
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("the key allow") && refused.body.contains("\"127.0.0.1/32\""),
        "{}",
        refused.body
    );
    assert_eq!(get(&mut daemon.connect("closed"), "/readyz").status, 200);
    assert_eq!(get(&mut TlsClient::default().connect(&daemon), "/metrics").status, 403);
    let client = TlsClient { identity: Some("laptop"), ..TlsClient::default() };
    let config = client.config(daemon.folder.path());
    for _ in 0..2 {
        // The second one resumes, without the certificate.
        let mut session = connect_tls(&config, daemon.address("tls"));
        assert_eq!(get(&mut session, "/metrics").status, 200);
        end_tls(&mut session);
    }
    // A reload changes who may see them.
    daemon.rewrite_config(&format!("{WEB}allow = []\n"));
    daemon.reload();
    assert_eq!(get(&mut daemon.connect("web"), "/metrics").status, 403);
}

#[test]
fn metrics_are_not_shown_under_a_name_of_the_internet() {
    let daemon = Daemon::start(WEB);
    let mut stream = daemon.connect("web");
    for (host, status) in
        [("localhost:5080", 200), ("alex.local", 200), ("rebound.example.com", 403)]
    {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(answer(&mut stream).status, status, "{host}");
    }
}

#[test]
fn metrics_that_are_rendered_in_many_steps_are_whole() {
    let listener =
        |number: usize| PLAIN.replace("\"plain\"", &format!("\"{}-{number}\"", "l".repeat(40)));
    let many: String = (0..50).map(listener).collect();
    let daemon = Daemon::start(&format!("{ROOM_FOR_A_CROWD}{WEB}{PLAIN}{many}"));
    let mut crowd: Vec<_> = (1..=CROWD).map(|length| (length, daemon.connect("plain"))).collect();
    for (length, stream) in &mut crowd {
        assert_echo(stream, &vec![b'x'; *length]);
    }
    let text = metrics(&daemon, |_| true);
    assert_eq!(sample(&text, r#"echo_alex_sessions{listener="plain"}"#), Some(300.0));
    let bytes = r#"echo_alex_received_bytes_total{listener="plain"}"#;
    assert_eq!(sample(&text, bytes), Some(300.0 * 301.0 / 2.0));
    for family in ["sessions{", "accepted_sessions_total{", "session_duration_seconds_count{"] {
        let of_family = |line: &&str| line.starts_with(&format!("echo_alex_{family}"));
        assert_eq!(text.lines().filter(of_family).count(), 52, "{family}");
    }
}

#[test]
fn many_who_ask_within_a_second_get_one_text() {
    let daemon = Daemon::start(WEB);
    let mut peers: Vec<_> = (0..200).map(|_| daemon.connect("web")).collect();
    let first = metrics(&daemon, |_| true);
    let begun = Instant::now();
    for peer in &mut peers {
        peer.write_all(request("/metrics").as_bytes()).unwrap();
    }
    let mut texts: Vec<String> = peers.iter_mut().map(|peer| answer(peer).body).collect();
    texts.push(first);
    texts.dedup();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(texts.len() <= seconds + 2, "{} texts in {seconds} s", texts.len());
}

#[test]
fn a_daemon_without_a_watcher_sleeps() {
    let daemon = Daemon::start(&format!("[limits]\nidle-timeout = \"none\"\n{WEB}"));
    let mut watcher = daemon.connect("web");
    assert_eq!(get(&mut watcher, "/metrics").status, 200);
    daemon.wait_until_started();
    // The service manager gets the number of sessions, at most a second later.
    thread::sleep(Duration::from_millis(1500));
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    let before = switches();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before, "it woke up");
}

// Prometheus.

#[test]
fn promtool_finds_nothing_to_object_to() {
    let Some(mut promtool) = tool("promtool") else { return };
    let daemon =
        Daemon::start_in(folder_with_certificates(), &format!("{PLAIN}{WEB}{TLS_WEB}"), |_| {});
    assert_eq!(get(&mut TlsClient::default().connect(&daemon), "/healthz").status, 200);
    let text = metrics(&daemon, |text| text.contains("\necho_alex_tls_handshakes_total{"));
    let mut child = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_prometheus_scrapes_it() {
    let Some(mut prometheus) = tool("prometheus") else { return };
    let daemon = Daemon::start(&format!("{PLAIN}{WEB}"));
    assert_echo(&mut daemon.connect("plain"), b"hello");
    let port = ReservedPort::new();
    let scrape = format!(
        "scrape_configs:\n- job_name: alex\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{}']\n",
        daemon.address("web")
    );
    fs::write(daemon.path("prometheus.yml"), scrape).unwrap();
    prometheus
        .arg(format!("--config.file={}", daemon.path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", daemon.path("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", port.number))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = prometheus.spawn().unwrap();
    let query = "/api/v1/query?query=echo_alex_received_bytes_total";
    let mut said = String::new();
    let end = Instant::now() + PATIENCE;
    while !said.contains(",\"5\"]") && Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port.number)) {
            let request = format!("GET {query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
            said.clear();
            let _ = stream.read_to_string(&mut said);
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("\"listener\":\"plain\"") && said.contains(",\"5\"]"), "{said}");
}
