//! What every mode works with: the options, the way to the server, the output, and the poll.

use mio::Token;
use serde::Serialize;

use super::activity::{self, Activity};
use super::cli::Options;
use super::connection::Connection;
use super::datagrams::Datagrams;
use super::dial::Dialler;
use super::error::Error;
use super::printer::Printer;
use super::wait::Waiter;
use crate::exit::{Exit, Failure};
use crate::wire::buffers::Buffers;

/// The client at work.
pub struct Client {
    pub(super) options: Options,
    pub(super) dialler: Dialler,
    pub(super) buffers: Buffers,
    pub(super) printer: Printer,
    pub(super) waiter: Waiter,
}

impl Client {
    /// Loads what `options` name, and starts the output.
    pub fn new(options: Options) -> Result<Self, Failure> {
        let dialler = Dialler::new(&options)?;
        let mut waiter = Waiter::new()?;
        let printer = Printer::new(&waiter)?;
        if activity::is_wanted(&options) {
            waiter.show(Activity::new(printer.drawer()));
        }
        Ok(Self { options, dialler, buffers: Buffers::new(), printer, waiter })
    }

    /// Opens a connection.
    pub fn dial(&mut self) -> Result<Connection, Error> {
        self.dialler.dial(&mut self.waiter, &mut self.buffers)
    }

    /// Opens the first connection, and prints who is at its other end.
    pub fn dial_and_introduce(&mut self) -> Result<Connection, Error> {
        let dialled = self.dial();
        if let (Ok(connection), false) = (&dialled, self.options.quiet) {
            self.printer.note(format_args!("connected to {}", connection.address));
            for line in self.dialler.introduction(connection) {
                self.printer.note(line);
            }
        }
        // They are needed most if they are refused.
        for certificate in self.dialler.shown_certificates() {
            self.printer.note(certificate);
        }
        dialled
    }

    /// Opens a UDP socket to the server, and prints where its datagrams go.
    pub fn dial_datagrams(&mut self) -> Result<Datagrams, Error> {
        let datagrams = self.dialler.dial_datagrams(Token(0), &self.waiter)?;
        if !self.options.quiet {
            self.printer.note(format_args!("sending to {} over UDP", datagrams.address));
        }
        Ok(datagrams)
    }

    /// Prints a line.
    pub fn print(&mut self, line: &str) {
        self.printer.print(format!("{line}\n").into_bytes());
    }

    /// Prints a report as one JSON object.
    pub fn print_json(&mut self, report: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(report)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
        self.print(&text);
        Ok(())
    }

    /// Prints a report as one JSON object in one line.
    pub fn print_json_line(&mut self, report: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(report)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
        self.print(&text);
        Ok(())
    }

    /// Waits until everything that was printed is written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.printer.flush(&mut self.waiter, None)
    }
}
