//! What a listener does besides echo: discard (RFC 863) and chargen (RFC 864), over plain TCP and TLS, with
//! the daemon's limits, timeouts and counters. tests/web.rs has the rest of the service "web", tests/report.rs
//! that of "report".

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use util::{
    Daemon, STUCK, TlsClient, assert_echo, field, folder_with_certificates, read_to_end, tool,
    wait_until,
};

const SERVICES: &str = r#"
[[listener]]
name = "discard"
service = "discard"
listen = "127.0.0.1:0"

[[listener]]
name = "chargen"
service = "chargen"
listen = "127.0.0.1:0"

[[listener]]
name = "tls"
service = "SERVICE"
listen = "127.0.0.1:0"
[listener.tls]
certificate = "alex.crt"
key = "alex.key"
"#;

/// A daemon with both services, and one of them over TLS.
fn daemon(over_tls: &str, limits: &str) -> Daemon {
    let config = format!("{limits}{}", SERVICES.replace("SERVICE", over_tls));
    Daemon::start_in(folder_with_certificates(), &config, |_| {})
}

/// The byte at a place of the stream: lines of 72 characters and CR LF, each beginning one further on in the
/// ring of the 95 printing ones.
fn character_at(place: usize) -> u8 {
    match (place / 74, place % 74) {
        (_, 72) => b'\r',
        (_, 73) => b'\n',
        (line, column) => b' ' + u8::try_from((line + column) % 95).unwrap(),
    }
}

fn assert_pattern(bytes: &[u8]) {
    for (place, byte) in bytes.iter().enumerate() {
        assert_eq!(*byte, character_at(place), "at {place}");
    }
}

/// The statistics of the listener `name`.
fn statistics(daemon: &Daemon, name: &str) -> String {
    daemon.statistics();
    daemon.wait_for_line(|line| line.contains(&format!("statistics listener={name} ")))
}

#[test]
fn discard_takes_everything_and_sends_nothing() {
    let daemon = daemon("discard", "");
    let mut plain = daemon.connect("discard");
    plain.write_all(&vec![b'x'; 1 << 20]).unwrap();
    plain.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut plain), b"");
    let line = daemon.session_line(plain.local_addr().unwrap());
    assert_eq!((field(&line, "in"), field(&line, "out")), ("1048576", "0"), "{line}");
    assert_eq!(field(&line, "reason"), "peer-done");

    let mut tls = TlsClient::default().connect(&daemon);
    tls.write_all(&vec![b'x'; 100_000]).unwrap();
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    assert_eq!(tls.read(&mut [0]).unwrap(), 0);
    let line = daemon.session_line(tls.sock.local_addr().unwrap());
    assert_eq!((field(&line, "in"), field(&line, "out")), ("100000", "0"), "{line}");
    assert_eq!(field(&statistics(&daemon, "tls"), "discarded"), "100000");
}

#[test]
fn chargen_sends_the_pattern_until_the_peer_is_done() {
    let daemon = daemon("chargen", "");
    let mut bytes = vec![0; 1 << 20];
    let mut plain = daemon.connect("chargen");
    plain.write_all(b"thrown away").unwrap();
    plain.read_exact(&mut bytes).unwrap();
    assert_pattern(&bytes);
    plain.shutdown(Shutdown::Write).unwrap();
    let rest = read_to_end(&mut plain);
    assert_pattern(&[bytes.as_slice(), &rest].concat());
    let line = daemon.session_line(plain.local_addr().unwrap());
    let sent = (bytes.len() + rest.len()).to_string();
    assert_eq!((field(&line, "in"), field(&line, "out")), ("11", sent.as_str()), "{line}");
    assert_eq!(field(&line, "reason"), "peer-done");

    let mut tls = TlsClient::default().connect(&daemon);
    tls.read_exact(&mut bytes).unwrap();
    assert_pattern(&bytes);
    drop(tls);
}

