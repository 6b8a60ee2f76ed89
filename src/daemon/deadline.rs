//! The deadlines of all sessions, the earliest first.
//!
//! # An entry may be early, never late
//!
//! Each byte of an echo moves its session's idle deadline to a later time, and must not cost an update
//! here. So a session whose deadline has become *later* keeps its entry. When the entry is due, the
//! event loop asks the session for its deadline and enters that. This wakes an idle daemon at most once
//! in a timeout. Where another timeout begins and the deadline may have become *earlier*, the entry is
//! replaced.

use std::collections::BTreeSet;

use crate::os::clock::Moment;

/// Deadlines of sessions by their keys.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: BTreeSet<(Moment, usize)>,
}

impl Deadlines {
    /// Moves the entry of `key` from `armed` to `due`.
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

    /// The key of an entry that is due at `now`, if there is one. `set` moves or removes the entry.
    pub fn due(&self, now: Moment) -> Option<usize> {
        self.entries.first().filter(|(due, _)| *due <= now).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_entry_is_replaced_and_removed() {
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
