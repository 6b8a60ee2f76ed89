//! All sessions, their turns and their deadlines.
//!
//! # A key is not used twice in an iteration
//!
//! A session that ends is marked, and leaves the slab when it is reaped, at the end of the event loop's
//! iteration. So an event that was polled for one session never reaches another.
//!
//! # A session that has more to do waits in a queue
//!
//! Every event is followed by a short turn. A session that could do more joins the queue, and each
//! iteration of the event loop gives one of them a long turn, after all events. A stream then finds its
//! bytes in the processor's cache, and a short message waits for one long turn at most. The bound of
//! that turn is a time, because a step costs a Pi without AES instructions much more than a PC.

mod admit;
mod survey;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;

use crate::config::Timeouts;
use crate::daemon::admission::Admission;
use crate::daemon::census::Present;
use crate::daemon::deadline::Deadlines;
use crate::daemon::handshakes::Handshakes;
use crate::daemon::listeners::Listeners;
use crate::daemon::session::{Session, Turn};
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use watch::{SURVEY, Watch};

/// How long a long turn goes on: it is over with the first short turn that ends later than this.
const LONG_TURN: Duration = Duration::from_micros(500);

/// The sessions of all listeners, each by its key.
#[derive(Default)]
pub struct Sessions {
    slots: Slab<Slot>,
    deadlines: Deadlines,
    /// Those that want another turn, the one that has waited longest in front.
    queue: VecDeque<usize>,
    /// Those that have ended and are still to be reaped.
    ended: Vec<usize>,
    /// Counts them against the limits of the daemon.
    pub admission: Admission,
    with_tls: usize,
    /// Those that ended well.
    handshakes: Handshakes,
    watch: Watch,
}

/// A session, and what the event loop knows about it.
struct Slot {
    session: Session<TcpStream>,
    /// Key of its listener.
    listener: usize,
    /// Where its entry among the deadlines is.
    armed: Option<Moment>,
    /// It is in the queue.
    queued: bool,
    /// Its TLS handshake is not counted yet.
    handshaking: bool,
}

/// A session that has ended.
pub struct Ended {
    /// The key that it had.
    pub key: usize,
    pub session: Session<TcpStream>,
    /// The key of its listener.
    pub listener: usize,
}

impl Sessions {
    /// Adds a session of the listener with the key `listener`, and registers its socket.
    pub fn insert(
        &mut self,
        mut session: Session<TcpStream>,
        listener: usize,
        timeouts: &Timeouts,
        registry: &Registry,
    ) -> io::Result<()> {
        let entry = self.slots.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        registry.register(session.wire(), Token(key), interest)?;
        self.admission.enter(session.counted_address());
        self.with_tls += usize::from(session.is_tls());
        let mut armed = None;
        self.deadlines.set(key, &mut armed, session.deadline(timeouts));
        // A service that speaks first does not wait for an event.
        let queued = session.speaks();
        if queued {
            self.queue.push_back(key);
        }
        let handshaking = session.is_tls();
        entry.insert(Slot { session, listener, armed, queued, handshaking });
        Ok(())
    }

