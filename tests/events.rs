//! `/events` of a web listener: what the daemon sees, for the page and for programs.

mod util;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use util::{
    Daemon, PATIENCE, PLAIN, ROOM_FOR_A_CROWD, TLS, TLS_WEB, TlsClient, WEB, assert_echo, emulated,
    field, folder_with_certificates, http_head, noise, read_to_end,
};

const REQUEST: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A stream of events.
struct Watcher<S>(BufReader<S>);

impl<S: Read + Write> Watcher<S> {
    fn new(mut stream: S) -> Self {
        stream.write_all(REQUEST.as_bytes()).unwrap();
        stream.flush().unwrap();
        let head = http_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
        let mut watcher = Self(BufReader::new(stream));
        assert_eq!(watcher.line(), "retry: 1000");
        assert_eq!(watcher.line(), "");
        watcher
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The text of the next event.
    fn text(&mut self) -> String {
        let line = self.line();
        assert_eq!(self.line(), "");
        line.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {line:?}")).to_owned()
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The first event that fits.
    fn wait_for(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let event = self.event();
            if fits(&event) {
                return event;
            }
            assert!(Instant::now() < end, "{event:#}");
        }
    }
}

fn watch(daemon: &Daemon) -> Watcher<TcpStream> {
    Watcher::new(daemon.connect("web"))
}

/// A connection to a listener from another address of this machine.
fn connect_from(address: [u8; 4], daemon: &Daemon, listener: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&daemon.address(listener).into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What an event says of a listener.
fn listener<'a>(event: &'a Value, name: &str) -> &'a Value {
    let all = event["alex"]["listeners"].as_array().unwrap();
    all.iter().find(|listener| listener["name"] == name).unwrap()
}

#[test]
fn an_event_has_the_sessions_of_the_visitor_and_the_totals_of_the_daemon() {
    let limited = "[[listener]]\nname = \"one\"\nlisten = \"127.0.0.1:0\"\n\
        [listener.limits]\nmax-sessions = 1\n";
    let config = format!("{PLAIN}{limited}{WEB}{TLS_WEB}");
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let mut echo = daemon.connect("plain");
    assert_echo(&mut echo, &noise(1000, 1));
    let mut only = daemon.connect("one");
    assert_echo(&mut only, b"hi");
    assert_eq!(read_to_end(&mut daemon.connect("one")), b"");
    let mut watcher = Watcher::new(TlsClient::default().connect(&daemon));
    let event = watcher.event();

    let alex = &event["alex"];
    assert_eq!((&alex["sessions"], &alex["tls"]), (&3.into(), &1.into()), "{event:#}");
    assert_eq!(alex["refused"], 1, "{event:#}");
    assert_eq!(alex["version"], env!("CARGO_PKG_VERSION"));
    let plain = listener(&event, "plain");
    assert_eq!((&plain["service"], &plain["sessions"]), (&"echo".into(), &1.into()));
    assert_eq!((&plain["received"], &plain["sent"]), (&1000.into(), &1000.into()));
    assert_eq!((&plain["accepted"], &plain["refused"]), (&1.into(), &0.into()));
    assert_eq!(listener(&event, "one")["refused"], 1);

    let yours = &event["yours"];
    assert_eq!((&yours["address"], &yours["count"]), (&"127.0.0.1".into(), &3.into()));
    let port = echo.local_addr().unwrap().port();
    let sessions = yours["sessions"].as_array().unwrap();
    let of = |port: u16| sessions.iter().find(|session| session["port"] == port).unwrap();
    assert_eq!(of(port)["received"], 1000);
    assert_eq!((&of(port)["listener"], &of(port)["tls"]), (&"plain".into(), &Value::Null));
    // The kernel of an emulated machine does not tell.
    assert!(of(port)["rtt_us"].as_u64().is_some_and(|time| time > 0) || emulated(), "{event:#}");
    let own = of(watcher.0.get_ref().sock.local_addr().unwrap().port());
    assert_eq!((&own["tls"], &own["resumed"]), (&"1.3".into(), &false.into()), "{own}");
    assert!(own["cipher"].is_string() && own["group"].is_string(), "{own}");

    // The next ones follow the sessions.
    assert_echo(&mut echo, &noise(500, 1));
    watcher.wait_for(|event| listener(event, "plain")["received"] == 1500);
    drop(echo);
    let event = watcher.wait_for(|event| event["yours"]["count"] == 2);
    assert_eq!(listener(&event, "plain")["received"], 1500, "ended sessions count on");
}

