//! `explain` when the server fails or the user gives up, at each step: one clear line, the documented exit
//! code, and what was seen so far is still shown.

mod util;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::ExtendedKeyUsagePurpose;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use util::client::{end, server, silent};
use util::explain::{TLS_OPTIONS, details, explain, explaining, json, messages};
use util::{
    Authority, Daemon, SILENT_RESOLVER, TLS, emulated, folder_with_certificates, preload,
    wait_until, write_identity,
};

/// A fatal alert (`internal_error`) in a record of its own, which is not encrypted.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Forwards a connection to `to`, and sends the alert after so many records of the server: its port.
fn alerting(to: SocketAddr, records: usize) -> String {
    server(move |mut client: TcpStream| {
        let mut server = TcpStream::connect(to).unwrap();
        let (mut from_client, mut to_server) =
            (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        for _ in 0..records {
            let mut header = [0; 5];
            if server.read_exact(&mut header).is_err() {
                return;
            }
            let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
            server.read_exact(&mut body).unwrap();
            let _ = client.write_all(&[&header[..], &body].concat());
        }
        let _ = client.write_all(&ALERT);
    })
}

#[test]
fn an_alert_at_each_step_is_one_line_and_what_came_before_it_is_shown() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS, |_| {});
    let folder = daemon.folder.path();
    for (version, records) in [("--tls-version=1.2", 3), ("--tls-version=1.3", 4)] {
        let mut shown = 0;
        for count in 0..=records {
            let port = alerting(daemon.address("tls"), count).parse().unwrap();
            let output = explain(folder, port, &[&TLS_OPTIONS[..], &[version]].concat());
            let (code, said) = end(&output);
            assert_eq!((code, said.lines().count()), (1, 1), "{version}, {count}: {said}");
            let report = json(&output);
            let messages = messages(&report);
            let received = messages.iter().filter(|it| it.starts_with("< ")).count();
            assert!(received > shown, "{version}, {count}: {messages:?}");
            shown = received;
            let last = messages.iter().rfind(|it| it.starts_with("< ")).unwrap();
            let alert = if count == 0 { "< alert internal_error" } else { "< alert" };
            assert!(last.starts_with(alert), "{version}, {count}: {messages:?}");
            assert!(!report["error"].is_null());
        }
    }
}

/// Starts `explain`, waits until it does something, and interrupts it: its report.
fn interrupted(mut command: Command, is_there: impl FnOnce(&mut Child)) -> Value {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    is_there(&mut child);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(end(&output), (130, String::new()));
    let report = json(&output);
    let last = report["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["name"], "the client gives up", "{report}");
    assert_eq!(last["details"][0]["value"], "interrupted");
    report
}

fn names(report: &Value) -> Vec<&str> {
    report["steps"].as_array().unwrap().iter().filter_map(|step| step["name"].as_str()).collect()
}

#[test]
fn a_look_up_that_is_interrupted_is_shown() {
    if emulated() {
        eprintln!("skipped: the compiler makes nothing for the emulator");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = preload(SILENT_RESOLVER, folder.path()) else { return };
    let mut command = util::client::client();
    command.env("LD_PRELOAD", library).args(["explain", "--format=json", "alex.invalid"]);
    let report = interrupted(command, |child| {
        let mut line = [0; 10];
        child.stderr.as_mut().unwrap().read_exact(&mut line).unwrap();
    });
    assert_eq!(names(&report)[0], "look up alex.invalid");
}

/// Whether a connection to `port` has sent its SYN and got no answer (state 02 of proc(5)).
fn is_connecting(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| line.contains(&format!(":{port:04X} 02 ")))
}

#[test]
fn an_attempt_to_connect_that_is_interrupted_is_shown() {
    let (_socket, queue, address) = silent();
    // The last connection of the queue was dropped before it was there.
    drop(queue);
    let folder = tempfile::tempdir().unwrap();
    let mut command = explaining(folder.path(), address.port());
    command.args(["--format=json", "--timeout=600"]);
    let report = interrupted(command, |_| {
        wait_until("the client connects", || is_connecting(address.port()));
    });
    assert_eq!(names(&report)[2..], ["SYN", "the client gives up"]);
}

#[test]
fn an_echo_that_does_not_come_is_interrupted_and_the_handshake_is_shown() {
    let discards = TLS.replace("name = \"tls\"", "name = \"tls\"\nservice = \"discard\"");
    let daemon = Daemon::start_in(folder_with_certificates(), &discards, |_| {});
    let mut command = explaining(daemon.folder.path(), daemon.address("tls").port());
    command.args(TLS_OPTIONS).arg("--timeout=600");
    let report = interrupted(command, |_| {
        wait_until("the message is there", || daemon.statistics().contains(" discarded=32"));
    });
    let messages = messages(&report);
    for message in ["< Certificate", "> Finished", "> application data"] {
        assert!(messages.iter().any(|it| it == message), "{messages:?}");
    }
    assert_eq!(report["facts"]["version"], "1.3");
}

#[test]
fn names_with_escapes_are_shown_escaped() {
    let folder = folder_with_certificates();
    let authority = Authority::new("CA \u{1b}[2J");
    authority.write(folder.path(), "signing.pem");
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    let (certificate, key) = authority.sign("red \u{1b}[31m\u{202e}", usage);
    write_identity(folder.path(), "alex", &certificate, &key);
    let daemon = Daemon::start_in(folder, TLS, |_| {});
    let (folder, port) = (daemon.folder.path(), daemon.address("tls").port());
    let is_safe = |folder: &Path, options: &[&str]| {
        let output = explain(folder, port, options);
        assert_eq!(end(&output), (0, String::new()));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        text
    };
    is_safe(folder, &[&TLS_OPTIONS[..3], &["--format=html"]].concat());
    is_safe(folder, &TLS_OPTIONS[..3]);
    let report = serde_json::from_str(&is_safe(folder, &TLS_OPTIONS)).unwrap();
    let certificate = details(&report, "Certificate");
    assert!(certificate.iter().any(|it| it.1.contains("red \\u{1b}[31m\\u{202e}")));
    // The host.
    let mut command = util::client::client();
    let (code, said) = end(&command.args(["explain", "al\u{1b}[2Jex.invalid"]).output().unwrap());
    assert_eq!((code, said.lines().count()), (64, 1), "{said}");
    assert!(said.contains("\"al\\u{1b}[2Jex.invalid\" has characters that "), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}
