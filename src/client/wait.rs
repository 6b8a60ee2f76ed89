//! Waiting: for the network, for standard input, for a time to pass. Ctrl-C ends any of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mio::{Events, Interest, Poll, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::dial::Failed;
use crate::exit::Failure;

/// The token of standard input.
pub const STDIN: Token = Token(usize::MAX);

const SIGNALS: Token = Token(usize::MAX - 1);

/// The client's one poll.
pub struct Waiter {
    poll: Poll,
    events: Events,
    signals: Signals,
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
            Ok(Self { poll, events: Events::with_capacity(1024), signals })
        };
        make().map_err(|error| Failure::system("cannot start the event loop", &error))
    }

    /// Where to register what is waited for.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits until something happens, or `time` is over.
    pub fn wait(&mut self, time: Option<Duration>) -> Result<(), Failed> {
        match self.poll.poll(&mut self.events, time) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            outcome => outcome?,
        }
        match self.signals.pending().next() {
            Some(_) => Err(Failed::Interrupted),
            None => Ok(()),
        }
    }

    /// What the last wait has brought, other than signals.
    pub fn events(&self) -> impl Iterator<Item = Token> {
        self.events.iter().map(mio::event::Event::token).filter(|token| *token != SIGNALS)
    }
}
