//! Waiting: for the network, for what threads do, for a time to pass. Ctrl-C ends any of it.
//!
//! # Nothing but the poll blocks
//!
//! What can only be had by a call that blocks (standard input and output, the resolver) is left to a
//! thread of its own, which wakes the poll when it has something to report.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use mio::{Events, Interest, Poll, Registry, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::stop::Stop;
use crate::exit::{Failure, plain};
use crate::output;

const SIGNALS: Token = Token(usize::MAX);
const THREADS: Token = Token(usize::MAX - 1);

/// The client's one poll.
pub struct Waiter {
    poll: Poll,
    events: Events,
    signals: Signals,
    /// A signal has come: the next one has its usual effect.
    interrupted: Arc<AtomicBool>,
    /// It outlives the threads that use it: a waker that is gone takes its last event with it.
    waker: Arc<Waker>,
}

impl Waiter {
    /// From here on, the first SIGINT or SIGTERM ends nothing by itself; the second ends the
    /// program at once, whatever it waits for.
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
            Ok(Self { poll, events: Events::with_capacity(1024), signals, interrupted, waker })
        };
        make().map_err(|error| Failure::system("cannot start the event loop", &error))
    }

    /// Where to register what is waited for.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Starts a thread for `work` that blocks. It calls what it is given to end the wait.
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

    /// Waits until something happens, or until this time. It may end early.
    pub fn wait(&mut self, until: Option<Instant>) -> Result<(), Stop> {
        let time = until.map(|until| until.saturating_duration_since(Instant::now()));
        match self.poll.poll(&mut self.events, time) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(Failure::system("cannot wait for events", &error).into()),
            Ok(()) => {}
        }
        match self.signals.pending().next() {
            Some(_) => Err(Stop::Interrupted),
            None => Ok(()),
        }
    }

    /// The sockets for which the last wait has brought something.
    pub fn events(&self) -> impl Iterator<Item = Token> {
        let tokens = self.events.iter().map(mio::event::Event::token);
        tokens.filter(|token| ![SIGNALS, THREADS].contains(token))
    }
}

impl Drop for Waiter {
    /// Nobody looks at signals any more, so that the next has its usual effect.
    fn drop(&mut self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }
}
