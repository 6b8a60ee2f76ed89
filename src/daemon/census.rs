//! What the present sessions have done, for a snapshot, counted a step at a time.
//!
//! # No session waits until all are counted
//!
//! There may be thousands of sessions. So they are counted in the order of their keys, [`STEP`] keys in a step,
//! and the event loop goes on between two steps.
//!
//! # Each session is counted once
//!
//! When a session ends, what it has done is added to the counters of its listener. The snapshot has these
//! as they were before the first step. So a session that ends before its turn is counted then, and one
//! that ends after it was counted already. Therefore a counter is never smaller in a later snapshot.

use crate::daemon::service::Volume;
use crate::daemon::stats::Snapshot;

/// How many keys a step goes on.
const STEP: usize = 500;

/// A present session.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// The key of its listener.
    pub listener: usize,
    /// What its service has done so far.
    pub volume: Volume,
    /// Whether its TLS handshake is not over.
    pub is_handshaking: bool,
}

/// A snapshot whose present sessions are being counted.
pub struct Census {
    snapshot: Snapshot,
    /// The key of each of its listeners.
    keys: Vec<usize>,
    /// What those sessions have done that were counted, by the keys of their listeners.
    counted: Vec<Volume>,
    /// The sessions from this key on are not counted yet.
    next: usize,
}

impl Census {
    /// Begins to count for `snapshot`, which has counters without the present sessions. `keys` are those of its
    /// listeners, which stay the same until the end.
    pub fn new(snapshot: Snapshot, keys: Vec<usize>) -> Self {
        Self { snapshot, keys, counted: Vec::new(), next: 0 }
    }

    /// Counts more sessions: `present` has them by their keys, which are below `end_of_keys`. True when all are
    /// counted.
    pub fn step(&mut self, end_of_keys: usize, present: impl Fn(usize) -> Option<Present>) -> bool {
        let end = end_of_keys.min(self.next + STEP);
        for Present { listener, volume, is_handshaking } in (self.next..end).filter_map(present) {
            self.count(listener, volume);
            self.snapshot.handshaking += usize::from(is_handshaking);
        }
        self.next = end;
        end == end_of_keys
    }

    /// A session has ended.
    pub fn leave(&mut self, key: usize, listener: usize, volume: Volume) {
        if key >= self.next {
            self.count(listener, volume);
        }
    }

    fn count(&mut self, listener: usize, volume: Volume) {
        if self.counted.len() <= listener {
            self.counted.resize(listener + 1, Volume::default());
        }
        self.counted[listener] += volume;
    }

    /// The snapshot, when all are counted.
    pub fn end(mut self) -> Snapshot {
        for (key, listener) in self.keys.into_iter().zip(&mut self.snapshot.listeners) {
            listener.counters.volume += self.counted.get(key).copied().unwrap_or_default();
        }
        self.snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::stats::ListenerSnapshot;

    /// The key of the only listener.
    const LISTENER: usize = 3;

    /// Bytes that were received by the present sessions, by their keys, and by those that have ended.
    #[derive(Default)]
    struct Received {
        present: std::collections::BTreeMap<usize, u64>,
        ended: u64,
    }

    fn volume(received: u64) -> Volume {
        Volume { received, ..Volume::default() }
    }

    impl Received {
        fn census(&self) -> Census {
            let mut snapshot = Snapshot::of_nothing();
            let mut listener = ListenerSnapshot::of_nothing(0);
            listener.counters.volume = volume(self.ended);
            snapshot.listeners.push(listener);
            Census::new(snapshot, vec![LISTENER])
        }

        fn step(&self, census: &mut Census) -> bool {
            census.step(3 * STEP, |key| {
                let received = *self.present.get(&key)?;
                Some(Present { listener: LISTENER, volume: volume(received), is_handshaking: true })
            })
        }

        fn end(&mut self, key: usize, census: &mut Census) {
            let received = self.present.remove(&key).unwrap();
            self.ended += received;
            census.leave(key, LISTENER, volume(received));
        }
    }

    /// The bytes and the handshaking sessions of a snapshot.
    fn counted(census: Census) -> (u64, usize) {
        let snapshot = census.end();
        (snapshot.listeners[0].counters.volume.received, snapshot.handshaking)
    }

    #[test]
    fn a_session_that_ends_between_two_steps_is_counted_once() {
        let (before, after) = (5, 2 * STEP);
        let mut received = Received { present: [(before, 10), (after, 20)].into(), ended: 100 };
        let mut census = received.census();
        assert!(!received.step(&mut census));
        received.end(before, &mut census);
        received.end(after, &mut census);
        // Their keys are free. The first of these is not counted, because its key has had its turn.
        received.present = [(before, 1), (after, 2), (after + 1, 4)].into();
        assert!(!received.step(&mut census) && received.step(&mut census));
        assert_eq!(counted(census), (100 + 10 + 20 + 2 + 4, 3));
        let mut next = received.census();
        while !received.step(&mut next) {}
        assert_eq!(counted(next), (130 + 1 + 2 + 4, 3));
    }
}
