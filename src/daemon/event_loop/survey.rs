//! The survey of all sessions for those who watch `/events`.
//!
//! # It is made in steps
//!
//! The sessions are counted as for metrics, a step in an iteration of the event loop. Then the kernel is asked
//! about one session in an iteration, and then each watcher has a turn, one in an iteration. So no session waits
//! for a whole survey.

use std::mem;
use std::time::Duration;

use super::EventLoop;
use crate::daemon::service::Volume;
use crate::daemon::service::web::events::{ListenerOverview, Overview};
use crate::daemon::stats::{ListenerSnapshot, Snapshot};
use crate::daemon::survey::Survey;
use crate::os::clock::Moment;

/// The least time from the beginning of one survey to that of the next.
const INTERVAL: Duration = Duration::from_secs(1);

impl EventLoop {
    /// Makes the next step of the survey.
    pub(super) fn survey(&mut self, now: Moment) {
        self.survey = match mem::take(&mut self.survey) {
            Survey::None if !self.sessions.are_watched() => return,
            Survey::None => {
                self.listeners.site.events.begin();
                self.sessions.plan_survey(now + INTERVAL);
                Survey::Counting(Box::new(self.census(now)))
            }
            Survey::Counting(mut census) => {
                let show = |key| self.sessions.show(key, now, &self.listeners);
                if census.step(self.sessions.end_of_keys(), show) {
                    let overview = self.overview(&census.end());
                    Survey::Asking(Box::new(overview), self.listeners.site.events.shown())
                } else {
                    Survey::Counting(census)
                }
            }
            Survey::Asking(overview, mut shown) => {
                let events = &self.listeners.site.events;
                if let Some(session) = shown.pop() {
                    events.measured(session, self.sessions.rtt_us(session));
                    Survey::Asking(overview, shown)
                } else {
                    events.publish(&overview);
                    Survey::Telling(0)
                }
            }
            Survey::Telling(first) => match self.sessions.tell(first) {
                Some(key) => Survey::Telling(key + 1),
                None => Survey::None,
            },
        };
        match self.survey {
            Survey::None => self.sessions.arm_next_survey(now),
            Survey::Counting(_) | Survey::Asking(..) | Survey::Telling(_) => {
                self.sessions.arm_survey(now);
            }
        }
    }

    /// Begins the survey again, because listeners may have changed.
    pub(super) fn restart_survey(&mut self, now: Moment) {
        self.survey = Survey::None;
        self.sessions.arm_next_survey(now);
    }

    fn overview(&self, snapshot: &Snapshot) -> Overview {
        let overview = |ListenerSnapshot { name, sessions, counters, .. }: &ListenerSnapshot| {
            let Volume { received, sent, .. } = counters.volume;
            let listener = self.listeners.iter().find(|(_, listener)| listener.name == *name);
            ListenerOverview {
                name: name.clone(),
                service: listener.map_or("", |(_, listener)| listener.service_name()),
                sessions: *sessions,
                accepted: counters.accepted,
                refused: counters.all_refused(),
                received,
                sent,
            }
        };
        let all = snapshot.listeners.iter().chain(&snapshot.past);
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            uptime: snapshot.uptime.as_secs(),
            sessions: snapshot.totals.sessions,
            tls: snapshot.totals.tls,
            refused: all.map(|listener| listener.counters.all_refused()).sum(),
            listeners: snapshot.listeners.iter().map(overview).collect(),
        }
    }
}
