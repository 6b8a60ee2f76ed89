//! Signals as commands: INT and TERM stop, QUIT lets sessions finish, HUP reloads, USR1 reports.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals as Source;

/// What a signal requests. Commands that arrive together are carried out in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// SIGINT, SIGTERM.
    Stop,
    /// SIGQUIT.
    Finish,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Report,
}

/// The signals that have arrived, as a source of events.
pub struct Signals(Source);

impl Signals {
    /// Handles these signals from here on: none of them ends the process by itself.
    pub fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut source = Source::new([SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1])?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self(source))
    }

    /// The commands since the last call, each once, in the order to carry them out.
    pub fn commands(&mut self) -> Vec<Command> {
        let mut commands: Vec<Command> = self
            .0
            .pending()
            .map(|signal| match signal {
                SIGHUP => Command::Reload,
                SIGUSR1 => Command::Report,
                SIGQUIT => Command::Finish,
                _ => Command::Stop,
            })
            .collect();
        commands.sort_unstable();
        commands.dedup();
        commands
    }
}
