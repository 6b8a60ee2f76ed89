//! `ping`: one echo after the other, timed.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::cli::Ping;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::echo::echo;
use crate::client::error::Error;
use crate::client::latency::{Latencies, Summary};

/// What `ping --json` prints.
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

/// Pings until the count is reached, or until Ctrl-C. The summary follows, even if the last ping failed.
pub fn run(client: &mut Client, connection: Connection, ping: &Ping) -> Result<(), Error> {
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

/// The results so far.
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
    ) -> Result<(), Error> {
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

    #[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
    fn loss(&self) -> f64 {
        100.0 * (self.sent - self.round_trips.count()) as f64 / self.sent.max(1) as f64
    }

    /// The statistics in the format of ping(8).
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

/// How long it took to connect, and the handshake.
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
