//! The next deadline of all sessions, on the monotonic clock: a Pi has no clock chip, and its wall
//! clock jumps when the network brings the time.
//!
//! # An entry may be early, never late
//!
//! Each byte of an echo puts off its session's idle timeout, and must not cost an update here. So a
//! session whose deadline has moved *back* keeps its entry; when that comes due, the loop asks the
//! session again and enters the time that is true by then. That wakes an idle daemon at most once
//! a timeout. Where the deadline moved *forward*, the entry is replaced.

use std::collections::BTreeSet;
use std::time::Instant;

/// Deadlines of sessions, each known by its key.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: BTreeSet<(Instant, usize)>,
}

impl Deadlines {
    /// Puts the entry of `key`, which is at `armed`, where it must be for a deadline at `due`.
    pub fn hold(&mut self, key: usize, armed: &mut Option<Instant>, due: Option<Instant>) {
        let late = match (*armed, due) {
            (Some(armed), Some(due)) => due < armed,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if late {
            self.set(key, armed, due);
        }
    }

    /// Puts the entry of `key` at `due` exactly.
    pub fn set(&mut self, key: usize, armed: &mut Option<Instant>, due: Option<Instant>) {
        if let Some(old) = armed.take() {
            self.entries.remove(&(old, key));
        }
        if let Some(due) = due {
            self.entries.insert((due, key));
            *armed = Some(due);
        }
    }

    /// The earliest entry.
    pub fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(due, _)| *due)
    }

    /// The key of an entry that is due at `now`, if there is one; it stays until `set`.
    pub fn due(&self, now: Instant) -> Option<usize> {
        self.entries.first().filter(|(due, _)| *due <= now).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_that_moves_back_keeps_its_entry_and_one_that_moves_forward_replaces_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        let mut armed = None;
        deadlines.hold(7, &mut armed, Some(at(10)));
        deadlines.hold(7, &mut armed, Some(at(20)));
        assert_eq!(deadlines.next(), Some(at(10)));
        deadlines.hold(7, &mut armed, Some(at(5)));
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.due(at(4)), None);
        assert_eq!(deadlines.due(at(5)), Some(7));
        deadlines.set(7, &mut armed, None);
        assert_eq!((deadlines.next(), armed), (None, None));
    }

    #[test]
    fn sessions_with_the_same_deadline_are_all_due() {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        let mut armed = [None; 3];
        for (key, armed) in armed.iter_mut().enumerate() {
            deadlines.hold(key, armed, Some(now));
        }
        for (key, armed) in armed.iter_mut().enumerate() {
            assert_eq!(deadlines.due(now), Some(key));
            deadlines.set(key, armed, None);
        }
        assert_eq!(deadlines.due(now), None);
    }
}
