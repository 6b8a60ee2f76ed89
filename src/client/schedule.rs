//! When each message of an open loop is due.

use std::time::{Duration, Instant};

/// Messages at a fixed rate.
pub(super) struct Schedule {
    start: Instant,
    rate: u64,
    /// The number of the next message.
    pub(super) next: u64,
    /// How many there are.
    pub(super) total: u64,
}

impl Schedule {
    /// `rate` messages a second from `start` on, for `duration`.
    pub(super) fn new(start: Instant, rate: u64, duration: Duration) -> Self {
        let total = u128::from(rate) * duration.as_nanos() / 1_000_000_000;
        Self { start, rate, next: 0, total: u64::try_from(total).unwrap_or(u64::MAX).max(1) }
    }

    /// When the next message is due; `None` after the last one.
    pub(super) fn due(&self) -> Option<Instant> {
        let nanos = u128::from(self.next) * 1_000_000_000 / u128::from(self.rate);
        let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (self.next < self.total).then(|| self.start + since)
    }

    /// How many messages were not sent.
    pub(super) fn rest(&self) -> u64 {
        self.total - self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_intervals_and_the_last_one_before_the_end() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 3, Duration::from_secs(2));
        let mut dues = Vec::new();
        while let Some(due) = schedule.due() {
            dues.push((due - start).as_millis());
            schedule.next += 1;
        }
        assert_eq!((dues, schedule.rest()), (vec![0, 333, 666, 1000, 1333, 1666], 0));
        assert_eq!(Schedule::new(start, 1, Duration::from_millis(1)).total, 1);
    }
}
