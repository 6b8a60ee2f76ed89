//! The PROXY protocol: who the peer is, what is refused, and that no byte behind a header is lost.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use util::proxy::{SIGNATURE, binary, binary_for, connect_from, line, send_apart, tlv};
use util::{
    CROWD, Daemon, ROOM_FOR_A_CROWD, TLS, TlsClient, assert_echo, connect, echo_all, field,
    folder_with_certificates, http_head, noise, read_to_end, reset, rest, run, wait_until,
};

const CLIENT: &str = "198.51.100.9:50000";
const CLIENT_V6: &str = "[2001:db8::9]:50000";

/// An echo, a discard, a chargen, a report and a web listener, all for proxies in this network; web is also without.
fn listeners(from: &str) -> String {
    let proxies = format!("proxy-protocol = {{ from = [{from:?}] }}\n");
    let of = |service: &str| {
        let name = if service == "echo" { "plain" } else { service };
        let service = format!("[[listener]]\nname = {name:?}\nservice = {service:?}\n");
        format!("{service}listen = \"127.0.0.1:0\"\n{proxies}")
    };
    let tls = TLS.replacen("[listener.tls]", &format!("{proxies}[listener.tls]"), 1);
    let web = "[[listener]]\nname = \"metrics\"\nservice = \"web\"\nlisten = \"127.0.0.1:0\"\n";
    let services = ["echo", "discard", "chargen", "report", "web"].map(of).concat();
    format!("{services}{tls}{web}")
}

fn daemon(before: &str) -> Daemon {
    let config = format!("{before}{}", listeners("127.0.0.1/32"));
    Daemon::start_in(folder_with_certificates(), &config, |_| {})
}

/// A connection to this listener that has sent `bytes`.
fn begun(daemon: &Daemon, listener: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = daemon.connect(listener);
    stream.write_all(bytes).unwrap();
    stream
}

/// A plain session of the client that `header` names: it gets an echo.
fn served(daemon: &Daemon, header: &[u8]) -> TcpStream {
    let mut stream = begun(daemon, "plain", header);
    assert_echo(&mut stream, b"served?");
    stream
}

fn line_of(daemon: &Daemon, peer: &str) -> String {
    daemon.session_line(peer.parse().unwrap())
}

