//! The report as one HTML file: the figures, the conditions, and diagrams in SVG.

use std::path::Path;

use super::report::{Results, kind};
use crate::client::cli::Bench;
use crate::client::context::Client;
use crate::client::page::{self, escaped};
use crate::client::plot::{self, Line};
use crate::client::recorder::Interval;
use crate::exit::Failure;

/// Writes the report.
pub(super) fn write(
    file: &Path,
    client: &Client,
    bench: &Bench,
    results: &Results,
) -> Result<(), Failure> {
    let intervals = results.recorder.intervals.as_slice();
    let line = |name, figure: fn(&Interval) -> f64| {
        Line::new(name, intervals.iter().map(|interval| (interval.start_s, figure(interval))))
    };
    let histogram = plot::histogram(&results.recorder.latencies.bins(2_f64.sqrt()))?;
    let over_time = plot::lines(
        "s",
        "ms",
        &[
            line("p50", |it| it.latency.p50_ms),
            line("p99", |it| it.latency.p99_ms),
            line("max", |it| it.latency.max_ms),
        ],
    )?;
    let rate = plot::lines("s", "messages a second", &[line("", |it| it.messages_per_s)])?;
    let doubt = results.doubt(bench).map_or(String::new(), |doubt| {
        format!("<p class=\"invalid\">This run is not valid: {}.</p>\n", escaped(&doubt))
    });
    let body = format!(
        "{doubt}{}<h2>Latency</h2>\n{histogram}\n<h2>Latency over time</h2>\n{over_time}\n\
         <h2>Throughput over time</h2>\n{rate}\n<h2>Settings and conditions</h2>\n{}",
        page::table(&figures(results)),
        page::table(&settings(client, bench, results)),
    );
    page::write(file, &client.options.host, "latency and throughput", &body)
}

#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
fn figures(results: &Results) -> Vec<(&'static str, String)> {
    let (recorder, seconds) = (&results.recorder, results.duration.as_secs_f64());
    let latency = recorder.latencies.summary();
    let messages = recorder.latencies.count();
    let mut figures = vec![
        ("messages", format!("{messages}, {:.0} a second", messages as f64 / seconds)),
        ("each way", format!("{:.3} MB a second", recorder.bytes as f64 / seconds / 1e6)),
        ("latency p50", format!("{:.3} ms", latency.p50_ms)),
        ("latency p90", format!("{:.3} ms", latency.p90_ms)),
        ("latency p99", format!("{:.3} ms", latency.p99_ms)),
        ("latency p99.9", format!("{:.3} ms", latency.p999_ms)),
        ("latency max", format!("{:.3} ms", latency.max_ms)),
    ];
    for (name, count) in [("not sent", results.not_sent), ("not returned", results.not_returned)] {
        if count > 0 {
            figures.push((name, format!("{count} messages")));
        }
    }
    if let Some(datagrams) = &results.datagrams {
        figures.push(("lost", datagrams.loss()));
        figures.extend(datagrams.ways().map(|ways| ("where", ways)));
        figures.extend(datagrams.faults().map(|faults| ("also", faults)));
    }
    figures
}

fn settings(client: &Client, bench: &Bench, results: &Results) -> Vec<(&'static str, String)> {
    let pace = match bench.rate {
        Some(rate) => format!("open loop, {rate} messages a second"),
        None => format!("closed loop, {} messages in flight in each session", bench.depth),
    };
    let late = results.recorder.late.summary();
    let mut settings = vec![
        ("address", results.address.to_string()),
        ("transport", kind(&client.options).to_owned()),
        ("sessions", bench.connections.to_string()),
        ("message", format!("{} bytes", bench.size)),
        ("pace", pace),
        ("duration", format!("{:.1} s", results.duration.as_secs_f64())),
        ("client load", format!("{:.0}% of a processor", results.client_load * 100.0)),
    ];
    if bench.rate.is_some() {
        let text =
            format!("p50 {:.3} ms, p99 {:.3}, max {:.3}", late.p50_ms, late.p99_ms, late.max_ms);
        settings.push(("the client sent late by", text));
    }
    settings.extend(results.conditions.words());
    settings
}
