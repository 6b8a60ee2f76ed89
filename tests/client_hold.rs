//! `hold` through what happens to its sessions: nothing, a reload, a stop, a kill, a server that is away for long,
//! and servers that do what no good server does.

mod util;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use util::client::{Client, end, port, run, server_of_many};
use util::{Daemon, PATIENCE, PLAIN, ROOM_FOR_A_CROWD, ReservedPort, TLS, plain_and_tls};

/// A hold that is running, with the objects that it prints as they come.
struct Hold {
    client: Client,
    objects: Receiver<Value>,
    seen: Vec<Value>,
}

impl Hold {
    fn start(arguments: &[&str]) -> Self {
        let arguments = [&["hold", "--json", "-q"], arguments].concat();
        let piped = |command: &mut Command| {
            command.stdout(std::process::Stdio::piped());
        };
        let mut client = Client::start(&arguments, piped);
        let stdout = BufReader::new(client.child.stdout.take().unwrap());
        let (sender, objects) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { client, objects, seen: Vec::new() }
    }

    /// Waits for an object of this mode that fits.
    fn wait_for(&mut self, mode: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let object = self.objects.recv_timeout(left).expect(mode);
            self.seen.push(object.clone());
            if object["mode"] == mode && fits(&object) {
                return object;
            }
        }
    }

    /// Waits until so many messages have come back in one second.
    fn works(&mut self) {
        self.wait_for("interval", |interval| interval["messages"].as_u64() > Some(0));
    }

    /// Waits for the end: the exit code and the report, whose figures add up.
    fn end(&mut self) -> (i32, Report) {
        let report = Report(self.wait_for("hold", |_| true));
        let messages = |object: &Value| match object["mode"].as_str() {
            Some("interval") => object["messages"].as_u64().unwrap(),
            _ => 0,
        };
        assert_eq!(self.seen.iter().map(messages).sum::<u64>(), report.get("received"));
        let lost = report.get("lost") - report.get("not_sent");
        assert_eq!(report.get("sent"), report.get("received") + lost, "{report:?}");
        let size = report.get("size_bytes");
        assert_eq!(report.get("bytes_sent"), report.get("sent") * size, "{report:?}");
        let back = report.get("bytes_sent") - report.get("bytes_lost");
        assert_eq!(report.get("bytes_received"), back, "{report:?}");
        let outages = report.0["outages"].as_array().unwrap();
        let in_outages: u64 = outages.iter().map(|it| it["lost"].as_u64().unwrap()).sum();
        assert_eq!(in_outages, report.get("lost"), "{report:?}");
        (self.client.end(), report)
    }

    fn interrupt(&mut self) -> (i32, Report) {
        self.client.signal(Signal::INT);
        self.end()
    }
}

#[derive(Debug)]
struct Report(Value);

impl Report {
    fn get(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_else(|| panic!("{key} of {}", self.0))
    }

    fn assert(&self, expected: &[(&str, u64)]) {
        for (key, value) in expected {
            assert_eq!(self.get(key), *value, "{key} of {}", self.0);
        }
    }
}

/// A daemon whose plain listener has this port.
fn daemon_at(place: &ReservedPort) -> Daemon {
    Daemon::start(&PLAIN.replace("127.0.0.1:0", &format!("127.0.0.1:{}", place.number)))
}

#[test]
fn nothing_happens_and_nothing_is_lost() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let options =
        ["--sessions=6", "-i0.05", "-s100", "--duration=1", "--insecure", "--tls-port", &tls];
    let (code, report) = Hold::start(&[&options[..], &["127.0.0.1", &plain]].concat()).end();
    assert_eq!(code, 0, "{report:?}");
    // The first message of each session, and 20 in one second.
    report.assert(&[("sent", 6 + 6 * 20), ("lost", 0), ("reconnects", 0), ("outage_count", 0)]);
    report.assert(&[("sessions_up", 6), ("handshakes_full", 3), ("handshakes_resumed", 0)]);
}

