//! The report of a measurement, as text and as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::conditions::Conditions;
use crate::client::cli::{Bench, Options};
use crate::client::context::Client;
use crate::client::datagram_report::{DatagramReport, DatagramResults};
use crate::client::latency::Summary;
use crate::client::recorder::Recorder;
use crate::exit::Failure;
use crate::os::units;

/// How late the client may be without being the bottleneck, in milliseconds, whatever the latency.
const LATE_MS: f64 = 1.0;

/// What was measured.
pub(super) struct Results {
    pub(super) address: SocketAddr,
    pub(super) conditions: Conditions,
    pub(super) duration: Duration,
    /// The share of one processor that the client used.
    pub(super) client_load: f64,
    /// Messages of an open loop that were due and not sent.
    pub(super) not_sent: u64,
    /// Messages whose echo did not come in time.
    pub(super) not_returned: u64,
    /// With UDP.
    pub(super) datagrams: Option<DatagramResults>,
    pub(super) recorder: Recorder,
}

/// The last object that `bench --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    address: String,
    transport: &'static str,
    tls: bool,
    connections: usize,
    size_bytes: usize,
    depth: Option<usize>,
    rate_per_s: Option<u64>,
    duration_s: f64,
    messages: u64,
    messages_per_s: f64,
    bytes_each_way: u64,
    megabytes_per_s_each_way: f64,
    latency: Summary,
    late: Option<Summary>,
    not_sent: u64,
    not_returned: u64,
    valid: bool,
    #[serde(flatten)]
    conditions: &'a Conditions,
    client_load: f64,
    #[serde(flatten)]
    datagrams: Option<Losses>,
}

/// The keys that UDP adds.
#[derive(Serialize)]
struct Losses {
    sent: u64,
    lost: u64,
    loss_percent: f64,
    #[serde(flatten)]
    report: DatagramReport,
}

impl From<&DatagramResults> for Losses {
    fn from(results: &DatagramResults) -> Self {
        let (sent, lost) = (results.counts.sent, results.counts.lost);
        Self { sent, lost, loss_percent: results.loss_percent(), report: results.report() }
    }
}

impl Results {
    /// Why the figures say more about the client than about the server, if they do.
    pub(super) fn doubt(&self, bench: &Bench) -> Option<String> {
        bench.rate?;
        if self.not_sent > 0 {
            let count = self.not_sent;
            return Some(format!("the client was too slow to send {count} messages that were due"));
        }
        client_was_bottleneck(&self.recorder.late.summary(), &self.recorder.latencies.summary())
    }
}

/// Whether the client sent so late that the latencies say more about it than about the server.
pub(super) fn client_was_bottleneck(late: &Summary, latency: &Summary) -> Option<String> {
    let (late, latency) = (late.p99_ms, latency.p99_ms);
    (late > LATE_MS && late > latency / 4.0).then(|| {
        format!(
            "the client was the bottleneck: it sent {late:.3} ms late (p99), and the latency is \
             {latency:.3} ms (p99)"
        )
    })
}

/// "UDP", "TLS" or "plain".
pub(super) fn kind(options: &Options) -> &'static str {
    match options.tls {
        _ if options.udp => "UDP",
        Some(_) => "TLS",
        None => "plain",
    }
}

/// Prints the report.
#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
pub(super) fn print(client: &mut Client, bench: &Bench, results: &Results) -> Result<(), Failure> {
    let seconds = results.duration.as_secs_f64();
    let Recorder { latencies, bytes, late, .. } = &results.recorder;
    let (messages, latency) = (latencies.count(), latencies.summary());
    let host = client.options.host.clone();
    let tls = client.options.tls.is_some();
    let (per_second, megabytes) = (messages as f64 / seconds, *bytes as f64 / seconds / 1e6);
    if client.options.json {
        return client.print_json_line(&Report {
            mode: "bench",
            host: &host,
            address: results.address.to_string(),
            transport: client.options.transport(),
            tls,
            connections: bench.connections,
            size_bytes: bench.size,
            depth: bench.rate.is_none().then_some(bench.depth),
            rate_per_s: bench.rate,
            duration_s: seconds,
            messages,
            messages_per_s: per_second,
            bytes_each_way: *bytes,
            megabytes_per_s_each_way: megabytes,
            latency,
            late: bench.rate.map(|_| late.summary()),
            not_sent: results.not_sent,
            not_returned: results.not_returned,
            valid: results.doubt(bench).is_none(),
            conditions: &results.conditions,
            client_load: results.client_load,
            datagrams: results.datagrams.as_ref().map(Losses::from),
        });
    }
    let kind = kind(&client.options);
    let pace = match bench.rate {
        Some(rate) => format!("{rate} messages a second"),
        None => format!("depth {}", bench.depth),
    };
    let mut text = format!(
        "{host} ({}), {kind}: {} sessions, {} bytes, {pace}, {seconds:.1} s\n\
         messages  {messages}, {per_second:.0} a second, every byte checked\n\
         data      {} each way, {megabytes:.1} MB a second\n\
         latency   p50 {:.3} ms, p90 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3}\n",
        results.address,
        bench.connections,
        bench.size,
        units::bytes(*bytes),
        latency.p50_ms,
        latency.p90_ms,
        latency.p99_ms,
        latency.p999_ms,
        latency.max_ms,
    );
    if let Some(datagrams) = &results.datagrams {
        text += &datagram_lines(datagrams);
    }
    if bench.rate.is_some() {
        text += &open_loop(results, late.summary());
    }
    text += &latencies.to_string();
    client.print(text.trim_end());
    Ok(())
}

/// The lines about UDP.
fn datagram_lines(results: &DatagramResults) -> String {
    let details = results.ways().into_iter().chain(results.faults());
    let details: Vec<String> = details.map(|line| format!("          {line}\n")).collect();
    format!("lost      {}\n", results.loss()) + &details.concat()
}

/// The lines about an open loop.
fn open_loop(results: &Results, late: Summary) -> String {
    let client = format!(
        "from when a message was due; the client sent late by p50 {:.3} ms, p99 {:.3}, max {:.3}\n\
         client    {:.0}% of a processor, timer error {:.3} ms\n",
        late.p50_ms,
        late.p99_ms,
        late.max_ms,
        results.client_load * 100.0,
        results.conditions.timer_error_ms,
    );
    let lost = [("not sent", results.not_sent), ("not returned", results.not_returned)];
    let lost = lost.iter().filter(|(_, count)| *count > 0);
    let lost: Vec<String> =
        lost.map(|(what, count)| format!("{what}  {count} messages\n")).collect();
    client + &lost.concat()
}
