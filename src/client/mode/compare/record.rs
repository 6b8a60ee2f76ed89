//! What became of the probes over one transport.

use std::time::{Duration, Instant};

use crate::client::latency::{Jitter, Latencies, percent_of};

/// The record of a transport.
pub(super) struct Record {
    /// When the run began.
    begin: Instant,
    /// After what time an echo is late.
    timeout: Duration,
    /// The probes, in the order of their numbers, which begin with 1.
    probes: Vec<Probe>,
    /// How many of the first probes are not waited for any more.
    settled: usize,
    /// From when a probe was due to when its echo came, of those that came in time.
    pub(super) delays: Latencies,
    pub(super) jitter: Jitter,
    pub(super) late: u64,
}

/// A probe.
#[derive(Clone, Copy)]
struct Probe {
    due: Instant,
    /// How long it took to come back.
    delay: Option<Duration>,
}

impl Record {
    /// Without a probe. An echo that takes longer than `timeout` is late.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            begin: Instant::now(),
            timeout,
            probes: Vec::new(),
            settled: 0,
            delays: Latencies::default(),
            jitter: Jitter::default(),
            late: 0,
        }
    }

    /// From now on, times count from `begin`.
    pub(super) fn begin(&mut self, begin: Instant) {
        self.begin = begin;
    }

    /// Records the next probe, which was due at `due`.
    pub(super) fn sent(&mut self, due: Instant) {
        self.probes.push(Probe { due, delay: None });
    }

    /// Records that the echo of the probe with this number came at `now`.
    pub(super) fn came(&mut self, number: u64, now: Instant) {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let Some(probe) = place.and_then(|place| self.probes.get_mut(place)) else { return };
        let delay = now.saturating_duration_since(probe.due);
        if probe.delay.is_some() {
            return;
        }
        if delay > self.timeout {
            self.late += 1;
            return;
        }
        probe.delay = Some(delay);
        self.delays.record(delay);
        self.jitter.record(delay);
    }

    /// How many probes were sent.
    pub(super) fn count(&self) -> u64 {
        self.probes.len() as u64
    }

    /// How many came back in time.
    pub(super) fn received(&self) -> u64 {
        self.delays.count()
    }

    /// How many did not.
    pub(super) fn lost(&self) -> u64 {
        self.count() - self.received()
    }

    /// Their share in per cent.
    pub(super) fn loss(&self) -> f64 {
        percent_of(self.lost(), self.count())
    }

    /// Until when the next echo is waited for; `None` if none is at `now`.
    pub(super) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        while let Some(probe) = self.probes.get(self.settled) {
            let deadline = probe.due + self.timeout;
            if probe.delay.is_none() && now < deadline {
                return Some(deadline);
            }
            self.settled += 1;
        }
        None
    }

    /// When each probe was due, in seconds from the begin, and how many milliseconds it took to come back;
    /// `None` if it did not.
    pub(super) fn samples(&self) -> impl Iterator<Item = (f64, Option<f64>)> {
        self.probes.iter().map(|probe| {
            let due = probe.due.saturating_duration_since(self.begin).as_secs_f64();
            (due, probe.delay.map(|delay| delay.as_secs_f64() * 1e3))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_comes_in_time_once_or_is_late_or_lost() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut record = Record::new(Duration::from_millis(100));
        for ms in [0, 10, 20, 30] {
            record.sent(at(ms));
        }
        assert_eq!(record.deadline(at(30)), Some(at(100)));
        record.came(1, at(50));
        record.came(1, at(60));
        record.came(3, at(70));
        assert_eq!(record.deadline(at(70)), Some(at(110)));
        record.came(2, at(111));
        assert_eq!(record.deadline(at(111)), Some(at(130)));
        for number in [0, 5, u64::MAX] {
            record.came(number, at(120));
        }
        assert_eq!(record.deadline(at(130)), None);
        assert_eq!((record.count(), record.received(), record.late, record.lost()), (4, 2, 1, 2));
        assert!((record.loss() - 50.0).abs() < 1e-9);
        let samples: Vec<_> = record.samples().map(|(_, delay)| delay).collect();
        assert_eq!(samples, [Some(50.0), None, Some(50.0), None]);
    }
}
