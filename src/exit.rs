//! Exit codes, and the failure that ends a program with one of them.
//!
//! The numbers from 64 on are those of `sysexits.h`.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit code of a program. The client has 2 to 4 for its own results; all programs share the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Stopped on request, or nothing was wrong.
    Ok = 0,
    /// Any other failure; for the client also: the echo differed from what was sent, or was cut short.
    Failure = 1,
    /// The client cannot resolve the name or cannot connect, or the port speaks TLS and the client does
    /// not, or the reverse.
    Unreachable = 2,
    /// The client refused the server's certificate, or the server the client's.
    Certificate = 3,
    /// A timeout of the client.
    TimedOut = 4,
    /// The command line is not valid (`EX_USAGE`).
    Usage = 64,
    /// A file that was named does not exist (`EX_NOINPUT`).
    NoInput = 66,
    /// An address is in use, or does not belong to this machine (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// Permission denied (`EX_NOPERM`).
    NoPermission = 77,
    /// The configuration fails its checks (`EX_CONFIG`).
    Config = 78,
    /// The client was interrupted: 128 plus the number of SIGINT, as in shells.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a program cannot do what it was asked to: one line for the user, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, with the file or address, the cause and the remedy.
    pub message: String,
}

impl Failure {
    /// A failure with this exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line is not valid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The configuration fails its checks.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// The same failure, with the listener called `name` in its message.
    #[must_use]
    pub fn of_listener(self, name: &str) -> Self {
        Self { message: format!("listener {name:?}: {}", self.message), ..self }
    }

    /// The failure of a system call. `what` is the beginning of the message, such as "cannot read
    /// certs/alex.key"; the kind of error decides the exit code.
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

/// The text of an error of the system, without the "(os error 13)" that the standard library adds.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}
