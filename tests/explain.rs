//! `explain` shows what was sent and received, in its order, decrypted, and every way to fail.

mod util;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use util::client::{end, server};
use util::explain::{TLS_OPTIONS, decrypted, details, explain, explaining, json, messages};
use util::{Authority, Daemon, PLAIN, TLS, folder_with_certificates, plain_and_tls, tool};

#[test]
fn every_message_of_our_own_server_is_shown_and_the_chain_link_by_link() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS, |_| {});
    let port = daemon.address("tls").port();
    let output = explain(daemon.folder.path(), port, &TLS_OPTIONS);
    assert_eq!(end(&output), (0, String::new()));
    let report = json(&output);
    let mut messages = messages(&report);
    // They come before or after the client's first data, as it happens.
    let before = messages.len();
    messages.retain(|it| it != "< NewSessionTicket");
    assert_ne!(before, messages.len());
    let expected = [
        "> ClientHello",
        "< ServerHello",
        "< ChangeCipherSpec",
        "< EncryptedExtensions",
        "< Certificate",
        "< CertificateVerify",
        "< Finished",
        "> ChangeCipherSpec",
        "> Finished",
        "> application data",
        "< application data",
        "> alert close_notify",
        "< alert close_notify",
    ];
    assert_eq!(messages, expected);
    for step in report["steps"].as_array().unwrap() {
        assert!(step["rfc"].as_str().unwrap().starts_with("RFC "), "{step}");
        assert!(step["purpose"].as_str().unwrap().ends_with('.'), "{step}");
        assert_eq!(step["is_fault"], false, "{step}");
    }
    let trust: Vec<&str> = details(&report, "Certificate")
        .into_iter()
        .filter_map(|(name, value)| (name == "trusted because").then_some(value))
        .collect();
    assert!(trust[0].contains(" is for localhost, and valid until "), "{trust:?}");
    assert!(trust[1].contains("it is signed with the key of "), "{trust:?}");
    assert!(trust[2].ends_with(" is in signing.pem: you trust it"), "{trust:?}");
    let data = details(&report, "application data");
    assert_eq!(data, [("data", "32 bytes, \"echo-alex ping 1 echo-alex ping\\n\"")]);
    let last: Vec<&str> =
        report["steps"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(last.iter().filter(|name| **name == "FIN").count(), 2);
    let phases = report["phases"].as_array().unwrap();
    let phases: Vec<&str> = phases.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(phases, ["resolve", "connect", "handshake", "first echo"]);
}

#[test]
fn plain_tcp_has_its_bytes_and_both_ends() {
    let daemon = Daemon::start(PLAIN);
    let port = daemon.address("plain").port();
    let report = json(&explain(daemon.folder.path(), port, &["--format=json"]));
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().filter_map(|it| it["name"].as_str()).collect();
    let expected = [
        "look up 127.0.0.1",
        "answer of the resolver",
        "SYN",
        "SYN, ACK",
        "bytes",
        "bytes",
        "FIN",
        "FIN",
    ];
    assert_eq!(names, expected);
    assert_eq!(report["facts"], Value::Null);
}

