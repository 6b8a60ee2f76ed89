//! Messages from `echo-alex-client bench`, and what they cost the server.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::workloads::Unit;
use crate::report::Figure;
use crate::servers::Server;
use crate::servers::Transport::{Plain, Tls, Udp};
use crate::subject::Subject;
use crate::{Result, machine};

/// Sessions that stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) sessions: usize,
    /// Bytes of a message.
    pub(super) size: usize,
    /// Messages on their way in each session.
    pub(super) depth: usize,
}

/// The client, for so long.
pub(super) fn client(
    subject: Subject,
    server: &Server,
    Load { sessions, size, depth }: Load,
    time: Duration,
) -> Command {
    // A datagram that is lost holds its place for so long.
    let patience = if subject.kind.transport == Udp { "0.05" } else { "30" };
    let mut command = Command::new(subject.programs.product.join("echo-alex-client"));
    command
        .args(["bench", "--json", "--quiet", "--timeout", patience])
        .args(["--connections", &sessions.to_string()])
        .args(["--size", &size.to_string(), "--depth", &depth.to_string()])
        .args(["--duration", &time.as_secs_f64().to_string()]);
    match subject.kind.transport {
        Plain => {}
        Tls => {
            let certificate = &subject.identity.certificate;
            command.args(["--tls", "--name", "localhost", "--ca"]).arg(certificate);
        }
        Udp => {
            command.arg("--udp");
        }
    }
    command.args(["127.0.0.1", &server.port.to_string()]);
    command
}

/// The part of the output of `echo-alex-client bench --json` that is used here.
#[derive(Deserialize)]
struct BenchReport {
    duration_s: f64,
    messages: u64,
    bytes_each_way: u64,
    latency: Latency,
}

#[derive(Deserialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
}

/// Processor times at one time.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    server: Duration,
    load: Duration,
}

/// Runs the client, and samples the processor times meanwhile. Connecting, handshakes and closing are
/// not counted: the cost is that of a window within the time that the client measured.
pub(super) fn run(
    subject: Subject,
    server: &Server,
    load: Load,
    time: Duration,
    unit: Unit,
) -> Result<Figure> {
    let mut command = client(subject, server, load, time);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(client.stdout.take().ok_or("no output")?);
    let mut errors = client.stderr.take().ok_or("no errors")?;
    let (pid, over) = (client.id(), AtomicBool::new(false));
    let (samples, text, end) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut samples = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let load = machine::processor_time([pid].into_iter());
                samples.push(Sample { at: Instant::now(), server: server.processor_time(), load });
                thread::sleep(Duration::from_millis(20));
            }
            samples
        });
        let mut text = String::new();
        // The client prints a line each second, and its report as soon as the measurement is over. It
        // may end later.
        let read = loop {
            text.clear();
            match output.read_line(&mut text) {
                Ok(1..) if text.contains("\"mode\":\"interval\"") => {}
                read => break read,
            }
        };
        let end = Instant::now();
        over.store(true, Ordering::Relaxed);
        let samples = watcher.join().unwrap_or_default();
        read.map(|_| (samples, text, end))
    })?;
    let mut reason = String::new();
    errors.read_to_string(&mut reason)?;
    if !client.wait()?.success() {
        return Err(format!("the client: {}", reason.trim()).into());
    }
    let report: BenchReport = serde_json::from_str(&text)?;
    let (first, last) = window(&samples, end, report.duration_s).ok_or("too short a run")?;
    let elapsed = (last.at - first.at).as_secs_f64();
    let server_busy = (last.server.saturating_sub(first.server)).as_secs_f64() / elapsed;
    if server_busy == 0.0 {
        return Err("the server had less time than the kernel's clock shows".into());
    }
    // In the end the client waits for datagrams that are lost, and the server has nothing to do.
    let active = if subject.kind.transport == Udp { time.as_secs_f64() } else { report.duration_s };
    let units = match unit {
        Unit::Kibibyte => report.bytes_each_way as f64 / 1024.0,
        Unit::Message | Unit::Connection | Unit::RoundTrip => report.messages as f64,
    };
    let rate = units / active;
    Ok(Figure {
        cost_ns: server_busy / rate * 1e9,
        rate,
        server_busy,
        load_busy: last.load.saturating_sub(first.load).as_secs_f64() / elapsed,
        resumed: None,
        p50_ms: Some(report.latency.p50_ms),
        p99_ms: Some(report.latency.p99_ms),
    })
}

/// The first and the last sample within the measurement, which was over a little before `end`, because
/// closing many sessions takes time.
fn window(samples: &[Sample], end: Instant, duration: f64) -> Option<(Sample, Sample)> {
    let before_end = |share: f64| end.checked_sub(Duration::from_secs_f64(duration * share));
    let (from, to) = (before_end(0.9)?, before_end(0.15)?);
    let mut within = samples.iter().filter(|sample| sample.at >= from && sample.at <= to);
    Some((*within.next()?, *within.next_back()?))
}
