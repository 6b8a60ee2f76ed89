//! Writes the lines of the `log` facade: a message and pairs of key and value.
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

mod journal;
mod line;
mod target;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::kv::Source;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::config;
use crate::exit::{Failure, plain};
use target::{Target, to_stderr};

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

/// Sends the log to the target of `settings` from the next line on. A reload calls this again.
pub fn set(settings: &config::Log) -> Result<(), Failure> {
    install(Target::new(&settings.target)?, settings.level);
    Ok(())
}

/// Sends the log to standard error as text, for a process that ends soon: the journal may look up the
/// service of a datagram's sender when that is gone already.
pub fn set_to_stderr() {
    install(Target::Stderr(None), LevelFilter::Info);
}

fn install(target: Target, level: LevelFilter) {
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
    log::set_max_level(level);
}

/// Writes a line with these pairs at any level setting: the user has asked for it.
pub fn write(message: &str, pairs: &dyn Source) {
    LOGGER.log(
        &Record::builder()
            .level(Level::Info)
            .target("echo_alex")
            .args(format_args!("{message}"))
            .key_values(&pairs)
            .build(),
    );
}

/// Logs why the program ends, unless the log is standard error, where that is printed anyway.
pub fn failure(failure: &Failure) {
    if let Some(output) = LOGGER.lock().as_mut()
        && output.target.path().is_some()
    {
        output
            .write(&Record::builder().level(Level::Error).args(format_args!("{failure}")).build());
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
            output.write(record);
        }
    }

    fn flush(&self) {}
}

impl Output {
    fn write(&mut self, record: &Record<'_>) {
        let unreported = self.lost - self.lost_and_reported;
        if unreported > 0 {
            // One expression: before Rust 1.89, the arguments live no longer than theirs. So below.
            let report = self.target.write(
                &Record::builder()
                    .level(Level::Warn)
                    .args(format_args!(
                        "{unreported} log lines were lost: the log could not take them"
                    ))
                    .build(),
            );
            if report.is_ok() {
                self.lost_and_reported = self.lost;
            }
        }
        match self.target.write(record) {
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
            self.absence_reported = to_stderr(
                &Record::builder()
                    .level(Level::Warn)
                    .args(format_args!(
                        "no log daemon takes lines at {}: {}; they are lost until one listens there; \
                         target = \"stderr\" sends them here",
                        path.display(),
                        plain(error)
                    ))
                    .build(),
            )
            .is_ok();
        }
    }
}
