//! The TLS handshakes that succeeded, by what was agreed.

use std::time::Duration;

use crate::daemon::histogram::{HANDSHAKE_BOUNDS, Histogram};
use crate::wire::transport::Agreed;

/// Counts of handshakes, and how long they took.
#[derive(Clone, Debug)]
pub struct Handshakes {
    /// There are as many kinds as versions, suites and groups go together: some dozens at most.
    kinds: Vec<(Agreed, u64)>,
    durations: Histogram,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { kinds: Vec::new(), durations: Histogram::new(HANDSHAKE_BOUNDS) }
    }
}

impl Handshakes {
    /// Counts a handshake that took this long from accept.
    pub fn count(&mut self, agreed: Agreed, duration: Duration) {
        self.durations.count(duration);
        match self.kinds.iter_mut().find(|(kind, _)| *kind == agreed) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((agreed, 1)),
        }
    }

    /// How many handshakes agreed on what.
    pub fn kinds(&self) -> &[(Agreed, u64)] {
        &self.kinds
    }

    /// How long they took.
    pub fn durations(&self) -> &Histogram {
        &self.durations
    }
}