/// The value of a counter of the listener `plain`, from its metrics.
fn counted(daemon: &Daemon, metric: &str, label: &str) -> u64 {
    let mut stream = daemon.connect("metrics");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    http_head(&mut stream);
    let text = String::from_utf8(read_to_end(&mut stream)).unwrap();
    let start = format!("echo_alex_{metric}_total{{listener=\"plain\"{label}}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("no {start} in {text}")).parse().unwrap()
}

/// The counter, once it has this value: metrics are made anew at most once a second.
fn wait_for_count(daemon: &Daemon, metric: &str, label: &str, value: u64) {
    wait_until(metric, || counted(daemon, metric, label) == value);
}

#[test]
fn the_address_in_a_header_is_the_peer_and_that_of_the_proxy_stands_beside_it() {
    let daemon = daemon("[log]\nlevel = \"debug\"\n");
    for (header, peer) in [
        (line("198.51.100.9:1"), "198.51.100.9:1"),
        (line("[2001:db8::9]:2"), "[2001:db8::9]:2"),
        (binary_for("198.51.100.9:3", b""), "198.51.100.9:3"),
        (binary_for("[2001:db8::9]:4", b""), "[2001:db8::9]:4"),
        (line("[::ffff:198.51.100.9]:5"), "198.51.100.9:5"),
        (binary_for("[::ffff:198.51.100.9]:6", b""), "198.51.100.9:6"),
    ] {
        let stream = daemon.connect("plain");
        let proxy = stream.local_addr().unwrap();
        let back = echo_all(&stream, &[&header[..], b"hello"].concat());
        assert_eq!(back, b"hello", "{peer}");
        let line = line_of(&daemon, peer);
        assert_eq!(field(&line, "proxy"), proxy.to_string(), "{line}");
        assert_eq!((field(&line, "in"), field(&line, "out")), ("5", "5"), "{line}");
        assert_eq!(field(&line, "reason"), "peer-done");
        let accepted = format!(" accepted listener=plain peer={peer} proxy={proxy}");
        daemon.wait_for_line(|line| line.ends_with(&accepted));
    }
}

#[test]
fn a_header_that_comes_in_pieces_is_the_same() {
    let daemon = daemon("");
    let long = tlv(4, &[0; 4096 - 28 - 3]);
    for (header, pieces) in [
        (line("198.51.100.9:1"), 5),
        (binary_for("198.51.100.9:2", b""), 28),
        (binary_for("[2001:db8::9]:3", &tlv(5, b"id")), 3),
        (binary_for("198.51.100.9:4", &long), 4),
    ] {
        let mut stream = daemon.connect("plain");
        send_apart(&stream, &header, pieces);
        assert_echo(&mut stream, b"behind the header");
        assert_eq!(echo_all(&stream, b"to the end"), b"to the end");
    }
    for peer in ["198.51.100.9:1", "198.51.100.9:2", "[2001:db8::9]:3", "198.51.100.9:4"] {
        assert_eq!(field(&line_of(&daemon, peer), "in"), "27");
    }
}

#[test]
fn no_byte_behind_a_header_is_lost_or_doubled() {
    let daemon = daemon("");
    for (length, seed) in [(1, 1), (36 * 1024, 2), (1 << 20, 3)] {
        let bytes = noise(length, seed);
        let stream = daemon.connect("plain");
        let back = echo_all(&stream, &[&line(CLIENT)[..], &bytes].concat());
        assert!(back == bytes, "{length}: the echo differs");
        // The end of the header and the bytes arrive together.
        let header = binary_for(CLIENT_V6, &tlv(4, &[0; 4000]));
        let (first, last) = header.split_at(1000);
        let stream = begun(&daemon, "plain", first);
        std::thread::sleep(Duration::from_millis(20));
        let back = echo_all(&stream, &[last, &bytes].concat());
        assert!(back == bytes, "{length}: the echo differs");
    }
}

#[test]
fn tls_begins_behind_the_header() {
    let daemon = daemon("");
    let config = TlsClient::default().config(daemon.folder.path());
    for (pieces, client) in [(1, "198.51.100.9:1"), (2, "198.51.100.9:2"), (7, "[2001:db8::9]:3")] {
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(config.clone(), name).unwrap();
        // Header and ClientHello together.
        let begin = [binary_for(client, b""), util::flight(&mut connection)].concat();
        let stream = daemon.connect("tls");
        send_apart(&stream, &begin, pieces);
        let mut tls = StreamOwned::new(connection, stream);
        assert_echo(&mut tls, b"over TLS");
        assert_echo(&mut tls, &noise(100_000, 1));
        util::end_tls(&mut tls);
        drop(tls);
        let line = line_of(&daemon, client);
        assert_eq!((field(&line, "tls"), field(&line, "reason")), ("1.3", "peer-done"), "{line}");
        field(&line, "proxy");
    }
}

#[test]
fn a_tls_port_refuses_a_client_hello_without_a_header_and_a_header_without_tls() {
    let daemon = daemon("");
    let mut connection = util::new_connection(&daemon);
    let hello = util::flight(&mut connection);
    let mut stream = begun(&daemon, "tls", &hello);
    let peer = stream.local_addr().unwrap();
    assert_eq!(rest(&mut stream), b"");
    assert_eq!(field(&daemon.session_line(peer), "reason"), "proxy-header");
    let twice = [line("198.51.100.9:1"), line("198.51.100.9:2")].concat();
    rest(&mut begun(&daemon, "tls", &twice));
    assert_eq!(field(&line_of(&daemon, "198.51.100.9:1"), "reason"), "not-tls");
}

#[test]
fn a_local_connection_is_echoed_counted_apart_and_leaves_no_line() {
    let daemon = daemon("");
    let addresses = [198, 51, 100, 9, 192, 0, 2, 7, 0xC3, 0x50, 0x13, 0x88];
    let mut streams = Vec::new();
    for (family, rest) in [(0x00, &b""[..]), (0x11, &addresses), (0x11, b"x")] {
        streams.push(served(&daemon, &binary(0, family, rest)));
    }
    let locals: Vec<SocketAddr> = streams.iter().map(|it| it.local_addr().unwrap()).collect();
    streams.drain(..2).for_each(drop);
    // As HAProxy does.
    streams.into_iter().for_each(reset);
    let probe = begun(&daemon, "plain", &binary(0, 0, b""));
    reset(probe);
    served(&daemon, &line(CLIENT));
    line_of(&daemon, CLIENT);
    wait_until("all have ended", || field(&daemon.statistics(), "sessions") == "0");
    daemon.statistics();
    let sum = daemon.wait_for_nth_line(0, |line| line.contains(" statistics listener=plain "));
    assert!(sum.contains(" accepted="), "{sum}");
    for line in daemon.seen() {
        let of_check = locals.iter().any(|peer| line.contains(&format!("peer={peer}")));
        assert!(!of_check, "{line}");
        // The address block of a LOCAL header is believed by nobody.
        assert!(!line.contains("peer=198.51.100.9") || line.contains(&format!("peer={CLIENT} ")));
    }
    wait_for_count(&daemon, "health_checks", "", 4);
    assert_eq!(counted(&daemon, "accepted_sessions", ""), 5);
}

#[test]
fn a_local_connection_that_goes_wrong_has_a_line() {
    let daemon = daemon("");
    let mut stream = begun(&daemon, "tls", &[&binary(0, 0, b"")[..], b"not TLS at all"].concat());
    let peer = stream.local_addr().unwrap();
    rest(&mut stream);
    assert_eq!(field(&daemon.session_line(peer), "reason"), "not-tls");
}

#[test]
fn a_proxy_that_names_nobody_is_the_peer() {
    let daemon = daemon("");
    let unix = [1; 216];
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 198.51.100.9 192.0.2.7 1 2\r\n".to_vec(),
        binary(1, 0x00, b""),
        binary(1, 0x00, &[198, 51, 100, 9, 192, 0, 2, 7, 0, 1, 0, 2]),
        binary(1, 0x31, &unix),
        binary(1, 0x12, &unix[..12]),
    ] {
        let stream = served(&daemon, &header);
        let peer = stream.local_addr().unwrap();
        drop(stream);
        let line = daemon.session_line(peer);
        assert_eq!(field(&line, "proxy"), peer.to_string(), "{line}");
    }
}

