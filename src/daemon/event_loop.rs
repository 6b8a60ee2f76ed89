//! The loop: one thread that polls, and gives each its turn.
//!
//! # Every turn is bounded
//!
//! A session makes a few reads a turn, a listener accepts a few connections; whoever has more comes
//! again in the next turn, after all others. So a fast sender starves nobody.
//!
//! # A key is not used twice in a turn
//!
//! What ends in a turn is marked, and leaves the slab when the turn is over. So an event that was
//! polled for one session never reaches another.
//!
//! # An idle daemon sleeps
//!
//! The loop waits for the earliest of all deadlines, and for nothing if there is none. There is no
//! tick.
//!
//! # Accepting is taken up again
//!
//! A listener's event comes once. Where accepting stopped before the queue was empty (the turn was
//! over, or there were no descriptors left), its socket is `pending`, and tried again: in the next
//! turn, or as soon as a session has ended or `EXHAUSTED_PAUSE` is over.

mod control;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::{debug, error, info, warn};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::config::Config;
use crate::daemon::admission::Admission;
use crate::daemon::deadline::Deadlines;
use crate::daemon::listener::{BACKLOG, ListenSocket, Listener};
use crate::daemon::log_limit::Repeats;
use crate::daemon::session::{Session, Turn};
use crate::daemon::signals::Signals;
use crate::daemon::stats::{Figures, Stats};
use crate::daemon::systemd::{Manager, handed_sockets};
use crate::exit::{Failure, plain};
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;

/// How many events one poll brings at most.
const EVENTS_A_TURN: usize = 1024;

/// How many connections are accepted from one socket before others have their turn.
const ACCEPTS_A_TURN: usize = 64;

/// How long accepting rests when there are no descriptors, if no session ends before.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The daemon.
pub struct Server {
    config_file: PathBuf,
    poll: Poll,
    signals: Signals,
    manager: Manager,
    buffers: Buffers,
    listeners: Slab<Listener>,
    sockets: Slab<ListenSocket>,
    sessions: Slab<Slot>,
    deadlines: Deadlines,
    /// Sessions of all listeners, counted against the limits of the daemon.
    admission: Admission,
    tls_sessions: usize,
    /// What happened on listeners that are gone.
    past: Stats,
    /// Sessions that want another turn.
    again: Vec<usize>,
    /// Sessions that have ended in this turn.
    ended: Vec<usize>,
    /// Sockets that may have connections waiting.
    pending: Vec<usize>,
    /// A signal has come in this turn.
    signalled: bool,
    /// Until when accepting rests.
    exhausted: Option<Moment>,
    exhaustion: Repeats,
    drain_timeout: Option<Duration>,
    stopping: Option<Stopping>,
    started: Moment,
}

/// A session, and what the loop knows of it.
struct Slot {
    session: Session<TcpStream>,
    listener: usize,
    /// Where its entry among the deadlines is.
    armed: Option<Moment>,
    /// It is among those that want another turn.
    again: bool,
}

/// The daemon waits for its last sessions.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// How long.
    until: Option<Moment>,
}

/// The token of the signals. Those below [`SOCKETS`] are keys of sessions, those from there on keys of
/// sockets.
const SIGNALS: Token = Token(usize::MAX);
const SOCKETS: usize = 1 << (usize::BITS - 1);

impl Server {
    /// Binds every listener of `config` and tells the service manager.
    ///
    /// `config_file` is what SIGHUP reads, whether it was there at the start or not.
    pub fn start(config: Config, config_file: PathBuf) -> Result<Self, Failure> {
        let failed = |error: &io::Error| Failure::system("cannot start the event loop", error);
        let poll = Poll::new().map_err(|error| failed(&error))?;
        let signals =
            Signals::register(poll.registry(), SIGNALS).map_err(|error| failed(&error))?;
        let now = Moment::now();
        let mut server = Self {
            config_file,
            poll,
            signals,
            manager: Manager::from_environment(now),
            buffers: Buffers::new(),
            listeners: Slab::new(),
            sockets: Slab::new(),
            sessions: Slab::new(),
            deadlines: Deadlines::default(),
            admission: Admission::default(),
            tls_sessions: 0,
            past: Stats::default(),
            again: Vec::new(),
            ended: Vec::new(),
            pending: Vec::new(),
            signalled: false,
            exhausted: None,
            exhaustion: Repeats::new(1),
            drain_timeout: None,
            stopping: None,
            started: now,
        };
        info!("echo-alex {} starts, with {}", env!("CARGO_PKG_VERSION"), config.source);
        server.apply(config, handed_sockets(), now)?;
        server.manager.ready(server.figures(), now);
        Ok(server)
    }

