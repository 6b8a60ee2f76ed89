//! Events that a stranger can cause as often as he likes, without a log line for each: the first
//! ones are said at once, the rest are summed up.

use std::time::Duration;

use crate::os::clock::Moment;

/// How often a sum is said.
const INTERVAL: Duration = Duration::from_secs(10);

/// One kind of event.
#[derive(Debug)]
pub struct Repeats {
    /// How many may have a line of their own in an interval.
    allowance: u32,
    /// When the interval began.
    begun: Option<Moment>,
    /// Lines since then.
    said: u32,
    /// Events since then that had none.
    unsaid: u64,
}

impl Repeats {
    /// A kind of event with so many lines in 10 s, and one for the rest.
    pub fn new(allowance: u32) -> Self {
        Self { allowance, begun: None, said: 0, unsaid: 0 }
    }

    /// Counts an event at `now`; true if it is worth a line of its own.
    pub fn note(&mut self, now: Moment) -> bool {
        // What is over is over only when its sum was said.
        if self.unsaid == 0 && self.begun.is_none_or(|begun| now >= begun + INTERVAL) {
            self.begun = Some(now);
            self.said = 0;
        }
        let worth_it = self.unsaid == 0 && self.said < self.allowance;
        if worth_it {
            self.said += 1;
        } else {
            self.unsaid += 1;
        }
        worth_it
    }

    /// When the sum of what was not said is due.
    pub fn due(&self) -> Option<Moment> {
        self.begun.filter(|_| self.unsaid > 0).map(|begun| begun + INTERVAL)
    }

    /// The sum, if it is due at `now`: how many, in how long.
    pub fn sum(&mut self, now: Moment) -> Option<(u64, Duration)> {
        self.due().filter(|due| *due <= now)?;
        let time = now - self.begun.replace(now)?;
        self.said = 1;
        Some((std::mem::take(&mut self.unsaid), time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_rest_are_summed() {
        let start = Moment::now();
        let mut repeats = Repeats::new(1);
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

    #[test]
    fn an_allowance_is_there_again_in_the_next_interval() {
        let start = Moment::now();
        let mut repeats = Repeats::new(3);
        let said = |repeats: &mut Repeats, now| (0..5).filter(|_| repeats.note(now)).count();
        assert_eq!(said(&mut repeats, start), 3);
        assert_eq!(repeats.sum(start + INTERVAL), Some((2, INTERVAL)));
        assert_eq!(said(&mut repeats, start + INTERVAL), 2, "the sum was a line too");
        assert_eq!(repeats.sum(start + 2 * INTERVAL), Some((3, INTERVAL)));
        assert_eq!(said(&mut repeats, start + 3 * INTERVAL), 3);
    }
}
