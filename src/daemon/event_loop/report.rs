//! What the event loop knows of its work, for the log, the status and the metrics.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use super::EventLoop;
use crate::daemon::census::Census;
use crate::daemon::logger;
use crate::daemon::making::Making;
use crate::daemon::service::web::Format;
use crate::daemon::stats::{ListenerSnapshot, Snapshot, Totals};
use crate::os::clock::Moment;

/// The least time from one rendering of the metrics to the next.
const RENDERING_INTERVAL: Duration = Duration::from_secs(1);

impl EventLoop {
    /// The numbers that are cheap to read.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            sessions: self.sessions.len(),
            tls: self.sessions.with_tls(),
            echoed: self.buffers.echoed,
        }
    }

    /// Goes on with the metrics that web sessions wait for, for a step.
    #[cold]
    pub(super) fn publish(&mut self, now: Moment) {
        let Some(making) = self.making.take() else { return self.begin(now) };
        let format = making.format;
        match making.step(self.sessions.end_of_keys(), |key| self.sessions.present(key)) {
            ControlFlow::Continue(making) => self.making = Some(making),
            ControlFlow::Break(text) => {
                self.rendered[format as usize] = Some(now);
                self.listeners.site.publish(format, Some(text));
            }
        }
    }

    /// Begins with the next metrics that web sessions wait for, unless those that they have are not old.
    fn begin(&mut self, now: Moment) {
        let site = Rc::clone(&self.listeners.site);
        for (format, rendered) in Format::ALL.into_iter().zip(self.rendered) {
            if !site.is_asked(format) {
                continue;
            }
            if rendered.is_none_or(|moment| now >= moment + RENDERING_INTERVAL) {
                self.making = Some(Making::new(format, self.census(now)));
                return;
            }
            site.publish(format, None);
        }
    }

    /// All counters and gauges at `now`.
    pub(super) fn snapshot(&self, now: Moment) -> Snapshot {
        let mut census = self.census(now);
        let end = self.sessions.end_of_keys();
        while !census.step(end, |key| self.sessions.present(key)) {}
        census.end()
    }

    /// All counters and gauges at `now`, but the present sessions are still to be counted.
    pub(super) fn census(&self, now: Moment) -> Census {
        let listeners = self.listeners.iter().map(|(_, listener)| ListenerSnapshot {
            name: listener.name.clone(),
            is_udp: listener.is_udp(),
            sessions: listener.admission.sessions(),
            counters: listener.counters.clone(),
            certificates: listener.expiries().to_vec(),
        });
        let past = self.listeners.past().iter().map(|(name, counters)| ListenerSnapshot {
            name: name.clone(),
            is_udp: counters.datagrams.received > 0,
            sessions: 0,
            counters: counters.clone(),
            certificates: Vec::new(),
        });
        let sockets = self.sessions.len() + self.listeners.sockets();
        let snapshot = Snapshot {
            uptime: now.duration_since(self.started),
            totals: self.totals(),
            handshaking: 0,
            log_lines_lost: logger::lost(),
            listeners: listeners.collect(),
            past: past.collect(),
            handshakes: self.sessions.handshakes().clone(),
            reloads: self.reloads,
            ticket_keys_end: self.ticket_keys_end,
            started: self.started_at,
            is_ready: self.listeners.site.is_ready(),
            descriptors: self.descriptors.map(|(others, limit)| (others + sockets, limit)),
        };
        Census::new(snapshot, self.listeners.iter().map(|(key, _)| key).collect())
    }
}
