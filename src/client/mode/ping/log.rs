//! What a ping records and prints as messages come back or are lost.

use std::time::{Duration, Instant};

use super::report::Results;
use crate::client::context::Client;
use crate::client::error::Error;

/// The shortest outage over UDP that has a line of its own. A network may lose a datagram now and then.
const OUTAGE_MIN: Duration = Duration::from_secs(1);

/// What is recorded and printed as messages come back or are lost.
pub(super) struct Log {
    /// Whether to ring the bell at each echo.
    bell: bool,
    pub(super) results: Results,
}

impl Log {
    pub(super) fn new(bell: bool) -> Self {
        Self { bell, results: Results::new() }
    }

    /// Rings the bell for an echo, if it is to ring.
    pub(super) fn ring(&self, client: &mut Client) {
        if self.bell {
            client.printer.draw("\x07".into());
        }
    }

    /// An echo came at `now`, and ends an outage if there is one.
    pub(super) fn is_back(&mut self, client: &mut Client, now: Instant) {
        let shortest = if client.options.udp { OUTAGE_MIN } else { Duration::ZERO };
        if let Some(outage) = self.results.outages.end(now)
            && outage.duration_s >= shortest.as_secs_f64()
            && !client.options.json
        {
            client.print(&outage.to_string());
        }
    }

    /// Records a lost message, which was due at `due`, and prints it.
    pub(super) fn lost(&mut self, client: &mut Client, sequence: u64, due: Instant, error: &Error) {
        let reason = error.in_short();
        let line = format!("{}: seq={sequence} lost: {reason}", client.dialler.host);
        print_message(client, &line);
        self.results.outages.lost(due, reason, error.to_string());
    }
}

/// Prints that so many bytes came back of a message, with `details`.
pub(super) fn print_echo(client: &mut Client, length: usize, sequence: u64, details: &str) {
    let host = &client.dialler.host;
    let line = format!("{length} bytes from {host}: seq={sequence} {details}");
    print_message(client, &line);
}

/// Prints the line of a message, if messages have lines and somebody reads them.
fn print_message(client: &mut Client, line: &str) {
    if !client.options.json && !client.options.quiet && !client.printer.is_full() {
        client.print(line);
    }
}

/// "0.412 ms".
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
