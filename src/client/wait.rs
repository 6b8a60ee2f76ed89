//! Waits for the network, for threads, and for time to pass. Ctrl-C ends every wait.
//!
//! # Nothing but the poll blocks
//!
//! Calls that must block (standard input and output, the resolver) run in threads, which wake the poll
//! when they have something to report.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::activity::Activity;
use super::error::Error;
use crate::exit::{Failure, plain};
use crate::os::output;

const SIGNALS: Token = Token(usize::MAX);
const THREADS: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);

/// The client's one poll.
pub struct Waiter {
    poll: Poll,
    events: Events,
    signals: Signals,
    /// While this is set, a signal has its default action.
    interrupted: Arc<AtomicBool>,
    /// Kept here because dropping a waker loses its last event.
    waker: Arc<Waker>,
    /// No wait succeeds after this moment.
    limit: Option<Instant>,
    /// Ends waits in time, where milliseconds are too coarse.
    timer: Option<OwnedFd>,
    /// Shows what lasts.
    activity: Option<Activity>,
}

impl Waiter {
    /// From now on, the first SIGINT or SIGTERM ends the current wait; the second ends the program at
    /// once, whatever it waits for.
    pub fn new() -> Result<Self, Failure> {
        let make = || -> io::Result<Self> {
            let poll = Poll::new()?;
            let interrupted = Arc::new(AtomicBool::new(false));
            for signal in [SIGINT, SIGTERM] {
                signal_hook::flag::register_conditional_default(signal, interrupted.clone())?;
                signal_hook::flag::register(signal, interrupted.clone())?;
            }
            let mut signals = Signals::new([SIGINT, SIGTERM])?;
            poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
            let waker = Arc::new(Waker::new(poll.registry(), THREADS)?);
            Ok(Self {
                poll,
                events: Events::with_capacity(1024),
                signals,
                interrupted,
                waker,
                limit: None,
                timer: None,
                activity: None,
            })
        };
        make().map_err(|error| Failure::system("cannot start the event loop", &error))
    }

    /// From now on, a wait ends within microseconds of its time. The poll itself counts
    /// milliseconds.
    pub fn be_precise(&mut self) -> Result<(), Failure> {
        let make = || -> io::Result<OwnedFd> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let raw = timer.as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&raw), TIMER, Interest::READABLE)?;
            Ok(timer)
        };
        let timer = make().map_err(|error| Failure::system("cannot make a timer", &error))?;
        self.timer = Some(timer);
        Ok(())
    }

    /// Where sockets are registered.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Starts a thread for `work`, which may block. `work` calls its argument to wake the poll.
    pub fn spawn(&self, work: impl FnOnce(&dyn Fn()) + Send + 'static) -> Result<(), Failure> {
        let waker = self.waker.clone();
        let wake = move || {
            if let Err(error) = waker.wake() {
                let error = plain(&error);
                output::note(format_args!("echo-alex-client: cannot wake the loop: {error}"));
            }
        };
        let thread = thread::Builder::new().spawn(move || work(&wake));
        thread.map(drop).map_err(|error| Failure::system("cannot start a thread", &error))
    }

    /// From `limit` on, every wait fails with [`Error::TimeIsUp`].
    pub fn set_limit(&mut self, limit: Option<Instant>) {
        self.limit = limit;
    }

    /// From now on, `activity` shows what the client waits for.
    pub fn show(&mut self, activity: Activity) {
        self.activity = Some(activity);
    }

    /// Does `work`, which waits for `what`. If that lasts, it is shown.
    pub fn during<T>(
        &mut self,
        what: impl FnOnce() -> String,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        if let Some(activity) = &mut self.activity {
            activity.begin(what());
        }
        let outcome = work(self);
        if let Some(activity) = &mut self.activity {
            activity.end();
        }
        outcome
    }

    /// Waits for an event, but no longer than `until`. It may return early.
    pub fn wait(&mut self, until: Option<Instant>) -> Result<(), Error> {
        let drawing = self.activity.as_ref().and_then(Activity::next);
        let until = until.into_iter().chain(self.limit).chain(drawing).min();
        let time = until.map(|until| until.saturating_duration_since(Instant::now()));
        if let (Some(timer), Some(time)) = (&self.timer, time.filter(|time| !time.is_zero())) {
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = Timespec::try_from(time).unwrap_or(never);
            let when = Itimerspec { it_interval: never, it_value };
            // Without it, the wait ends a millisecond later.
            let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &when);
        }
        match self.poll.poll(&mut self.events, time) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(Failure::system("cannot wait for events", &error).into()),
            Ok(()) => {}
        }
        if let Some(activity) = &mut self.activity {
            activity.show(Instant::now());
        }
        match self.signals.pending().next() {
            Some(_) => Err(Error::Interrupted),
            None if self.limit.is_some_and(|limit| Instant::now() >= limit) => Err(Error::TimeIsUp),
            None => Ok(()),
        }
    }

    /// The tokens of the sockets that the last wait found ready.
    pub fn events(&self) -> impl Iterator<Item = Token> {
        let tokens = self.events.iter().map(mio::event::Event::token);
        tokens.filter(|token| ![SIGNALS, THREADS, TIMER].contains(token))
    }
}

impl Drop for Waiter {
    /// From now on, the first signal ends the program, because nothing handles it any more.
    fn drop(&mut self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }
}