#[test]
fn a_capture_has_the_secrets_and_tshark_prints_the_plaintext() {
    let daemon = plain_and_tls();
    let folder = daemon.folder.path();
    let tls = daemon.address("tls").port();
    for (name, options) in [
        ("tls13", &["--tls-version=1.3"][..]),
        ("tls12", &["--tls-version=1.2"]),
        ("resumed13", &["--tls-version=1.3", "--resume"]),
        ("resumed12", &["--tls-version=1.2", "--resume"]),
        ("chacha", &["--cipher-suite=CHACHA20_POLY1305_SHA256"]),
        ("chacha12", &["--cipher-suite=ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]),
        ("aes128", &["--cipher-suite=AES_128_GCM_SHA256", "--group=secp384r1"]),
    ] {
        let capture = format!("--pcapng={name}");
        let output = explain(folder, tls, &[&TLS_OPTIONS[..], options, &[&capture]].concat());
        assert_eq!(end(&output), (0, String::new()), "{name}");
        let file = folder.join(name);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let bytes = fs::read(&file).unwrap();
        assert_eq!(bytes[..4], [0x0A, 0x0D, 0x0D, 0x0A]);
        let Some(text) = decrypted(&file) else { continue };
        assert_eq!(text.matches("echo-alex ping 1 echo-alex ping").count(), 2, "{name}: {text}");
    }
    let plain = daemon.address("plain").port();
    let output = explain(folder, plain, &["--pcapng=plain"]);
    assert_eq!(output.status.code(), Some(0));
    let Some(mut tshark) = tool("tshark") else { return };
    // Neither a checksum nor a sequence number is wrong.
    tshark.current_dir(folder).args(["-r", "plain", "-o", "tcp.check_checksum:TRUE"]);
    tshark.args([
        "-o",
        "ip.check_checksum:TRUE",
        "-Y",
        "tcp.analysis.flags || tcp.checksum.status == 0",
    ]);
    let output = tshark.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn the_diagram_is_80_columns_wide_without_escapes_in_a_pipe() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS, |_| {});
    let port = daemon.address("tls").port();
    let output = explain(daemon.folder.path(), port, &TLS_OPTIONS[..3]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    // Both life lines are straight.
    let rows = text.lines().filter(|line| line.starts_with("          |"));
    assert!(rows.clone().count() > 20 && rows.clone().all(|row| row.len() >= 79), "{text}");
    let arrows = text.lines().filter(|line| line.contains(" |-- ") || line.contains(" |<-- "));
    assert!(arrows.clone().count() > 10 && arrows.clone().all(|row| row.len() == 79), "{text}");
}

#[test]
fn the_page_is_one_file_that_loads_nothing() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS, |_| {});
    let port = daemon.address("tls").port();
    let output =
        explain(daemon.folder.path(), port, &[&TLS_OPTIONS[..3], &["--format=html"]].concat());
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for loads in ["src=", "href=", "url(", "@import", "http", "<script"] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(page.matches("<details").count() > 20);
    for tag in ["details", "svg", "g", "dl", "pre"] {
        let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
        let is_tag = |text: &&str| text.starts_with([' ', '>']);
        let opened = page.split(&opened).skip(1).filter(is_tag).count();
        assert_eq!(opened, page.matches(&closed).count(), "{tag}");
    }
}

#[test]
fn a_refused_certificate_is_explained_at_its_step() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS, |_| {});
    let port = daemon.address("tls").port();
    let folder = daemon.folder.path();
    Authority::new("another CA").write(folder, "another.pem");
    let arguments = ["--tls", "--ca=another.pem", "--name=localhost", "--format=json"];
    let output = explain(folder, port, &arguments);
    let (code, said) = end(&output);
    assert_eq!((code, said.lines().count()), (3, 1), "{said}");
    let report = json(&output);
    let refusal = details(&report, "Certificate").pop().unwrap();
    assert_eq!(refusal.0, "REFUSED");
    assert_eq!(said, format!("echo-alex-client: {}\n", refusal.1));
    assert_eq!(messages(&report).last().unwrap(), "> alert unknown_ca");

    // The server refuses the client.
    let settings = format!("{TLS}client-ca = \"signing.pem\"\n");
    let daemon = Daemon::start_in(folder_with_certificates(), &settings, |_| {});
    let port = daemon.address("tls").port();
    let output = explain(daemon.folder.path(), port, &TLS_OPTIONS);
    assert_eq!(end(&output).0, 3);
    let report = json(&output);
    assert_eq!(messages(&report).last().unwrap(), "< alert certificate_required");
    assert!(messages(&report).contains(&"> Certificate".into()));
}

