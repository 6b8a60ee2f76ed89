//! Where the `log` facade's lines go: standard error, or the log daemon.
//!
//! # The log never blocks
//!
//! One thread serves everybody, so a log that is stuck must not stop it. A line that cannot be
//! taken at once is dropped and counted, and the count is said when lines can be taken again.
//!
//! # The log daemon may come and go
//!
//! The socket is not connected: each line is sent to the path anew, so a restarted log daemon gets
//! the next one. While no log daemon listens, lines are lost, and one line on standard error says so:
//! a daemon without any output would look healthy.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use syslog::{Facility, Formatter3164, LogFormat, Severity};

use crate::config;
use crate::exit::{Failure, plain};

static LOGGER: Logger = Logger { output: Mutex::new(None) };

struct Logger {
    output: Mutex<Option<Output>>,
}

struct Output {
    target: Target,
    /// Lines that could not be taken.
    lost: u64,
    /// Of these, how many the log has been told of.
    lost_and_told: u64,
    /// One line on standard error has said that no log daemon listens at the target.
    told_of_absence: bool,
}

enum Target {
    Stderr,
    Syslog { socket: UnixDatagram, path: PathBuf, formatter: Box<Formatter3164> },
}

/// How a line on standard error begins.
#[derive(Clone, Copy)]
enum Style {
    /// The journal has its own clock and wants the priority: `<6>` (sd-daemon(3)).
    Journal,
    /// A person, or a file.
    Time,
}

impl Style {
    /// Standard error is one thing for as long as a program runs, so it is looked at once.
    fn of_stderr() -> Self {
        static STYLE: LazyLock<Style> = LazyLock::new(|| {
            let journal = std::env::var_os("JOURNAL_STREAM").is_some();
            if journal && !io::stderr().is_terminal() { Style::Journal } else { Style::Time }
        });
        *STYLE
    }
}

/// Sends the log to where `settings` say, from the next line on; also again, at a reload.
pub fn set(settings: &config::Log) -> Result<(), Failure> {
    let target = match &settings.target {
        config::LogTarget::Stderr => Target::Stderr,
        config::LogTarget::Syslog(path) => {
            let socket = UnixDatagram::unbound()
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .map_err(|error| Failure::system("cannot make a socket for the log", &error))?;
            let formatter = Box::new(Formatter3164 {
                facility: Facility::LOG_DAEMON,
                // The log daemon adds its own.
                hostname: None,
                process: "echo-alex".into(),
                pid: std::process::id(),
            });
            Target::Syslog { socket, path: path.clone(), formatter }
        }
    };
    let mut output = LOGGER.lock();
    *output = Some(match output.take() {
        None => Output { target, lost: 0, lost_and_told: 0, told_of_absence: false },
        Some(old) => {
            let told_of_absence = old.told_of_absence && old.target.path() == target.path();
            Output { target, told_of_absence, ..old }
        }
    });
    // It can only be set once, and is the same one ever after.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(settings.level);
    Ok(())
}

/// Writes a line that was asked for, whatever the level is set to.
pub fn write(line: fmt::Arguments<'_>) {
    LOGGER.log(&Record::builder().level(Level::Info).target("echo_alex").args(line).build());
}

/// Writes why the program ends, if the log is anywhere else than standard error, which has it.
pub fn failure(failure: &Failure) {
    if let Some(output) = LOGGER.lock().as_mut()
        && matches!(output.target, Target::Syslog { .. })
    {
        output.write(Level::Error, &format_args!("{failure}"));
    }
}

/// How many lines could not be taken since the start.
pub fn lost() -> u64 {
    LOGGER.lock().as_ref().map_or(0, |output| output.lost)
}

impl Logger {
    fn lock(&self) -> MutexGuard<'_, Option<Output>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What the crates below us have to say is for those who look for a fault in them.
        metadata.target().starts_with("echo_alex") || log::max_level() == LevelFilter::Trace
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(output) = self.lock().as_mut() {
            output.write(record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

impl Output {
    fn write(&mut self, level: Level, line: &fmt::Arguments<'_>) {
        let untold = self.lost - self.lost_and_told;
        if untold > 0 {
            let told = self.target.take(
                Level::Warn,
                &format_args!("{untold} log lines were lost: the log could not take them"),
            );
            if told.is_ok() {
                self.lost_and_told = self.lost;
            }
        }
        match self.target.take(level, line) {
            Ok(()) => self.told_of_absence = false,
            Err(error) => {
                self.lost += 1;
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.tell_of_absence(&error);
                }
            }
        }
    }

    /// Says on standard error, once until it is back, that no log daemon listens.
    fn tell_of_absence(&mut self, error: &io::Error) {
        if let (Some(path), false) = (self.target.path(), self.told_of_absence) {
            // In one expression: before Rust 1.89, arguments do not outlive theirs.
            self.told_of_absence = to_stderr(
                Level::Warn,
                &format_args!(
                    "no log daemon takes lines at {}: {}; they are lost until one listens there, and \
                     target = \"stderr\" sends them here instead",
                    path.display(),
                    plain(error)
                ),
            )
            .is_ok();
        }
    }
}

impl Target {
    /// Where the log daemon listens, if the log goes there.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Stderr => None,
            Self::Syslog { path, .. } => Some(path),
        }
    }

    /// Hands over one line, or fails at once.
    fn take(&self, level: Level, line: &fmt::Arguments<'_>) -> io::Result<()> {
        match self {
            Self::Stderr => to_stderr(level, line),
            Self::Syslog { socket, path, formatter } => {
                let mut datagram = Vec::new();
                formatter
                    .format(&mut datagram, severity(level), line)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                socket.send_to(&datagram, path).map(drop)
            }
        }
    }
}

/// Writes one line to standard error, or fails at once.
fn to_stderr(level: Level, line: &fmt::Arguments<'_>) -> io::Result<()> {
    let line = match Style::of_stderr() {
        Style::Journal => format!("<{}>{line}\n", severity(level) as u8),
        Style::Time => {
            let time = humantime::format_rfc3339_seconds(SystemTime::now());
            format!("{time} {level:<5} {line}\n")
        }
    };
    let mut stderr = io::stderr().lock();
    if !is_writable(&stderr) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    stderr.write_all(line.as_bytes())
}

/// The priority of a level, as syslog(3) counts them.
fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_ERR,
        Level::Warn => Severity::LOG_WARNING,
        Level::Info => Severity::LOG_INFO,
        Level::Debug | Level::Trace => Severity::LOG_DEBUG,
    }
}

/// Whether a line can be written without waiting: a pipe says so while it has room for one, a
/// terminal while nobody has stopped it.
fn is_writable(stderr: &io::StderrLock<'_>) -> bool {
    let mut wanted = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wanted, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
