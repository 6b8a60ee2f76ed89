//! Writes standard output and standard error from a thread, because a write to a full pipe blocks. The
//! descriptors cannot be made non-blocking instead, because other processes share them.
//!
//! # Memory is bounded by the caller
//!
//! No method waits for room. A caller that prints what a peer sends checks [`Printer::is_full`] first,
//! and does not read from the peer while it is.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// The state of standard output after each text.
    reports: Receiver<Result<Printed, Failure>>,
    /// How many bytes are not written yet.
    unwritten: Arc<AtomicUsize>,
    /// The state of standard output in the last report.
    output: Result<Printed, Failure>,
}

/// Something to write.
enum Text {
    Output(Vec<u8>),
    Error(String),
}

impl Printer {
    /// Starts the thread.
    pub fn new(waiter: &Waiter) -> Result<Self, Failure> {
        let (texts, to_write) = channel();
        let (written, reports) = channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let left = unwritten.clone();
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
                if written.send(output.clone()).is_err() {
                    return;
                }
                // Whoever sees that nothing is left finds the report.
                left.fetch_sub(length, Ordering::Release);
                wake();
            }
        })?;
        Ok(Self { texts, reports, unwritten, output: Ok(Printed::Whole) })
    }

    /// Writes to standard output.
    pub fn print(&mut self, bytes: Vec<u8>) {
        self.unwritten.fetch_add(bytes.len(), Ordering::Relaxed);
        // The thread ends after `self`, so this cannot fail.
        let _ = self.texts.send(Text::Output(bytes));
    }

    /// Writes a line to standard error.
    pub fn note(&mut self, line: impl Display) {
        self.draw(format!("{line}\n"));
    }

    /// Writes to standard error without a line end, for a progress bar.
    pub fn draw(&mut self, text: String) {
        send(&self.texts, &self.unwritten, text);
    }

    /// Does what [`Printer::draw`] does, for code that does not hold the printer. If the text before is not
    /// written yet, it draws only what `matters`, and returns whether it drew.
    pub fn drawer(&self) -> impl Fn(String, bool) -> bool + use<> {
        let (texts, unwritten) = (self.texts.clone(), self.unwritten.clone());
        move |text, matters| {
            let draws = matters || unwritten.load(Ordering::Relaxed) == 0;
            if draws {
                send(&texts, &unwritten, text);
            }
            draws
        }
    }

    /// Whether so much is unwritten that the caller should not add more.
    pub fn is_full(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed) >= FULL
    }

    /// Whether everything is written.
    pub fn is_idle(&self) -> bool {
        self.unwritten.load(Ordering::Acquire) == 0
    }

    /// Reads the thread's reports. Fails once standard output can no longer be written.
    pub fn check(&mut self) -> Result<(), Error> {
        if let Some(output) = self.reports.try_iter().last() {
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
            let is_idle = self.is_idle();
            let outcome = self.check();
            if is_idle || until.is_some_and(|until| Instant::now() >= until) {
                return outcome;
            }
            waiter.wait(until)?;
        }
    }
}

/// Hands a text for standard error to the thread.
fn send(texts: &Sender<Text>, unwritten: &AtomicUsize, text: String) {
    unwritten.fetch_add(text.len(), Ordering::Relaxed);
    // The thread ends after its last sender, so this cannot fail.
    let _ = texts.send(Text::Error(text));
}
