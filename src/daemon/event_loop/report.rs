//! What the event loop knows of its work, for the log, the status and the metrics.

use std::rc::Rc;
use std::time::Duration;

use super::EventLoop;
use crate::daemon::listener::Listener;
use crate::daemon::logger;
use crate::daemon::metrics;
use crate::daemon::service::Volume;
use crate::daemon::service::web::Format;
use crate::daemon::stats::{Counters, ListenerSnapshot, Snapshot, Totals};
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

    /// Renders the metrics for the web sessions that wait for them.
    #[cold]
    pub(super) fn publish(&mut self, now: Moment) {
        let site = Rc::clone(&self.listeners.site);
        for (format, rendered) in Format::ALL.into_iter().zip(self.rendered) {
            if site.is_asked(format) {
                let is_old = rendered.is_none_or(|moment| now >= moment + RENDERING_INTERVAL);
                let text = is_old.then(|| metrics::render(&self.snapshot(now), format));
                if is_old {
                    self.rendered[format as usize] = Some(now);
                }
                site.publish(format, text);
            }
        }
    }

    /// All counters and gauges at `now`.
    pub(super) fn snapshot(&self, now: Moment) -> Snapshot {
        // What the present sessions have done, by their listeners: one pass, because there may be many.
        let mut present = Vec::new();
        let mut handshaking = 0;
        for (session, listener) in self.sessions.iter() {
            if present.len() <= listener {
                present.resize(listener + 1, Volume::default());
            }
            present[listener] += session.volume();
            handshaking += usize::from(session.is_handshaking());
        }
        let mut all = Counters::default();
        let mut take = |name: &str, sessions, mut counters: Counters, more: Option<&Volume>| {
            counters.volume += more.copied().unwrap_or_default();
            all.add(&counters);
            ListenerSnapshot { name: name.to_owned(), sessions, counters }
        };
        let listeners = self.listeners.iter().map(|(key, listener)| {
            let Listener { name, counters, admission, .. } = listener;
            take(name, admission.sessions(), counters.clone(), present.get(key))
        });
        let listeners = listeners.collect();
        let past = self.listeners.past().iter();
        let past = past.map(|(name, counters)| take(name, 0, counters.clone(), None)).collect();
        let certificates = self.listeners.iter().flat_map(|(_, listener)| {
            listener.expiries().iter().map(|expiry| (listener.name.clone(), expiry.clone()))
        });
        let sockets = self.sessions.len() + self.listeners.sockets();
        Snapshot {
            uptime: now.duration_since(self.started),
            totals: self.totals(),
            handshaking,
            counters: all,
            log_lines_lost: logger::lost(),
            listeners,
            past,
            handshakes: self.sessions.handshakes().clone(),
            certificates: certificates.collect(),
            reloads: self.reloads,
            started: self.started_at,
            is_ready: self.listeners.site.is_ready(),
            descriptors: self.descriptors.map(|(others, limit)| (others + sockets, limit)),
        }
    }
}
