//! `--probe`: a daemon says of one that runs here whether it serves.

mod util;

use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use rustix::process::Signal;
use util::{Daemon, PLAIN, ReservedPort, TLS, WEB, run};

/// A listener at `address`, which may be a port alone.
fn listener(service: &str, address: impl Display) -> String {
    let (name, address) = (service, address.to_string());
    let listen = if address.contains(':') { format!("\"{address}\"") } else { address };
    format!("[[listener]]\nname = \"{name}\"\nservice = \"{service}\"\nlisten = {listen}\n")
}

/// The exit code of a probe with this configuration, and what it prints: a line on one of the outputs.
fn probe(config: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.toml");
    fs::write(&file, config).unwrap();
    let (code, stdout, stderr) = run(&["--probe", "-c", file.to_str().unwrap()]);
    let lines = format!("{stdout}{stderr}");
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert_eq!(code == 0, stderr.is_empty(), "{lines}");
    (code, lines.trim_end().to_owned())
}

fn fails(config: &str, words: &str) {
    let (code, line) = probe(config);
    assert_eq!(code, 1, "{line}");
    assert!(line.starts_with("echo-alex: the probe of ") && line.contains(words), "{line}");
}

/// A server that gets one connection, and does this with it.
fn other_program(answer: impl FnOnce(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || answer(server.accept().unwrap().0));
    address
}

#[test]
fn a_web_listener_says_that_it_is_ready_and_logs_nothing() {
    let daemon = Daemon::start(&format!("{PLAIN}{WEB}"));
    let address = daemon.address("web");
    let unused = listener("echo", "127.0.0.1:1");
    let ready = (0, format!("127.0.0.1:{}: ready", address.port()));
    for listen in
        [address.to_string(), address.port().to_string(), format!("0.0.0.0:{}", address.port())]
    {
        assert_eq!(probe(&format!("{unused}{}", listener("web", listen))), ready);
    }
    daemon.statistics();
    assert!(!daemon.seen().iter().any(|line| line.contains(" session ")), "{:?}", daemon.seen());
}

#[test]
fn a_daemon_that_is_about_to_stop_is_not_ready() {
    let mut daemon = Daemon::start(&format!("[limits]\ndrain-delay = \"1h\"\n{WEB}"));
    let config = listener("web", daemon.address("web"));
    daemon.signal(Signal::TERM);
    daemon.wait_for_notification(|text| text.contains("STOPPING=1"));
    fails(&config, "503 Service Unavailable: stopping");
    daemon.signal(Signal::TERM);
    util::wait(&mut daemon.child);
    fails(&config, "cannot connect: connection refused");
}

#[test]
fn without_a_web_listener_a_line_must_come_back() {
    let daemon = Daemon::start(PLAIN);
    let address = daemon.address("plain");
    let config = format!("{}{}", listener("discard", "127.0.0.1:1"), listener("echo", address));
    assert_eq!(probe(&config), (0, format!("{address}: the echo came back")));
    let line = daemon.wait_for_line(|line| line.contains(" session "));
    assert!(line.contains("in=19 out=19") && line.contains("reason=peer-done"), "{line}");
}

#[test]
fn a_listener_that_cannot_be_probed_is_an_error_with_a_cure() {
    let udp = format!("{}transport = \"udp\"\n", listener("echo", 5000));
    let proxies = "proxy-protocol = { from = [\"127.0.0.1\"] }\n";
    let behind = format!("{}{proxies}", listener("web", 5000));
    for config in [PLAIN, TLS, &udp, &behind, &listener("chargen", 5000)] {
        let (code, line) = probe(config);
        assert_eq!(code, 78, "{line}");
        assert!(line.contains("listen = \"127.0.0.1:5080\""), "{line}");
    }
}

#[test]
fn a_daemon_that_is_full_hangs_or_is_not_there_fails_the_probe() {
    let daemon = Daemon::start(&format!("[limits]\nmax-sessions = 1\n{WEB}{PLAIN}"));
    let [web, plain] = [("web", "web"), ("echo", "plain")]
        .map(|(service, name)| listener(service, daemon.address(name)));
    {
        let mut session = daemon.connect("plain");
        util::assert_echo(&mut session, b"here");
        fails(&web, "a limit may be reached");
        fails(&plain, "a limit may be reached");
    }
    daemon.wait_for_line(|line| line.contains(" session listener=plain"));
    daemon.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", daemon.pid());
    util::wait_until("the daemon stops", || fs::read_to_string(&stat).unwrap().contains(") T "));
    fails(&web, "no answer in 3 s");
    daemon.signal(Signal::CONT);
    let nobody = ReservedPort::new();
    fails(
        &listener("web", format!("127.0.0.1:{}", nobody.number)),
        "cannot connect: connection refused",
    );
}

#[test]
fn another_program_on_the_port_fails_the_probe() {
    for service in ["web", "echo"] {
        let address = other_program(|mut stream| {
            stream.read_exact(&mut [0; 18]).unwrap();
            stream.write_all(b"220 \x1b[31mwelcome\r\n").unwrap();
            // Until the probe has ended: bytes that were not read would reset the connection.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        fails(&listener(service, address), "another program listens there");
    }
    // A page without end.
    let address = other_program(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    fails(&listener("web", address), "another program listens there");
    // What it says is printed, but not obeyed by a terminal.
    let address = other_program(|mut stream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(b"HTTP/1.1 500 \x1b[31m\r\n\r\nred\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    fails(&listener("web", address), "500 \\u{1b}[31m: red");
}
