//! The text format of Prometheus, version 0.0.4, and `OpenMetrics` 1.0, which differ in the names of counters
//! and in the end.

use std::fmt::{self, Write};
use std::mem;

use crate::daemon::histogram::Histogram;
use crate::daemon::service::web::Format;

/// What is rendered so far.
pub(super) struct Text {
    text: String,
    format: Format,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its value may fall.
    Gauge,
    /// It only grows. The name of the family is without `_total`.
    Counter,
    Histogram,
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self { text: String::with_capacity(16 * 1024), format }
    }

    /// In bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The head of a family. In the old format, the name of a counter has the suffix; `OpenMetrics` adds it to
    /// the samples.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (kind, suffix) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter if self.format == Format::OpenMetrics => ("counter", ""),
            Kind::Counter => ("counter", "_total"),
            Kind::Histogram => ("histogram", ""),
        };
        self.write(format_args!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
    }

    pub(super) fn total(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.write(format_args!("{name}_total{} {value}\n", InBraces(labels)));
    }

    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl fmt::Display) {
        self.write(format_args!("{name}{} {value}\n", InBraces(labels)));
    }

    pub(super) fn buckets(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let mut all = 0;
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or("+Inf".into(), |bound| format!("{bound:?}"));
            let with_bound = [labels, &[("le", &bound)]].concat();
            self.write(format_args!("{name}_bucket{} {count}\n", InBraces(&with_bound)));
            all = count;
        }
        self.write(format_args!("{name}_sum{} {}\n", InBraces(labels), histogram.sum()));
        self.write(format_args!("{name}_count{} {all}\n", InBraces(labels)));
    }

    /// The whole text. Nothing is left.
    pub(super) fn end(&mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text += "# EOF\n";
        }
        mem::take(&mut self.text)
    }

    fn write(&mut self, line: fmt::Arguments<'_>) {
        // A string takes whatever it is given.
        let _ = self.text.write_fmt(line);
    }
}

/// What is escaped in the value of a label.
const SPECIAL: [char; 3] = ['\\', '"', '\n'];

/// Labels as they stand behind a name.
struct InBraces<'a>(Labels<'a>);

impl fmt::Display for InBraces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            write!(f, "{before}{name}=\"")?;
            for piece in value.split_inclusive(SPECIAL) {
                let plain = piece.trim_end_matches(SPECIAL);
                f.write_str(plain)?;
                match &piece[plain.len()..] {
                    "" => {}
                    "\n" => f.write_str("\\n")?,
                    special => write!(f, "\\{special}")?,
                }
            }
            f.write_str("\"")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let labels = [("subject", "CN=a \"b\" \\ c\nd"), ("use", "server")];
        let text = InBraces(&labels).to_string();
        assert_eq!(text, r#"{subject="CN=a \"b\" \\ c\nd",use="server"}"#);
        assert_eq!(InBraces(&[]).to_string(), "");
    }

    #[test]
    fn a_histogram_ends_with_all_its_sum_and_its_count() {
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        histogram.count(std::time::Duration::from_millis(750));
        let mut text = Text::new(Format::Text);
        text.buckets("x_seconds", &[("listener", "a")], &histogram);
        let expected = "x_seconds_bucket{listener=\"a\",le=\"0.5\"} 0\n\
            x_seconds_bucket{listener=\"a\",le=\"1.0\"} 1\n\
            x_seconds_bucket{listener=\"a\",le=\"+Inf\"} 1\n\
            x_seconds_sum{listener=\"a\"} 0.75\nx_seconds_count{listener=\"a\"} 1\n";
        assert_eq!(text.end(), expected);
    }
}