#[test]
fn a_connection_from_elsewhere_is_refused_whatever_it_sends() {
    let daemon = daemon("");
    let address = daemon.address("plain");
    let mut peers = Vec::new();
    for header in [line(CLIENT), binary_for(CLIENT, b""), binary(0, 0, b""), b"hello".to_vec()] {
        let mut stream = connect_from("127.0.0.2", address);
        peers.push(stream.local_addr().unwrap());
        let _ = stream.write_all(&header);
        let _ = stream.shutdown(Shutdown::Write);
        assert_eq!(rest(&mut stream), b"", "it was served");
    }
    let line = daemon.wait_for_line(|line| line.contains(" refused listener=plain "));
    assert_eq!(field(&line, "peer"), peers[0].to_string());
    assert_eq!(field(&line, "limit"), "proxy-protocol");
    assert!(!line.contains(" proxy="), "{line}");
    let lines = daemon.seen();
    assert_eq!(lines.iter().filter(|line| line.contains(" refused ")).count(), 1, "{lines:#?}");
    wait_for_count(&daemon, "refused_connections", ",limit=\"proxy-protocol\"", 4);
    assert_eq!(counted(&daemon, "accepted_sessions", ""), 0);
    assert!(!lines.iter().any(|line| line.contains(CLIENT)), "{lines:#?}");
}

