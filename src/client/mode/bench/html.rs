//! The report as one HTML file: the figures, the conditions, and diagrams in SVG.

use std::fs::{self, File};
use std::path::Path;

use super::report::{Results, kind};
use super::{plot, recorder};
use crate::client::cli::Bench;
use crate::client::context::Client;
use crate::exit::{Exit, Failure};

/// What stands before the figures.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<style>\n\
    body { font: 15px/1.5 sans-serif; max-width: 820px; margin: 2em auto; padding: 0 1em }\n\
    th { text-align: left; font-weight: normal; color: #555; padding-right: 2em }\n\
    svg { max-width: 100%; height: auto }\n.invalid { color: #b00020; font-weight: bold }\n\
    </style>\n";

/// Fails now if the file cannot be written later.
pub(super) fn prepare(file: &Path) -> Result<(), Failure> {
    let opened = File::options().create(true).append(true).open(file);
    opened.map(drop).map_err(|error| cannot_write(file, &error))
}

/// Writes the report.
pub(super) fn write(
    file: &Path,
    client: &Client,
    bench: &Bench,
    results: &Results,
) -> Result<(), Failure> {
    let no_diagram = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failure, format!("cannot draw a diagram: {error}"))
    };
    let intervals = results.recorder.intervals.as_slice();
    let latency = |figure: fn(&recorder::Interval) -> f64| plot::points(intervals, figure);
    let histogram = plot::histogram(&results.recorder.latencies.bins(2_f64.sqrt()))
        .map_err(|error| no_diagram(&error))?;
    let over_time = plot::lines(
        "ms",
        &[
            ("p50", latency(|it| it.latency.p50_ms)),
            ("p99", latency(|it| it.latency.p99_ms)),
            ("max", latency(|it| it.latency.max_ms)),
        ],
    )
    .map_err(|error| no_diagram(&error))?;
    let rate = plot::lines("messages a second", &[("", latency(|it| it.messages_per_s))])
        .map_err(|error| no_diagram(&error))?;
    let host = escaped(&client.options.host);
    let doubt = results.doubt(bench).map_or(String::new(), |doubt| {
        format!("<p class=\"invalid\">This run is not valid: {}.</p>\n", escaped(&doubt))
    });
    let text = format!(
        "{HEAD}<title>{host}: latency and throughput</title>\n<h1>{host}</h1>\n{doubt}\
         {}<h2>Latency</h2>\n{histogram}\n<h2>Latency over time</h2>\n{over_time}\n\
         <h2>Throughput over time</h2>\n{rate}\n<h2>Settings and conditions</h2>\n{}</html>\n",
        table(&figures(results)),
        table(&settings(client, bench, results)),
    );
    fs::write(file, text).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::system(format_args!("cannot write {}", file.display()), error)
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
        ("transport", kind(client.options.tls.is_some()).to_owned()),
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

fn table(rows: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th>{}<td>{}\n", escaped(name), escaped(value))
    };
    format!("<table>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// Text that means nothing to HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_name_is_text_and_no_html() {
        assert_eq!(escaped("<b a=\"1\">&amp"), "&lt;b a=&quot;1&quot;&gt;&amp;amp");
    }
}
