//! The results of a ping, and their summary as text and as JSON.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::cli::Ping;
use crate::client::context::Client;
use crate::client::datagram_report::{DatagramReport, DatagramResults};
use crate::client::facts::Facts;
use crate::client::latency::{Jitter, Latencies, Summary, percent, percent_of};
use crate::client::outages::{Outage, Outages, seconds};
use crate::exit::Failure;

/// The results so far.
pub(super) struct Results {
    /// The address that accepted the last connection.
    pub(super) address: Option<SocketAddr>,
    /// What was agreed in its TLS handshake.
    pub(super) facts: Option<Facts>,
    /// How many messages were due, those that could not be sent included.
    pub(super) sent: u64,
    pub(super) round_trips: Latencies,
    pub(super) connects: Latencies,
    pub(super) handshakes: Latencies,
    pub(super) outages: Outages,
    /// With UDP.
    pub(super) datagrams: Option<DatagramResults>,
    pub(super) jitter: Jitter,
}

impl Results {
    pub(super) fn new() -> Self {
        Self {
            address: None,
            facts: None,
            sent: 0,
            round_trips: Latencies::default(),
            connects: Latencies::default(),
            handshakes: Latencies::default(),
            outages: Outages::new(),
            datagrams: None,
            jitter: Jitter::default(),
        }
    }

    /// How many echoes came.
    pub(super) fn received(&self) -> u64 {
        self.round_trips.count()
    }

    /// How many did not come.
    fn lost(&self) -> u64 {
        match &self.datagrams {
            Some(datagrams) => datagrams.counts.lost,
            None => self.sent - self.received(),
        }
    }

    /// Loss in per cent.
    fn loss(&self) -> f64 {
        percent_of(self.lost(), self.sent)
    }
}

/// What `ping --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    address: Option<String>,
    transport: &'static str,
    tls: bool,
    facts: &'a Option<Facts>,
    size_bytes: usize,
    sent: u64,
    received: u64,
    lost: u64,
    loss_percent: f64,
    outage_count: u64,
    outage_s: f64,
    outages: Vec<Outage>,
    round_trip: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake: Option<Summary>,
    #[serde(flatten)]
    datagrams: Option<Datagrams>,
}

/// The keys that UDP adds.
#[derive(Serialize)]
struct Datagrams {
    #[serde(flatten)]
    report: DatagramReport,
    jitter_rfc3550_ms: f64,
}

/// Prints the summary of a run that took `time` and ended at `now`.
pub(super) fn print(
    client: &mut Client,
    ping: &Ping,
    results: &Results,
    time: Duration,
    now: Instant,
) -> Result<(), Failure> {
    if !client.options.json {
        client.print(&text(results, &client.options.host, time, now));
        return Ok(());
    }
    let some = |latencies: &Latencies| (latencies.count() > 0).then(|| latencies.summary());
    let host = client.options.host.clone();
    let received = results.received();
    client.print_json(&Report {
        mode: "ping",
        host: &host,
        address: results.address.map(|address| address.to_string()),
        transport: client.options.transport(),
        tls: client.options.tls.is_some(),
        facts: &results.facts,
        size_bytes: ping.size,
        sent: results.sent,
        received,
        lost: results.lost(),
        loss_percent: results.loss(),
        outage_count: results.outages.count,
        outage_s: results.outages.total(now).as_secs_f64(),
        outages: results.outages.list(now),
        round_trip: results.round_trips.summary(),
        connect: some(&results.connects),
        handshake: some(&results.handshakes),
        datagrams: results.datagrams.map(|datagrams| Datagrams {
            report: datagrams.report(),
            jitter_rfc3550_ms: results.jitter.estimate_ms(),
        }),
    })
}

/// The statistics in the format of ping(8).
fn text(results: &Results, host: &str, time: Duration, now: Instant) -> String {
    let Summary { min_ms, avg_ms, max_ms, p99_ms, jitter_ms, .. } = results.round_trips.summary();
    let received = results.received();
    let mut lines = vec![
        format!("--- {host} echo statistics ---"),
        format!(
            "{} sent, {received} received, {}% loss, time {} ms",
            results.sent,
            percent(results.loss()),
            time.as_millis()
        ),
    ];
    let outages = &results.outages;
    if outages.count > 0 {
        lines.push(format!(
            "{} lost, {} outage{}, {} in total{}",
            results.lost(),
            outages.count,
            if outages.count == 1 { "" } else { "s" },
            seconds(outages.total(now)),
            if outages.is_out() { ", still out" } else { "" }
        ));
    }
    let mut jitter_ms = jitter_ms;
    if let Some(datagrams) = &results.datagrams {
        lines.extend(datagrams.ways().into_iter().chain(datagrams.faults()));
        jitter_ms = results.jitter.estimate_ms();
    }
    if received > 0 {
        lines.push(format!(
            "round trip min/avg/max/p99 = {min_ms:.3}/{avg_ms:.3}/{max_ms:.3}/{p99_ms:.3} ms, \
             jitter {jitter_ms:.3} ms"
        ));
    }
    lines.join("\n")
}
