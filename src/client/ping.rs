//! Ping: one echo after the other, timed.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Client;
use super::arguments::Ping;
use super::dial::{Connection, Dialler, Failed};
use super::expect::Expected;
use super::latency::{Latencies, Summary};
use crate::exit::{Exit, Failure};
use crate::link::Reading;

/// `--ping --json`.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    address: String,
    tls: bool,
    size_bytes: usize,
    sent: u64,
    received: u64,
    loss_percent: f64,
    round_trip: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake: Option<Summary>,
}

/// Why an echo did not come.
pub(super) enum Missed {
    /// The server, the network, the certificate, or Ctrl-C.
    Failed(Failed),
    /// Anything that is in words already: it came, and was not what was sent.
    Told(Failure),
}

impl Missed {
    /// In words for the person who asked.
    pub(super) fn explain(self, dialler: &Dialler) -> Failure {
        match self {
            Self::Failed(failed) => dialler.explain(failed),
            Self::Told(failure) => failure,
        }
    }
}

impl<E: Into<Failed>> From<E> for Missed {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Pings until the count is reached, or Ctrl-C; then comes the summary, also where the last one
/// failed.
pub fn run(client: &mut Client, connection: Connection, ping: &Ping) -> Result<Exit, Failure> {
    let start = Instant::now();
    let address = connection.address;
    let mut times = Times::default();
    let outcome = match times.collect(client, connection, ping) {
        Ok(()) => Ok(Exit::Ok),
        Err(Missed::Failed(Failed::Interrupted)) => Ok(Exit::Interrupted),
        Err(missed) => Err(missed.explain(&client.dialler)),
    };
    if client.options.json {
        let some = |latencies: &Latencies| (latencies.count() > 0).then(|| latencies.summary());
        super::print_json(&Report {
            mode: "ping",
            host: &client.dialler.host,
            address: address.to_string(),
            tls: client.options.tls.is_some(),
            size_bytes: ping.size,
            sent: times.sent,
            received: times.round_trips.count(),
            loss_percent: times.loss(),
            round_trip: times.round_trips.summary(),
            connect: some(&times.connects),
            handshake: some(&times.handshakes),
        })?;
    } else {
        super::print(&times.summary(&client.dialler.host, start.elapsed()))?;
    }
    outcome
}

/// What pings have found.
#[derive(Default)]
struct Times {
    sent: u64,
    round_trips: Latencies,
    connects: Latencies,
    handshakes: Latencies,
}

impl Times {
    fn collect(
        &mut self,
        client: &mut Client,
        mut connection: Connection,
        ping: &Ping,
    ) -> Result<(), Missed> {
        while ping.count.is_none_or(|count| self.sent < count) {
            let due = Instant::now() + ping.interval;
            if ping.reconnect && self.sent > 0 {
                connection = client
                    .dialler
                    .dial(&mut client.waiter, &mut client.buffers)
                    .map_err(Missed::Told)?;
            }
            self.sent += 1;
            let time = echo(client, &mut connection, self.sent, ping.size)?;
            self.round_trips.record(time);
            if ping.reconnect {
                self.connects.record(connection.connect_time);
                if let Some(time) = connection.handshake_time {
                    self.handshakes.record(time);
                }
                connection.link.goodbye(&mut client.buffers);
            }
            if !client.options.json && !client.options.quiet {
                let phases = if ping.reconnect { phases(&connection) } else { String::new() };
                super::print(&format!(
                    "{} bytes from {}: seq={} {phases}time={}",
                    ping.size,
                    client.dialler.host,
                    self.sent,
                    milliseconds(time)
                ))
                .map_err(Missed::Told)?;
            }
            if ping.count != Some(self.sent) {
                sleep_until(due, client)?;
            }
        }
        if !ping.reconnect {
            connection.link.goodbye(&mut client.buffers);
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)] // Nobody pings 2^53 times.
    fn loss(&self) -> f64 {
        100.0 * (self.sent - self.round_trips.count()) as f64 / self.sent.max(1) as f64
    }

    /// As ping(8) has it.
    fn summary(&self, host: &str, time: Duration) -> String {
        let Summary { min_ms, avg_ms, max_ms, p99_ms, jitter_ms, .. } = self.round_trips.summary();
        let received = self.round_trips.count();
        let mut lines = vec![
            format!("--- {host} echo statistics ---"),
            format!(
                "{} sent, {received} received, {:.0}% loss, time {} ms",
                self.sent,
                self.loss(),
                time.as_millis()
            ),
        ];
        if received > 0 {
            lines.push(format!(
                "round trip min/avg/max/p99 = {min_ms:.3}/{avg_ms:.3}/{max_ms:.3}/{p99_ms:.3} ms, \
                 jitter {jitter_ms:.3} ms"
            ));
        }
        lines.join("\n")
    }
}

/// How long connecting took, and the handshake.
fn phases(connection: &Connection) -> String {
    let connect = milliseconds(connection.connect_time);
    match connection.handshake_time {
        Some(time) => format!("connect={connect} handshake={} ", milliseconds(time)),
        None => format!("connect={connect} "),
    }
}

/// "0.412 ms".
fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Sends one message and waits for all of it; says how long that took.
pub(super) fn echo(
    client: &mut Client,
    connection: &mut Connection,
    seq: u64,
    size: usize,
) -> Result<Duration, Missed> {
    let message = message(seq, size);
    let mut expected = Expected::default();
    expected.sent(&message);
    let start = Instant::now();
    let mut rest = message.as_slice();
    loop {
        connection.link.flush()?;
        // A message may be larger than what both kernels hold, so it goes out in pieces.
        if connection.link.is_flushed() && !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(64 * 1024));
            connection.link.send(piece, &mut client.buffers)?;
            rest = behind;
        }
        match connection.link.read(&mut client.buffers)? {
            Reading::Bytes(bytes) => {
                let came = connection.link.receive(bytes, &mut client.buffers, |_| &[])?;
                expected.came(came).map_err(|difference| {
                    Missed::Told(Failure::new(Exit::Failure, difference.to_string()))
                })?;
                if expected.missing() == 0 {
                    return Ok(start.elapsed());
                }
                if connection.link.transport().peer_done() {
                    return Err(cut_short(&expected, size));
                }
            }
            Reading::Ended => return Err(cut_short(&expected, size)),
            Reading::Nothing if connection.link.is_flushed() && !rest.is_empty() => {}
            Reading::Nothing => {
                let Some(left) = client.options.timeout.checked_sub(start.elapsed()) else {
                    return Err(Failed::TimedOut("echo").into());
                };
                client.waiter.wait(Some(left))?;
            }
        }
    }
}

fn cut_short(expected: &Expected, size: usize) -> Missed {
    Missed::Told(Failure::new(
        Exit::Failure,
        format!(
            "the server closed the connection: of {size} bytes, {} came back",
            expected.returned()
        ),
    ))
}

/// What a ping says: each another thing, so that a late echo of the last one is no echo of this;
/// and a line of text, because some servers echo nothing else.
fn message(seq: u64, size: usize) -> Vec<u8> {
    let text = format!("echo-alex ping {seq} ");
    let mut message: Vec<u8> = text.bytes().cycle().take(size).collect();
    if let Some(last) = message.last_mut() {
        *last = b'\n';
    }
    message
}

/// Waits for the next one's time.
fn sleep_until(due: Instant, client: &mut Client) -> Result<(), Failed> {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        client.waiter.wait(Some(left))?;
    }
}
