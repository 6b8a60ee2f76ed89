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
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::buffers::Buffers;
use crate::close::CloseReason;
use crate::config::Config;
use crate::deadline::Deadlines;
use crate::exit::{Failure, plain};
use crate::limits::Admission;
use crate::listener::{BACKLOG, ListenSocket, Listener};
use crate::repeats::Repeats;
use crate::session::{Session, Turn};
use crate::signals::Signals;
use crate::stats::{Figures, Stats};
use crate::systemd::{Manager, handed_sockets};

/// How many events one poll brings at most.
const EVENTS_A_TURN: usize = 1024;

/// How many connections are accepted from one socket before others have their turn.
const ACCEPTS_A_TURN: usize = 64;

/// How long accepting rests when there are no descriptors, if no session ends before.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The daemon.
pub struct Server {
    config_file: Option<PathBuf>,
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
    /// Until when accepting rests.
    exhausted: Option<Instant>,
    exhaustion: Repeats,
    drain_timeout: Option<Duration>,
    stopping: Option<Stopping>,
    started: Instant,
}

/// A session, and what the loop knows of it.
struct Slot {
    session: Session<TcpStream>,
    listener: usize,
    /// Where its entry among the deadlines is.
    armed: Option<Instant>,
    /// It is among those that want another turn.
    again: bool,
    /// Why it has ended, from then until the turn is over.
    ended: Option<CloseReason>,
}

/// The daemon waits for its last sessions.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// How long.
    until: Option<Instant>,
}

/// What an event is for, as its token says.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Socket(usize),
    Session(usize),
}

impl From<Source> for Token {
    fn from(source: Source) -> Self {
        match source {
            Source::Signals => Self(0),
            Source::Socket(key) => Self(2 * key + 1),
            Source::Session(key) => Self(2 * key + 2),
        }
    }
}

impl From<Token> for Source {
    fn from(Token(number): Token) -> Self {
        match number {
            0 => Self::Signals,
            odd if odd % 2 == 1 => Self::Socket(odd / 2),
            even => Self::Session(even / 2 - 1),
        }
    }
}

