//! The event loop: one thread that polls, and gives each socket, session and signal its turn.
//!
//! # Every turn is bounded
//!
//! A session makes a few reads in a turn, a listening socket accepts a few connections. A session that
//! has more to do waits in a queue, and each iteration serves one of these, for about 0.5 ms, after all
//! events. So a fast sender starves nobody.
//!
//! # An idle daemon sleeps
//!
//! The loop waits for the earliest of all deadlines, and without a time limit if there is none. There
//! is no tick.

mod control;
mod report;
mod survey;

use std::io;
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use log::{Level, info};
use mio::{Events, Poll, Token};

use crate::config::Config;
use crate::daemon::accept::{Acceptor, Intake};
use crate::daemon::listeners::{FIRST_SOCKET, Listeners};
use crate::daemon::making::Making;
use crate::daemon::service::web::Format;
use crate::daemon::sessions::{Ended, Sessions};
use crate::daemon::signals::Signals;
use crate::daemon::stats::Reloads;
use crate::daemon::survey::Survey;
use crate::daemon::systemd::{Manager, handed_over_sockets};
use crate::daemon::udp::{self, Responder};
use crate::exit::Failure;
use crate::os::clock::Moment;
use crate::os::heap;
use crate::wire::buffers::Buffers;

/// The most events that one poll returns.
const EVENTS_A_POLL: usize = 1024;

/// The token of the signals. Those below [`FIRST_SOCKET`] are keys of sessions, those from there on keys
/// of listening sockets.
const SIGNALS: Token = Token(usize::MAX);

/// The daemon.
pub struct EventLoop {
    config_file: PathBuf,
    poll: Poll,
    signals: Signals,
    /// A signal has arrived in this iteration.
    signalled: bool,
    manager: Manager,
    buffers: Buffers,
    listeners: Listeners,
    acceptor: Acceptor,
    /// Answers datagrams, while a listener is for them.
    responder: Option<Box<Responder>>,
    sessions: Sessions,
    drain_delay: Duration,
    drain_timeout: Option<Duration>,
    /// When the key ends that seals the tickets of all listeners.
    ticket_keys_end: Option<SystemTime>,
    phase: Phase,
    started: Moment,
    started_at: SystemTime,
    reloads: Reloads,
    /// The descriptors that are neither of sessions nor of listeners, counted when the configuration was
    /// applied, and the limit.
    descriptors: Option<(usize, u64)>,
    /// When the metrics were rendered last, in each format.
    rendered: [Option<Moment>; Format::ALL.len()],
    /// The metrics that are being made, while a session in the queue waits for them.
    making: Option<Making>,
    /// For those who watch `/events`.
    survey: Survey,
}

/// What the daemon does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It accepts them.
    Serving,
    /// It is not ready any more, and accepts them until then.
    Leaving(Moment, Ending),
    /// It has stopped to listen, and waits for its last sessions. Then the rest is cut off; `None` waits for the
    /// last one.
    Draining(Option<Moment>, Ending),
}

/// How sessions end when the daemon stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Each when its echo is out.
    Soon,
    /// Each when its peer is done.
    WithPeer,
}

impl Phase {
    /// When it ends by itself.
    fn end(self) -> Option<Moment> {
        match self {
            Self::Serving => None,
            Self::Leaving(until, _) => Some(until),
            Self::Draining(until, _) => until,
        }
    }

    fn is_draining(self) -> bool {
        matches!(self, Self::Draining(..))
    }
}

impl EventLoop {
    /// Binds every listener of `config` and reports to the service manager.
    ///
    /// `config_file` is what SIGHUP reads, whether it was there at the start or not.
    pub fn start(config: Config, config_file: PathBuf) -> Result<Self, Failure> {
        let failed = |error: &io::Error| Failure::system("cannot start the event loop", error);
        let poll = Poll::new().map_err(|error| failed(&error))?;
        let signals =
            Signals::register(poll.registry(), SIGNALS).map_err(|error| failed(&error))?;
        let now = Moment::now();
        let mut event_loop = Self {
            config_file,
            poll,
            signals,
            signalled: false,
            manager: Manager::from_environment(now),
            buffers: Buffers::new(),
            listeners: Listeners::default(),
            acceptor: Acceptor::default(),
            responder: None,
            sessions: Sessions::default(),
            drain_delay: Duration::ZERO,
            drain_timeout: None,
            ticket_keys_end: None,
            phase: Phase::Serving,
            started: now,
            started_at: SystemTime::now(),
            reloads: Reloads::default(),
            descriptors: None,
            rendered: [None; Format::ALL.len()],
            making: None,
            survey: Survey::None,
        };
        info!("echo-alex {} starts, with {}", env!("CARGO_PKG_VERSION"), config.source);
        event_loop.apply(config, handed_over_sockets(), now)?;
        event_loop.listeners.site.set_ready(true);
        event_loop.manager.ready(event_loop.totals(), now);
        Ok(event_loop)
    }

