//! Signals as commands: INT and TERM stop, HUP reloads, USR1 reports.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals as Source;

/// What a signal asks for. The order is the order in which those that arrive together are done:
/// stopping first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// SIGINT, SIGTERM.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Report,
}

/// The signals that have arrived, as something to poll.
pub struct Signals(Source);

impl Signals {
    /// From here on, these signals end nothing by themselves.
    pub fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut source = Source::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self(source))
    }

    /// What has been asked for since the last call, each once, in the order to do it.
    pub fn commands(&mut self) -> Vec<Command> {
        let mut commands: Vec<Command> = self
            .0
            .pending()
            .map(|signal| match signal {
                SIGHUP => Command::Reload,
                SIGUSR1 => Command::Report,
                _ => Command::Stop,
            })
            .collect();
        commands.sort_unstable();
        commands.dedup();
        commands
    }
}