impl Server {
    /// Binds every listener of `config` and tells the service manager.
    ///
    /// `config_file` is what SIGHUP reads again; `None` is the default file.
    pub fn start(config: Config, config_file: Option<PathBuf>) -> Result<Self, Failure> {
        let failed = |error: &io::Error| Failure::system("cannot start the event loop", error);
        let poll = Poll::new().map_err(|error| failed(&error))?;
        let signals = Signals::register(poll.registry(), Source::Signals.into())
            .map_err(|error| failed(&error))?;
        let now = Instant::now();
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
            exhausted: None,
            exhaustion: Repeats::default(),
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
        while self.stopping.is_none() || !self.sessions.is_empty() {
            let timeout = self.until_next_deadline();
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::system("cannot wait for events", &error)),
            }
            self.turn(&events, Instant::now());
        }
        info!("stopped, {}", self.figures());
        Ok(())
    }

    /// One turn for everybody who has something to do.
    fn turn(&mut self, events: &Events, now: Instant) {
        let again = mem::take(&mut self.again);
        let pending = mem::take(&mut self.pending);
        let mut signalled = false;
        for event in events {
            match event.token().into() {
                Source::Signals => signalled = true,
                Source::Socket(key) => self.accept(key, now),
                // Its turn comes below, and is one: then it goes as far as its event could tell.
                Source::Session(key) if self.sessions.get(key).is_some_and(|slot| slot.again) => {}
                Source::Session(key) => {
                    self.advance(key, event.is_read_closed() || event.is_error(), now);
                }
            }
        }
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
        if signalled {
            self.obey(now);
        }
        self.stop_draining(now);
        self.bury(now);
        self.report_repeats(now);
        if self.manager.is_there() {
            self.manager.tick(self.figures(), now);
        }
    }

    /// How long the loop may sleep; `None` until something happens.
    fn until_next_deadline(&self) -> Option<Duration> {
        let accepts = !self.pending.is_empty() && self.exhausted.is_none();
        if accepts || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let manager = self.manager.is_there().then(|| self.manager.next(self.figures())).flatten();
        let next = [
            self.deadlines.next(),
            self.exhausted,
            self.exhaustion.due(),
            self.stopping.and_then(|stopping| stopping.until),
            manager,
        ];
        let refusals = self.listeners.iter().filter_map(|(_, listener)| listener.refusals.due());
        let next = next.into_iter().flatten().chain(refusals).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Accepts what waits at a socket, as far as a turn and the descriptors go.
    fn accept(&mut self, key: usize, now: Instant) {
        self.accept_up_to(ACCEPTS_A_TURN, key, now);
    }

    /// Closes a listening socket. The kernel resets what has not been accepted by then, peers that
    /// are connected as far as they know, so that comes first: one whole queue, and not what joins
    /// it meanwhile, or a busy port would never close.
    fn stop_listening(&mut self, key: usize, now: Instant) {
        if self.sockets[key].is_ours() {
            self.accept_up_to(usize::from(BACKLOG) + 1, key, now);
        }
        self.sockets.remove(key);
    }

    fn accept_up_to(&mut self, most: usize, key: usize, now: Instant) {
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
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, listener_key: usize, now: Instant) {
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
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Session(key).into();
        if let Err(error) = self.poll.registry().register(session.wire(), token, interest) {
            return error!("session listener={name} peer={peer}: {}", plain(&error));
        }
        debug!("accepted listener={name} peer={peer}");
        listener.stats.accepted += 1;
        listener.admission.enter(peer.ip());
        self.admission.enter(peer.ip());
        self.tls_sessions += usize::from(session.is_tls());
        let mut armed = None;
        self.deadlines.set(key, &mut armed, session.deadline(&listener.timeouts));
        entry.insert(Slot { session, listener: listener_key, armed, again: false, ended: None });
    }

    /// Lets a session go as far as it can.
    fn advance(&mut self, key: usize, to_the_end: bool, now: Instant) {
        self.act(key, |session, buffers| session.advance(to_the_end, now, buffers));
    }

    /// Ends the sessions whose time is over.
    fn expire(&mut self, now: Instant) {
        while let Some(key) = self.deadlines.due(now) {
            let slot = &mut self.sessions[key];
            let due = slot.session.deadline(&self.listeners[slot.listener].timeouts);
            self.deadlines.set(key, &mut slot.armed, due.filter(|due| *due > now));
            // A session that has no deadline any more (its timeout is "none") only loses its entry.
            if due.is_some_and(|due| due <= now) {
                self.act(key, |session, buffers| session.expire(now, buffers));
            }
        }
    }

    /// Lets a session act, and does what follows from it.
    fn act(&mut self, key: usize, act: impl FnOnce(&mut Session<TcpStream>, &mut Buffers) -> Turn) {
        let Some(slot) = self.sessions.get_mut(key).filter(|slot| slot.ended.is_none()) else {
            return;
        };
        let listener = &mut self.listeners[slot.listener];
        let (stage, received) = (slot.session.stage(), slot.session.received());
        let turn = act(&mut slot.session, &mut self.buffers);
        listener.stats.echoed += slot.session.received() - received;
        match turn {
            Turn::Closed(reason) => {
                slot.ended = Some(reason);
                self.ended.push(key);
                return;
            }
            Turn::Again if slot.again => {}
            Turn::Again => {
                slot.again = true;
                self.again.push(key);
            }
            Turn::Wait => {}
        }
        let due = slot.session.deadline(&listener.timeouts);
        if slot.session.stage() == stage {
            self.deadlines.hold(key, &mut slot.armed, due);
        } else {
            self.deadlines.set(key, &mut slot.armed, due);
        }
    }

    /// Takes leave of the sessions that ended in this turn.
    fn bury(&mut self, now: Instant) {
        for key in mem::take(&mut self.ended) {
            let mut slot = self.sessions.remove(key);
            self.deadlines.set(key, &mut slot.armed, None);
            let Slot { session, listener: listener_key, ended, .. } = slot;
            let Some(reason) = ended else { continue };
            let listener = &mut self.listeners[listener_key];
            log::log!(
                reason.level(),
                "session listener={} peer={} {} reason={reason}",
                listener.name,
                session.peer(),
                session.summary(now),
            );
            let address = session.peer().ip();
            self.admission.leave(address);
            listener.admission.leave(address);
            self.tls_sessions -= usize::from(session.is_tls());
            listener.stats.end(&reason);
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
    fn report_repeats(&mut self, now: Instant) {
        for (_, listener) in &mut self.listeners {
            if let Some((count, time)) = listener.refusals.sum(now) {
                warn!("refused listener={} more={count} in={}s", listener.name, time.as_secs());
            }
        }
        if let Some((count, time)) = self.exhaustion.sum(now) {
            warn!("cannot accept connections: tried {count} times more in {} s", time.as_secs());
        }
    }

    fn figures(&self) -> Figures {
        let now = self.listeners.iter().map(|(_, listener)| listener.stats.echoed).sum::<u64>();
        Figures {
            sessions: self.sessions.len(),
            tls: self.tls_sessions,
            echoed: self.past.echoed + now,
        }
    }
}
