//! `/events`: what the daemon sees, as Server-Sent Events (HTML Living Standard §9.2).
//!
//! # At most one survey a second, and none without a watcher
//!
//! The event loop surveys its sessions, at most once a second, and then each watcher has a turn, in which it
//! sends an event. Watchers with one address share its text. A watcher that does not read misses surveys:
//! none of them waits for it.
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
}

impl<'a> Line<'a> {
    fn new(session: &'a Seen, has_address: bool) -> Self {
        let Seen { listener, peer, seconds, received, sent, agreed } = session;
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
        }
    }
}
