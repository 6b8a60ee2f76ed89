//! `diff`: what changed from one measurement to another, and whether they can be compared at all.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::client::cli::Diff;
use crate::exit::{Exit, Failure};
use crate::os::{files, output};

/// How much of a file is read, in bytes.
const FILE_MAX: u64 = 256 << 20;

/// What must be equal: the settings and the conditions of a run.
const SETTINGS: [&str; 12] = [
    "mode",
    "transport",
    "tls",
    "connections",
    "size_bytes",
    "depth",
    "rate_per_s",
    "kernel",
    "machine",
    "congestion_control",
    "tls_version",
    "cipher_suite",
];

/// What may differ without being a result.
const NO_RESULTS: [&str; 4] = ["host", "address", "version", "outages"];

/// By what factor the durations of two runs may differ.
const DURATION_FACTOR: f64 = 1.25;

/// How many intervals a run needs before its variation says anything.
const INTERVALS_MIN: usize = 5;

/// A run, as `--json` printed it.
struct Run {
    name: String,
    report: Value,
    /// Each second of it.
    intervals: Vec<Value>,
}

/// Compares, and prints a table.
pub fn run(diff: &Diff) -> Result<Exit, Failure> {
    let (before, after) = (Run::read(&diff.before)?, Run::read(&diff.after)?);
    let reasons = differences(&before, &after);
    if !reasons.is_empty() && !diff.force {
        let text = format!("the runs do not compare: {} (see --force)", reasons.join("; "));
        return Err(Failure::new(Exit::Failure, text));
    }
    let mut lines: Vec<String> = reasons.iter().map(|reason| format!("note: {reason}")).collect();
    for key in NO_RESULTS {
        let (first, second) = (&before.report[key], &after.report[key]);
        if first != second && key != "outages" {
            lines.push(format!("{key}: {first} -> {second}"));
        }
    }
    lines.push(format!("{:<40} {:>12} {:>12} {:>9}", "figure", "before", "after", "change"));
    let (first, second) = (figures(&before.report), figures(&after.report));
    for (name, a) in &first {
        if let Some(b) = second.get(name) {
            lines.push(row(name, *a, *b, variation(name, &before, &after)));
        }
    }
    output::print(format_args!("{}\n", lines.join("\n")))?;
    Ok(Exit::Ok)
}

impl Run {
    fn read(file: &Path) -> Result<Self, Failure> {
        let name = file.display().to_string();
        let text = files::read(file, FILE_MAX)
            .map_err(|error| error.failure(format_args!("cannot read {name}")))?;
        let not_valid =
            |why: &dyn std::fmt::Display| Failure::config(format!("{name} is not a report: {why}"));
        let mut objects = Vec::new();
        for object in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
            objects.push(object.map_err(|error| not_valid(&error))?);
        }
        let is_interval = |object: &Value| object["mode"] == "interval";
        let report = objects.pop().filter(|last| last["mode"].is_string() && !is_interval(last));
        let report = report.ok_or_else(|| not_valid(&"its last object has no results"))?;
        let intervals = objects.into_iter().filter(is_interval).collect();
        Ok(Self { name, report, intervals })
    }

    /// A figure in each whole second, such as `latency.p99_ms`.
    fn series(&self, figure: &str) -> Vec<f64> {
        let pointer = format!("/{}", figure.replace('.', "/"));
        let whole = self.intervals.iter().filter(|it| it["duration_s"].as_f64() > Some(0.9));
        whole.filter_map(|it| it.pointer(&pointer)?.as_f64()).collect()
    }
}

/// Why the runs do not compare.
fn differences(before: &Run, after: &Run) -> Vec<String> {
    let mut reasons = Vec::new();
    for key in SETTINGS {
        let (first, second) = (&before.report[key], &after.report[key]);
        if first != second {
            reasons.push(format!("{key} is {first} and {second}"));
        }
    }
    let duration = |run: &Run| run.report["duration_s"].as_f64();
    if let (Some(first), Some(second)) = (duration(before), duration(after))
        && first.max(second) > first.min(second) * DURATION_FACTOR
    {
        reasons.push(format!("duration_s is {first:.1} and {second:.1}"));
    }
    for run in [before, after] {
        if run.report["valid"] == false {
            reasons.push(format!("{} is of a run that is not valid", run.name));
        }
    }
    reasons
}

