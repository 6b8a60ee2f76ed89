//! Accepting connections, within limits.
//!
//! # Accepting is resumed
//!
//! A listening socket's event comes once. Where accepting stopped before the backlog was empty (the
//! socket's turn was over, or there were no descriptors left), the socket is deferred, and tried again:
//! in the next iteration of the event loop, or, without descriptors, as soon as a session has ended or
//! 100 ms are over.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, error, warn};
use mio::Registry;
use mio::net::TcpStream;

use crate::daemon::bind::{BACKLOG, ListenSocket, Listening};
use crate::daemon::listeners::Listeners;
use crate::daemon::log_limit::LogLimiter;
use crate::daemon::session::Session;
use crate::daemon::sessions::Sessions;
use crate::exit::plain;
use crate::os::clock::Moment;

/// How many connections are accepted from one socket before others have their turn.
const ACCEPTS_A_TURN: usize = 64;

/// How long accepting is throttled when there are no descriptors, if no session ends before.
const THROTTLE_TIME: Duration = Duration::from_millis(100);

/// Accepts connections, and makes sessions of those that the limits allow.
#[derive(Debug)]
pub struct Acceptor {
    /// Sockets that may have more to take.
    deferred: Vec<usize>,
    throttle: Throttle,
}

/// What accepting needs of the event loop, at one moment.
pub struct Intake<'a> {
    /// The present moment.
    pub now: Moment,
    /// Their sockets are accepted from, and their limits checked.
    pub listeners: &'a mut Listeners,
    /// The new sessions join these.
    pub sessions: &'a mut Sessions,
    /// Where a new session's socket is registered.
    pub registry: &'a Registry,
}

/// Stops accepting for a while when the system has no descriptors left: the connections wait in the
/// backlog.
#[derive(Debug)]
struct Throttle {
    until: Option<Moment>,
    /// Sockets that may have connections waiting.
    held: Vec<usize>,
    failures: LogLimiter,
}

impl Default for Acceptor {
    fn default() -> Self {
        let throttle = Throttle { until: None, held: Vec::new(), failures: LogLimiter::new(1) };
        Self { deferred: Vec::new(), throttle }
    }
}

impl Acceptor {
    /// Accepts from the socket with the key `key`, as far as a turn and the descriptors allow.
    #[cold]
    pub fn accept(&mut self, key: usize, intake: &mut Intake<'_>) {
        self.accept_up_to(ACCEPTS_A_TURN, key, intake);
    }

    /// Accepts the backlog of a socket that is about to be closed: the kernel resets what is still
    /// there by then, although the peers are connected as far as they know. One whole backlog, and not
    /// what joins it meanwhile, or a busy port would never close.
    pub fn accept_backlog(&mut self, key: usize, intake: &mut Intake<'_>) {
        if intake.listeners.socket(key).is_some_and(ListenSocket::is_ours) {
            let most = usize::from(BACKLOG) + 1;
            self.accept_up_to(most, key, intake);
        }
    }

    fn accept_up_to(&mut self, most: usize, key: usize, intake: &mut Intake<'_>) {
        if self.throttle.until.is_some() {
            return self.throttle.hold(key);
        }
        for _ in 0..most {
            let Some(ListenSocket { listener, socket, .. }) = intake.listeners.socket(key) else {
                return;
            };
            let Listening::Connections(socket) = socket else { return };
            let listener = *listener;
            match socket.accept() {
                Ok((stream, peer)) => intake.admit(stream, peer, listener),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // A connection that was gone before it was accepted (accept(2)).
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        self.throttle.start(&error, intake.now);
                        return self.throttle.hold(key);
                    }
                },
            }
        }
        self.defer(key);
    }

    /// Gives this socket another turn: its event does not come again.
    pub fn defer(&mut self, key: usize) {
        if !self.deferred.contains(&key) {
            self.deferred.push(key);
        }
    }

    /// The sockets that were deferred, to be tried again.
    pub fn take_deferred(&mut self) -> Vec<usize> {
        mem::take(&mut self.deferred)
    }

    /// Whether a deferred socket can be tried at once.
    pub fn has_work(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// A session has ended: its descriptor is free for a connection that waits.
    pub fn release_throttle(&mut self) {
        self.throttle.until = None;
        self.deferred.append(&mut self.throttle.held);
    }

    /// Ends the throttle if its time is over, and logs the sum of failures that is due.
    pub fn tick(&mut self, now: Moment) {
        if self.throttle.until.is_some_and(|until| now >= until) {
            self.release_throttle();
        }
        if let Some((count, time)) = self.throttle.failures.sum(now) {
            warn!("cannot accept connections: tried {count} times more in {} s", time.as_secs());
        }
    }

    /// When `tick` has something to do.
    pub fn next_tick(&self) -> Option<Moment> {
        Moment::earliest([self.throttle.until, self.throttle.failures.due()])
    }
}

impl Throttle {
    fn start(&mut self, error: &io::Error, now: Moment) {
        if self.failures.note(now) {
            warn!("cannot accept connections for now: {}; they wait", plain(error));
        }
        self.until = Some(now + THROTTLE_TIME);
    }

    fn hold(&mut self, key: usize) {
        if !self.held.contains(&key) {
            self.held.push(key);
        }
    }
}

impl Intake<'_> {
    /// Makes a session of a connection, if the limits allow one more.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, listener_key: usize) {
        let Self { now, listeners, sessions, registry } = self;
        let listener = listeners.get_mut(listener_key);
        // The address that limits count is known when the header has come.
        let address = (!listener.expects_header()).then(|| peer.ip());
        let allowed = listener
            .check_proxy(peer.ip())
            .and_then(|()| sessions.admission.check(address))
            .and_then(|()| listener.admission.check(address));
        if let Err(refusal) = allowed {
            return listener.refuse(refusal, peer, None, *now);
        }
        let name = &listener.name;
        let transport = match listener.transport() {
            Ok(transport) => transport,
            Err(reason) => {
                return error!(
                    listener = name, peer:%, reason = reason.name(), detail = reason.detail();
                    "session"
                );
            }
        };
        let service = listener.service(*now);
        let session = if listener.expects_header() {
            Session::behind_proxy(stream, peer, transport, service, *now)
        } else {
            Session::new(stream, peer, transport, service, *now)
        };
        if let Err(error) = sessions.insert(session, listener_key, &listener.timeouts, registry) {
            return error!(listener = name, peer:%; "no session: {}", plain(&error));
        }
        listener.admission.enter(address);
        if address.is_some() {
            debug!(listener = name, peer:%; "accepted");
            listener.counters.accepted += 1;
        }
    }
}