#[test]
fn addresses_of_others_are_for_the_networks_of_allow() {
    let daemon = Daemon::start(&format!("{PLAIN}{WEB}allow = [\"127.0.0.1\"]\n"));
    let mut stranger = connect_from([127, 0, 0, 3], &daemon, "plain");
    assert_echo(&mut stranger, b"hello");
    let mut visitor = Watcher::new(connect_from([127, 0, 0, 2], &daemon, "web"));
    let mut operator = watch(&daemon);
    for _ in 0..2 {
        let text = visitor.text();
        assert!(!text.contains("127.0.0.3") && !text.contains("127.0.0.1"), "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&event["yours"]["count"], &event["everyone"]), (&1.into(), &Value::Null));
    }
    let event = operator.wait_for(|event| event["everyone"]["count"] == 3);
    let everyone = event["everyone"]["sessions"].as_array().unwrap();
    let port = stranger.local_addr().unwrap().port();
    let seen = everyone.iter().find(|session| session["port"] == port).unwrap();
    assert_eq!((&seen["address"], &seen["received"]), (&"127.0.0.3".into(), &5.into()));
}

#[test]
fn the_newest_sessions_of_many_are_shown() {
    let daemon = Daemon::start(&format!("{PLAIN}{WEB}"));
    let open = |_| {
        let mut session = daemon.connect("plain");
        assert_echo(&mut session, b"x");
        session
    };
    let crowd: Vec<_> = (0..40).map(open).collect();
    let event = watch(&daemon).event();
    assert_eq!(event["yours"]["count"], 41);
    let shown = event["yours"]["sessions"].as_array().unwrap();
    let ports: Vec<_> = shown.iter().map(|session| session["port"].as_u64().unwrap()).collect();
    let newest = crowd.iter().rev().take(15);
    let newest: Vec<_> = newest.map(|it| u64::from(it.local_addr().unwrap().port())).collect();
    assert_eq!(ports[1..], newest, "the first one is the watcher");
}

#[test]
fn bytes_do_not_shrink_while_sessions_end_during_surveys() {
    const SESSIONS: usize = 900;
    let daemon = Daemon::start(&format!("{ROOM_FOR_A_CROWD}{PLAIN}{WEB}"));
    let mut crowd: Vec<_> = (0..SESSIONS).map(|_| daemon.connect("plain")).collect();
    for session in &mut crowd {
        assert_echo(session, &[7; 100]);
    }
    let mut watcher = watch(&daemon);
    let all = SESSIONS * 100;
    let first = watcher.event();
    assert_eq!(listener(&first, "plain")["received"], all, "each session once");
    let ending = thread::spawn(move || {
        for session in crowd {
            drop(session);
            thread::sleep(Duration::from_millis(3));
        }
    });
    watcher.wait_for(|event| {
        let plain = listener(event, "plain");
        assert_eq!((&plain["received"], &plain["sent"]), (&all.into(), &all.into()));
        plain["sessions"] == 0
    });
    ending.join().unwrap();
}

#[test]
fn many_watchers_share_one_text_a_second() {
    let daemon = Daemon::start(&format!("{ROOM_FOR_A_CROWD}{WEB}"));
    let mut watchers: Vec<_> = (0..200).map(|_| watch(&daemon)).collect();
    for watcher in &mut watchers {
        watcher.wait_for(|event| event["alex"]["sessions"] == 200);
    }
    let begun = Instant::now();
    let mut texts: Vec<String> = watchers.iter_mut().map(Watcher::text).collect();
    texts.sort();
    texts.dedup();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(texts.len() <= seconds + 2, "{} texts in {seconds} s", texts.len());
}

#[test]
fn a_drain_ends_the_stream_over_plain_and_tls() {
    let mut daemon =
        Daemon::start_in(folder_with_certificates(), &format!("{WEB}{TLS_WEB}"), |_| {});
    let mut plain = watch(&daemon);
    let mut tls = Watcher::new(TlsClient::default().connect(&daemon));
    plain.event();
    tls.event();
    let peer = plain.0.get_ref().local_addr().unwrap();
    daemon.signal(rustix::process::Signal::TERM);
    // With close_notify: without, this would fail.
    for rest in [read_to_end(&mut plain.0), read_to_end(&mut tls.0)] {
        let rest = String::from_utf8(rest).unwrap();
        assert!(rest.is_empty() || rest.ends_with("}\n\n"), "{rest}");
    }
    assert_eq!(field(&daemon.session_line(peer), "reason"), "stopping");
    drop((plain, tls));
    assert!(daemon.wait().success());
}

#[test]
fn a_daemon_sleeps_when_its_watchers_have_left() {
    let daemon = Daemon::start(&format!("[limits]\nidle-timeout = \"none\"\n{WEB}"));
    let mut watcher = watch(&daemon);
    for _ in 0..2 {
        watcher.event();
    }
    drop(watcher);
    daemon.wait_until_started();
    // The end of the session is told to the service manager, at most a second later.
    thread::sleep(Duration::from_millis(2500));
    let switches = || daemon.status_field("voluntary_ctxt_switches");
    let before = switches();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before, "it woke up");
}