/// The numbers of a report by their paths, such as `latency.p99_ms`, without settings.
fn figures(report: &Value) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    if let Value::Object(object) = report {
        for (key, value) in object {
            let is_setting = SETTINGS.contains(&key.as_str()) || key == "duration_s";
            if !is_setting && !NO_RESULTS.contains(&key.as_str()) {
                collect(key, value, &mut found);
            }
        }
    }
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, f64>) {
    match value {
        Value::Number(number) => {
            found.extend(number.as_f64().map(|number| (path.to_owned(), number)));
        }
        Value::Object(object) => {
            for (key, value) in object {
                collect(&format!("{path}.{key}"), value, found);
            }
        }
        Value::Array(array) => {
            for (number, value) in array.iter().enumerate() {
                let name = value["load"].as_str().map_or(number.to_string(), str::to_owned);
                collect(&format!("{path}.{name}"), value, found);
            }
        }
        _ => {}
    }
}

/// How much a difference of this figure may be by chance: twice the standard error of the difference of
/// the means. `None` where there are too few intervals to know.
fn variation(figure: &str, before: &Run, after: &Run) -> Option<f64> {
    let square = |run: &Run| {
        let series = run.series(figure);
        (series.len() >= INTERVALS_MIN).then(|| squared_error(&series))
    };
    Some(2.0 * (square(before)? + square(after)?).sqrt())
}

/// The square of the standard error of the mean.
#[allow(clippy::cast_precision_loss)] // There are not so many intervals.
fn squared_error(series: &[f64]) -> f64 {
    let count = series.len() as f64;
    let mean = series.iter().sum::<f64>() / count;
    let squares: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    squares / (count - 1.0) / count
}

fn row(name: &str, before: f64, after: f64, variation: Option<f64>) -> String {
    let change = if before == 0.0 {
        if after == 0.0 { "0%".to_owned() } else { "-".to_owned() }
    } else {
        format!("{:+.1}%", (after / before - 1.0) * 100.0)
    };
    let remark = match variation {
        Some(variation) if (after - before).abs() <= variation => "  within the variation",
        Some(_) => "  changed",
        None => "",
    };
    format!("{name:<40} {before:>12.3} {after:>12.3} {change:>9}{remark}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(rates: &[f64]) -> Run {
        let interval = |rate: &f64| json!({"duration_s": 1.0, "messages_per_s": rate});
        let mean = rates.iter().sum::<f64>() / 6.0;
        let report = json!({"mode": "bench", "messages_per_s": mean});
        Run { name: "run".into(), report, intervals: rates.iter().map(interval).collect() }
    }

    #[test]
    fn a_difference_is_a_change_if_it_is_more_than_the_variation_within_the_runs() {
        let steady = run(&[100.0, 101.0, 99.0, 100.0, 101.0, 99.0]);
        let same = run(&[101.0, 100.0, 100.0, 99.0, 101.0, 100.0]);
        let faster = run(&[110.0, 111.0, 109.0, 110.0, 111.0, 109.0]);
        let line = |other: &Run| {
            let name = "messages_per_s";
            let figure = |run: &Run| figures(&run.report)[name];
            row(name, figure(&steady), figure(other), variation(name, &steady, other))
        };
        assert!(line(&same).ends_with("+0.2%  within the variation"), "{}", line(&same));
        assert!(line(&faster).ends_with("+10.0%  changed"), "{}", line(&faster));
        assert!(line(&run(&[110.0])).ends_with('%'));
    }

    #[test]
    fn parts_of_a_report_have_names() {
        let report =
            json!({"mode": "x", "tls": true, "phases": [{"load": "up", "latency": {"p50_ms": 2}}]});
        let found = figures(&report);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("phases.up.latency.p50_ms".into(), 2.0)]
        );
    }
}
