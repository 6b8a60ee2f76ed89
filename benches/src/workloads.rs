//! What the servers have to do, and what one run of it costs them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clients::{self, Dialler, Handshake};
use crate::identity::{self, Identity};
use crate::servers::{Programs, Server};
use crate::{Result, machine};

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) tls: bool,
    pub(crate) key: identity::Kind,
    load: Load,
    /// Whether the programs of the system take part: they need not lose everywhere.
    pub(crate) extras: bool,
}

#[derive(Clone, Copy, Debug)]
enum Load {
    /// Sessions that stay, each with as many messages on their way.
    Messages { sessions: usize, size: usize, depth: usize },
    /// Sessions that come and go.
    Churn { handshake: Handshake },
}

/// What one of a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Message,
    Kibibyte,
    Connection,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Kibibyte => "KiB",
            Self::Connection => "connection",
        }
    }
}

const fn messages(
    name: &'static str,
    title: &'static str,
    tls: bool,
    (sessions, size, depth): (usize, usize, usize),
) -> Workload {
    // Not socat with many sessions: the kernel rounds the time of each of its processes down.
    let extras = matches!((sessions, size, tls), (100, 64, true) | (1, 16_384, _));
    let load = Load::Messages { sessions, size, depth };
    Workload { name, title, tls, key: identity::Kind::Ecdsa, load, extras }
}

const fn churn(
    name: &'static str,
    title: &'static str,
    tls: bool,
    key: identity::Kind,
    handshake: Handshake,
) -> Workload {
    let extras = matches!(key, identity::Kind::Ecdsa);
    Workload { name, title, tls, key, load: Load::Churn { handshake }, extras }
}

use Handshake::{Full, Resumed};
use identity::Kind::{Ecdsa, Rsa};

/// A mebibyte is on its way in each stream, more than the sockets hold: both directions stay full.
pub(crate) const ALL: [Workload; 18] = [
    messages("plain/1x64", "1 session", false, (1, 64, 1)),
    messages("plain/100x64", "100 sessions", false, (100, 64, 1)),
    messages("plain/1000x64", "1,000 sessions", false, (1000, 64, 1)),
    messages("plain/10000x64", "10,000 sessions", false, (10_000, 64, 1)),
    messages("plain/100x4096", "100 sessions, 4 KiB", false, (100, 4096, 1)),
    messages("plain/stream-1", "1 stream", false, (1, 16_384, 64)),
    messages("plain/stream-10", "10 streams", false, (10, 16_384, 64)),
    churn("plain/connect", "connect, echo, close", false, Ecdsa, Full),
    messages("tls/1x64", "1 session", true, (1, 64, 1)),
    messages("tls/100x64", "100 sessions", true, (100, 64, 1)),
    messages("tls/1000x64", "1,000 sessions", true, (1000, 64, 1)),
    messages("tls/100x4096", "100 sessions, 4 KiB", true, (100, 4096, 1)),
    messages("tls/stream-1", "1 stream", true, (1, 16_384, 64)),
    messages("tls/stream-10", "10 streams", true, (10, 16_384, 64)),
    churn("tls/full-ecdsa", "full handshake, ECDSA", true, Ecdsa, Full),
    churn("tls/resumed-ecdsa", "resumed, ECDSA", true, Ecdsa, Resumed),
    churn("tls/full-rsa", "full handshake, RSA", true, Rsa, Full),
    churn("tls/resumed-rsa", "resumed, RSA", true, Rsa, Resumed),
];

/// What one run told.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figure {
    /// The server's processor time for one unit, in nanoseconds.
    pub(crate) cost_ns: f64,
    /// Units in a second of the clock.
    pub(crate) rate: f64,
    /// How much of a core the server used.
    pub(crate) server_busy: f64,
    /// How much of a core the load used. Near 1, the load held the server up.
    pub(crate) load_busy: f64,
    /// Of the handshakes, those that resumed a session.
    pub(crate) resumed: Option<f64>,
    /// From sending a message until it is back.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

impl Workload {
    pub(crate) fn unit(&self) -> Unit {
        match self.load {
            Load::Messages { depth: 1, .. } => Unit::Message,
            Load::Messages { .. } => Unit::Kibibyte,
            Load::Churn { .. } => Unit::Connection,
        }
    }

