//! What the client prints, written by a thread: a pipe that nobody reads blocks whoever writes to it.
//! It cannot be made non-blocking instead, because it would be so for others who hold it as well.
//!
//! # What is printed is bounded
//!
//! Nothing here waits for room. Who prints what a peer sends asks [`Printer::is_full`] first, and reads
//! no more of it as long as that is so.

use std::fmt::Display;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::stop::Stop;
use super::wait::Waiter;
use crate::exit::Failure;
use crate::output::{self, Printed};

/// From how many bytes on no more are to be printed.
const FULL: usize = 256 * 1024;

/// Standard output and standard error, in the order in which they are written to.
pub struct Printer {
    texts: Sender<Text>,
    reports: Receiver<Report>,
    /// Bytes that are not written yet.
    unwritten: usize,
    /// How standard output is, as far as it was reported.
    output: Result<Printed, Failure>,
}

/// Something to be written.
enum Text {
    Output(Vec<u8>),
    Error(String),
}

/// So many bytes were written, and standard output is so.
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
                        // Behind a gap nothing is of use.
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

    /// Standard output.
    pub fn print(&mut self, bytes: Vec<u8>) {
        self.unwritten += bytes.len();
        // The thread lives as long as this.
        let _ = self.texts.send(Text::Output(bytes));
    }

    /// A line about the work, for standard error.
    pub fn note(&mut self, line: impl Display) {
        self.draw(format!("{line}\n"));
    }

    /// Standard error, as it is, for what moves on a terminal.
    pub fn draw(&mut self, text: String) {
        self.unwritten += text.len();
        let _ = self.texts.send(Text::Error(text));
    }

    /// Whether enough waits to be written.
    pub fn is_full(&self) -> bool {
        self.unwritten >= FULL
    }

    /// Whether all is written.
    pub fn is_idle(&self) -> bool {
        self.unwritten == 0
    }

    /// Hears what the thread has written; fails where standard output takes no more.
    pub fn check(&mut self) -> Result<(), Stop> {
        for Report { length, output } in self.reports.try_iter() {
            self.unwritten -= length;
            self.output = output;
        }
        match &self.output {
            Ok(Printed::Whole) => Ok(()),
            Ok(Printed::ReaderGone) => Err(Stop::ReaderGone),
            Err(failure) => Err(failure.clone().into()),
        }
    }

    /// Waits until all is written, or until this time.
    pub fn flush(&mut self, waiter: &mut Waiter, until: Option<Instant>) -> Result<(), Stop> {
        loop {
            let outcome = self.check();
            if self.is_idle() || until.is_some_and(|until| Instant::now() >= until) {
                return outcome;
            }
            waiter.wait(until)?;
        }
    }
}
