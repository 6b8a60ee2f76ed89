//! The transports side by side, as a table of 80 columns and as JSON.

use std::time::Duration;

use serde::Serialize;

use super::line::Extra;
use super::transport::Transport;
use crate::client::cli::Compare;
use crate::client::context::Client;
use crate::client::drawing::wrap;
use crate::client::facts::Facts;
use crate::client::latency::{Latencies, Summary, percent};
use crate::exit::Failure;
use crate::os::units;

/// The columns of the table.
const WIDTH: usize = 80;

/// The columns of an explanation under a row.
const INDENT: usize = 4;

/// What `compare --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    size_bytes: usize,
    interval_s: f64,
    throughput_s: f64,
    duration_s: f64,
    transports: Vec<Row<'a>>,
}

/// What the report has of a transport.
#[derive(Serialize)]
struct Row<'a> {
    transport: &'static str,
    address: Option<String>,
    port: u16,
    error: Option<String>,
    sent: u64,
    received: u64,
    lost: u64,
    loss_percent: f64,
    late: u64,
    damaged: Option<u64>,
    duplicates: Option<u64>,
    out_of_order: Option<u64>,
    lost_there: Option<u64>,
    lost_back: Option<u64>,
    lost_unknown: Option<u64>,
    retransmits: Option<u32>,
    /// In each direction.
    throughput_bytes_per_s: Option<u64>,
    delay: Summary,
    /// As in RFC 3550 §6.4.1.
    jitter_ms: f64,
    connect: Option<Summary>,
    handshake: Option<Summary>,
    facts: Option<&'a Facts>,
}

impl<'a> Row<'a> {
    fn new(transport: &'a Transport) -> Self {
        let some = |latencies: &Latencies| (latencies.count() > 0).then(|| latencies.summary());
        let (record, extra) = (&transport.record, transport.extra.unwrap_or_default());
        let counts = extra.datagrams.map(|it| it.counts);
        let losses = extra.datagrams.and_then(|it| it.losses);
        Self {
            transport: transport.kind.key(),
            address: transport.address.map(|address| address.to_string()),
            port: transport.port,
            error: transport.error.as_ref().map(ToString::to_string),
            sent: record.count(),
            received: record.received(),
            lost: record.lost(),
            loss_percent: record.loss(),
            late: record.late,
            damaged: counts.map(|counts| counts.damaged),
            duplicates: counts.map(|counts| counts.duplicates),
            out_of_order: counts.map(|counts| counts.out_of_order),
            lost_there: losses.map(|losses| losses.there),
            lost_back: losses.map(|losses| losses.back),
            lost_unknown: losses.map(|losses| losses.unknown),
            retransmits: extra.retransmits,
            throughput_bytes_per_s: transport.throughput,
            delay: record.delays.summary(),
            jitter_ms: record.jitter.estimate_ms(),
            connect: some(&transport.connects),
            handshake: some(&transport.handshakes),
            facts: transport.facts.as_ref(),
        }
    }
}

/// Prints the report of a run that took `time`.
pub(super) fn print(
    client: &mut Client,
    compare: &Compare,
    transports: &[Transport],
    time: Duration,
) -> Result<(), Failure> {
    if client.options.json {
        let host = client.options.host.clone();
        return client.print_json(&Report {
            mode: "compare",
            host: &host,
            size_bytes: compare.size,
            interval_s: compare.interval.as_secs_f64(),
            throughput_s: compare.throughput.as_secs_f64(),
            duration_s: time.as_secs_f64(),
            transports: transports.iter().map(Row::new).collect(),
        });
    }
    let lines: Vec<String> = rows(transports);
    client.print(&lines.join("\n"));
    Ok(())
}

/// The table, with what is to be said about each row under it. Times are in milliseconds.
pub(super) fn rows(transports: &[Transport]) -> Vec<String> {
    let titles = ["port", "sent", "loss", "p50", "p99", "max", "jitter", "connect", "handshake"];
    let mut lines = vec![row("ms", titles.map(ToOwned::to_owned))];
    for transport in transports {
        let record = &transport.record;
        let port = transport.port.to_string();
        if record.count() > 0 {
            lines.push(row(transport.kind.name(), cells(transport, port)));
        } else {
            lines.push(format!("{:<4}{port:>6}", transport.kind.name()));
        }
        for remark in remarks(transport) {
            let rows = wrap(&remark, 0, WIDTH - INDENT);
            lines.extend(rows.iter().map(|row| format!("{}{row}", " ".repeat(INDENT))));
        }
    }
    lines
}

fn cells(transport: &Transport, port: String) -> [String; 9] {
    let record = &transport.record;
    let Summary { p50_ms, p99_ms, max_ms, .. } = record.delays.summary();
    let ms = |is_known: bool, ms: f64| if is_known { format!("{ms:.3}") } else { "-".into() };
    let median = |latencies: &Latencies| ms(latencies.count() > 0, latencies.summary().p50_ms);
    let came = record.received() > 0;
    [
        port,
        record.count().to_string(),
        format!("{}%", percent(record.loss())),
        ms(came, p50_ms),
        ms(came, p99_ms),
        ms(came, max_ms),
        ms(came, record.jitter.estimate_ms()),
        median(&transport.connects),
        median(&transport.handshakes),
    ]
}

fn row(
    name: &str,
    [port, sent, loss, p50, p99, max, jitter, connect, handshake]: [String; 9],
) -> String {
    format!(
        "{name:<4}{port:>6}{sent:>7}{loss:>8}{p50:>9}{p99:>9}{max:>9}{jitter:>8}{connect:>9}{handshake:>11}"
    )
}

/// What the row does not say.
fn remarks(transport: &Transport) -> Vec<String> {
    let mut remarks: Vec<String> = transport.error.iter().map(ToString::to_string).collect();
    let Extra { datagrams, retransmits } = transport.extra.unwrap_or_default();
    if let Some(datagrams) = datagrams {
        remarks.extend(datagrams.ways());
        remarks.extend(datagrams.faults());
    } else if transport.record.late > 0 {
        remarks.push(format!("{} late", transport.record.late));
    }
    if let Some(count) = retransmits.filter(|count| *count > 0) {
        let s = if count == 1 { "" } else { "s" };
        remarks.push(format!("{count} segment{s} sent again: what was lost is late here"));
    }
    if let Some(throughput) = transport.throughput {
        let bytes = units::bytes(throughput);
        remarks.push(format!("throughput {bytes} a second each way"));
    }
    remarks
}
