//! A report listener that is not the daemon's: it reports what it is told to. What the client found.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::Daemon;
use super::client::{port, run, stderr};

/// A plain report listener: its port. Each session is read to its end, and answered with what `answer` makes
/// of an honest report of it.
pub fn reporter(answer: impl Fn(Value) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port(listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // The client may end before it has all of the answer.
            let _ = report(&stream.unwrap(), &answer);
        }
    });
    number
}

/// Answers with a report that `change` has changed.
pub fn lying(change: impl Fn(&mut Value) + Send + 'static) -> String {
    reporter(move |mut report| {
        change(&mut report);
        format!("{report}\n").into_bytes()
    })
}

fn report(mut stream: &TcpStream, answer: impl Fn(Value) -> Vec<u8>) -> std::io::Result<()> {
    let (accepted, start) = (SystemTime::now(), Instant::now());
    let (mut chunks, mut bytes, mut buffer) = (Vec::new(), 0, [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        bytes += count;
        chunks.push(json!({ "seconds": start.elapsed().as_secs_f64(), "bytes": count }));
    }
    let end = |address: std::net::SocketAddr| json!({ "address": address.ip().to_string(), "port": address.port() });
    let report = json!({
        "type": "report",
        "listener": "report",
        "peer": end(stream.peer_addr()?),
        "local": end(stream.local_addr()?),
        "accepted": humantime::format_rfc3339_micros(accepted).to_string(),
        "seconds": start.elapsed().as_secs_f64(),
        "received": {
            "bytes": bytes,
            "chunks": chunks.len(),
            "first_seconds": chunks.first().map(|it| it["seconds"].clone()),
            "last_seconds": chunks.last().map(|it| it["seconds"].clone()),
        },
        "chunks": chunks,
        "chunks_left_out": 0,
        "tcp": null,
        "tls": null,
    });
    stream.write_all(&answer(report))
}

/// Compares with the echo listener "plain" of a daemon and the report listener at this port.
pub fn both(echo: &Daemon, report_port: &str, options: &[&str]) -> Output {
    let echo_port = port(echo.address("plain"));
    let common = ["both", "-q", "-c3", "--report-port", report_port];
    run(&[&common[..], options, &["127.0.0.1", &echo_port]].concat(), b"")
}

/// What `both --json` has printed.
pub fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

/// What the differences are called.
pub fn differences(report: &Value) -> Vec<&str> {
    let all = report["differences"].as_array().unwrap();
    all.iter().map(|it| it["what"].as_str().unwrap()).collect()
}

/// The explanation of a difference.
pub fn explanation<'a>(report: &'a Value, what: &str) -> &'a str {
    let all = report["differences"].as_array().unwrap();
    let found = all.iter().find(|it| it["what"] == what);
    found.unwrap_or_else(|| panic!("{what}: {report:#}"))["explanation"].as_str().unwrap()
}
