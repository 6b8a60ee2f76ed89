//! Events that a stranger can cause as often as he likes, without a log line for each: the first
//! is said at once, the rest are summed up.

use std::time::Duration;

use crate::clock::Moment;

/// How often a sum is said.
const INTERVAL: Duration = Duration::from_secs(10);

/// One kind of event.
#[derive(Debug, Default)]
pub struct Repeats {
    /// When the last line was written.
    said: Option<Moment>,
    /// Events since then.
    unsaid: u64,
}

impl Repeats {
    /// Counts an event at `now`; true if it is worth a line of its own.
    pub fn note(&mut self, now: Moment) -> bool {
        if self.said.is_some_and(|said| now < said + INTERVAL) || self.unsaid > 0 {
            self.unsaid += 1;
            return false;
        }
        self.said = Some(now);
        true
    }

    /// When the sum of what was not said is due.
    pub fn due(&self) -> Option<Moment> {
        self.said.filter(|_| self.unsaid > 0).map(|said| said + INTERVAL)
    }

    /// The sum, if it is due at `now`: how many, in how long.
    pub fn sum(&mut self, now: Moment) -> Option<(u64, Duration)> {
        self.due().filter(|due| *due <= now)?;
        let time = now - self.said.replace(now)?;
        Some((std::mem::take(&mut self.unsaid), time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_rest_are_summed() {
        let start = Moment::now();
        let mut repeats = Repeats::default();
        assert!(repeats.note(start));
        assert_eq!(repeats.due(), None, "an idle daemon has nothing to wake for");
        for _ in 0..1000 {
            assert!(!repeats.note(start + INTERVAL / 2));
        }
        assert_eq!(repeats.due(), Some(start + INTERVAL));
        assert_eq!(repeats.sum(start + INTERVAL / 2), None);
        assert_eq!(repeats.sum(start + INTERVAL), Some((1000, INTERVAL)));
        assert_eq!(repeats.due(), None);
        assert!(!repeats.note(start + INTERVAL), "the interval begins again with the sum");
        assert!(repeats.sum(start + 2 * INTERVAL).is_some());
        assert!(repeats.note(start + 3 * INTERVAL));
    }
}