#[test]
fn sessions_of_a_daemon_that_is_killed_are_back_and_what_was_under_way_is_lost() {
    let place = ReservedPort::new();
    let daemon = daemon_at(&place);
    let mut hold = Hold::start(&["--sessions=5", "-i0.1", "127.0.0.1", &place.number.to_string()]);
    hold.works();
    daemon.signal(Signal::STOP);
    // For a second, messages were due and none came back.
    hold.wait_for("interval", |interval| interval["messages"] == 0);
    drop(daemon);
    let _daemon = daemon_at(&place);
    let outage = hold.wait_for("outage", |_| true);
    assert_eq!((&outage["sessions"], &outage["ended"]), (&5.into(), &true.into()));
    hold.works();
    let (code, report) = hold.interrupt();
    assert_eq!(code, 1, "{report:?}");
    report.assert(&[("reconnects", 5), ("sessions_up", 5), ("ended_reset", 5), ("not_sent", 0)]);
    // Each session had at least one of the ten that were due meanwhile under way.
    assert!(report.get("lost") >= 5, "{report:?}");
}

#[test]
fn sessions_that_the_server_ends_are_resumed_and_nothing_is_lost() {
    let config = format!("{PLAIN}{TLS}[limits]\nidle-timeout = \"1s\"\n");
    let daemon = Daemon::start_in(util::folder_with_certificates(), &config, |_| {});
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let options = ["--sessions=20", "-i1h", "--insecure", "--tls-port", &tls, "127.0.0.1", &plain];
    let mut hold = Hold::start(&options);
    // Each session ends at a time of its own.
    let mut ended = 0;
    while ended < 40 {
        ended += hold.wait_for("outage", |_| true)["sessions"].as_u64().unwrap();
    }
    let (code, report) = hold.interrupt();
    assert_eq!(code, 0, "{report:?}");
    report.assert(&[("lost", 0), ("handshakes_full", 10), ("resumptions_failed", 0)]);
    assert!(report.get("handshakes_resumed") >= 10, "{report:?}");
    assert!(report.get("ended_clean") >= report.get("reconnects"), "{report:?}");
}

#[test]
fn a_daemon_that_stops_and_comes_back_loses_nothing() {
    let place = ReservedPort::new();
    let mut daemon = daemon_at(&place);
    // No message is under way when the daemon stops, so none can cross its end.
    let mut hold = Hold::start(&["--sessions=5", "-i1h", "127.0.0.1", &place.number.to_string()]);
    hold.works();
    // The first message of each, and that of the schedule which is due at once.
    assert!(daemon.stop().success());
    let _daemon = daemon_at(&place);
    hold.wait_for("outage", |_| true);
    let (code, report) = hold.interrupt();
    assert_eq!(code, 0, "{report:?}");
    report.assert(&[("reconnects", 5), ("ended_clean", 5), ("sent", 11), ("outage_count", 1)]);
}

#[test]
fn messages_of_a_server_that_is_away_for_too_long_are_lost() {
    let place = ReservedPort::new();
    let mut daemon = daemon_at(&place);
    let place = place.number.to_string();
    let mut hold = Hold::start(&["--sessions=3", "-i0.05", "--timeout=0.5", "127.0.0.1", &place]);
    hold.works();
    daemon.stop();
    hold.wait_for("interval", |interval| interval["messages"] == 0);
    hold.wait_for("interval", |interval| interval["messages"] == 0);
    let (code, report) = hold.interrupt();
    assert_eq!(code, 1, "{report:?}");
    assert!(report.get("not_sent") > 0 && report.get("connects_refused") > 0, "{report:?}");
    report.assert(&[("sessions_up", 0), ("outage_count", 1)]);
    assert_eq!(report.0["outages"][0]["ended"], false);
}

#[test]
fn a_reload_ends_no_session() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let options =
        ["--sessions=10", "-i0.05", "--insecure", "--tls-port", &tls, "127.0.0.1", &plain];
    let mut hold = Hold::start(&options);
    hold.works();
    daemon.reload();
    hold.works();
    let (code, report) = hold.interrupt();
    assert_eq!(code, 0, "{report:?}");
    report.assert(&[("reconnects", 0), ("lost", 0), ("sessions_up", 10)]);
}

