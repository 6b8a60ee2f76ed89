//! The work that the servers do, and how one run of it is measured.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::clients::Handshake::{self, Full, Resumed};
use crate::clients::{self, Dialler};
use crate::identity::KeyType::{self, Ecdsa, Rsa};
use crate::report::Figure;
use crate::servers::Server;
use crate::subject::Subject;
use crate::{Result, machine};

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) tls: bool,
    pub(crate) key: KeyType,
    load: Load,
    /// Whether servers of the system (nginx, socat) take part.
    pub(crate) extras: bool,
}

#[derive(Clone, Copy, Debug)]
enum Load {
    /// Sessions that stay, with `depth` messages on their way in each.
    Messages { sessions: usize, size: usize, depth: usize },
    /// Sessions that come and go, so many at once.
    Churn { handshake: Handshake, at_once: usize },
    /// Round trips of short messages, one after the other, beside so many streams.
    Ping { streams: usize },
}

/// What the cost is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Message,
    Kibibyte,
    Connection,
    /// Not a processor time: the 99th percentile of the time that it takes.
    RoundTrip,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Kibibyte => "KiB",
            Self::Connection => "connection",
            Self::RoundTrip => "round trip (p99)",
        }
    }
}

const fn messages(
    name: &'static str,
    title: &'static str,
    tls: bool,
    (sessions, size, depth): (usize, usize, usize),
) -> Workload {
    // socat is left out with many sessions: it has a process for each, and the kernel rounds the time
    // of a process down.
    let extras = matches!((sessions, size, tls), (100, 64, true) | (1, 16_384, _));
    let load = Load::Messages { sessions, size, depth };
    Workload { name, title, tls, key: Ecdsa, load, extras }
}

const fn churn(
    name: &'static str,
    title: &'static str,
    tls: bool,
    key: KeyType,
    handshake: Handshake,
) -> Workload {
    let extras = matches!(key, Ecdsa);
    Workload { name, title, tls, key, load: Load::Churn { handshake, at_once: 1 }, extras }
}

const fn churn_at_once(
    name: &'static str,
    title: &'static str,
    handshake: Handshake,
    at_once: usize,
) -> Workload {
    let load = Load::Churn { handshake, at_once };
    Workload { name, title, tls: true, key: Ecdsa, load, extras: false }
}

const fn ping(name: &'static str, title: &'static str, streams: usize) -> Workload {
    Workload { name, title, tls: false, key: Ecdsa, load: Load::Ping { streams }, extras: false }
}

/// All workloads. A stream has a mebibyte on its way, more than the sockets hold, so both directions
/// stay full.
pub(crate) const ALL: [Workload; 23] = [
    messages("plain/1x64", "1 session", false, (1, 64, 1)),
    messages("plain/100x64", "100 sessions", false, (100, 64, 1)),
    messages("plain/1000x64", "1,000 sessions", false, (1000, 64, 1)),
    messages("plain/10000x64", "10,000 sessions", false, (10_000, 64, 1)),
    messages("plain/100x4096", "100 sessions, 4 KiB", false, (100, 4096, 1)),
    messages("plain/stream-1", "1 stream", false, (1, 16_384, 64)),
    messages("plain/stream-10", "10 streams", false, (10, 16_384, 64)),
    messages("plain/stream-100", "100 streams", false, (100, 16_384, 64)),
    ping("plain/ping-10", "ping beside 10 streams", 10),
    ping("plain/ping-100", "ping beside 100 streams", 100),
    churn("plain/connect", "connect, echo, close", false, Ecdsa, Full),
    messages("tls/1x64", "1 session", true, (1, 64, 1)),
    messages("tls/100x64", "100 sessions", true, (100, 64, 1)),
    messages("tls/1000x64", "1,000 sessions", true, (1000, 64, 1)),
    messages("tls/100x4096", "100 sessions, 4 KiB", true, (100, 4096, 1)),
    messages("tls/stream-1", "1 stream", true, (1, 16_384, 64)),
    messages("tls/stream-10", "10 streams", true, (10, 16_384, 64)),
    churn("tls/full-ecdsa", "full handshake, ECDSA", true, Ecdsa, Full),
    churn("tls/resumed-ecdsa", "resumed, ECDSA", true, Ecdsa, Resumed),
    churn_at_once("tls/full-16", "16 full at once", Full, 16),
    churn_at_once("tls/resumed-16", "16 resumed at once", Resumed, 16),
    churn("tls/full-rsa", "full handshake, RSA", true, Rsa, Full),
    churn("tls/resumed-rsa", "resumed, RSA", true, Rsa, Resumed),
];

impl Workload {
    pub(crate) fn unit(&self) -> Unit {
        match self.load {
            Load::Messages { depth: 1, .. } => Unit::Message,
            Load::Messages { .. } => Unit::Kibibyte,
            Load::Churn { .. } => Unit::Connection,
            Load::Ping { .. } => Unit::RoundTrip,
        }
    }