#[test]
fn a_peer_that_reads_nothing_stops_chargen_and_is_let_go() {
    let daemon = daemon("chargen", "[limits]\nwrite-timeout = \"500ms\"\n");
    for stalled in [daemon.connect("chargen"), {
        let mut tls = TlsClient::default().connect(&daemon);
        tls.read_exact(&mut [0]).unwrap();
        tls.sock
    }] {
        let peer = stalled.local_addr().unwrap();
        let line = daemon.session_line(peer);
        assert_eq!(field(&line, "reason"), "write-timeout", "{line}");
        let unsent: usize = field(&line, "unsent").parse().unwrap();
        assert!(unsent <= 51 * 1024, "{line}");
    }
}

#[test]
fn a_peer_that_pauses_misses_nothing_of_chargen_and_holds_up_nobody() {
    let daemon = daemon("chargen", "");
    let mut slow = daemon.connect("chargen");
    let mut bytes = vec![0; 10_000];
    slow.read_exact(&mut bytes).unwrap();
    std::thread::sleep(STUCK);
    let mut other = daemon.connect("chargen");
    other.read_exact(&mut vec![0; 1 << 20]).unwrap();
    let mut rest = vec![0; 8 << 20];
    slow.read_exact(&mut rest).unwrap();
    bytes.append(&mut rest);
    assert_pattern(&bytes);
}

#[test]
fn chargen_does_not_hold_up_an_end_of_the_daemon() {
    let mut daemon = daemon("chargen", "");
    let mut peer = daemon.connect("chargen");
    peer.read_exact(&mut vec![0; 100_000]).unwrap();
    let reader = std::thread::spawn(move || read_to_end(&mut peer));
    daemon.stop();
    reader.join().unwrap();
}

#[test]
fn a_session_keeps_its_service_when_a_reload_changes_it() {
    let echo = "[[listener]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n";
    let daemon = Daemon::start(echo);
    let mut before = daemon.connect("plain");
    assert_echo(&mut before, b"hello");
    daemon.rewrite_config(&format!("{echo}service = \"discard\"\n"));
    daemon.reload();
    assert_echo(&mut before, b"hello again");
    let mut after = daemon.connect("plain");
    after.write_all(b"hello").unwrap();
    after.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut after), b"");
}

/// Runs a program on `input`, and gives the first `count` bytes of what it prints.
fn first_bytes(mut command: Command, input: &[u8], count: usize) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    let mut bytes = vec![0; count];
    child.stdout.take().unwrap().read_exact(&mut bytes).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    bytes
}

#[test]
fn nc_and_openssl_get_what_the_services_send() {
    let daemon = daemon("chargen", "");
    if let Some(mut nc) = tool("nc") {
        nc.args(["127.0.0.1", &daemon.address("chargen").port().to_string()]);
        assert_pattern(&first_bytes(nc, b"", 200_000));
        let mut nc = tool("nc").unwrap();
        let port = daemon.address("discard").port().to_string();
        let discarded = nc.args(["-N", "127.0.0.1", &port]).stdin(Stdio::null()).output().unwrap();
        assert!(discarded.status.success() && discarded.stdout.is_empty(), "{discarded:?}");
    }
    if let Some(mut openssl) = tool("openssl") {
        let address = daemon.address("tls").to_string();
        openssl.args(["s_client", "-quiet", "-connect", &address]);
        assert_pattern(&first_bytes(openssl, b"", 200_000));
    }
    wait_until("all sessions end", || daemon.statistics().contains(" sessions=0 "));
}

#[test]
fn the_limits_of_a_listener_hold_for_every_service() {
    for (service, request) in
        [("chargen", ""), ("web", "GET /no HTTP/1.0\r\nX: y\r\n\r\n"), ("report", "every second\n")]
    {
        let daemon = Daemon::start(&format!(
            "[[listener]]\nname = \"{service}\"\nservice = \"{service}\"\nlisten = \"127.0.0.1:0\"\n\
             [listener.limits]\nmax-sessions = 1\n"
        ));
        let mut first = daemon.connect(service);
        first.write_all(request.as_bytes()).unwrap();
        first.read_exact(&mut [0; 100]).unwrap();
        let refused: TcpStream = daemon.connect(service);
        let peer = refused.local_addr().unwrap();
        let line = format!("refused listener={service} peer={peer}");
        daemon.wait_for_line(|seen| seen.contains(&line));
    }
}