    /// Descriptors that a process needs for it.
    pub(crate) fn sessions(&self) -> usize {
        match self.load {
            Load::Messages { sessions, .. } => sessions,
            Load::Churn { .. } => 1,
        }
    }

    /// Runs it once.
    pub(crate) fn run(
        &self,
        programs: &Programs,
        server: &Server,
        identity: &Identity,
        time: Duration,
    ) -> Result<Figure> {
        let identity = Some(identity).filter(|_| self.tls);
        match self.load {
            Load::Messages { sessions, size, depth } => {
                let mut command = Command::new(programs.product.join("echo-alex-client"));
                command
                    .args(["--bench", "--json", "--quiet", "--timeout", "30"])
                    .args(["--connections", &sessions.to_string()])
                    .args(["--size", &size.to_string(), "--depth", &depth.to_string()])
                    .args(["--duration", &time.as_secs_f64().to_string()]);
                if let Some(identity) = identity {
                    command
                        .args(["--tls", "--name", "localhost", "--ca"])
                        .arg(&identity.certificate);
                }
                command.args(["127.0.0.1", &server.port.to_string()]);
                messages_run(command, server, self.unit())
            }
            Load::Churn { handshake } => {
                churn_run(server, &Dialler::new(server.port, identity, handshake)?, time)
            }
        }
    }
}

fn churn_run(server: &Server, dialler: &Dialler, time: Duration) -> Result<Figure> {
    // The server is a child of ours.
    let both = || machine::processor_time([std::process::id()].into_iter());
    // The first one has no session to resume.
    let mut first = dialler.dial()?;
    first.echo(b"1")?;
    first.close()?;
    let (start, server_before, both_before) = (Instant::now(), server.processor_time(), both());
    let done = clients::churn(dialler, time)?;
    let elapsed = start.elapsed().as_secs_f64();
    let cost = server.processor_time().saturating_sub(server_before).as_secs_f64();
    let load = both().saturating_sub(both_before).as_secs_f64() - cost;
    let connections = done.connections as f64;
    Ok(Figure {
        cost_ns: cost / connections * 1e9,
        rate: connections / elapsed,
        server_busy: cost / elapsed,
        load_busy: load / elapsed,
        resumed: Some(done.resumed as f64 / connections),
        p50_ms: None,
        p99_ms: None,
    })
}

/// What `echo-alex-client --bench --json` prints, as far as it is used here.
#[derive(Deserialize)]
struct BenchReport {
    duration_s: f64,
    messages_per_s: f64,
    bytes_each_way: u64,
    latency: Latency,
}

#[derive(Deserialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
}

/// Processor times at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    server: Duration,
    load: Duration,
}

/// Runs the client, and looks at the processor times meanwhile: connecting, shaking hands and
/// closing are no messages, so what counts is a window within the time that the client measured.
fn messages_run(mut command: Command, server: &Server, unit: Unit) -> Result<Figure> {
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
        // The report comes as soon as the measurement is over; the client's end may take longer.
        let read = output.read_line(&mut text);
        let end = Instant::now();
        over.store(true, Ordering::Relaxed);
        let samples = watcher.join().unwrap_or_default();
        read.and_then(|_| output.read_to_string(&mut text)).map(|_| (samples, text, end))
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
    let rate = match unit {
        Unit::Kibibyte => report.bytes_each_way as f64 / 1024.0 / report.duration_s,
        Unit::Message | Unit::Connection => report.messages_per_s,
    };
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

/// The first and the last sample that lie well within the measurement, which was over a little
/// before `end`: many sessions take a moment to close.
fn window(samples: &[Sample], end: Instant, duration: f64) -> Option<(Sample, Sample)> {
    let before_end = |share: f64| end.checked_sub(Duration::from_secs_f64(duration * share));
    let (from, to) = (before_end(0.9)?, before_end(0.15)?);
    let mut within = samples.iter().filter(|sample| sample.at >= from && sample.at <= to);
    Some((*within.next()?, *within.next_back()?))
}
