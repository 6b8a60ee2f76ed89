//! The work that the servers do, and how one run of it is measured.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bench;
use crate::clients::Handshake::{self, Full, Resumed};
use crate::clients::{self, Dialler};
use crate::identity::KeyType::{self, Ecdsa, Rsa};
use crate::report::Figure;
use crate::servers::Server;
use crate::servers::Transport::{self, Plain, Tls, Udp};
use crate::subject::Subject;
use crate::{Result, machine};

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) transport: Transport,
    pub(crate) key: KeyType,
    load: Load,
    /// Whether servers of the system (nginx, socat) take part.
    pub(crate) extras: bool,
}

#[derive(Clone, Copy, Debug)]
enum Load {
    Messages(bench::Load),
    /// Sessions that come and go, so many at once.
    Churn {
        handshake: Handshake,
        at_once: usize,
    },
    /// Round trips of short messages, one after the other, beside so many streams.
    Ping {
        streams: usize,
    },
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
    transport: Transport,
    (sessions, size, depth): (usize, usize, usize),
) -> Workload {
    // socat is left out with many sessions: it has a process for each, and the kernel rounds the time
    // of a process down.
    let extras = matches!((sessions, size, transport), (100, 64, Tls) | (1, 16_384, _));
    let load = Load::Messages(bench::Load { sessions, size, depth });
    Workload { name, title, transport, key: Ecdsa, load, extras }
}

const fn churn(
    name: &'static str,
    title: &'static str,
    transport: Transport,
    key: KeyType,
    handshake: Handshake,
) -> Workload {
    let extras = matches!(key, Ecdsa);
    Workload { name, title, transport, key, load: Load::Churn { handshake, at_once: 1 }, extras }
}

const fn churn_at_once(
    name: &'static str,
    title: &'static str,
    handshake: Handshake,
    at_once: usize,
) -> Workload {
    let load = Load::Churn { handshake, at_once };
    Workload { name, title, transport: Tls, key: Ecdsa, load, extras: false }
}

const fn ping(name: &'static str, title: &'static str, streams: usize) -> Workload {
    let load = Load::Ping { streams };
    Workload { name, title, transport: Plain, key: Ecdsa, load, extras: false }
}

/// All workloads. A stream has a mebibyte on its way, more than the sockets hold, so both directions
/// stay full.
pub(crate) const ALL: [Workload; 26] = [
    messages("plain/1x64", "1 session", Plain, (1, 64, 1)),
    messages("plain/100x64", "100 sessions", Plain, (100, 64, 1)),
    messages("plain/1000x64", "1,000 sessions", Plain, (1000, 64, 1)),
    messages("plain/10000x64", "10,000 sessions", Plain, (10_000, 64, 1)),
    messages("plain/100x4096", "100 sessions, 4 KiB", Plain, (100, 4096, 1)),
    messages("plain/stream-1", "1 stream", Plain, (1, 16_384, 64)),
    messages("plain/stream-10", "10 streams", Plain, (10, 16_384, 64)),
    messages("plain/stream-100", "100 streams", Plain, (100, 16_384, 64)),
    ping("plain/ping-10", "ping beside 10 streams", 10),
    ping("plain/ping-100", "ping beside 100 streams", 100),
    churn("plain/connect", "connect, echo, close", Plain, Ecdsa, Full),
    messages("tls/1x64", "1 session", Tls, (1, 64, 1)),
    messages("tls/100x64", "100 sessions", Tls, (100, 64, 1)),
    messages("tls/1000x64", "1,000 sessions", Tls, (1000, 64, 1)),
    messages("tls/100x4096", "100 sessions, 4 KiB", Tls, (100, 4096, 1)),
    messages("tls/stream-1", "1 stream", Tls, (1, 16_384, 64)),
    messages("tls/stream-10", "10 streams", Tls, (10, 16_384, 64)),
    churn("tls/full-ecdsa", "full handshake, ECDSA", Tls, Ecdsa, Full),
    churn("tls/resumed-ecdsa", "resumed, ECDSA", Tls, Ecdsa, Resumed),
    churn_at_once("tls/full-16", "16 full at once", Full, 16),
    churn_at_once("tls/resumed-16", "16 resumed at once", Resumed, 16),
    churn("tls/full-rsa", "full handshake, RSA", Tls, Rsa, Full),
    churn("tls/resumed-rsa", "resumed, RSA", Tls, Rsa, Resumed),
    messages("udp/1x64", "1 source", Udp, (1, 64, 1)),
    messages("udp/100x64", "100 sources", Udp, (100, 64, 1)),
    messages("udp/100x1400", "100 sources, 1,400 bytes", Udp, (100, 1400, 1)),
];

impl Workload {
    pub(crate) fn unit(&self) -> Unit {
        match self.load {
            Load::Messages(bench::Load { depth: 1, .. }) => Unit::Message,
            Load::Messages(_) => Unit::Kibibyte,
            Load::Churn { .. } => Unit::Connection,
            Load::Ping { .. } => Unit::RoundTrip,
        }
    }

    /// The sessions that it has at once.
    pub(crate) fn sessions(&self) -> usize {
        match self.load {
            Load::Messages(bench::Load { sessions, .. }) => sessions,
            Load::Churn { at_once, .. } => at_once,
            Load::Ping { streams } => streams + 1,
        }
    }

    /// Starts the server and runs the workload once.
    pub(crate) fn run(&self, subject: Subject, time: Duration) -> Result<Figure> {
        match self.load {
            Load::Messages(load) => {
                let (server, _) = subject.start(&[], Full)?;
                bench::run(subject, &server, load, time, self.unit())
            }
            Load::Churn { handshake, at_once } => {
                let (server, dialler) = subject.start(&[], handshake)?;
                churn_run(&server, &dialler, at_once, time)
            }
            Load::Ping { streams } => {
                let (server, dialler) = subject.start(&[], Full)?;
                let load = bench::Load { sessions: streams, size: 16_384, depth: 64 };
                ping_run(bench::client(subject, &server, load, time), &server, &dialler)
            }
        }
    }
}

/// Runs the client with its streams, and meanwhile sends a short message now and then, as soon as the
/// streams are full.
fn ping_run(mut client: Command, server: &Server, dialler: &Dialler) -> Result<Figure> {
    const PAUSE: Duration = Duration::from_millis(5);
    const FILLED: Duration = Duration::from_millis(200);

    let mut ping = dialler.dial()?;
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
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
