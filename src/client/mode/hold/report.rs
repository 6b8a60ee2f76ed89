//! The report of a run, as text and as JSON.

use std::time::Instant;

use serde::Serialize;

use super::tally::{Ends, Tally};
use crate::client::cli::Hold;
use crate::client::context::Client;
use crate::client::latency::{Latencies, Summary};
use crate::client::outages::Outage;
use crate::client::recorder::Recorder;
use crate::exit::Failure;

/// The last object that `hold --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    port: u16,
    tls_port: Option<u16>,
    tls: bool,
    from: Vec<String>,
    sessions: usize,
    sessions_up: usize,
    sessions_never_up: usize,
    size_bytes: usize,
    interval_s: f64,
    duration_s: f64,
    sent: u64,
    received: u64,
    lost: u64,
    not_sent: u64,
    bytes_sent: u64,
    bytes_received: u64,
    bytes_lost: u64,
    reconnects: u64,
    #[serde(flatten)]
    ends: Ends,
    handshakes_full: u64,
    handshakes_resumed: u64,
    resumptions_failed: u64,
    outage_count: u64,
    outage_s: f64,
    outages: Vec<Outage>,
    session_outage: Summary,
    delay: Summary,
    late: Summary,
    connect: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake: Option<Summary>,
}

/// Prints the report of a run that ended at `now`.
pub(super) fn print(
    client: &mut Client,
    hold: &Hold,
    tally: &Tally,
    recorder: &Recorder,
    now: Instant,
) -> Result<(), Failure> {
    let duration_s = now.saturating_duration_since(tally.start).as_secs_f64();
    let host = client.options.host.clone();
    let report = Report {
        mode: "hold",
        host: &host,
        port: client.options.port,
        tls_port: hold.tls_port,
        tls: client.options.tls.is_some(),
        from: hold.from.iter().map(ToString::to_string).collect(),
        sessions: hold.sessions,
        sessions_up: tally.up,
        sessions_never_up: tally.never,
        size_bytes: hold.size,
        interval_s: hold.interval.as_secs_f64(),
        duration_s,
        sent: tally.sent,
        received: recorder.latencies.count(),
        lost: tally.outages.lost,
        not_sent: tally.not_sent,
        bytes_sent: tally.bytes_sent,
        bytes_received: recorder.bytes,
        bytes_lost: tally.bytes_lost,
        reconnects: tally.reconnects,
        ends: tally.ends,
        handshakes_full: tally.full,
        handshakes_resumed: tally.resumed,
        resumptions_failed: tally.not_resumed,
        outage_count: tally.outages.count,
        outage_s: tally.outages.total(now).as_secs_f64(),
        outages: tally.outages.list(now),
        session_outage: tally.breaks.summary(),
        delay: recorder.latencies.summary(),
        late: recorder.late.summary(),
        connect: tally.connects.summary(),
        handshake: (tally.handshakes.count() > 0).then(|| tally.handshakes.summary()),
    };
    if client.options.json {
        return client.print_json_line(&report);
    }
    let text = text(&report, tally, &recorder.latencies);
    client.print(&text);
    Ok(())
}

fn text(report: &Report, tally: &Tally, delays: &Latencies) -> String {
    let Report { host, port, sessions, size_bytes, interval_s, duration_s, .. } = report;
    let Report { sent, received, lost, not_sent, bytes_lost, reconnects, .. } = report;
    let Ends { clean, reset, cut_short, timed_out, damaged, refused, failed } = report.ends;
    let kind = match (report.tls_port, report.tls) {
        (Some(tls_port), _) => format!("plain, and TLS at port {tls_port}"),
        (None, true) => "TLS".into(),
        (None, false) => "plain".into(),
    };
    let in_flight = lost - not_sent;
    let mut lines = vec![
        format!(
            "{host} port {port}, {kind}: {sessions} sessions, {size_bytes} bytes each {interval_s} s, \
             {duration_s:.1} s"
        ),
        format!("messages  {sent} sent, {received} came back, every byte checked"),
        format!(
            "lost      {lost} messages: {in_flight} sent ({bytes_lost} bytes), {not_sent} not sent in time"
        ),
        format!(
            "sessions  {} work, {reconnects} reconnects, {refused} connections refused, {failed} failed",
            tally.up
        ),
        format!(
            "ends      {clean} by the server with nothing lost, {cut_short} cut short, {reset} reset, \
             {timed_out} without an echo in time, {damaged} with a wrong byte"
        ),
    ];
    if let Some(time) = &report.handshake {
        lines.push(format!(
            "TLS       {} full handshakes, {} resumed, {} not resumed that should be; p50 {:.3} ms, \
             p99 {:.3}, max {:.3}",
            tally.full, tally.resumed, tally.not_resumed, time.p50_ms, time.p99_ms, time.max_ms
        ));
    }
    let is_out = if tally.outages.is_out() { ", still out" } else { "" };
    let count = report.outage_count;
    let outages = format!("outages   {count}, {:.3} s in total{is_out}", report.outage_s);
    let Summary { p50_ms, p99_ms, max_ms, .. } = report.session_outage;
    lines.push(match tally.breaks.count() {
        0 => outages,
        _ => {
            format!("{outages}; of a session p50 {p50_ms:.3} ms, p99 {p99_ms:.3}, max {max_ms:.3}")
        }
    });
    let Summary { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = report.delay;
    lines.push(format!(
        "delay     p50 {p50_ms:.3} ms, p90 {p90_ms:.3}, p99 {p99_ms:.3}, p99.9 {p999_ms:.3}, max {max_ms:.3}"
    ));
    lines.push(format!(
        "          from when a message was due; the client sent late by p50 {:.3} ms, p99 {:.3}",
        report.late.p50_ms, report.late.p99_ms
    ));
    lines.push(delays.to_string());
    lines.join("\n").trim_end().to_owned()
}
