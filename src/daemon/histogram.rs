//! Counts of durations by size, as Prometheus adds them up: cumulative, in buckets that never change.

use std::time::Duration;

/// The upper bounds for handshakes, in seconds: from a fast PC to `handshake-timeout`.
pub const HANDSHAKE_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The upper bounds for whole sessions, in seconds: from a probe to a day.
pub const SESSION_BOUNDS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0];

/// How many durations were at most as long as each bound.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Those up to each bound and above the one before it; the last one is for those above all.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// An empty one with these bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts a duration.
    pub fn count(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[place] += 1;
        self.sum += seconds;
    }

    /// Each bound with the number of durations up to it, the last without a bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }

    /// The sum of all durations, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_all_that_are_at_most_as_long_as_its_bound() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for millis in [100, 101, 1000, 5000] {
            histogram.count(Duration::from_millis(millis));
        }
        let all: Vec<_> = histogram.cumulative().collect();
        assert_eq!(all, [(Some(0.1), 1), (Some(1.0), 3), (None, 4)]);
        assert!((histogram.sum() - 6.201).abs() < 1e-9);
    }
}
