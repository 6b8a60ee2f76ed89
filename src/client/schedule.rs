//! When each message of an open loop is due.

use std::time::{Duration, Instant};

/// Messages at a fixed rate: so many in each period.
pub(super) struct Schedule {
    start: Instant,
    period: Duration,
    rate: u64,
    /// The number of the next message.
    pub(super) next: u64,
    /// How many there are.
    pub(super) total: u64,
}

impl Schedule {
    /// `rate` messages a second from `start` on, for `duration`.
    pub(super) fn new(start: Instant, rate: u64, duration: Duration) -> Self {
        Self::of_period(start, Duration::from_secs(1), rate, Some(duration))
    }

    /// `rate` messages in each `period` from `start` on, for `duration` or without end.
    pub(super) fn of_period(
        start: Instant,
        period: Duration,
        rate: u64,
        duration: Option<Duration>,
    ) -> Self {
        let nanos = period.as_nanos().max(1);
        let total = duration.map(|duration| u128::from(rate) * duration.as_nanos() / nanos);
        let total = total.map_or(u64::MAX, |total| u64::try_from(total).unwrap_or(u64::MAX).max(1));
        Self { start, period, rate, next: 0, total }
    }

    /// When the next message is due; `None` after the last one.
    pub(super) fn due(&self) -> Option<Instant> {
        let nanos = u128::from(self.next) * self.period.as_nanos() / u128::from(self.rate);
        let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (self.next < self.total).then(|| self.start + since)
    }

    /// No more messages are due.
    pub(super) fn stop(&mut self) {
        self.total = self.next;
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

    #[test]
    fn messages_of_a_longer_period_are_due_until_the_schedule_is_stopped() {
        let start = Instant::now();
        let mut schedule = Schedule::of_period(start, Duration::from_secs(10), 4, None);
        schedule.next = 9;
        assert_eq!(schedule.due(), Some(start + Duration::from_millis(22_500)));
        schedule.stop();
        assert_eq!((schedule.due(), schedule.rest()), (None, 0));
    }
}