#[test]
fn a_header_that_is_not_perfect_ends_the_connection_and_is_never_echoed() {
    let daemon = daemon("");
    let wrong_length = |length: u16| {
        let mut header = binary_for(CLIENT, b"");
        header[14..16].copy_from_slice(&length.to_be_bytes());
        header
    };
    let mut forms: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "without a header"),
        (b"hello, world".to_vec(), "first bytes"),
        (b"\r\n".to_vec(), "within the header"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "first bytes"),
        (b"PROXY".to_vec(), "within the header"),
        (b"PROXY TCP4 198.51.100.9 192.0.2.7 50000 5000".to_vec(), "within the header"),
        (b"PROXY TCP4 198.51.100.9 192.0.2.7 50000 5000\n".to_vec(), "CR LF"),
        (b"PROXY TCP4 198.51.100.9 192.0.2.7 50000 5000\rhello".to_vec(), "CR LF"),
        (b"PROXY TCP4 198.51.100.9 192.0.2.7 50000\r\nhello".to_vec(), "two addresses"),
        (b"PROXY TCP4 198.51.100.999 192.0.2.7 50000 5000\r\n".to_vec(), "two addresses"),
        (b"PROXY TCP4 2001:db8::9 192.0.2.7 50000 5000\r\n".to_vec(), "two addresses"),
        (b"PROXY TCP5 198.51.100.9 192.0.2.7 50000 5000\r\n".to_vec(), "two addresses"),
        (b"PROXY \xFF\xFE\0\r\nhello".to_vec(), "two addresses"),
        ([b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(), "107 bytes"),
        (SIGNATURE.to_vec(), "within the header"),
        (binary_for(CLIENT, b"")[..27].to_vec(), "within the header"),
        (wrong_length(8), "too short for its addresses"),
        ([wrong_length(13), b"hello".to_vec()].concat(), "TLVs"),
        ([wrong_length(100), b"hello".to_vec()].concat(), "within the header"),
        (wrong_length(4081), "4096 bytes"),
        (wrong_length(u16::MAX), "4096 bytes"),
        (binary(2, 0x11, &[1; 12]), "unknown command"),
        (binary(1, 0x41, &[1; 12]), "unknown family"),
        (binary_for(CLIENT, b"\x05\x00\x09id"), "TLVs"),
        (binary_for(CLIENT, &tlv(3, &[0; 4])), "checksum"),
    ];
    for header in [line(CLIENT), binary_for(CLIENT, b""), binary(0, 0, b"")] {
        forms.push(([&header[..], &line("203.0.113.1:1")].concat(), "second header"));
        forms.push(([&header[..], &binary_for("203.0.113.1:1", b"")].concat(), "second header"));
    }
    let count = forms.len() as u64;
    for (bytes, detail) in forms {
        let form = bytes.escape_ascii().to_string();
        let before =
            daemon.seen().iter().filter(|line| line.contains("reason=proxy-header")).count();
        let mut stream = begun(&daemon, "plain", &bytes);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream), b"", "{form}");
        let line = daemon.wait_for_nth_line(before, |line| line.contains("reason=proxy-header"));
        assert!(line.contains(detail), "{form}: {line}");
        assert_eq!((field(&line, "in"), field(&line, "out")), ("0", "0"), "{form}: {line}");
        assert!(!line.contains("203.0.113.1"), "{line}");
        let named = line.contains(&format!("peer={CLIENT} "));
        assert!(!named || detail == "second header", "{form}: {line}");
    }
    wait_for_count(&daemon, "ended_sessions", ",reason=\"proxy-header\"", count);
    assert_eq!(counted(&daemon, "accepted_sessions", ""), count);
}

#[test]
fn a_second_header_that_comes_later_is_refused_too_and_other_first_bytes_are_echoed_at_once() {
    let daemon = daemon("");
    let mut stream = begun(&daemon, "plain", &line(CLIENT));
    daemon.statistics();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(&line("203.0.113.1:1")).unwrap();
    assert_eq!(rest(&mut stream), b"");
    assert_eq!(field(&line_of(&daemon, CLIENT), "reason"), "proxy-header");
    for first in [&b"\r\n"[..], b"P", b"PROXY", b"\r\n\r\n\0\r\nQUIT"] {
        let mut stream = begun(&daemon, "plain", &line(CLIENT_V6));
        assert_echo(&mut stream, first);
        // Then it is payload.
        assert_echo(&mut stream, &line(CLIENT));
        assert_echo(&mut stream, &binary_for(CLIENT, b""));
    }
}

