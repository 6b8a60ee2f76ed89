//! Writes standard output and standard error from a thread, because a write to a full pipe blocks. The
//! descriptors cannot be made non-blocking instead, because other processes share them.
//!
//! # Memory is bounded by the caller
//!
//! No method waits for room. A caller that prints what a peer sends checks [`Printer::is_full`] first,
//! and does not read from the peer while it is.

use std::fmt::Display;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::error::Error;
use super::wait::Waiter;
use crate::exit::Failure;
use crate::os::output::{self, Printed};

/// How many unwritten bytes make the printer full.
const FULL: usize = 256 * 1024;

/// Standard output and standard error. The order of what is written to them is kept across both.
pub struct Printer {
    texts: Sender<Text>,
    reports: Receiver<Report>,
    /// How many bytes are not written yet.
    unwritten: usize,
    /// The state of standard output in the last report.
    output: Result<Printed, Failure>,
}

/// Something to write.
enum Text {
    Output(Vec<u8>),
    Error(String),
}

/// The thread has finished with `length` bytes, and this is the state of standard output.
struct Report {
    length: usize,
    output: Result<Printed, Failure>,
}

impl Printer {
    /// Starts the thread.
    pub fn new(waiter: &Waiter) -> Result<Self, Failure> {
        let (texts, to_write) = channel();
        let (written, reports) = channel();
        waiter.spawn(move |wake| {
            let mut output = Ok(Printed::Whole);
            for text in to_write {
                let length = match &text {
                    Text::Output(bytes) => {
                        // After a failed write, more would leave a gap.
                        if output == Ok(Printed::Whole) {
                            output = output::write(bytes);
                        }
                        bytes.len()
                    }
                    Text::Error(text) => {
                        output::draw(text);
                        text.len()
                    }
                };
                if written.send(Report { length, output: output.clone() }).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { texts, reports, unwritten: 0, output: Ok(Printed::Whole) })
    }

    /// Writes to standard output.
    pub fn print(&mut self, bytes: Vec<u8>) {
        self.unwritten += bytes.len();
        // The thread ends after `self`, so this cannot fail.
        let _ = self.texts.send(Text::Output(bytes));
    }

    /// Writes a line to standard error.
    pub fn note(&mut self, line: impl Display) {
        self.draw(format!("{line}\n"));
    }

    /// Writes to standard error without a line end, for a progress bar.
    pub fn draw(&mut self, text: String) {
        self.unwritten += text.len();
        let _ = self.texts.send(Text::Error(text));
    }

    /// Whether so much is unwritten that the caller should not add more.
    pub fn is_full(&self) -> bool {
        self.unwritten >= FULL
    }

    /// Whether everything is written.
    pub fn is_idle(&self) -> bool {
        self.unwritten == 0
    }

    /// Reads the thread's reports. Fails once standard output can no longer be written.
    pub fn check(&mut self) -> Result<(), Error> {
        for Report { length, output } in self.reports.try_iter() {
            self.unwritten -= length;
            self.output = output;
        }
        match &self.output {
            Ok(Printed::Whole) => Ok(()),
            Ok(Printed::ReaderGone) => Err(Error::OutputClosed),
            Err(failure) => Err(failure.clone().into()),
        }
    }

    /// Waits until everything is written, but no longer than `until`.
    pub fn flush(&mut self, waiter: &mut Waiter, until: Option<Instant>) -> Result<(), Error> {
        loop {
            let outcome = self.check();
            if self.is_idle() || until.is_some_and(|until| Instant::now() >= until) {
                return outcome;
            }
            waiter.wait(until)?;
        }
    }
}
