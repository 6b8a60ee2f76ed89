//! The snapshot for Prometheus: `OpenMetrics` 1.0, or the text format before it, which differs in the names
//! of counters and in the end.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::daemon::histogram::Histogram;
use crate::daemon::service::web::Format;
use crate::daemon::stats::Snapshot;
use crate::wire::close::CloseReason;

/// Renders `snapshot`. What is never zero at the start has a line from the start, so that its first change
/// is an increase.
pub fn render(snapshot: &Snapshot, format: Format) -> String {
    let mut text = Text { text: String::with_capacity(16 * 1024), format };
    daemon(&mut text, snapshot);
    sessions(&mut text, snapshot);
    tls(&mut text, snapshot);
    if format == Format::OpenMetrics {
        text.text += "# EOF\n";
    }
    text.text
}

/// The daemon as a process.
fn daemon(text: &mut Text, snapshot: &Snapshot) {
    text.gauge("echo_alex_build_info", "The version of the daemon.");
    text.sample("echo_alex_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("process_start_time_seconds", "When the daemon was started, in seconds since 1970.");
    text.sample("process_start_time_seconds", &[], seconds_since_1970(snapshot.started));
    if let Some((open, limit)) = snapshot.descriptors {
        text.gauge("process_open_fds", "Open descriptors.");
        text.sample("process_open_fds", &[], open);
        text.gauge("process_max_fds", "The soft limit on descriptors.");
        text.sample("process_max_fds", &[], limit);
    }
    text.gauge("echo_alex_ready", "1, or 0 from the moment on when the daemon is asked to stop.");
    text.sample("echo_alex_ready", &[], u8::from(snapshot.is_ready));
    let reloads = "echo_alex_reloads";
    text.counter(reloads, "Reloads of the configuration; those that failed changed nothing.");
    text.total(reloads, &[("outcome", "done")], snapshot.reloads.done);
    text.total(reloads, &[("outcome", "failed")], snapshot.reloads.failed);
    text.counter("echo_alex_log_lines_lost", "Lines of the log that could not be written.");
    text.total("echo_alex_log_lines_lost", &[], snapshot.log_lines_lost);
}

/// The sessions of each listener.
fn sessions(text: &mut Text, snapshot: &Snapshot) {
    text.gauge("echo_alex_sessions", "The present sessions.");
    for listener in &snapshot.listeners {
        text.sample("echo_alex_sessions", &[("listener", &listener.name)], listener.sessions);
    }
    // A listener that a reload has removed keeps its counters.
    let all = || snapshot.listeners.iter().chain(&snapshot.past);
    let name = "echo_alex_accepted_sessions";
    text.counter(name, "Connections that became sessions.");
    for listener in all() {
        text.total(name, &[("listener", &listener.name)], listener.counters.accepted);
    }
    let name = "echo_alex_refused_connections";
    text.counter(name, "Connections that were closed at once, by the limit that they exceeded.");
    for listener in all() {
        for (limit, count) in listener.counters.refused() {
            text.total(name, &[("listener", &listener.name), ("limit", limit)], count);
        }
    }
    let name = "echo_alex_received_bytes";
    text.counter(name, "Bytes received from peers, without those of TLS.");
    for listener in all() {
        text.total(name, &[("listener", &listener.name)], listener.counters.volume.received);
    }
    let name = "echo_alex_sent_bytes";
    text.counter(name, "Bytes that services gave to be sent, without those of TLS.");
    for listener in all() {
        text.total(name, &[("listener", &listener.name)], listener.counters.volume.sent);
    }
    let name = "echo_alex_web_requests";
    text.counter(name, "Requests of HTTP that were answered.");
    for listener in all() {
        text.total(name, &[("listener", &listener.name)], listener.counters.volume.requests);
    }
    let name = "echo_alex_ended_sessions";
    text.counter(name, "Sessions that have ended, by reason.");
    for listener in all() {
        for (reason, count) in CloseReason::NAMES.iter().zip(listener.counters.ended()) {
            text.total(name, &[("listener", &listener.name), ("reason", reason)], *count);
        }
    }
    let name = "echo_alex_session_duration_seconds";
    text.histogram(name, "How long sessions lasted that have ended.");
    for listener in all() {
        text.buckets(name, &[("listener", &listener.name)], &listener.counters.durations);
    }
}

/// TLS.
fn tls(text: &mut Text, snapshot: &Snapshot) {
    text.gauge("echo_alex_tls_sessions", "The present sessions with TLS.");
    text.sample("echo_alex_tls_sessions", &[], snapshot.totals.tls);
    text.gauge("echo_alex_handshaking_sessions", "The present sessions in a TLS handshake.");
    text.sample("echo_alex_handshaking_sessions", &[], snapshot.handshaking);
    let name = "echo_alex_tls_handshakes";
    text.counter(name, "TLS handshakes that succeeded, by what was agreed.");
    let yes_or_no = |is: bool| if is { "yes" } else { "no" };
    for (agreed, count) in snapshot.handshakes.kinds() {
        let labels = [
            ("version", agreed.version),
            ("cipher_suite", agreed.cipher_suite),
            ("group", agreed.group.unwrap_or("none")),
            ("resumed", yes_or_no(agreed.resumed)),
            ("retried", yes_or_no(agreed.retried)),
        ];
        text.total(name, &labels, *count);
    }
    let name = "echo_alex_tls_handshake_duration_seconds";
    text.histogram(name, "The time from accept to the end of a TLS handshake that succeeded.");
    text.buckets(name, &[], snapshot.handshakes.durations());
    let name = "echo_alex_certificate_expiry_timestamp_seconds";
    text.gauge(name, "The end of a certificate's validity, in seconds since 1970.");
    for (listener, expiry) in &snapshot.certificates {
        let labels = [
            ("listener", listener.as_str()),
            ("use", expiry.purpose),
            ("subject", &expiry.subject),
            ("serial", &expiry.serial),
        ];
        text.sample(name, &labels, seconds_since_1970(expiry.not_after));
    }
}

fn seconds_since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is rendered so far.
struct Text {
    text: String,
    format: Format,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    fn histogram(&mut self, name: &str, help: &str) {
        self.family(name, "histogram", help);
    }

    /// The old format has the suffix in the name, `OpenMetrics` adds it to the samples.
    fn counter(&mut self, name: &str, help: &str) {
        let suffix = if self.format == Format::OpenMetrics { "" } else { "_total" };
        self.family(&format!("{name}{suffix}"), "counter", help);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn total(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.write(format_args!("{name}_total{} {value}\n", InBraces(labels)));
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl fmt::Display) {
        self.write(format_args!("{name}{} {value}\n", InBraces(labels)));
    }

    fn buckets(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
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

    fn write(&mut self, line: fmt::Arguments<'_>) {
        // A string takes whatever it is given.
        let _ = self.text.write_fmt(line);
    }
}

/// Labels as they stand behind a name.
struct InBraces<'a>(Labels<'a>);

impl fmt::Display for InBraces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            write!(f, "{before}{name}=\"")?;
            for character in value.chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(character)?,
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
    fn the_formats_differ_in_the_names_of_counters_and_in_the_end() {
        let snapshot = Snapshot::of_nothing();
        let old = render(&snapshot, Format::Text);
        let new = render(&snapshot, Format::OpenMetrics);
        assert!(old.contains("\n# TYPE echo_alex_reloads_total counter\n"), "{old}");
        assert!(new.contains("\n# TYPE echo_alex_reloads counter\n"), "{new}");
        let samples = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(samples(&old), samples(&new));
        assert!(new.ends_with("\n# EOF\n") && !old.contains("# EOF"));
    }

    #[test]
    fn a_histogram_ends_with_all_its_sum_and_its_count() {
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        histogram.count(std::time::Duration::from_millis(750));
        let mut text = Text { text: String::new(), format: Format::Text };
        text.buckets("x_seconds", &[("listener", "a")], &histogram);
        let expected = "x_seconds_bucket{listener=\"a\",le=\"0.5\"} 0\n\
            x_seconds_bucket{listener=\"a\",le=\"1.0\"} 1\n\
            x_seconds_bucket{listener=\"a\",le=\"+Inf\"} 1\n\
            x_seconds_sum{listener=\"a\"} 0.75\nx_seconds_count{listener=\"a\"} 1\n";
        assert_eq!(text.text, expected);
    }
}
