//! The snapshot for Prometheus, rendered a step at a time.
//!
//! # No session waits for a whole text
//!
//! The more listeners there are, the longer the text takes, and all sessions would wait for it. So a step ends
//! as soon as the text has grown by [`STEP`], and the others have their turns before the next one.

mod text;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::daemon::service::web::Format;
use crate::daemon::stats::{ListenerSnapshot, Snapshot};
use crate::wire::close::CloseReason;
use text::{Kind, Text};

/// How much longer a step makes the text, in bytes, besides the rest of what one listener has in a family.
const STEP: usize = 1024;

/// A snapshot that is being rendered.
pub struct Rendering {
    snapshot: Snapshot,
    text: Text,
    /// The place in [`FAMILIES`].
    family: usize,
    /// The place among the listeners that the family has samples of.
    listener: usize,
}

impl Rendering {
    /// Begins to render `snapshot`.
    pub fn new(snapshot: Snapshot, format: Format) -> Self {
        Self { snapshot, text: Text::new(format), family: 0, listener: 0 }
    }

    /// Goes on for a step. The text, once it is complete.
    pub fn step(&mut self) -> Option<String> {
        let end = self.text.len() + STEP;
        while self.text.len() < end {
            let Some(family) = FAMILIES.get(self.family) else { return Some(self.text.end()) };
            if self.listener == 0 {
                self.text.family(family.name, family.kind, family.help);
            }
            if self.samples(family) {
                self.listener += 1;
            } else {
                (self.family, self.listener) = (self.family + 1, 0);
            }
        }
        None
    }

    /// Renders the samples that `family` has of the next listener, or of the daemon. False if there are no more.
    fn samples(&mut self, family: &Family) -> bool {
        let Self { snapshot, text, listener: place, .. } = self;
        let (listener, samples) = match family.of {
            Of::Daemon(samples) => {
                samples(text, family.name, snapshot);
                return false;
            }
            Of::Present(samples) => (snapshot.listeners.get(*place), samples),
            Of::All(samples) => {
                (snapshot.listeners.iter().chain(&snapshot.past).nth(*place), samples)
            }
        };
        if let Some(listener) = listener {
            samples(text, family.name, listener);
        }
        listener.is_some()
    }
}

/// A family of metrics. What is never zero at the start has a line from the start, so that its first change
/// is an increase.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    of: Of,
}

/// What a family has samples of, and how they are rendered, with the name of the family.
enum Of {
    Daemon(fn(&mut Text, &str, &Snapshot)),
    /// Each present listener.
    Present(fn(&mut Text, &str, &ListenerSnapshot)),
    /// Each listener: one that a reload has removed keeps its counters.
    All(fn(&mut Text, &str, &ListenerSnapshot)),
}

const fn gauge(name: &'static str, help: &'static str, of: Of) -> Family {
    Family { name, kind: Kind::Gauge, help, of }
}

const fn counter(name: &'static str, help: &'static str, of: Of) -> Family {
    Family { name, kind: Kind::Counter, help, of }
}

const fn histogram(name: &'static str, help: &'static str, of: Of) -> Family {
    Family { name, kind: Kind::Histogram, help, of }
}

