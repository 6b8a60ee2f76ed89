//! Ping: one echo after the other, timed.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Client;
use crate::client::cli::Ping;
use crate::client::dial::{Came, Connection};
use crate::client::expect::Expected;
use crate::client::latency::{Latencies, Summary};
use crate::client::stop::{Failed, Stop};

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

/// How much of a message is sent at once, in bytes. A message may be longer than the socket buffers of
/// both sides.
const PIECE: usize = 64 * 1024;

/// Pings until the count is reached, or Ctrl-C; then comes the summary, also where the last one
/// failed.
pub fn run(client: &mut Client, connection: Connection, ping: &Ping) -> Result<(), Stop> {
    let start = Instant::now();
    let address = connection.address;
    let mut times = Times::default();
    let outcome = times.collect(client, connection, ping);
    if client.options.json {
        let some = |latencies: &Latencies| (latencies.count() > 0).then(|| latencies.summary());
        let host = client.dialler.host.clone();
        client.print_json(&Report {
            mode: "ping",
            host: &host,
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
        client.print(&times.summary(&client.dialler.host, start.elapsed()));
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
    ) -> Result<(), Stop> {
        while ping.count.is_none_or(|count| self.sent < count) {
            let due = Instant::now() + ping.interval;
            if ping.reconnect && self.sent > 0 {
                connection = client.dial()?;
            }
            self.sent += 1;
            let time = echo(client, &mut connection, self.sent, ping.size)?;
            self.round_trips.record(time);
            if ping.reconnect {
                self.connects.record(connection.connect_time);
                if let Some(time) = connection.handshake_time {
                    self.handshakes.record(time);
                }
                connection.goodbye(&mut client.buffers);
            }
            if !client.options.json && !client.options.quiet {
                let phases = if ping.reconnect { phases(&connection) } else { String::new() };
                client.print(&format!(
                    "{} bytes from {}: seq={} {phases}time={}",
                    ping.size,
                    client.dialler.host,
                    self.sent,
                    milliseconds(time)
                ));
                client.flush()?;
            }
            while ping.count != Some(self.sent) && Instant::now() < due {
                client.waiter.wait(Some(due))?;
            }
        }
        if !ping.reconnect {
            connection.goodbye(&mut client.buffers);
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
) -> Result<Duration, Stop> {
    let message = message(seq, size);
    let mut expected = Expected::default();
    // What has arrived already is not an echo of this message.
    take(client, connection, &mut expected, size)?;
    let start = Instant::now();
    let end = start + client.options.timeout;
    let mut rest = message.as_slice();
    loop {
        connection.flush()?;
        if connection.is_flushed() && !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(PIECE));
            connection.send(piece, &mut client.buffers)?;
            expected.sent(piece);
            rest = behind;
        }
        if let Some(moment) = take(client, connection, &mut expected, size)?
            && rest.is_empty()
        {
            return Ok(moment - start);
        }
        if !connection.is_flushed() || rest.is_empty() {
            if Instant::now() >= end {
                return Err(Failed::TimedOut("echo").into());
            }
            client.waiter.wait(Some(end))?;
        }
    }
}

/// Reads and checks what has arrived; returns when the last missing byte came.
fn take(
    client: &mut Client,
    connection: &mut Connection,
    expected: &mut Expected,
    size: usize,
) -> Result<Option<Instant>, Stop> {
    let mut complete = None;
    loop {
        match connection.read(&mut client.buffers)? {
            Came::Bytes(bytes) => {
                expected.came(bytes)?;
                if expected.missing() == 0 && !bytes.is_empty() {
                    complete = Some(Instant::now());
                }
            }
            // The echo is whole; the next message finds the end.
            Came::End(_) if complete.is_some() => return Ok(complete),
            Came::End(_) => {
                return Err(crate::client::failed(format!(
                    "the server closed the connection: of {size} bytes, {} came back",
                    expected.returned()
                )));
            }
            Came::Nothing => return Ok(complete),
        }
    }
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
