//! Keeps what a client needs to resume sessions, for as many connections as it has. rustls itself keeps eight
//! tickets of a server, so when many connections are lost at once, most would need a full handshake.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The sessions of connections to one server.
#[derive(Debug)]
pub struct SessionStore {
    most: usize,
    kept: Mutex<Kept>,
    taken: AtomicU64,
    is_open: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    group: Option<NamedGroup>,
    /// In TLS 1.2, a session can be resumed any number of times.
    tls12: Option<Tls12ClientSessionValue>,
    /// In TLS 1.3, a ticket should be used once (RFC 8446 §C.4).
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl SessionStore {
    /// An empty store that keeps this many tickets.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
            taken: AtomicU64::new(0),
            is_open: AtomicBool::new(true),
        }
    }

    /// How many times a connection got a session to resume.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// From now on, connections get sessions to resume, or none. A connection that is the first of its kind
    /// would take the ticket of another one, which then has none.
    pub fn open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is taken.
    fn count<T>(&self, taken: Option<T>) -> Option<T> {
        self.taken.fetch_add(u64::from(taken.is_some()), Ordering::Relaxed);
        taken
    }
}

// All sessions are with one server, so its name does not matter.
impl ClientSessionStore for SessionStore {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.count(self.kept().tls12.clone().filter(|_| self.is_open()))
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        if kept.tls13.len() >= self.most {
            kept.tls13.pop_front();
        }
        kept.tls13.push_back(value);
    }

    /// The newest one: its keys live longest.
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        if self.is_open() { self.count(self.kept().tls13.pop_back()) } else { None }
    }
}
