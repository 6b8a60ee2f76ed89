//! `/events`: what the daemon sees, as Server-Sent Events (HTML Living Standard §9.2).
//!
//! # At most one survey a second, and none without a watcher
//!
//! The event loop surveys its sessions, at most once a second, and then each watcher has a turn, in which it
//! sends an event. Watchers with one address share its text. A watcher that does not read misses surveys:
//! none of them waits for it.
//!
//! # The kernel is asked for what is shown
//!
//! It takes some system calls to learn the round trip time of a session from the kernel. So only sessions that
//! an event shows have one, and at most [`ASKED`] in a survey, one in a step.
//!
//! # Whose sessions a watcher sees
//!
//! Those from its own address, and those of everybody if it may see the metrics too.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use serde::Serialize;

use crate::wire::transport::Agreed;

/// The most sessions that an event shows of an address, and the most of everybody: the newest.
const SHOWN: usize = 16;

/// The most sessions of which a survey has the round trip times.
const ASKED: usize = 256;

/// The surveys, and who watches them.
#[derive(Debug, Default)]
pub struct Events {
    /// The number of the survey that was begun last.
    begun: Cell<u64>,
    /// The same, if it is complete.
    complete: Cell<Option<u64>>,
    /// The text about the daemon as a whole.
    overview: RefCell<String>,
    /// What was found of each address that is watched.
    by_address: RefCell<HashMap<IpAddr, Found>>,
    /// What was found of everybody.
    everyone: RefCell<Found>,
}

/// The daemon as a whole.
#[derive(Debug, Default, Serialize)]
pub struct Overview {
    /// Of the daemon.
    pub version: &'static str,
    /// Since the start, in seconds.
    pub uptime: u64,
    /// The present sessions.
    pub sessions: usize,
    /// Of these, those with TLS.
    pub tls: usize,
    /// Connections that limits refused.
    pub refused: u64,
    /// The listeners.
    pub listeners: Vec<ListenerOverview>,
}

/// A listener.
#[derive(Debug, Serialize)]
pub struct ListenerOverview {
    /// Its name.
    pub name: String,
    /// Its service.
    pub service: &'static str,
    /// The present sessions.
    pub sessions: usize,
    /// Connections that became sessions.
    pub accepted: u64,
    /// Connections that limits refused.
    pub refused: u64,
    /// Bytes from peers, without those of TLS.
    pub received: u64,
    /// Bytes to peers.
    pub sent: u64,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its key.
    pub key: usize,
    /// The name of its listener.
    pub listener: String,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Since it was accepted, in seconds.
    pub seconds: f64,
    /// Bytes from the peer, without those of TLS.
    pub received: u64,
    /// Bytes to the peer.
    pub sent: u64,
    /// What was agreed, with TLS.
    pub agreed: Option<Agreed>,
    /// The smoothed round trip time of the kernel, in microseconds, if it is known.
    pub rtt_us: Option<u32>,
}

/// A session that an event will show, by its key, which another may have by now, and its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The key.
    pub key: usize,
    /// Where it came from.
    pub peer: SocketAddr,
}

/// The sessions that a survey has found.
#[derive(Debug, Default)]
struct Found {
    /// Those who watch.
    watchers: usize,
    survey: u64,
    count: usize,
    newest: Vec<Seen>,
    /// The event of a watcher that sees its own sessions only, and of one that sees all.
    events: [Option<Rc<[u8]>>; 2],
}

/// A session that watches.
#[derive(Debug)]
pub(super) struct Watcher {
    events: Rc<Events>,
    address: IpAddr,
    sees_everyone: bool,
    /// The survey that it knows, or that was too old for it.
    seen: u64,
}

impl Events {
    /// Whether there is a watcher.
    #[cfg(test)]
    pub(super) fn are_watched(&self) -> bool {
        !self.by_address.borrow().is_empty()
    }

    /// Begins a survey. Nobody gets an event before its end.
    pub fn begin(&self) {
        self.begun.set(self.begun.get() + 1);
        self.complete.set(None);
    }

    /// Adds a session to the survey, if a watcher may see it. The session was accepted `seconds` ago.
    pub fn see(&self, address: IpAddr, seconds: f64, session: impl Fn() -> Seen) {
        let survey = self.begun.get();
        if let Some(found) = self.by_address.borrow_mut().get_mut(&address) {
            found.take(survey, seconds, &session);
        }
        let everyone = &mut *self.everyone.borrow_mut();
        if everyone.watchers > 0 {
            everyone.take(survey, seconds, &session);
        }
    }