#[test]
fn events_are_not_shown_under_a_name_of_the_internet_unless_it_is_listed() {
    let config = format!("{WEB}origins = [\"https://alex.example.com\"]\n");
    let daemon = Daemon::start(&config);
    for (host, status) in [
        ("localhost:5080", 200),
        ("alex.example.com", 200),
        ("ALEX.example.com", 200),
        ("rebound.example.com", 403),
        ("alex.example.com.evil.example", 403),
    ] {
        let mut stream = daemon.connect("web");
        let request = format!("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let head = http_head(&mut stream);
        assert_eq!(head.split(' ').nth(1).unwrap(), status.to_string(), "{host}");
    }
    daemon.rewrite_config(&format!("{WEB}origins = [\"*\"]\n"));
    daemon.reload();
    let mut stream = daemon.connect("web");
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n").unwrap();
    assert!(http_head(&mut stream).starts_with("HTTP/1.1 403 "));
}

#[test]
fn head_gets_the_head_alone_and_what_a_watcher_sends_is_not_answered() {
    let daemon = Daemon::start(WEB);
    let mut stream = daemon.connect("web");
    stream.write_all(REQUEST.replace("GET", "HEAD").as_bytes()).unwrap();
    let whole = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(whole.contains("text/event-stream") && whole.ends_with("\r\n\r\n"), "{whole}");

    let mut watcher = watch(&daemon);
    watcher.0.get_mut().write_all(&REQUEST.repeat(1000).into_bytes()).unwrap();
    for _ in 0..2 {
        watcher.event();
    }
    let peer = watcher.0.get_ref().local_addr().unwrap();
    drop(watcher);
    let line = daemon.session_line(peer);
    assert!(field(&line, "in").parse::<usize>().unwrap() > 40_000, "{line}");
}

#[test]
fn a_reload_goes_on_with_the_stream() {
    let daemon = Daemon::start_in(folder_with_certificates(), &format!("{PLAIN}{WEB}"), |_| {});
    let mut watcher = watch(&daemon);
    watcher.event();
    daemon.rewrite_config(&format!("{PLAIN}{TLS}{WEB}"));
    daemon.reload();
    watcher.wait_for(|event| event["alex"]["listeners"].as_array().unwrap().len() == 3);
}