    /// Serves until a signal says stop.
    pub fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS_A_TURN);
        let mut now = Moment::now();
        while self.stopping.is_none() || !self.sessions.is_empty() {
            let polled = self.poll.poll(&mut events, self.until_next_deadline(now));
            now = Moment::now();
            match polled {
                Ok(()) => self.turn(&events, now),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::system("cannot wait for events", &error)),
            }
        }
        info!("stopped, {}", self.figures());
        Ok(())
    }

    /// One turn for everybody who has something to do.
    fn turn(&mut self, events: &Events, now: Moment) {
        let again = mem::take(&mut self.again);
        let pending = mem::take(&mut self.pending);
        self.handle(events, now);
        for key in again {
            if let Some(slot) = self.sessions.get_mut(key) {
                slot.again = false;
            }
            self.advance(key, true, now);
        }
        if self.exhausted.is_some_and(|until| now >= until) {
            self.exhausted = None;
        }
        for key in pending {
            self.accept(key, now);
        }
        self.expire(now);
        if mem::take(&mut self.signalled) {
            self.obey(now);
        }
        self.stop_draining(now);
        self.bury(now);
        self.report_repeats(now);
        if self.manager.is_there() {
            self.manager.tick(self.figures(), now);
        }
    }

    /// Gives each event to the one that it is about. A function of its own: what else a turn does must
    /// not compete with it for registers.
    #[inline(never)]
    fn handle(&mut self, events: &Events, now: Moment) {
        for event in events {
            match event.token() {
                Token(key) if key < SOCKETS => {
                    let to_the_end = event.is_priority() || event.is_read_closed();
                    self.advance(key, to_the_end, now);
                }
                SIGNALS => self.signalled = true,
                Token(number) => self.accept(number - SOCKETS, now),
            }
        }
    }

    /// How long the loop may sleep, as of `now`; `None` until something happens.
    fn until_next_deadline(&self, now: Moment) -> Option<Duration> {
        let accepts = !self.pending.is_empty() && self.exhausted.is_none();
        if accepts || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let manager = self.manager.is_there().then(|| self.manager.next(self.figures())).flatten();
        let mut next = self.deadlines.next();
        let mut sooner = |due: Option<Moment>| {
            if due.is_some() && (next.is_none() || due < next) {
                next = due;
            }
        };
        sooner(manager);
        sooner(self.exhausted);
        sooner(self.exhaustion.due());
        sooner(self.stopping.and_then(|stopping| stopping.until));
        for (_, listener) in &self.listeners {
            sooner(listener.refusals.due());
            sooner(listener.endings.due());
        }
        Some(next?.duration_since(now))
    }

    /// Accepts what waits at a socket, as far as a turn and the descriptors go.
    #[cold]
    fn accept(&mut self, key: usize, now: Moment) {
        self.accept_up_to(ACCEPTS_A_TURN, key, now);
    }

    /// Closes a listening socket. The kernel resets what has not been accepted by then, peers that
    /// are connected as far as they know, so that comes first: one whole queue, and not what joins
    /// it meanwhile, or a busy port would never close.
    fn stop_listening(&mut self, key: usize, now: Moment) {
        if self.sockets[key].is_ours() {
            self.accept_up_to(usize::from(BACKLOG) + 1, key, now);
        }
        self.sockets.remove(key);
    }

    fn accept_up_to(&mut self, most: usize, key: usize, now: Moment) {
        if self.exhausted.is_some() {
            self.put_off(key);
            return;
        }
        for _ in 0..most {
            let Some(socket) = self.sockets.get(key) else { return };
            let listener = socket.listener;
            match socket.socket.accept() {
                Ok((stream, peer)) => self.admit(stream, peer, listener, now),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // A connection that was gone before it was accepted (accept(2)).
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        if self.exhaustion.note(now) {
                            warn!(
                                "cannot accept connections for now: {}; they wait",
                                plain(&error)
                            );
                        }
                        self.exhausted = Some(now + EXHAUSTED_PAUSE);
                        self.put_off(key);
                        return;
                    }
                },
            }
        }
        self.put_off(key);
    }

    /// Accepts from this socket later; it is enough to be told once.
    fn put_off(&mut self, key: usize) {
        if !self.pending.contains(&key) {
            self.pending.push(key);
        }
    }

    /// Makes a session of a connection, if the limits allow one more.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, listener_key: usize, now: Moment) {
        let listener = &mut self.listeners[listener_key];
        let name = &listener.name;
        let admitted = self.admission.check(peer.ip());
        if let Err(refusal) = admitted.and_then(|()| listener.admission.check(peer.ip())) {
            listener.stats.refused += 1;
            if listener.refusals.note(now) {
                warn!("refused listener={name} peer={peer} limit={refusal}");
            }
            return;
        }
        let transport = match listener.transport() {
            Ok(transport) => transport,
            Err(reason) => return error!("session listener={name} peer={peer} reason={reason}"),
        };
        let mut session = Session::new(stream, peer, transport, now);
        let entry = self.sessions.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        if let Err(error) = self.poll.registry().register(session.wire(), Token(key), interest) {
            return error!("session listener={name} peer={peer}: {}", plain(&error));
        }
        debug!("accepted listener={name} peer={peer}");
        listener.stats.accepted += 1;
        listener.admission.enter(peer.ip());
        self.admission.enter(peer.ip());
        self.tls_sessions += usize::from(session.is_tls());
        let mut armed = None;
        self.deadlines.set(key, &mut armed, session.deadline(&listener.timeouts));
        entry.insert(Slot { session, listener: listener_key, armed, again: false });
    }

    /// Lets a session go as far as it can. One that waits for a turn has it after all events, and it
    /// is one: then it goes as far as its event could tell.
    #[inline(always)]
    fn advance(&mut self, key: usize, to_the_end: bool, now: Moment) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        if !slot.again {
            match slot.session.advance(to_the_end, now, &mut self.buffers) {
                Turn::Unchanged => {}
                turn => self.follow_up(key, turn),
            }
        }
    }

    /// Ends the sessions whose time is over.
    fn expire(&mut self, now: Moment) {
        while let Some(key) = self.deadlines.due(now) {
            let slot = &mut self.sessions[key];
            let due = slot.session.deadline(&self.listeners[slot.listener].timeouts);
            self.deadlines.set(key, &mut slot.armed, due.filter(|due| *due > now));
            // A session that has no deadline any more (its timeout is "none") only loses its entry.
            if due.is_some_and(|due| due <= now) && !slot.session.is_closed() {
                let turn = slot.session.expire(now, &mut self.buffers);
                self.follow_up(key, turn);
            }
        }
    }

    /// Does what follows from a session's turn.
    #[cold]
    fn follow_up(&mut self, key: usize, turn: Turn) {
        let slot = &mut self.sessions[key];
        match turn {
            Turn::Closed => return self.ended.push(key),
            Turn::Again if !slot.again => {
                slot.again = true;
                self.again.push(key);
            }
            Turn::Again | Turn::Wait | Turn::Unchanged => {}
        }
        let due = slot.session.deadline(&self.listeners[slot.listener].timeouts);
        self.deadlines.set(key, &mut slot.armed, due);
    }

    /// Takes leave of the sessions that ended in this turn.
    fn bury(&mut self, now: Moment) {
        for key in mem::take(&mut self.ended) {
            let mut slot = self.sessions.remove(key);
            self.deadlines.set(key, &mut slot.armed, None);
            let Slot { session, listener: listener_key, .. } = slot;
            let Some(reason) = session.reason() else { continue };
            let listener = &mut self.listeners[listener_key];
            let says_all = log::log_enabled!(log::Level::Debug);
            if listener.is_worth_a_line(reason.fault(), now) || says_all {
                log::log!(
                    reason.level(),
                    "session listener={} peer={} {} reason={reason}",
                    listener.name,
                    session.peer(),
                    session.summary(now),
                );
            }
            let address = session.peer().ip();
            self.admission.leave(address);
            listener.admission.leave(address);
            self.tls_sessions -= usize::from(session.is_tls());
            listener.stats.end(reason, session.received());
            self.forget_if_retired(listener_key);
            // Its descriptor is free for one that waits.
            self.exhausted = None;
        }
    }

    /// Forgets a listener that has neither sockets nor sessions any more, but not what it counted.
    fn forget_if_retired(&mut self, key: usize) {
        let listener = &self.listeners[key];
        if listener.sockets.is_empty() && listener.admission.sessions() == 0 {
            self.past.add(&self.listeners.remove(key).stats);
        }
    }

    /// Writes the sums of what was not worth a line each.
    fn report_repeats(&mut self, now: Moment) {
        for (_, listener) in &mut self.listeners {
            if let Some((count, time)) = listener.refusals.sum(now) {
                warn!("refused listener={} more={count} in={}s", listener.name, time.as_secs());
            }
            if let Some((count, time)) = listener.endings.sum(now) {
                info!("sessions listener={} more={count} in={}s", listener.name, time.as_secs());
            }
        }
        if let Some((count, time)) = self.exhaustion.sum(now) {
            warn!("cannot accept connections: tried {count} times more in {} s", time.as_secs());
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            sessions: self.sessions.len(),
            tls: self.tls_sessions,
            echoed: self.buffers.passed,
        }
    }
}