    /// Gives a session a turn after an event. A session in the queue has its turn after all events, and
    /// then reads to the end, whatever its event said.
    #[inline(always)]
    pub fn advance(
        &mut self,
        key: usize,
        to_the_end: bool,
        now: Moment,
        listeners: &mut Listeners,
        buffers: &mut Buffers,
    ) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if !slot.queued {
            match slot.session.advance(to_the_end, now, buffers) {
                Turn::Unchanged => {}
                turn => self.follow_up(key, turn, now, listeners, buffers),
            }
        }
    }

    /// Gives a long turn to the session that has waited longest for one.
    pub fn resume_one(&mut self, now: Moment, listeners: &mut Listeners, buffers: &mut Buffers) {
        // A session that was cut off while it waited is no longer there.
        let Some(key) = self.queue.pop_front() else { return };
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.queued = false;
        let begun = Moment::now();
        let mut turn = slot.session.advance(true, now, buffers);
        while turn == Turn::Again && Moment::now() - begun < LONG_TURN {
            turn = slot.session.advance(true, now, buffers);
        }
        if turn != Turn::Unchanged {
            self.follow_up(key, turn, now, listeners, buffers);
        }
    }

    /// Ends the sessions whose timeout is over.
    pub fn expire(&mut self, now: Moment, listeners: &mut Listeners, buffers: &mut Buffers) {
        while let Some(key) = self.deadlines.due(now) {
            if key == SURVEY {
                self.deadlines.set(key, &mut self.watch.armed, None);
                self.watch.is_due = true;
                continue;
            }
            let slot = &mut self.slots[key];
            let due = slot.session.deadline(&listeners.get(slot.listener).timeouts);
            self.deadlines.set(key, &mut slot.armed, due.filter(|due| *due > now));
            // A session that has no deadline any more (its timeout is "none") only loses its entry.
            if due.is_some_and(|due| due <= now) && !slot.session.is_closed() {
                let turn = slot.session.expire(now, buffers);
                self.follow_up(key, turn, now, listeners, buffers);
            }
        }
    }

    /// Does what follows from a session's turn.
    #[cold]
    fn follow_up(
        &mut self,
        key: usize,
        turn: Turn,
        now: Moment,
        listeners: &mut Listeners,
        buffers: &mut Buffers,
    ) {
        let slot = &mut self.slots[key];
        if slot.handshaking
            && let Some((agreed, duration)) = slot.session.handshake()
        {
            slot.handshaking = false;
            self.handshakes.count(agreed, duration);
        }
        match turn {
            Turn::Closed => return self.ended.push(key),
            Turn::Admission => return self.admit(key, now, listeners, buffers),
            Turn::Again | Turn::Later if !slot.queued => {
                slot.queued = true;
                self.queue.push_back(key);
            }
            Turn::Again | Turn::Later | Turn::Wait | Turn::Unchanged => {}
        }
        let due = slot.session.deadline(&listeners.get(slot.listener).timeouts);
        self.deadlines.set(key, &mut slot.armed, due);
        if slot.session.is_watching() && self.watch.keys.insert(key) && self.watch.armed.is_none() {
            self.arm_survey(self.watch.next.unwrap_or(now));
        }
    }

    /// Ends the sessions of the listeners whose keys are `chosen`, once their echo is out.
    pub fn end(
        &mut self,
        reason: &CloseReason,
        chosen: impl Fn(usize) -> bool,
        now: Moment,
        listeners: &mut Listeners,
        buffers: &mut Buffers,
    ) {
        let chosen = self.slots.iter().filter(|(_, slot)| chosen(slot.listener));
        let keys: Vec<usize> = chosen.map(|(key, _)| key).collect();
        for key in keys {
            if self.slots[key].session.is_expecting() {
                // What has come behind a header is answered too.
                let turn = self.slots[key].session.advance(true, now, buffers);
                self.follow_up(key, turn, now, listeners, buffers);
            }
            let session = &mut self.slots[key].session;
            if !session.is_closed() {
                let turn = session.end(reason.clone(), now, buffers);
                self.follow_up(key, turn, now, listeners, buffers);
            }
        }
    }

    /// Ends all sessions as they are.
    pub fn cut_off(&mut self, reason: &CloseReason) {
        for (key, slot) in &mut self.slots {
            if !slot.session.is_closed() {
                slot.session.close(reason.clone());
                self.ended.push(key);
            }
        }
    }

    /// Removes the sessions that have ended and returns them.
    pub fn reap(&mut self) -> Vec<Ended> {
        let mut reaped = Vec::with_capacity(self.ended.len());
        for key in mem::take(&mut self.ended) {
            let Slot { session, listener, mut armed, .. } = self.slots.remove(key);
            self.watch.keys.remove(&key);
            self.deadlines.set(key, &mut armed, None);
            self.admission.leave(session.counted_address());
            self.with_tls -= usize::from(session.is_tls());
            reaped.push(Ended { key, session, listener });
        }
        reaped
    }

    /// Sets every deadline again, because the timeouts may have changed.
    pub fn rearm(&mut self, listeners: &Listeners) {
        for (key, slot) in &mut self.slots {
            let due = slot.session.deadline(&listeners.get(slot.listener).timeouts);
            self.deadlines.set(key, &mut slot.armed, due);
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Whether a session waits for another turn.
    pub fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether one of them has ended and is still to be reaped.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The TLS handshakes that succeeded.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// The number of TLS sessions.
    pub fn with_tls(&self) -> usize {
        self.with_tls
    }

    /// The session with this key, if there is one.
    pub fn present(&self, key: usize) -> Option<Present> {
        self.slots.get(key).map(|Slot { session, listener, .. }| Present {
            listener: *listener,
            volume: session.volume(),
            is_handshaking: session.is_handshaking(),
        })
    }

    /// The keys of all sessions are below this one.
    pub fn end_of_keys(&self) -> usize {
        self.slots.capacity()
    }
}
