//! Limits the log lines for events that a peer can cause as often as it likes: the first events in an
//! interval have a line each, the rest are summed up in one line.

use std::time::Duration;

use crate::os::clock::Moment;

/// How often a sum is logged.
const INTERVAL: Duration = Duration::from_secs(10);

/// Limits the log lines of one kind of event.
#[derive(Debug)]
pub struct LogLimiter {
    /// How many events have a line of their own in an interval.
    allowance: u32,
    /// When the interval began.
    begun: Option<Moment>,
    /// Lines in the interval.
    logged: u32,
    /// Events in the interval without a line.
    left_out: u64,
}

impl LogLimiter {
    /// Allows this many lines in 10 s, and one for the rest.
    pub fn new(allowance: u32) -> Self {
        Self { allowance, begun: None, logged: 0, left_out: 0 }
    }

    /// Counts an event at `now`; true if it gets a line of its own.
    pub fn note(&mut self, now: Moment) -> bool {
        // An interval is over only once its sum has been logged.
        if self.left_out == 0 && self.begun.is_none_or(|begun| now >= begun + INTERVAL) {
            self.begun = Some(now);
            self.logged = 0;
        }
        let has_line = self.left_out == 0 && self.logged < self.allowance;
        if has_line {
            self.logged += 1;
        } else {
            self.left_out += 1;
        }
        has_line
    }

    /// When the sum of the events without a line is due.
    pub fn due(&self) -> Option<Moment> {
        self.begun.filter(|_| self.left_out > 0).map(|begun| begun + INTERVAL)
    }

    /// The sum, if it is due at `now`: how many events, in how long.
    pub fn sum(&mut self, now: Moment) -> Option<(u64, Duration)> {
        self.due().filter(|due| *due <= now)?;
        let time = now - self.begun.replace(now)?;
        self.logged = 0;
        Some((std::mem::take(&mut self.left_out), time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_has_a_line_and_the_rest_are_summed_up() {
        let start = Moment::now();
        let mut limiter = LogLimiter::new(1);
        assert!(limiter.note(start));
        assert_eq!(limiter.due(), None, "an idle daemon has nothing to wake for");
        for _ in 0..1000 {
            assert!(!limiter.note(start + INTERVAL / 2));
        }
        assert_eq!(limiter.due(), Some(start + INTERVAL));
        assert_eq!(limiter.sum(start + INTERVAL / 2), None);
        assert_eq!(limiter.sum(start + INTERVAL), Some((1000, INTERVAL)));
        assert_eq!(limiter.due(), None);
        assert!(limiter.note(start + INTERVAL), "the interval begins again with the sum");
        assert!(!limiter.note(start + INTERVAL));
        assert_eq!(limiter.sum(start + 2 * INTERVAL), Some((1, INTERVAL)));
        assert!(limiter.note(start + 3 * INTERVAL));
    }

    #[test]
    fn each_interval_has_its_whole_allowance() {
        let start = Moment::now();
        let mut limiter = LogLimiter::new(3);
        let logged = |limiter: &mut LogLimiter, now| (0..5).filter(|_| limiter.note(now)).count();
        assert_eq!(logged(&mut limiter, start), 3);
        assert_eq!(limiter.sum(start + INTERVAL), Some((2, INTERVAL)));
        assert_eq!(logged(&mut limiter, start + INTERVAL), 3);
        assert_eq!(limiter.sum(start + 2 * INTERVAL), Some((2, INTERVAL)));
        assert_eq!(logged(&mut limiter, start + 3 * INTERVAL), 3);
    }
}