/// All families, in the order of the text.
const FAMILIES: &[Family] = &[
    gauge(
        "echo_alex_build_info",
        "The version of the daemon.",
        Of::Daemon(|text, name, _| text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1)),
    ),
    gauge(
        "process_start_time_seconds",
        "When the daemon was started, in seconds since 1970.",
        Of::Daemon(|text, name, snapshot| {
            text.sample(name, &[], seconds_since_1970(snapshot.started));
        }),
    ),
    gauge(
        "process_open_fds",
        "Open descriptors.",
        Of::Daemon(|text, name, snapshot| {
            if let Some((open, _)) = snapshot.descriptors {
                text.sample(name, &[], open);
            }
        }),
    ),
    gauge(
        "process_max_fds",
        "The soft limit on descriptors.",
        Of::Daemon(|text, name, snapshot| {
            if let Some((_, limit)) = snapshot.descriptors {
                text.sample(name, &[], limit);
            }
        }),
    ),
    gauge(
        "echo_alex_ready",
        "1, or 0 from the moment on when the daemon is asked to stop.",
        Of::Daemon(|text, name, snapshot| text.sample(name, &[], u8::from(snapshot.is_ready))),
    ),
    counter(
        "echo_alex_reloads",
        "Reloads of the configuration; those that failed changed nothing.",
        Of::Daemon(|text, name, snapshot| {
            text.total(name, &[("outcome", "done")], snapshot.reloads.done);
            text.total(name, &[("outcome", "failed")], snapshot.reloads.failed);
        }),
    ),
    counter(
        "echo_alex_log_lines_lost",
        "Lines of the log that could not be written.",
        Of::Daemon(|text, name, snapshot| text.total(name, &[], snapshot.log_lines_lost)),
    ),
    gauge(
        "echo_alex_sessions",
        "The present sessions.",
        Of::Present(|text, name, listener| {
            text.sample(name, &[("listener", &listener.name)], listener.sessions);
        }),
    ),
    counter(
        "echo_alex_accepted_sessions",
        "Connections that became sessions.",
        Of::All(|text, name, listener| {
            text.total(name, &[("listener", &listener.name)], listener.counters.accepted);
        }),
    ),
    counter(
        "echo_alex_health_checks",
        "Of the accepted sessions, those that a proxy opened to check the daemon.",
        Of::All(|text, name, listener| {
            text.total(name, &[("listener", &listener.name)], listener.counters.health_checks);
        }),
    ),
    counter(
        "echo_alex_refused_connections",
        "Connections that were closed at once, by the key that does not allow them.",
        Of::All(|text, name, listener| {
            for (limit, count) in listener.counters.refused() {
                text.total(name, &[("listener", &listener.name), ("limit", limit)], count);
            }
        }),
    ),
    counter(
        "echo_alex_received_datagrams",
        "Datagrams received over UDP.",
        Of::All(|text, name, listener| {
            if listener.is_udp {
                let count = listener.counters.datagrams.received;
                text.total(name, &[("listener", &listener.name)], count);
            }
        }),
    ),
    counter(
        "echo_alex_refused_datagrams",
        "Datagrams without an answer, by cause.",
        Of::All(|text, name, listener| {
            for (cause, count) in listener.counters.datagrams.refused() {
                if listener.is_udp {
                    text.total(name, &[("listener", &listener.name), ("reason", cause)], count);
                }
            }
        }),
    ),
    counter(
        "echo_alex_received_bytes",
        "Bytes received from peers, without those of TLS.",
        Of::All(|text, name, listener| {
            text.total(name, &[("listener", &listener.name)], listener.counters.volume.received);
        }),
    ),
    counter(
        "echo_alex_sent_bytes",
        "Bytes that services gave to be sent, without those of TLS.",
        Of::All(|text, name, listener| {
            text.total(name, &[("listener", &listener.name)], listener.counters.volume.sent);
        }),
    ),
    counter(
        "echo_alex_web_requests",
        "Requests of HTTP that were answered.",
        Of::All(|text, name, listener| {
            text.total(name, &[("listener", &listener.name)], listener.counters.volume.requests);
        }),
    ),
    counter(
        "echo_alex_reports",
        "Reports on connections that were sent.",
        Of::All(|text, name, listener| {
            text.total(name, &[("listener", &listener.name)], listener.counters.volume.reports);
        }),
    ),
    counter(
        "echo_alex_ended_sessions",
        "Sessions that have ended, by reason.",
        Of::All(|text, name, listener| {
            for (reason, count) in CloseReason::NAMES.iter().zip(listener.counters.ended()) {
                text.total(name, &[("listener", &listener.name), ("reason", reason)], *count);
            }
        }),
    ),
    histogram(
        "echo_alex_session_duration_seconds",
        "How long sessions lasted that have ended.",
        Of::All(|text, name, listener| {
            text.buckets(name, &[("listener", &listener.name)], &listener.counters.durations);
        }),
    ),
    gauge(
        "echo_alex_tls_sessions",
        "The present sessions with TLS.",
        Of::Daemon(|text, name, snapshot| text.sample(name, &[], snapshot.totals.tls)),
    ),
    gauge(
        "echo_alex_handshaking_sessions",
        "The present sessions in a TLS handshake.",
        Of::Daemon(|text, name, snapshot| text.sample(name, &[], snapshot.handshaking)),
    ),
    counter(
        "echo_alex_tls_handshakes",
        "TLS handshakes that succeeded, by what was agreed.",
        Of::Daemon(|text, name, snapshot| {
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
        }),
    ),
    histogram(
        "echo_alex_tls_handshake_duration_seconds",
        "The time from accept to the end of a TLS handshake that succeeded.",
        Of::Daemon(|text, name, snapshot| {
            text.buckets(name, &[], snapshot.handshakes.durations());
        }),
    ),
    gauge(
        "echo_alex_ticket_key_expiry_timestamp_seconds",
        "When the shared key ends that seals session tickets, in seconds since 1970.",
        Of::Daemon(|text, name, snapshot| {
            if let Some(end) = snapshot.ticket_keys_end {
                text.sample(name, &[], seconds_since_1970(end));
            }
        }),
    ),
    gauge(
        "echo_alex_certificate_expiry_timestamp_seconds",
        "The end of a certificate's validity, in seconds since 1970.",
        Of::Present(|text, name, listener| {
            for expiry in &listener.certificates {
                let labels = [
                    ("listener", listener.name.as_str()),
                    ("use", expiry.purpose),
                    ("subject", &expiry.subject),
                    ("serial", &expiry.serial),
                ];
                text.sample(name, &labels, seconds_since_1970(expiry.not_after));
            }
        }),
    ),
];

