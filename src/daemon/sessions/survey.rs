//! What the survey for those who watch `/events` needs of the sessions.

use std::mem;

use super::watch::SURVEY;
use super::{Sessions, Slot};
use crate::daemon::census::Present;
use crate::daemon::listeners::Listeners;
use crate::daemon::service::Volume;
use crate::daemon::service::web::events::{Seen, Shown};
use crate::os::clock::Moment;

impl Sessions {
    /// Whether any session watches `/events`.
    pub fn are_watched(&self) -> bool {
        !self.watch.keys.is_empty()
    }

    /// Whether the survey is to have a step. It has no other unless that is asked for.
    pub fn take_survey_due(&mut self) -> bool {
        mem::take(&mut self.watch.is_due)
    }

    /// Asks for the next step of the survey.
    pub fn arm_survey(&mut self, due: Moment) {
        self.deadlines.set(SURVEY, &mut self.watch.armed, Some(due));
    }

    /// Asks for the next survey, if any session watches `/events`.
    pub fn arm_next_survey(&mut self, now: Moment) {
        if self.are_watched() {
            self.arm_survey(self.watch.next.unwrap_or(now));
        }
    }

    /// Sets the earliest time of the next survey.
    pub fn plan_survey(&mut self, next: Moment) {
        self.watch.next = Some(next);
    }

    /// Puts the first watcher whose key is not below `key` into the queue: its key.
    pub fn tell(&mut self, key: usize) -> Option<usize> {
        let key = *self.watch.keys.range(key..).next()?;
        if let Some(slot) = self.slots.get_mut(key)
            && !slot.queued
        {
            slot.queued = true;
            self.queue.push_back(key);
        }
        Some(key)
    }

    /// Adds the session with this key to the survey, if a watcher may see it. Returns the same as
    /// [`Sessions::present`].
    pub fn show(&self, key: usize, now: Moment, listeners: &Listeners) -> Option<Present> {
        let Slot { session, listener, .. } = self.slots.get(key)?;
        let present = self.present(key)?;
        let Volume { received, sent, .. } = present.volume;
        let seconds = session.age(now).as_secs_f64();
        listeners.site.events.see(session.peer().ip().to_canonical(), seconds, || Seen {
            key,
            listener: listeners.get(*listener).name.clone(),
            peer: session.peer(),
            seconds,
            received,
            sent,
            agreed: session.agreed(),
            rtt_us: None,
        });
        Some(present)
    }

    /// The smoothed round trip time of the kernel in microseconds, if the session is there and the kernel tells.
    pub fn rtt_us(&self, session: Shown) -> Option<u32> {
        let Slot { session: present, .. } = self.slots.get(session.key)?;
        if present.peer() != session.peer {
            return None;
        }
        Some(present.tcp_info()?.rtt_us)
    }
}
