//! The next deadline of all sessions.
//!
//! # An entry may be early, never late
//!
//! Each byte of an echo puts off its session's idle timeout, and must not cost an update here. So a
//! session whose deadline has moved *back* may keep its entry; when that comes due, the loop asks the
//! session again and enters the time that is true by then. That wakes an idle daemon at most once
//! a timeout. Where another timeout begins, and the deadline may have moved forward, the entry is
//! replaced.

use std::collections::BTreeSet;

use crate::os::clock::Moment;

/// Deadlines of sessions, each known by its key.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: BTreeSet<(Moment, usize)>,
}

impl Deadlines {
    /// Puts the entry of `key`, which is at `armed`, at `due`.
    pub fn set(&mut self, key: usize, armed: &mut Option<Moment>, due: Option<Moment>) {
        if let Some(old) = armed.take() {
            self.entries.remove(&(old, key));
        }
        if let Some(due) = due {
            self.entries.insert((due, key));
            *armed = Some(due);
        }
    }

    /// The earliest entry.
    pub fn next(&self) -> Option<Moment> {
        self.entries.first().map(|(due, _)| *due)
    }

    /// The key of an entry that is due at `now`, if there is one; it stays until `set`.
    pub fn due(&self, now: Moment) -> Option<usize> {
        self.entries.first().filter(|(due, _)| *due <= now).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_entry_is_replaced_and_taken_out() {
        let start = Moment::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        let mut armed = None;
        deadlines.set(7, &mut armed, Some(at(10)));
        assert_eq!(deadlines.due(at(9)), None);
        assert_eq!(deadlines.due(at(10)), Some(7));
        deadlines.set(7, &mut armed, Some(at(5)));
        assert_eq!((deadlines.next(), armed), (Some(at(5)), Some(at(5))));
        deadlines.set(7, &mut armed, None);
        assert_eq!((deadlines.next(), armed), (None, None));
    }

    #[test]
    fn sessions_with_the_same_deadline_are_all_due() {
        let now = Moment::now();
        let mut deadlines = Deadlines::default();
        let mut armed = [None; 3];
        for (key, armed) in armed.iter_mut().enumerate() {
            deadlines.set(key, armed, Some(now));
        }
        for (key, armed) in armed.iter_mut().enumerate() {
            assert_eq!(deadlines.due(now), Some(key));
            deadlines.set(key, armed, None);
        }
        assert_eq!(deadlines.due(now), None);
    }
}