    /// Serves until a signal stops it.
    pub fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS_A_POLL);
        let mut now = Moment::now();
        while !self.phase.is_draining() || !self.sessions.is_empty() {
            let due = self.next_due();
            let polled = self.poll.poll(&mut events, self.time_to_sleep(due, now));
            now = Moment::now();
            match polled {
                Ok(()) => self.iterate(&events, due.is_some_and(|due| due <= now), now),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::system("cannot wait for events", &error)),
            }
        }
        info!("stopped, {}", self.totals());
        Ok(())
    }

    /// When the next thing is due that no event announces, if any.
    fn next_due(&self) -> Option<Moment> {
        let manager = self.manager.is_there().then(|| self.manager.next(self.totals())).flatten();
        Moment::earliest([
            self.sessions.next_deadline(),
            self.acceptor.next_tick(),
            self.listeners.next_sum(),
            self.phase.end(),
            manager,
        ])
    }

    /// How long the loop may sleep, as of `now`; `None` until something happens.
    fn time_to_sleep(&self, due: Option<Moment>, now: Moment) -> Option<Duration> {
        if self.sessions.has_queue() || self.acceptor.has_work() {
            return Some(Duration::ZERO);
        }
        Some(due?.duration_since(now))
    }

    /// One iteration: a turn for each session and socket that has something to do. `is_due`: so has
    /// [`EventLoop::tick`].
    fn iterate(&mut self, events: &Events, is_due: bool, now: Moment) {
        let deferred = self.acceptor.take_deferred();
        self.handle_events(events, now);
        if self.sessions.has_queue() {
            self.resume_one(now);
        }
        if is_due {
            self.tick(now);
        }
        for key in deferred {
            self.serve_socket(key, now);
        }
        if mem::take(&mut self.signalled) {
            self.handle_signals(now);
        }
        if self.sessions.has_ended() {
            self.reap(now);
        }
    }

    /// Gives each event to its session, socket or signal. It is a function of its own so that the rest of
    /// the iteration does not compete with it for registers.
    #[inline(never)]
    fn handle_events(&mut self, events: &Events, now: Moment) {
        for event in events {
            match event.token() {
                Token(key) if key < FIRST_SOCKET => {
                    let to_the_end = event.is_priority() || event.is_read_closed();
                    let Self { sessions, listeners, buffers, .. } = self;
                    sessions.advance(key, to_the_end, now, listeners, buffers);
                }
                SIGNALS => self.signalled = true,
                Token(number) => self.serve_socket(number - FIRST_SOCKET, now),
            }
        }
    }

    /// Gives a long turn to a session, after a step of the metrics that it may wait for.
    #[cold]
    fn resume_one(&mut self, now: Moment) {
        let is_asked = |format: &Format| self.listeners.site.is_asked(*format);
        if self.making.is_some() || Format::ALL.iter().any(is_asked) {
            self.publish(now);
        }
        self.sessions.resume_one(now, &mut self.listeners, &mut self.buffers);
    }

    /// Gives a turn to a listening socket: accepts its connections, or answers its datagrams.
    #[cold]
    fn serve_socket(&mut self, key: usize, now: Moment) {
        if self.answer(key, udp::TURN, now) {
            return self.acceptor.defer(key);
        }
        let (acceptor, mut intake) = self.intake(now);
        acceptor.accept(key, &mut intake);
    }

    /// Answers the datagrams of a UDP socket, up to this cost; true if there may be more.
    fn answer(&mut self, key: usize, most: usize, now: Moment) -> bool {
        let Self { responder, listeners, buffers, .. } = self;
        responder
            .as_mut()
            .is_some_and(|responder| responder.turn(key, most, now, listeners, &mut buffers.echoed))
    }

    /// Does what is due at `now`.
    #[cold]
    fn tick(&mut self, now: Moment) {
        self.acceptor.tick(now);
        self.sessions.expire(now, &mut self.listeners, &mut self.buffers);
        if self.sessions.take_survey_due() {
            self.survey(now);
        }
        if self.phase.end().is_some_and(|end| end <= now) {
            self.end_phase(now);
        }
        self.listeners.log_sums(now);
        if self.manager.is_there() {
            self.manager.tick(self.totals(), now);
        }
    }

    /// Logs and counts the sessions that have ended in this iteration.
    #[cold]
    fn reap(&mut self, now: Moment) {
        for Ended { key, session, listener: listener_key } in self.sessions.reap() {
            let listener = self.listeners.get_mut(listener_key);
            listener.admission.leave(session.counted_address());
            let volume = session.volume();
            if let Some(reason) = session.reason() {
                let logs_all = log::log_enabled!(Level::Debug);
                // An end of a probe alone is none of those that are counted and summed up.
                let is_probe = session.is_probe();
                let level = if is_probe { Level::Debug } else { reason.level() };
                if !is_probe && listener.logs_end(reason.fault(), now) || logs_all {
                    session.log_end(level, &listener.name, now);
                }
                // A connection that ended before its header was complete is counted as accepted here.
                listener.counters.accepted += u64::from(session.counted_address().is_none());
                listener.counters.end(reason, volume, session.age(now));
            }
            if let Some(making) = &mut self.making {
                making.leave(key, listener_key, volume);
            }
            if let Survey::Counting(census) = &mut self.survey {
                census.leave(key, listener_key, volume);
            }
            self.listeners.forget_if_retired(listener_key);
            self.acceptor.release_throttle();
        }
        if !self.sessions.has_queue() {
            // Nobody waits for the metrics any more, and only those who wait have them made.
            self.making = None;
        }
        if self.sessions.is_empty() {
            heap::give_back();
        }
    }

    /// The acceptor, and what it works with.
    fn intake(&mut self, now: Moment) -> (&mut Acceptor, Intake<'_>) {
        let Self { acceptor, listeners, sessions, poll, .. } = self;
        (acceptor, Intake { now, listeners, sessions, registry: poll.registry() })
    }
}