/// Echoes one message of 64 bytes, and returns the next one.
fn second_message(stream: &mut TcpStream) -> Option<[u8; 64]> {
    let mut message = [0; 64];
    stream.read_exact(&mut message).ok()?;
    stream.write_all(&message).ok()?;
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

#[test]
fn damaged_and_swallowed_bytes_and_resets_are_told_apart() {
    let damages = server_of_many(|mut stream| {
        if let Some(mut message) = second_message(&mut stream) {
            message[5] ^= 1;
            let _ = stream.write_all(&message);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let swallows = server_of_many(|mut stream| {
        if second_message(&mut stream).is_some() {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let resets = server_of_many(|mut stream| {
        if second_message(&mut stream).is_some() {
            util::reset(stream);
        }
    });
    for (port, key) in
        [(damages, "ended_damaged"), (swallows, "ended_by_timeout"), (resets, "ended_reset")]
    {
        let options = ["--sessions=2", "-i0.1", "--timeout=0.5", "--duration=2", "127.0.0.1"];
        let (code, report) = Hold::start(&[&options[..], &[&port]].concat()).end();
        assert_eq!(code, 1, "{report:?}");
        assert!(report.get(key) > 1 && report.get("lost") > 1, "{key} of {report:?}");
        let others = ["ended_damaged", "ended_by_timeout", "ended_reset", "ended_early"];
        let others = others.iter().filter(|it| **it != key).map(|it| report.get(it)).sum::<u64>();
        assert_eq!(others, 0, "{report:?}");
    }
}

#[test]
fn the_text_says_what_happened_when_it_happened() {
    let damages = server_of_many(|mut stream| {
        if let Some(mut message) = second_message(&mut stream) {
            message[5] ^= 1;
            let _ = stream.write_all(&message);
        }
    });
    let options = ["hold", "-q", "--sessions=1", "-i0.2", "--duration=1", "127.0.0.1", &damages];
    let output = run(&options, b"");
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!printed.contains(" s  session"), "{printed}");
    let output = run(&[&["hold"], &options[2..]].concat(), b"");
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(printed.contains(" s  session 0: the echo differs at byte 69: sent 0x"), "{printed}");
    assert!(printed.contains(" s  all back after "), "{printed}");
    assert!(printed.contains("\nlost      ") && printed.contains("\ndelay     p50 "), "{printed}");
    let (code, said) = end(&output);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("lost messages: ") && said.contains(" that were sent ("), "{said}");
}

#[test]
fn sessions_connect_from_the_addresses_that_are_given_by_turns() {
    let daemon = Daemon::start(PLAIN);
    let plain = port(daemon.address("plain"));
    let options = ["--sessions=6", "--from=127.0.0.2,127.0.0.3", "--duration=0.2", "127.0.0.1"];
    let (code, report) = Hold::start(&[&options[..], &[&plain]].concat()).end();
    assert_eq!(code, 0, "{report:?}");
    for address in ["127.0.0.2", "127.0.0.3"] {
        let peer = format!(" peer={address}:");
        for before in 0..3 {
            daemon.wait_for_nth_line(before, |line| line.contains(&peer));
        }
    }
    let elsewhere = run(&["hold", "--from=192.0.2.1", "127.0.0.1", &plain], b"");
    let (code, said) = end(&elsewhere);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("cannot connect from 192.0.2.1: "), "{said}");
}

#[test]
fn a_server_that_was_never_there_is_no_outage() {
    let place = ReservedPort::new();
    let output = run(&["hold", "-q", "127.0.0.1", &place.number.to_string()], b"");
    assert_eq!(end(&output).0, 2);
    assert!(output.stdout.is_empty());
}

#[test]
fn many_sessions_are_held_by_one_client() {
    let daemon = Daemon::start(&format!("{PLAIN}{ROOM_FOR_A_CROWD}"));
    let plain = port(daemon.address("plain"));
    let options = ["--sessions=500", "-i1", "--duration=2", "127.0.0.1", &plain];
    let (code, report) = Hold::start(&options).end();
    assert_eq!(code, 0, "{report:?}");
    report.assert(&[("sessions_up", 500), ("sent", 1500), ("reconnects", 0)]);
}
