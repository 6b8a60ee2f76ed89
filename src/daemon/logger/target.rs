//! Where the lines of the log go.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use log::Record;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use syslog::{Facility, Formatter3164, LogFormat};

use super::journal;
use super::line::{self, NAME, severity};
use crate::config::{JOURNAL_SOCKET, LogTarget};
use crate::exit::Failure;

/// Few lines have more bytes.
const USUAL_LENGTH: usize = 256;

/// Where the lines go.
pub(super) enum Target {
    /// Standard error. If that leads to the journal, a line goes to the journal's socket, with fields, as
    /// long as something listens there.
    Stderr(Option<Socket>),
    /// The journal.
    Journal(Socket),
    /// The log daemon.
    Syslog(Socket, Box<Formatter3164>),
}

/// A socket that is not connected, and the path that it sends to.
pub(super) struct Socket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Socket {
    fn new(path: &Path) -> Result<Self, Failure> {
        UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map(|socket| Self { socket, path: path.to_owned() })
            .map_err(|error| Failure::system("cannot make a socket for the log", &error))
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, &self.path).map(drop)
    }
}

impl Target {
    /// The target that the configuration names.
    pub(super) fn new(settings: &LogTarget) -> Result<Self, Failure> {
        Ok(match settings {
            LogTarget::Stderr if journal::is_stderr() => {
                Self::Stderr(Socket::new(Path::new(JOURNAL_SOCKET)).ok())
            }
            LogTarget::Stderr => Self::Stderr(None),
            LogTarget::Journal(path) => Self::Journal(Socket::new(path)?),
            LogTarget::Syslog(path) => {
                let formatter = Formatter3164 {
                    facility: Facility::LOG_DAEMON,
                    // The log daemon adds its own.
                    hostname: None,
                    process: NAME.into(),
                    pid: std::process::id(),
                };
                Self::Syslog(Socket::new(path)?, formatter.into())
            }
        })
    }

    /// The path of the log daemon's socket; `None` if lines go to standard error.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stderr(_) => None,
            Self::Journal(socket) | Self::Syslog(socket, _) => Some(&socket.path),
        }
    }

    /// Writes one line, or fails at once.
    pub(super) fn write(&self, record: &Record<'_>) -> io::Result<()> {
        match self {
            Self::Stderr(Some(socket)) if socket.send(&journal::datagram(record)).is_ok() => Ok(()),
            Self::Stderr(_) => to_stderr(record),
            Self::Journal(socket) => socket.send(&journal::datagram(record)),
            Self::Syslog(socket, formatter) => {
                let mut text = String::new();
                line::append(record, &mut text);
                let mut datagram = Vec::new();
                formatter
                    .format(&mut datagram, severity(record.level()), text)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                socket.send(&datagram)
            }
        }
    }
}

/// Writes one line to standard error, or fails at once.
pub(super) fn to_stderr(record: &Record<'_>) -> io::Result<()> {
    let level = record.level();
    let mut text = String::with_capacity(USUAL_LENGTH);
    // Writing to a string does not fail.
    let _ = if journal::is_stderr() {
        // The journal has its own clock and wants the priority (sd-daemon(3)).
        write!(text, "<{}>", severity(level) as u8)
    } else {
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        write!(text, "{time} {level:<5} ")
    };
    line::append(record, &mut text);
    text.push('\n');
    let mut stderr = io::stderr().lock();
    if !is_writable(&stderr) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    stderr.write_all(text.as_bytes())
}

/// Whether a line can be written without waiting: not while a pipe is full or a terminal is stopped.
fn is_writable(stderr: &io::StderrLock<'_>) -> bool {
    let mut wanted = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wanted, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