    /// The sessions that the events will show.
    pub fn shown(&self) -> Vec<Shown> {
        let survey = self.begun.get();
        let by_address = self.by_address.borrow();
        let everyone = self.everyone.borrow();
        let found = by_address.values().chain([&*everyone]).filter(|it| it.survey == survey);
        let shown = found.flat_map(|it| &it.newest).map(|it| Shown { key: it.key, peer: it.peer });
        let mut shown: Vec<Shown> = shown.take(ASKED).collect();
        // Everybody's sessions are those of an address too.
        shown.sort_unstable();
        shown.dedup();
        shown
    }

    /// Adds the round trip time of a session.
    pub fn measured(&self, session: Shown, rtt_us: Option<u32>) {
        let mut by_address = self.by_address.borrow_mut();
        let mut everyone = self.everyone.borrow_mut();
        let found = by_address.get_mut(&session.peer.ip().to_canonical());
        for seen in found.into_iter().chain([&mut *everyone]).flat_map(|it| &mut it.newest) {
            if seen.key == session.key {
                seen.rtt_us = rtt_us;
            }
        }
    }

    /// Ends a survey.
    pub fn publish(&self, overview: &Overview) {
        // Only maps whose keys are no text would fail, and there is none.
        self.overview.replace(serde_json::to_string(overview).unwrap_or_default());
        self.complete.set(Some(self.begun.get()));
    }

    /// The event for a watcher.
    fn event(&self, address: IpAddr, sees_everyone: bool) -> Rc<[u8]> {
        let survey = self.begun.get();
        let mut by_address = self.by_address.borrow_mut();
        let Some(found) = by_address.get_mut(&address) else { return [].into() };
        found.renew(survey);
        if let Some(event) = &found.events[usize::from(sees_everyone)] {
            return Rc::clone(event);
        }
        let mut everyone = self.everyone.borrow_mut();
        everyone.renew(survey);
        let event = Event {
            yours: found.list(Some(address)),
            everyone: sees_everyone.then(|| everyone.list(None)),
        };
        let event = serde_json::to_string(&event).unwrap_or_default();
        let overview = self.overview.borrow();
        let text = format!("data: {{\"alex\":{overview},{}\n\n", event.trim_start_matches('{'));
        let event: Rc<[u8]> = text.into_bytes().into();
        found.events[usize::from(sees_everyone)] = Some(Rc::clone(&event));
        event
    }
}

impl Found {
    /// Forgets what an earlier survey has found.
    fn renew(&mut self, survey: u64) {
        if self.survey != survey {
            *self = Self { watchers: self.watchers, survey, ..Self::default() };
        }
    }

    /// Takes a session, in place of the oldest if there are too many.
    fn take(&mut self, survey: u64, seconds: f64, session: impl Fn() -> Seen) {
        self.renew(survey);
        self.count += 1;
        if self.newest.len() < SHOWN {
            return self.newest.push(session());
        }
        let oldest = self.newest.iter_mut().max_by(|one, two| one.seconds.total_cmp(&two.seconds));
        if let Some(oldest) = oldest.filter(|oldest| seconds < oldest.seconds) {
            *oldest = session();
        }
    }

    /// What an event says of them: of those from one `address`, or of everybody.
    fn list(&self, address: Option<IpAddr>) -> List<'_> {
        let mut newest: Vec<&Seen> = self.newest.iter().collect();
        newest.sort_by(|one, two| one.seconds.total_cmp(&two.seconds));
        List {
            address,
            count: self.count,
            sessions: newest
                .into_iter()
                .map(|session| Line::new(session, address.is_none()))
                .collect(),
        }
    }
}

impl Watcher {
    /// A session with this address that begins to watch.
    pub(super) fn new(events: &Rc<Events>, address: IpAddr, sees_everyone: bool) -> Self {
        let Events { by_address, everyone, begun, .. } = &**events;
        by_address.borrow_mut().entry(address).or_default().watchers += 1;
        everyone.borrow_mut().watchers += usize::from(sees_everyone);
        Self { events: Rc::clone(events), address, sees_everyone, seen: begun.get() }
    }