fn seconds_since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a daemon with so many listeners, one of which is past, and its length after each step.
    fn render(listeners: usize, format: Format) -> (String, Vec<usize>) {
        let mut snapshot = Snapshot::of_nothing();
        snapshot.listeners = (1..listeners).map(ListenerSnapshot::of_nothing).collect();
        snapshot.past = vec![ListenerSnapshot::of_nothing(0)];
        let mut rendering = Rendering::new(snapshot, format);
        let mut lengths = Vec::new();
        loop {
            if let Some(text) = rendering.step() {
                lengths.push(text.len());
                return (text, lengths);
            }
            lengths.push(rendering.text.len());
        }
    }

    #[test]
    fn the_formats_differ_in_the_names_of_counters_and_in_the_end() {
        let (old, _) = render(2, Format::Text);
        let (new, _) = render(2, Format::OpenMetrics);
        assert!(old.contains("\n# TYPE echo_alex_reloads_total counter\n"), "{old}");
        assert!(new.contains("\n# TYPE echo_alex_reloads counter\n"), "{new}");
        let samples = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(samples(&old), samples(&new));
        assert!(new.ends_with("\n# EOF\n") && !old.contains("# EOF"));
    }

    #[test]
    fn each_listener_is_in_each_family_and_no_step_is_long() {
        let (text, lengths) = render(100, Format::Text);
        // The longest samples are those of the ends of one listener, by reason.
        let longest = lengths.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest.is_some_and(|step| step < 3 * 1024), "{longest:?}");
        for (samples, count) in [
            ("echo_alex_sessions{", 99),
            ("echo_alex_accepted_sessions_total{", 100),
            ("echo_alex_ended_sessions_total{", 100 * CloseReason::NAMES.len()),
            ("echo_alex_session_duration_seconds_count{", 100),
            ("# TYPE ", FAMILIES.len()),
        ] {
            assert_eq!(
                text.lines().filter(|line| line.starts_with(samples)).count(),
                count,
                "{samples}"
            );
        }
    }
}
