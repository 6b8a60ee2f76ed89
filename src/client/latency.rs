//! Latencies in a histogram: their summary, and a drawing of their distribution.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies, with three significant digits.
pub struct Latencies {
    /// Nanoseconds.
    histogram: Histogram<u64>,
    last: Option<u64>,
    /// The sum of the differences between one latency and the next, in nanoseconds.
    changes: u64,
    sum: u128,
}

/// The summary, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(clippy::struct_field_names)] // The JSON report has them: each key names its unit.
pub struct Summary {
    pub min_ms: f64,
    pub avg_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    /// The mean difference between one latency and the next.
    pub jitter_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            histogram: Histogram::new(3).expect("three digits are within the crate's bounds"),
            last: None,
            changes: 0,
            sum: 0,
        }
    }
}

impl Latencies {
    /// Adds a latency.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        // The histogram grows as needed; only a time of centuries would not fit.
        let _ = self.histogram.record(nanos);
        self.changes += self.last.replace(nanos).map_or(0, |last| last.abs_diff(nanos));
        self.sum += u128::from(nanos);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.histogram.reset();
        (self.last, self.changes, self.sum) = (None, 0, 0);
    }

    /// The number of latencies.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The number of latencies in each range: its upper end in milliseconds, which is `growth` times that
    /// of the range before it, and the count.
    #[allow(clippy::cast_precision_loss)] // Times are below 2^53 ns.
    pub fn bins(&self, growth: f64) -> Vec<(f64, u64)> {
        self.histogram
            .iter_log(1000, growth)
            .map(|bin| (bin.value_iterated_to() as f64 / 1e6, bin.count_since_last_iteration()))
            .skip_while(|(_, count)| *count == 0)
            .collect()
    }

    /// The summary so far. All figures are zero if there are no latencies.
    #[allow(clippy::cast_precision_loss)] // Times are below 2^53 ns.
    pub fn summary(&self) -> Summary {
        let Some(last) = self.count().checked_sub(1) else { return Summary::default() };
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let at = |quantile| ms(self.histogram.value_at_quantile(quantile));
        Summary {
            min_ms: ms(self.histogram.min()),
            avg_ms: self.sum as f64 / self.count() as f64 / 1e6,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(self.histogram.max()),
            jitter_ms: ms(self.changes.checked_div(last).unwrap_or(0)),
        }
    }
}

/// The interarrival jitter of RFC 3550 §6.4.1, of round trips: how much the time varies from one message to
/// the next, smoothed over 16 of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    last: Option<Duration>,
    estimate_ms: f64,
}

impl Jitter {
    /// Adds the round trip of the message that came after the one before.
    pub fn record(&mut self, time: Duration) {
        if let Some(last) = self.last.replace(time) {
            let change_ms = time.abs_diff(last).as_secs_f64() * 1e3;
            self.estimate_ms += (change_ms - self.estimate_ms) / 16.0;
        }
    }

    /// The estimate after the last message, in milliseconds.
    pub fn estimate_ms(&self) -> f64 {
        self.estimate_ms
    }
}

/// So many of `all` messages in per cent; 0 if there are none.
#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
pub fn percent_of(count: u64, all: u64) -> f64 {
    100.0 * count as f64 / all.max(1) as f64
}

/// A number of per cent without needless digits. Only nothing is 0, and only all is 100.
pub fn percent(loss: f64) -> String {
    if loss <= 0.0 || loss >= 100.0 {
        return format!("{loss:.0}");
    }
    let text = format!("{:.3}", loss.clamp(0.001, 99.999));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Latencies {
    /// A bar for each doubling of the latency.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: u64 = 40;

        let bins: Vec<(u64, u64)> = self
            .histogram
            .iter_log(1, 2.0)
            .map(|bin| (bin.value_iterated_to(), bin.count_since_last_iteration()))
            .skip_while(|(_, count)| *count == 0)
            .collect();
        let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
        for (below, count) in bins {
            let bar = "#".repeat(usize::try_from((count * WIDTH).div_ceil(most)).unwrap_or(0));
            let below = Duration::from_nanos(below + 1);
            writeln!(f, "  < {:>9}  {count:>10}  {bar}", format!("{below:.3?}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)]
    fn a_summary_has_the_figures_that_ping_users_know() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary().max_ms, 0.0);
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary();
        let near = |is: f64, should: f64| (is / should - 1.0).abs() < 0.002;
        assert!(near(summary.min_ms, 1.0) && near(summary.max_ms, 100.0));
        assert!(near(summary.avg_ms, 50.5) && near(summary.p99_ms, 99.0));
        assert!(near(summary.jitter_ms, 1.0));
        let drawn = latencies.to_string();
        assert!(drawn.contains('#') && drawn.lines().count() < 12, "{drawn}");
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let mut jitter = Jitter::default();
        for (ms, estimate) in [(10, 0.0), (26, 1.0), (10, 1.9375), (10, 1.816_406_25)] {
            jitter.record(Duration::from_millis(ms));
            assert!((jitter.estimate_ms() - estimate).abs() < 1e-9, "{jitter:?}");
        }
    }
    #[test]
    fn one_lost_message_of_many_is_not_rounded_away() {
        for (loss, text) in [
            (0.0, "0"),
            (100.0, "100"),
            (50.0, "50"),
            (100.0 / 3.0, "33.333"),
            (0.1, "0.1"),
            (1e-6, "0.001"),
            (100.0 - 1e-6, "99.999"),
        ] {
            assert_eq!(percent(loss), text);
        }
    }
}