    /// Whether there is a survey that it does not know.
    pub(super) fn has_event(&self) -> bool {
        self.events.complete.get().is_some_and(|survey| survey > self.seen)
    }

    /// The event about the newest survey.
    pub(super) fn event(&mut self) -> Rc<[u8]> {
        self.seen = self.events.begun.get();
        self.events.event(self.address, self.sees_everyone)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Events { by_address, everyone, .. } = &*self.events;
        let mut by_address = by_address.borrow_mut();
        if let Some(found) = by_address.get_mut(&self.address) {
            found.watchers -= 1;
            if found.watchers == 0 {
                by_address.remove(&self.address);
            }
        }
        everyone.borrow_mut().watchers -= usize::from(self.sees_everyone);
    }
}

/// The part of an event that not all watchers share.
#[derive(Serialize)]
struct Event<'a> {
    yours: List<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    everyone: Option<List<'a>>,
}

#[derive(Serialize)]
struct List<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    /// All of them.
    count: usize,
    /// The newest.
    sessions: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    listener: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    port: u16,
    seconds: f64,
    received: u64,
    sent: u64,
    tls: Option<&'static str>,
    cipher: Option<&'static str>,
    group: Option<&'static str>,
    resumed: Option<bool>,
    rtt_us: Option<u32>,
}

impl<'a> Line<'a> {
    fn new(session: &'a Seen, has_address: bool) -> Self {
        let Seen { key: _, listener, peer, seconds, received, sent, agreed, rtt_us } = session;
        Self {
            listener,
            address: has_address.then(|| peer.ip().to_canonical()),
            port: peer.port(),
            seconds: *seconds,
            received: *received,
            sent: *sent,
            tls: agreed.map(|agreed| agreed.version),
            cipher: agreed.map(|agreed| agreed.cipher_suite),
            group: agreed.and_then(|agreed| agreed.group),
            resumed: agreed.map(|agreed| agreed.resumed),
            rtt_us: *rtt_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The session with this key, of which each address has a hundred. A greater key is older.
    fn shown(key: u16) -> Shown {
        let peer = ([10, 0, 0, u8::try_from(key / 100).unwrap()], 1000 + key).into();
        Shown { key: key.into(), peer }
    }

    /// Surveys the sessions with these keys.
    fn survey(events: &Events, keys: impl Iterator<Item = u16>) {
        events.begin();
        for key in keys {
            let Shown { peer, .. } = shown(key);
            events.see(peer.ip(), key.into(), || Seen {
                key: key.into(),
                listener: String::new(),
                peer,
                seconds: key.into(),
                received: 0,
                sent: 0,
                agreed: None,
                rtt_us: None,
            });
        }
    }

    /// Watchers of the first `count` addresses. The first one sees everybody's sessions.
    fn watchers(events: &Rc<Events>, count: u16) -> Vec<Watcher> {
        let watch = |it| Watcher::new(events, shown(100 * it).peer.ip(), it == 0);
        (0..count).map(watch).collect()
    }

    #[test]
    fn the_kernel_is_asked_about_the_sessions_that_are_shown() {
        let events = Rc::default();
        let mut watchers = watchers(&events, 2);
        survey(&events, (0..30).chain(100..130));
        let shown_keys: Vec<usize> = events.shown().iter().map(|it| it.key).collect();
        let newest: Vec<usize> = (0..16).chain(100..116).collect();
        assert_eq!(shown_keys, newest);
        for session in events.shown() {
            events.measured(session, u32::try_from(session.key).ok().filter(|key| *key < 100));
        }
        events.publish(&Overview::default());
        let event = |watcher: &mut Watcher| {
            let event = String::from_utf8(watcher.event().to_vec()).unwrap();
            let json = event.strip_prefix("data: ").unwrap();
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        };
        let first = event(&mut watchers[0]);
        for list in ["yours", "everyone"] {
            assert_eq!(first[list]["sessions"][7]["rtt_us"], 7, "{list}");
        }
        let second = event(&mut watchers[1]);
        assert_eq!(second["yours"]["sessions"][7]["rtt_us"], serde_json::Value::Null);
    }

    #[test]
    fn the_kernel_is_asked_256_times_at_most() {
        let events = Rc::default();
        let _watchers = watchers(&events, 20);
        survey(&events, 0..2000);
        assert_eq!(events.shown().len(), 256);
    }
}
