//! Exit codes, and the failure that ends a program with one of them.
//!
//! The numbers are those of `sysexits.h`, so that a service manager and a person can look them up.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a program ended, as the number that its parent sees. The client has the small numbers for
/// what it finds out, and all programs share the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Stopped on request, or nothing was wrong.
    Ok = 0,
    /// Anything that has no number of its own below; for the client: the echo differed from what
    /// was sent, or was cut short.
    Failure = 1,
    /// The client cannot resolve the name or cannot connect, or the port speaks TLS where plain was
    /// asked for, or the other way round.
    Unreachable = 2,
    /// The client does not accept the server's certificate, or the server not the client's.
    Certificate = 3,
    /// The client waited too long.
    TimedOut = 4,
    /// The command line was not understood (`EX_USAGE`).
    Usage = 64,
    /// A file that was named does not exist (`EX_NOINPUT`).
    NoInput = 66,
    /// An address is in use, or not one of this machine's (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// The system did not permit it (`EX_NOPERM`).
    NoPermission = 77,
    /// The configuration does not pass its checks (`EX_CONFIG`).
    Config = 78,
    /// The client was interrupted: 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// What an operator has to mend before the program can do what it was asked: one line of text,
/// and the code to end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code to end with.
    pub exit: Exit,
    /// What happened, to which file or address, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure that ends the program with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line was not understood.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The configuration does not pass.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// The same, said of the listener called `name`.
    #[must_use]
    pub fn of_listener(self, name: &str) -> Self {
        Self { message: format!("listener {name:?}: {}", self.message), ..self }
    }

    /// The system refused `what`, such as "cannot read certs/alex.key"; the kind of error tells
    /// which code fits.
    pub fn system(what: impl fmt::Display, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NoInput,
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Exit::Unavailable,
            _ => Exit::Failure,
        };
        Self::new(exit, format!("{what}: {}", plain(error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error of the system in words, without the "(os error 13)" that the standard library adds.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}