    /// The sessions that it has at once.
    pub(crate) fn sessions(&self) -> usize {
        match self.load {
            Load::Messages { sessions, .. } => sessions,
            Load::Churn { at_once, .. } => at_once,
            Load::Ping { streams } => streams + 1,
        }
    }

    /// Starts the server and runs the workload once.
    pub(crate) fn run(&self, subject: Subject, time: Duration) -> Result<Figure> {
        match self.load {
            Load::Messages { sessions, size, depth } => {
                let (server, _) = subject.start(&[], Full)?;
                let client = self.client(subject, &server, (sessions, size, depth), time);
                messages_run(client, &server, self.unit())
            }
            Load::Churn { handshake, at_once } => {
                let (server, dialler) = subject.start(&[], handshake)?;
                churn_run(&server, &dialler, at_once, time)
            }
            Load::Ping { streams } => {
                let (server, dialler) = subject.start(&[], Full)?;
                let client = self.client(subject, &server, (streams, 16_384, 64), time);
                ping_run(client, &server, &dialler)
            }
        }
    }

    /// The client, with so many sessions, bytes a message, and messages on their way in each.
    fn client(
        &self,
        subject: Subject,
        server: &Server,
        (sessions, size, depth): (usize, usize, usize),
        time: Duration,
    ) -> Command {
        let mut command = Command::new(subject.programs.product.join("echo-alex-client"));
        command
            .args(["bench", "--json", "--quiet", "--timeout", "30"])
            .args(["--connections", &sessions.to_string()])
            .args(["--size", &size.to_string(), "--depth", &depth.to_string()])
            .args(["--duration", &time.as_secs_f64().to_string()]);
        if self.tls {
            command
                .args(["--tls", "--name", "localhost", "--ca"])
                .arg(&subject.identity.certificate);
        }
        command.args(["127.0.0.1", &server.port.to_string()]);
        command
    }
}

/// Runs the client with its streams, and meanwhile sends a short message now and then, as soon as the
/// streams are full.
fn ping_run(mut command: Command, server: &Server, dialler: &Dialler) -> Result<Figure> {
    const PAUSE: Duration = Duration::from_millis(5);
    const FILLED: Duration = Duration::from_millis(200);

    let mut ping = dialler.dial()?;
    let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    thread::sleep(FILLED);
    let (start, before) = (Instant::now(), server.processor_time());
    let mut times = Vec::new();
    machine::ahead_of_the_load(|| -> Result<()> {
        while client.try_wait()?.is_none() {
            let sent = Instant::now();
            ping.echo(&[7; 64])?;
            times.push(sent.elapsed().as_secs_f64() * 1e3);
            thread::sleep(PAUSE);
        }
        Ok(())
    })?;
    // The last ones had the machine for themselves.
    times.truncate(times.len().saturating_sub(5));
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    let p99_ms = at(99).ok_or("too short for a ping")?;
    let elapsed = start.elapsed().as_secs_f64();
    Ok(Figure {
        cost_ns: p99_ms * 1e6,
        rate: times.len() as f64 / elapsed,
        server_busy: server.processor_time().saturating_sub(before).as_secs_f64() / elapsed,
        load_busy: 0.0,
        resumed: None,
        p50_ms: at(50),
        p99_ms: Some(p99_ms),
    })
}

fn churn_run(server: &Server, dialler: &Dialler, at_once: usize, time: Duration) -> Result<Figure> {
    // The server is a child of this process.
    let both = || machine::processor_time([std::process::id()].into_iter());
    // The first connection has no session to resume.
    let mut first = dialler.dial()?;
    first.echo(b"1")?;
    first.close()?;
    let (start, server_before, both_before) = (Instant::now(), server.processor_time(), both());
    let done = clients::churn(dialler, at_once, time)?;
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

/// The part of the output of `echo-alex-client bench --json` that is used here.
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

/// Processor times at one time.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    server: Duration,
    load: Duration,
}

/// Runs the client, and samples the processor times meanwhile. Connecting, handshakes and closing are
/// not counted: the cost is that of a window within the time that the client measured.
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
    let rate = match unit {
        Unit::Kibibyte => report.bytes_each_way as f64 / 1024.0 / report.duration_s,
        Unit::Message | Unit::Connection | Unit::RoundTrip => report.messages_per_s,
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

/// The first and the last sample within the measurement, which was over a little before `end`, because
/// closing many sessions takes time.
fn window(samples: &[Sample], end: Instant, duration: f64) -> Option<(Sample, Sample)> {
    let before_end = |share: f64| end.checked_sub(Duration::from_secs_f64(duration * share));
    let (from, to) = (before_end(0.9)?, before_end(0.15)?);
    let mut within = samples.iter().filter(|sample| sample.at >= from && sample.at <= to);
    Some((*within.next()?, *within.next_back()?))
}
