//! `/echo` of a web listener: the echo of a WebSocket (RFC 6455).

mod util;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use util::{
    Daemon, PATIENCE, TLS_WEB, TlsClient, WEB, field, folder_with_certificates, http_head, noise,
    read_to_end,
};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A request to upgrade, with more fields.
fn upgrade(more: &str) -> String {
    format!(
        "GET /echo HTTP/1.1\r\nHost: alex:5080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// Sends `request`; the status of the answer.
fn status(stream: &mut (impl Read + Write), request: &str) -> u16 {
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    http_head(stream).split(' ').nth(1).unwrap().parse().unwrap()
}

fn open(daemon: &Daemon) -> TcpStream {
    let mut stream = daemon.connect("web");
    assert_eq!(status(&mut stream, &upgrade(KEY)), 101);
    stream
}

/// A frame of a client with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Reads a frame of the server: its first byte and its payload.
fn read_frame(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut start = [0; 2];
    stream.read_exact(&mut start).unwrap();
    let length = match start[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            u16::from_be_bytes(length).into()
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length).unwrap();
            usize::try_from(u64::from_be_bytes(length)).unwrap()
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    (start[0], payload)
}

/// Reads a message: its opcode and its payload.
fn read_message(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let (first, mut payload) = read_frame(stream);
    let mut last = first & 0x80 != 0;
    while !last {
        let (next, mut more) = read_frame(stream);
        assert_eq!(next & 15, 0, "a fragment");
        payload.append(&mut more);
        last = next & 0x80 != 0;
    }
    (first & 15, payload)
}

fn dialogue(stream: &mut (impl Read + Write)) {
    assert_eq!(status(stream, &upgrade(KEY)), 101);
    for length in [0, 5, 125, 126, 70_000] {
        let payload = noise(length, 3);
        stream.write_all(&frame(0x82, &payload)).unwrap();
        stream.flush().unwrap();
        assert!(read_message(stream) == (2, payload), "a message of {length}");
    }
    stream.write_all(&frame(0x01, "gr\u{fc}".as_bytes())).unwrap();
    stream.write_all(&frame(0x89, b"ping")).unwrap();
    stream.write_all(&frame(0x80, "\u{df}e".as_bytes())).unwrap();
    stream.flush().unwrap();
    assert_eq!(read_frame(stream), (0x01, "gr\u{fc}".into()));
    assert_eq!(read_frame(stream), (0x8a, b"ping".to_vec()));
    assert_eq!(read_frame(stream), (0x80, "\u{df}e".into()));
    stream.write_all(&frame(0x88, b"\x03\xe8bye")).unwrap();
    stream.flush().unwrap();
    assert_eq!(read_frame(stream), (0x88, b"\x03\xe8bye".to_vec()));
    assert_eq!(read_to_end(stream), b"");
}

#[test]
fn messages_come_back_over_plain_and_tls() {
    let daemon = Daemon::start_in(folder_with_certificates(), &format!("{WEB}{TLS_WEB}"), |_| {});
    let mut plain = daemon.connect("web");
    dialogue(&mut plain);
    let line = daemon.session_line(plain.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    dialogue(&mut TlsClient::default().connect(&daemon));
}

#[test]
fn frames_behind_the_request_are_not_lost() {
    let daemon = Daemon::start(WEB);
    let mut stream = daemon.connect("web");
    stream.write_all(&[upgrade(KEY).as_bytes(), &frame(0x82, b"early")].concat()).unwrap();
    assert!(
        http_head(&mut stream)
            .contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    );
    assert_eq!(read_message(&mut stream), (2, b"early".to_vec()));
}

#[test]
fn one_frame_of_64_mb_is_streamed() {
    let daemon = Daemon::start(WEB);
    let mut stream = open(&daemon);
    let payload = noise(64 << 20, 9);
    let bytes = frame(0x82, &payload);
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&bytes).unwrap());
    assert!(read_message(&mut stream).1 == payload, "the echo differs");
    sender.join().unwrap();
}

#[test]
fn a_frame_without_end_is_echoed_as_it_comes() {
    let daemon = Daemon::start(WEB);
    let mut stream = open(&daemon);
    // The longest frame that the protocol allows, with the mask 0.
    stream.write_all(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0").unwrap();
    for (seed, opcode) in [(1, 2), (2, 0), (3, 0)] {
        let piece = noise(1000, seed);
        stream.write_all(&piece).unwrap();
        assert_eq!(read_frame(&mut stream), (opcode, piece), "a fragment");
    }
    let peer = stream.local_addr().unwrap();
    drop(stream);
    let line = daemon.session_line(peer);
    assert_eq!(field(&line, "reason"), "peer-done", "{line}");
}

#[test]
fn a_request_without_a_key_or_for_another_version_is_refused() {
    let daemon = Daemon::start(WEB);
    let plain = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    for (request, expected) in [
        (upgrade(""), 400),
        (upgrade("Sec-WebSocket-Key: short\r\n"), 400),
        (upgrade(&KEY.repeat(2)), 400),
        (upgrade(KEY).replace("Version: 13", "Version: 8"), 426),
        (upgrade(KEY).replace("Connection: Upgrade", "Connection: keep-alive"), 426),
        (upgrade(KEY).replace("HTTP/1.1", "HTTP/1.0"), 426),
        (upgrade(KEY).replace("GET", "PUT"), 405),
        (plain, 426),
    ] {
        assert_eq!(status(&mut daemon.connect("web"), &request), expected, "{request}");
    }
    let mut stream = daemon.connect("web");
    stream.write_all(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(http_head(&mut stream).contains("\r\nSec-WebSocket-Version: 13\r\n"));
}

#[test]
fn a_page_of_another_site_may_not_use_it_unless_origins_has_it() {
    let listed = WEB.replace("\"web\"\nservice", "\"listed\"\nservice");
    let daemon =
        Daemon::start(&format!("{WEB}{listed}origins = [\"https://example.com\", \"null\"]\n"));
    for (listener, origin, expected) in [
        ("web", "http://alex:5080", 101),
        ("web", "https://example.com", 403),
        ("web", "null", 403),
        ("listed", "https://example.com", 101),
        ("listed", "null", 101),
        ("listed", "https://example.com.example.net", 403),
    ] {
        let request = upgrade(&format!("{KEY}Origin: {origin}\r\n"));
        assert_eq!(status(&mut daemon.connect(listener), &request), expected, "{origin}");
    }
}

#[test]
fn a_violation_gets_its_close_code_and_a_reason_in_the_log() {
    let daemon = Daemon::start(WEB);
    for (bytes, code, detail) in [
        (b"\x81\x05hello".to_vec(), 1002_u16, "without a mask"),
        (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), 1002, "length"),
        (frame(0xc2, b"x"), 1002, "extension"),
        (frame(0x80, b"x"), 1002, "continuation"),
        (frame(0x81, b"\xff"), 1007, "not UTF-8"),
        (frame(0x88, b"\x03\xec"), 1002, "close code"),
    ] {
        let mut stream = open(&daemon);
        stream.write_all(&bytes).unwrap();
        assert_eq!(read_frame(&mut stream), (0x88, code.to_be_bytes().to_vec()));
        assert_eq!(read_to_end(&mut stream), b"");
        let peer = stream.local_addr().unwrap();
        drop(stream);
        let line = daemon.session_line(peer);
        assert_eq!(field(&line, "reason"), "bad-frame", "{line}");
        assert!(line.contains(detail), "{line}");
    }
}

#[test]
fn fragments_without_end_and_without_a_reader_are_held_up() {
    let daemon = Daemon::start(&format!("[limits]\nwrite-timeout = \"500ms\"\n{WEB}"));
    let mut stream = open(&daemon);
    let peer = stream.local_addr().unwrap();
    stream.write_all(&frame(0x02, b"begin")).unwrap();
    stream.set_nonblocking(true).unwrap();
    let fragments = frame(0x00, &noise(1000, 1)).repeat(1000);
    let mut sent = 0;
    let end = Instant::now() + PATIENCE;
    let line = loop {
        assert!(Instant::now() < end, "it reads on");
        sent = (sent + stream.write(&fragments[sent..]).unwrap_or(0)) % fragments.len();
        let seen = daemon.seen();
        if let Some(line) = seen.iter().find(|line| line.contains(&format!("peer={peer} "))) {
            break line.clone();
        }
    };
    assert_eq!(field(&line, "reason"), "write-timeout", "{line}");
    assert!(field(&line, "unsent").parse::<usize>().unwrap() <= 33 * 1024, "{line}");
}

#[test]
fn a_daemon_that_stops_says_that_it_goes_away() {
    let mut daemon = Daemon::start(WEB);
    let mut stream = open(&daemon);
    stream.write_all(&frame(0x82, b"hello")).unwrap();
    assert_eq!(read_message(&mut stream), (2, b"hello".to_vec()));
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(read_frame(&mut stream), (0x88, 1001_u16.to_be_bytes().to_vec()));
    assert_eq!(read_to_end(&mut stream), b"");
}