#[test]
fn limits_by_address_count_the_address_in_the_header() {
    let daemon = daemon("[limits]\nmax-sessions-per-address = 2\n");
    let first = served(&daemon, &line("198.51.100.9:1"));
    let _second = served(&daemon, &binary_for("198.51.100.9:2", b""));
    let third = begun(&daemon, "plain", &[&line("198.51.100.9:3")[..], b"hello"].concat());
    let proxy = third.local_addr().unwrap();
    third.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut { third }), b"");
    let refused = daemon.wait_for_line(|line| line.contains(" refused listener=plain "));
    assert_eq!(field(&refused, "peer"), "198.51.100.9:3");
    assert_eq!(field(&refused, "proxy"), proxy.to_string());
    assert_eq!(field(&refused, "limit"), "max-sessions-per-address");
    // All of them come from the address of the proxy.
    let _others: Vec<_> =
        (1..5).map(|host| served(&daemon, &line(&format!("198.51.100.{host}:1")))).collect();
    drop(first);
    line_of(&daemon, "198.51.100.9:1");
    served(&daemon, &line("198.51.100.9:4"));
    line_of(&daemon, "198.51.100.9:4");
    // An IPv6 /64 is one address, and one that was refused is neither accepted nor ended.
    let _v6 = ["[2001:db8::1]:1", "[2001:db8::2]:1"].map(|client| served(&daemon, &line(client)));
    assert_eq!(rest(&mut begun(&daemon, "plain", &line("[2001:db8::3]:1"))), b"");
    let label = ",limit=\"max-sessions-per-address\"";
    wait_for_count(&daemon, "refused_connections", label, 2);
    assert_eq!(counted(&daemon, "accepted_sessions", ""), 9);
    assert!(
        !daemon
            .seen()
            .iter()
            .any(|line| line.contains("session listener=plain peer=198.51.100.9:3"))
    );
}

#[test]
fn limits_count_a_health_check_for_the_proxy() {
    let limits = "[listener.limits]\nmax-sessions-per-address = 1\n";
    let config = listeners("127.0.0.1/32").replacen(
        "[[listener]]\nname = \"discard\"",
        &format!("{limits}[[listener]]\nname = \"discard\""),
        1,
    );
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let check = served(&daemon, &binary(0, 0x11, &[198, 51, 100, 9, 1, 1, 1, 1, 0, 1, 0, 1]));
    let _client = served(&daemon, &line("198.51.100.9:1"));
    let mut second = begun(&daemon, "plain", &binary(0, 0, b""));
    assert_eq!(rest(&mut second), b"");
    let refused = daemon.wait_for_line(|line| line.contains(" refused listener=plain "));
    assert_eq!(
        field(&refused, "peer"),
        second.local_addr().unwrap_or(([127, 0, 0, 1], 0).into()).to_string()
    );
    drop(check);
    wait_until("the check has ended", || {
        let mut again = begun(&daemon, "plain", &binary(0, 0, b""));
        again.write_all(b"x").is_ok() && again.read(&mut [0]).is_ok_and(|count| count == 1)
    });
}

#[test]
fn connections_that_wait_for_their_header_count_against_max_sessions() {
    let daemon = daemon("[limits]\nmax-sessions = 3\nmax-sessions-per-address = 1\n");
    let waiting: Vec<TcpStream> = (0..3).map(|_| daemon.connect("plain")).collect();
    wait_until("all wait", || field(&daemon.statistics(), "sessions") == "3");
    let mut fourth = daemon.connect("plain");
    assert_eq!(rest(&mut fourth), b"");
    let refused = daemon.wait_for_line(|line| line.contains(" refused listener=plain "));
    assert_eq!(field(&refused, "limit"), "max-sessions");
    drop(waiting);
    wait_until("all have ended", || field(&daemon.statistics(), "sessions") == "0");
    served(&daemon, &line(CLIENT));
}

#[test]
fn a_header_has_handshake_timeout_which_no_byte_extends() {
    let daemon = daemon("[limits]\nhandshake-timeout = \"300ms\"\n");
    for listener in ["plain", "tls"] {
        let mut silent = daemon.connect(listener);
        let peer = silent.local_addr().unwrap();
        assert_eq!(rest(&mut silent), b"");
        assert_eq!(field(&daemon.session_line(peer), "reason"), "handshake-timeout");
        let mut slow = daemon.connect(listener);
        let peer = slow.local_addr().unwrap();
        let header = binary_for(CLIENT, &tlv(4, &[0; 200]));
        let sent = header.iter().take_while(|byte| {
            std::thread::sleep(Duration::from_millis(10));
            slow.write_all(&[**byte]).is_ok()
        });
        assert!(sent.count() < header.len(), "each byte extended the timeout");
        assert_eq!(field(&daemon.session_line(peer), "reason"), "handshake-timeout");
    }
    // Over TLS, it goes on behind the header.
    let mut tls = begun(&daemon, "tls", &line(CLIENT));
    assert_eq!(rest(&mut tls), b"");
    let ended = line_of(&daemon, CLIENT);
    assert_eq!(field(&ended, "reason"), "handshake-timeout");
    // Plain, it is over.
    let mut plain = served(&daemon, &line(CLIENT_V6));
    let mut silent = daemon.connect("plain");
    rest(&mut silent);
    assert_echo(&mut plain, b"still here");
}

