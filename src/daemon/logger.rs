//! Writes the lines of the `log` facade to standard error or to the log daemon.
//!
//! # The log never blocks
//!
//! One thread serves all sessions, so a log that is stuck must not stop it. A line that cannot be
//! written at once is dropped and counted. The count is logged when lines can be written again.
//!
//! # The log daemon may restart
//!
//! The socket is not connected: each line is sent to the path of the log daemon's socket, so a
//! restarted log daemon receives the next one. While no log daemon listens, lines are lost, and one
//! line on standard error reports that: a daemon without any output would look healthy.

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
    /// Lines that could not be written.
    lost: u64,
    /// Of these, how many a line in the log has reported.
    lost_and_reported: u64,
    /// A line on standard error has reported that no log daemon listens at the target.
    absence_reported: bool,
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
    /// Standard error does not change while the program runs, so it is examined once.
    fn of_stderr() -> Self {
        static STYLE: LazyLock<Style> = LazyLock::new(|| {
            let journal = std::env::var_os("JOURNAL_STREAM").is_some();
            if journal && !io::stderr().is_terminal() { Style::Journal } else { Style::Time }
        });
        *STYLE
    }
}

/// Sends the log to the target of `settings` from the next line on. A reload calls this again.
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
        None => Output { target, lost: 0, lost_and_reported: 0, absence_reported: false },
        Some(old) => {
            let absence_reported = old.absence_reported && old.target.path() == target.path();
            Output { target, absence_reported, ..old }
        }
    });
    // The first call sets it, and later calls fail: it is the same logger.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(settings.level);
    Ok(())
}

/// Writes a line at any level setting: the user has asked for it.
pub fn write(line: fmt::Arguments<'_>) {
    LOGGER.log(&Record::builder().level(Level::Info).target("echo_alex").args(line).build());
}

/// Logs why the program ends, unless the log is standard error, where that is printed anyway.
pub fn failure(failure: &Failure) {
    if let Some(output) = LOGGER.lock().as_mut()
        && matches!(output.target, Target::Syslog { .. })
    {
        output.write(Level::Error, &format_args!("{failure}"));
    }
}

/// How many lines could not be written since the start.
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
        // The lines of other crates help only to find a fault in them.
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
        let unreported = self.lost - self.lost_and_reported;
        if unreported > 0 {
            let report = self.target.write(
                Level::Warn,
                &format_args!("{unreported} log lines were lost: the log could not take them"),
            );
            if report.is_ok() {
                self.lost_and_reported = self.lost;
            }
        }
        match self.target.write(level, line) {
            Ok(()) => self.absence_reported = false,
            Err(error) => {
                self.lost += 1;
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.report_absence(&error);
                }
            }
        }
    }

    /// Reports on standard error that no log daemon listens, once until it has returned.
    fn report_absence(&mut self, error: &io::Error) {
        if let (Some(path), false) = (self.target.path(), self.absence_reported) {
            // One expression: before Rust 1.89, the arguments live no longer than theirs.
            self.absence_reported = to_stderr(
                Level::Warn,
                &format_args!(
                    "no log daemon takes lines at {}: {}; they are lost until one listens there; \
                     target = \"stderr\" sends them here",
                    path.display(),
                    plain(error)
                ),
            )
            .is_ok();
        }
    }
}

impl Target {
    /// The path of the log daemon's socket, if that is the target.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Stderr => None,
            Self::Syslog { path, .. } => Some(path),
        }
    }

    /// Writes one line, or fails at once.
    fn write(&self, level: Level, line: &fmt::Arguments<'_>) -> io::Result<()> {
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

/// The priority of a level in syslog(3).
fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_ERR,
        Level::Warn => Severity::LOG_WARNING,
        Level::Info => Severity::LOG_INFO,
        Level::Debug | Level::Trace => Severity::LOG_DEBUG,
    }
}

/// Whether a line can be written without waiting: not while a pipe is full or a terminal is stopped.
fn is_writable(stderr: &io::StderrLock<'_>) -> bool {
    let mut wanted = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wanted, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