#[test]
fn garbage_is_shown_and_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let explained = |port: String, code: i32| {
        let arguments = ["--tls", "--insecure", "--format=json"];
        let output = explain(folder.path(), port.parse().unwrap(), &arguments);
        let (ended, said) = end(&output);
        assert_eq!((ended, said.lines().count()), (code, 1), "{said}");
        json(&output)
    };
    let after_hello = |bytes: &'static [u8]| {
        server(move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
            // Until the client has ended.
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    let report = explained(after_hello(b"\x1b[2JHTTP/1.1 400 no\r\n"), 2);
    let shown = details(&report, "bytes that are not TLS")[0].1;
    assert_eq!(shown, "21 bytes, \"\\u{1b}[2JHTTP/1.1 400 no\\r\\n\"");
    // An alert, which has a meaning.
    let report = explained(after_hello(&[21, 3, 3, 0, 2, 2, 112]), 1);
    assert_eq!(messages(&report).last().unwrap(), "< alert unrecognized_name");
    // Records without content.
    let report = explained(after_hello(&[22, 3, 3, 0, 0, 22, 3, 3, 0, 0]), 1);
    assert!(messages(&report).contains(&"< malformed handshake record".into()), "{report}");
    // A message that cannot be read.
    let report = explained(after_hello(&[22, 3, 3, 0, 6, 2, 0, 0, 2, 3, 3]), 1);
    assert_eq!(details(&report, "ServerHello"), [("content", "it cannot be decoded")]);
}

#[test]
fn a_chain_of_100_certificates_is_not_printed_in_full() {
    let folder = folder_with_certificates();
    let chain = fs::read_to_string(folder.path().join("alex.crt")).unwrap();
    let end_of_first = chain.find("-----END").unwrap() + "-----END CERTIFICATE-----\n".len();
    fs::write(folder.path().join("alex.crt"), chain[..end_of_first].repeat(100)).unwrap();
    let daemon = Daemon::start_in(folder, TLS, |_| {});
    let port = daemon.address("tls").port();
    let output = explain(daemon.folder.path(), port, &TLS_OPTIONS);
    assert_eq!(end(&output).0, 0, "{output:?}");
    let report = json(&output);
    let certificate = details(&report, "Certificate");
    assert_eq!(certificate.iter().filter(|it| it.0 == "certificate").count(), 8);
    assert!(certificate.contains(&("chain", "100 certificates in all")));
}

#[test]
fn what_cannot_be_written_is_one_line() {
    let daemon = plain_and_tls();
    let port = daemon.address("plain").port();
    let folder = daemon.folder.path();
    for (file, code, words) in [
        ("no/such/file", 66, "cannot write no/such/file: no such file or directory"),
        ("/dev/full", 1, "cannot write /dev/full: no space left on device"),
        (".", 1, "cannot write .: is a directory"),
    ] {
        let output = explain(folder, port, &["--pcapng", file]);
        assert_eq!(end(&output), (code, format!("echo-alex-client: {words}\n")));
        // The connection is not made in vain, and not made if the file cannot be.
        assert_eq!(output.stdout.is_empty(), file != "/dev/full");
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = explaining(folder, port);
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let line = "echo-alex-client: cannot write to standard output: no space left on device\n";
    assert_eq!(end(&output), (1, line.into()));
}

#[test]
fn what_was_seen_is_shown_when_it_is_interrupted_or_times_out() {
    let folder = tempfile::tempdir().unwrap();
    // It accepts, and says nothing.
    let silent = || {
        let (sender, receiver) = std::sync::mpsc::channel();
        let port = server(move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            sender.send(()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        (port.parse().unwrap(), receiver)
    };
    for tls in [&["--tls", "--insecure"][..], &[]] {
        let (port, asked) = silent();
        let mut command = explaining(folder.path(), port);
        command.args(tls).arg("--format=json").stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        asked.recv().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT)
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(end(&output), (130, String::new()));
        let last = json(&output)["steps"].as_array().unwrap().last().cloned().unwrap();
        assert_eq!(last["name"], "the client gives up");
        assert_eq!(last["details"][0]["value"], "interrupted");
    }
    let (port, _asked) = silent();
    let arguments = ["--tls", "--insecure", "--format=json", "--timeout=0.2"];
    let output = explain(folder.path(), port, &arguments);
    assert_eq!(end(&output).0, 4);
    assert_eq!(messages(&json(&output)), ["> ClientHello"]);
}