#[test]
fn a_session_without_a_byte_behind_its_header_is_idle() {
    let daemon = daemon("[limits]\nidle-timeout = \"300ms\"\n");
    let mut stream = begun(&daemon, "plain", &line(CLIENT));
    assert_eq!(read_to_end(&mut stream), b"");
    drop(stream);
    let ended = line_of(&daemon, CLIENT);
    assert_eq!((field(&ended, "reason"), field(&ended, "in")), ("idle-timeout", "0"));
}

#[test]
fn a_peer_that_sends_a_header_and_its_end_gets_the_end() {
    let daemon = daemon("");
    let stream = daemon.connect("plain");
    assert_eq!(echo_all(&stream, &binary_for(CLIENT, b"")), b"");
    assert_eq!(field(&line_of(&daemon, CLIENT), "reason"), "peer-done");
    reset(begun(&daemon, "plain", &line(CLIENT_V6)));
    assert_eq!(field(&line_of(&daemon, CLIENT_V6), "reason"), "peer-reset");
}

#[test]
fn no_service_says_or_does_anything_before_the_header() {
    let daemon = daemon("");
    let mut chargen = daemon.connect("chargen");
    chargen.set_nonblocking(true).unwrap();
    daemon.statistics();
    assert!(chargen.read(&mut [0]).is_err());
    chargen.set_nonblocking(false).unwrap();
    chargen.write_all(&line(CLIENT)).unwrap();
    let mut first = [0; 10];
    chargen.read_exact(&mut first).unwrap();
    assert_eq!(&first, b" !\"#$%&'()");
    drop(chargen);
    assert_eq!(field(&line_of(&daemon, CLIENT), "in"), "0");
    let discard = daemon.connect("discard");
    assert_eq!(echo_all(&discard, &[&line(CLIENT_V6)[..], b"12345"].concat()), b"");
    assert_eq!(field(&line_of(&daemon, CLIENT_V6), "in"), "5");
    // Who may see the metrics is decided by the address in the header.
    let get = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (client, status) in [("198.51.100.9:7", "403"), ("127.0.0.1:7", "200")] {
        let mut web = begun(&daemon, "web", &[&line(client)[..], get].concat());
        let head = http_head(&mut web);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[test]
fn a_report_has_the_proxy_and_what_its_header_says() {
    let daemon = daemon("");
    let ssl = [
        &[0x03, 0, 0, 0, 0][..],
        &tlv(0x21, b"TLSv1.3"),
        &tlv(0x22, b"alex\x1b[2J"),
        &tlv(0x23, b"TLS_AES_128_GCM_SHA256"),
    ]
    .concat();
    let tlvs = [
        tlv(1, b"h2"),
        tlv(2, &[b'a'; 300]),
        tlv(5, b"\xFF\"id\""),
        tlv(0x20, &ssl),
        tlv(0xE1, b"own"),
    ]
    .concat();
    let report = |header: &[u8]| -> (Value, SocketAddr) {
        let stream = daemon.connect("report");
        let bytes = echo_all(&stream, &[header, b"hello"].concat());
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.trim_end().contains(|letter: char| letter.is_control()), "{text}");
        (serde_json::from_str(&text).unwrap(), stream.local_addr().unwrap())
    };
    let (told, proxy) = report(&binary_for(CLIENT, &tlvs));
    assert_eq!(told["peer"], serde_json::json!({ "address": "198.51.100.9", "port": 50000 }));
    assert_eq!(told["received"]["bytes"], 5);
    let expected = serde_json::json!({
        "address": "127.0.0.1", "port": proxy.port(), "version": 2, "command": "PROXY",
        "destination": { "address": "192.0.2.7", "port": 5000 },
        "authority": "a".repeat(255), "unique_id": "\\xff\\\"id\\\"", "alpn": "h2",
        "ssl": {
            "used": true, "version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256",
            "client_certificate": true, "verified": true, "common_name": "alex\\u{1b}[2J",
        },
    });
    assert_eq!(told["proxy"], expected, "{told:#}");
    let (told, _) = report(&line(CLIENT_V6));
    assert_eq!(told["peer"]["address"], "2001:db8::9");
    assert_eq!((&told["proxy"]["version"], &told["proxy"]["ssl"]), (&1.into(), &Value::Null));
    let (told, proxy) = report(&binary(0, 0x11, &[1; 12]));
    assert_eq!(told["peer"]["port"], proxy.port());
    assert_eq!(
        (&told["proxy"]["command"], &told["proxy"]["destination"]),
        (&"LOCAL".into(), &Value::Null)
    );
}

#[test]
fn without_the_key_a_header_is_bytes_and_a_reload_changes_the_key_for_new_sessions() {
    let with = listeners("127.0.0.1/32");
    let without = with.replace("proxy-protocol = { from = [\"127.0.0.1/32\"] }\n", "");
    let daemon = Daemon::start_in(folder_with_certificates(), &without, |_| {});
    let mut plain = daemon.connect("plain");
    assert_echo(&mut plain, &line(CLIENT));
    let mut refused = connect_from("127.0.0.2", daemon.address("plain"));
    assert_echo(&mut refused, &binary_for(CLIENT, b""));

    daemon.rewrite_config(&with);
    daemon.reload();
    assert_echo(&mut plain, &line(CLIENT));
    let mut proxied = served(&daemon, &line(CLIENT));
    let mut waiting = begun(&daemon, "plain", b"PROXY TCP4 198.51.100.1 ");
    wait_until("it waits", || field(&daemon.statistics(), "sessions") == "4");

    daemon.rewrite_config(&with.replace("127.0.0.1/32", "127.0.0.2/31"));
    daemon.reload();
    assert_echo(&mut proxied, b"still here");
    waiting.write_all(b"192.0.2.7 1 2\r\n").unwrap();
    assert_echo(&mut waiting, b"trusted when it was accepted");
    assert_eq!(rest(&mut daemon.connect("plain")), b"");
    let mut other = connect_from("127.0.0.3", daemon.address("plain"));
    other.write_all(&line(CLIENT_V6)).unwrap();
    assert_echo(&mut other, b"trusted now");

    daemon.rewrite_config(&without);
    daemon.reload();
    assert_echo(&mut other, b"still here");
    assert_echo(&mut daemon.connect("plain"), &line(CLIENT));
}

#[test]
fn connections_in_the_backlog_get_their_echo_when_the_daemon_stops() {
    let mut daemon = daemon(ROOM_FOR_A_CROWD);
    let address = daemon.address("plain");
    let bytes = [&line(CLIENT)[..], b"in the backlog"].concat();
    let crowd = daemon.crowd_before(Signal::TERM, address, &bytes);
    let mut echoed = 0;
    for mut stream in crowd {
        echoed += usize::from(rest(&mut stream) == b"in the backlog");
    }
    assert_eq!(echoed, CROWD);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_stop_does_not_wait_for_headers() {
    let mut daemon = daemon("");
    let mut waiting = begun(&daemon, "plain", b"PROXY");
    let peer = waiting.local_addr().unwrap();
    wait_until("it waits", || field(&daemon.statistics(), "sessions") == "1");
    assert!(daemon.stop().success());
    assert_eq!(rest(&mut waiting), b"");
    let line = daemon.session_line(peer);
    assert_eq!(field(&line, "reason"), "stopping");
}

#[test]
fn who_waits_does_not_keep_others_from_being_served() {
    let daemon = daemon(ROOM_FOR_A_CROWD);
    let _waiting: Vec<_> = (0..100).map(|_| begun(&daemon, "plain", b"\r\n\r\n")).collect();
    let mut other = connect(daemon.address("plain"));
    other.write_all(&line(CLIENT)).unwrap();
    assert_echo(&mut other, &noise(200_000, 1)[..20_000]);
}

#[test]
fn a_check_warns_of_a_listener_that_trusts_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo-alex.toml");
    for (networks, warns) in [
        ("\"0.0.0.0/0\"", true),
        ("\"10.0.0.0/8\", \"::/0\"", true),
        ("\"10.0.0.0/8\", \"127.0.0.1\"", false),
    ] {
        let key = format!("proxy-protocol = {{ from = [{networks}] }}");
        std::fs::write(&file, format!("[[listener]]\nname = \"a\"\nlisten = 0\n{key}\n")).unwrap();
        let (code, _, stderr) = run(&["--check", "-c", file.to_str().unwrap()]);
        assert_eq!((code, stderr.contains("trusts every address")), (0, warns), "{stderr}");
    }
}
