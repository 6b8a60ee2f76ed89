//! The service "report": what the daemon has seen of a connection, over plain TCP and TLS.

mod util;

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;

use serde_json::Value;
use util::{Daemon, TlsClient, field, flight, folder_with_certificates, read_to_end, tool};

const LISTENERS: &str = r#"
[[listener]]
name = "report"
service = "report"
listen = "127.0.0.1:0"

[[listener]]
name = "tls"
service = "report"
listen = "127.0.0.1:0"
[listener.tls]
certificate = "alex.crt"
key = "alex.key"
"#;

fn daemon(before: &str) -> Daemon {
    Daemon::start_in(folder_with_certificates(), &format!("{before}{LISTENERS}"), |_| {})
}

/// The one report in `bytes`.
fn report(bytes: &[u8]) -> Value {
    assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
    serde_json::from_slice(bytes).unwrap()
}

/// Ends the side of `stream`, and reads to the end of the other.
fn last_words(stream: &mut TcpStream) -> Vec<u8> {
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(stream)
}

#[test]
fn a_peer_that_ends_its_side_gets_one_report_and_the_end() {
    let daemon = daemon("");
    let mut stream = daemon.connect("report");
    let local = stream.local_addr().unwrap();
    stream.write_all(b"hello").unwrap();
    stream.write_all(&vec![0; 100_000]).unwrap();
    let report = report(&last_words(&mut stream));
    assert_eq!((&report["type"], &report["listener"]), (&"report".into(), &"report".into()));
    assert_eq!(report["peer"]["address"], "127.0.0.1");
    assert_eq!(report["peer"]["port"], local.port());
    assert_eq!(report["local"]["port"], daemon.address("report").port());
    assert_eq!(report["reason"], "peer-done");
    assert_eq!(report["received"]["bytes"], 100_005);
    let chunks = report["chunks"].as_array().unwrap();
    let bytes: u64 = chunks.iter().map(|chunk| chunk["bytes"].as_u64().unwrap()).sum();
    assert_eq!((bytes, &report["chunks_left_out"]), (100_005, &0.into()));
    let times: Vec<f64> = chunks.iter().map(|it| it["seconds"].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && times.last() <= report["seconds"].as_f64().as_ref(), "{times:?}");
    assert_eq!(report["tls"], Value::Null);

    let line = daemon.session_line(local);
    assert_eq!((field(&line, "in"), field(&line, "reason")), ("100005", "peer-done"), "{line}");
    daemon.statistics();
    let sum = daemon.wait_for_line(|line| line.contains("statistics listener=report "));
    assert_eq!(field(&sum, "reports"), "1", "{sum}");
}

#[test]
fn a_report_has_what_the_kernel_knows_of_the_connection() {
    let daemon = daemon("[log]\nlevel = \"debug\"\n");
    let mut stream = daemon.connect("report");
    stream.write_all(b"hello").unwrap();
    let report = report(&last_words(&mut stream));
    if daemon.seen().iter().any(|line| line.contains(" the kernel tells nothing ")) {
        assert_eq!(report["tcp"], Value::Null);
        return;
    }
    let tcp = &report["tcp"];
    // TCP counts the FIN too.
    assert_eq!(tcp["bytes_received"], 6, "{tcp}");
    for key in ["rtt_us", "send_mss", "advertised_mss", "path_mtu", "congestion_window"] {
        assert!(tcp[key].as_u64().unwrap() > 0, "{key}: {tcp}");
    }
    assert_eq!(tcp["retransmits"], 0, "{tcp}");
    assert!(tcp["congestion_control"].is_string(), "{tcp}");
}

#[test]
fn a_peer_that_asks_for_it_gets_a_report_every_second() {
    let daemon = daemon("");
    let mut stream = daemon.connect("report");
    stream.write_all(b"every second\n").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut next = || report(format!("{}\n", lines.next().unwrap().unwrap()).as_bytes());
    let reports = [next(), next(), next()];
    let seconds = reports.each_ref().map(|it| it["seconds"].as_f64().unwrap());
    assert!(seconds[1] >= seconds[0] + 1.0 && seconds[2] >= seconds[1] + 1.0, "{seconds:?}");
    stream.write_all(b"more").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // One more may have been due before that.
    let mut last = next();
    while last["reason"] == Value::Null {
        last = next();
    }
    assert_eq!((&last["reason"], &last["received"]["bytes"]), (&"peer-done".into(), &17.into()));
    assert!(lines.next().is_none());
}

#[test]
fn a_session_that_the_daemon_ends_gets_its_report_too() {
    let mut daemon = daemon("[limits]\nidle-timeout = \"300ms\"\n");
    let mut idle = daemon.connect("report");
    assert_eq!(report(&read_to_end(&mut idle))["reason"], "idle-timeout");
    daemon.rewrite_config(LISTENERS);
    daemon.reload();
    let mut stopped = daemon.connect("report");
    stopped.write_all(b"x").unwrap();
    let reader = std::thread::spawn(move || read_to_end(&mut stopped));
    daemon.stop();
    let report = report(&reader.join().unwrap());
    assert_eq!((&report["reason"], &report["received"]["bytes"]), (&"stopping".into(), &1.into()));
}

#[test]
fn a_report_over_tls_has_what_was_offered_and_what_was_agreed() {
    let daemon = daemon("");
    let mut tls = TlsClient::default().connect(&daemon);
    tls.write_all(b"hello").unwrap();
    tls.conn.send_close_notify();
    let report = report(&read_to_end(&mut tls));
    let agreed = &report["tls"];
    assert_eq!(report["received"]["bytes"], 5);
    assert_eq!((&agreed["version"], &agreed["resumed"]), (&"1.3".into(), &false.into()));
    let line = daemon.session_line(tls.sock.local_addr().unwrap());
    assert_eq!(field(&line, "cipher"), agreed["cipher_suite"].as_str().unwrap());
    assert_eq!(agreed["sni"], "localhost");
    assert_eq!(agreed["client_certificate"], Value::Null);
    assert_eq!(agreed["client_hello_sha256"].as_str().map(str::len), Some(64));
    assert!(!agreed["signature_schemes_offered"].as_array().unwrap().is_empty());
    assert!(agreed["alpn_offered"].as_array().unwrap().is_empty());
}

#[test]
fn the_hash_is_that_of_the_client_hello_as_it_was_sent() {
    let daemon = daemon("");
    let mut config = (*TlsClient::default().config(daemon.folder.path())).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"\x1b]0;\"\x07".to_vec()];
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let hello = flight(&mut connection);
    let mut stream = daemon.connect("tls");
    // In two segments, the first with the beginning of the header alone.
    stream.set_nodelay(true).unwrap();
    stream.write_all(&hello[..3]).unwrap();
    stream.write_all(&hello[3..]).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    tls.conn.complete_io(&mut tls.sock).unwrap();
    tls.conn.send_close_notify();
    let report = report(&read_to_end(&mut tls));
    let digest = ring::digest::digest(&ring::digest::SHA256, &hello[5..]);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(report["tls"]["client_hello_sha256"], pairs.concat());
    let offered = serde_json::json!(["http/1.1", "\\u{1b}]0;\"\\u{7}"]);
    assert_eq!(report["tls"]["alpn_offered"], offered);
}

#[test]
fn nc_gets_a_report() {
    let daemon = daemon("");
    let Some(mut nc) = tool("nc") else { return };
    let port = daemon.address("report").port().to_string();
    nc.args(["-N", "127.0.0.1", &port]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = nc.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(report(&output.stdout)["received"]["bytes"], 5);
}
