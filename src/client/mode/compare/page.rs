//! The comparison as one HTML file: the table, and the curves of all transports over each other.

use std::path::Path;

use super::report::rows;
use super::transport::Transport;
use crate::client::cli::Compare;
use crate::client::page::{self, escaped};
use crate::client::plot::{self, Line};
use crate::exit::Failure;

/// Writes the file.
pub(super) fn write(
    file: &Path,
    host: &str,
    compare: &Compare,
    transports: &[Transport],
) -> Result<(), Failure> {
    let over_time = plot::lines("s", "ms", &curves(transports, over_time))?;
    let percentiles =
        plot::lines("% of the probes that came back", "ms", &curves(transports, percentiles))?;
    let settings = [
        ("probes over each transport", compare.count.to_string()),
        ("length of a probe", format!("{} bytes", compare.size)),
        ("interval", format!("{} s", compare.interval.as_secs_f64())),
        ("kept full, to measure the throughput", format!("{} s", compare.throughput.as_secs_f64())),
    ];
    let body = format!(
        "<pre>{}</pre>\n<h2>Delay over time</h2>\n<p>Each probe counts from when it was due. A cross is a probe \
         that was lost or late.</p>\n{over_time}\n<h2>Delay by percentile</h2>\n{percentiles}\n\
         <h2>Settings</h2>\n{}",
        escaped(&rows(transports).join("\n")),
        page::table(&settings),
    );
    page::write(file, host, "UDP, TCP and TLS beside each other", &body)
}

/// A line for each transport over which probes went.
fn curves(transports: &[Transport], curve: fn(&Transport) -> Line) -> Vec<Line> {
    transports.iter().filter(|it| it.record.count() > 0).map(curve).collect()
}

/// When a probe was due, and how long it took.
fn over_time(transport: &Transport) -> Line {
    let samples = || transport.record.samples();
    let points = samples().filter_map(|(due, delay)| Some((due, delay?)));
    let marks = samples().filter(|(_, delay)| delay.is_none()).map(|(due, _)| due).collect();
    Line { marks, ..Line::new(transport.kind.name(), points) }
}

/// Which share of the probes took at most so long.
#[allow(clippy::cast_precision_loss)] // There are not so many.
fn percentiles(transport: &Transport) -> Line {
    let mut delays: Vec<f64> = transport.record.samples().filter_map(|(_, delay)| delay).collect();
    delays.sort_by(f64::total_cmp);
    let count = delays.len() as f64;
    let point = |(number, delay)| (100.0 * (number as f64 + 1.0) / count, delay);
    Line::new(transport.kind.name(), delays.into_iter().enumerate().map(point))
}
