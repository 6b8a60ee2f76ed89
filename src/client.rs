//! The client: dial, and then talk, pipe, ping or measure, over the same link and transport as the
//! daemon's sessions.

pub mod cli;
pub mod target;
pub mod stop;
pub mod wait;
pub mod printer;
pub mod connect;
pub mod dial;
pub mod expect;
pub mod latency;
pub mod mode;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::wire::buffers::Buffers;
use cli::{Mode, Options};
use dial::{Connection, Dialler};
use printer::Printer;
use stop::Stop;
use wait::Waiter;

/// How long to wait for standard output after Ctrl-C: its reader may never take it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What every task needs.
pub struct Client {
    options: Options,
    dialler: Dialler,
    buffers: Buffers,
    printer: Printer,
    waiter: Waiter,
}

/// Does what `options` ask for.
pub fn run(options: Options) -> Result<Exit, Failure> {
    if let Mode::Bench(bench) = &options.mode {
        mode::bench::prepare(bench)?;
    }
    let dialler = Dialler::new(&options)?;
    let waiter = Waiter::new()?;
    let printer = Printer::new(&waiter)?;
    let mut client = Client { options, dialler, buffers: Buffers::new(), printer, waiter };
    let outcome = client.work();
    client.end(outcome)
}

impl Client {
    fn work(&mut self) -> Result<(), Stop> {
        self.dialler.resolve(&self.options, &mut self.waiter)?;
        if !self.options.quiet {
            self.printer.note(self.dialler.whereabouts());
        }
        let connection = self.dial_and_introduce()?;
        match self.options.mode.clone() {
            Mode::Talk(talk) => mode::relay::run(self, connection, talk.verify),
            Mode::Ping(ping) => mode::ping::run(self, connection, &ping),
            Mode::Bench(bench) => mode::bench::run(self, connection, &bench),
            Mode::Handshakes(handshakes) => mode::bench::handshakes(self, connection, &handshakes),
        }
    }

    /// The first connection, and who is at its other end.
    fn dial_and_introduce(&mut self) -> Result<Connection, Stop> {
        let dialled = self.dial();
        if let (Ok(connection), false) = (&dialled, self.options.quiet) {
            self.printer.note(format_args!("connected to {}", connection.address));
            for line in self.dialler.introduction() {
                self.printer.note(line);
            }
        }
        // Where they are refused, they are wanted most.
        for certificate in self.dialler.shown_certificates() {
            self.printer.note(certificate);
        }
        dialled
    }

    fn dial(&mut self) -> Result<Connection, Stop> {
        self.dialler.dial(&mut self.waiter, &mut self.buffers)
    }

    /// Prints a line.
    fn print(&mut self, line: &str) {
        self.printer.print(format!("{line}\n").into_bytes());
    }

    /// Prints a report as one JSON object.
    fn print_json(&mut self, report: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(report)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
        self.print(&text);
        Ok(())
    }

    /// Waits until all that was printed is written.
    fn flush(&mut self) -> Result<(), Stop> {
        self.printer.flush(&mut self.waiter, None)
    }

    /// Writes the rest of the output, and turns the outcome into an exit code.
    fn end(mut self, outcome: Result<(), Stop>) -> Result<Exit, Failure> {
        let was_interrupted = matches!(outcome, Err(Stop::Interrupted));
        let until = was_interrupted.then(|| Instant::now() + LAST_WORDS);
        let flushed = self.printer.flush(&mut self.waiter, until);
        let outcome = match flushed {
            Err(Stop::Interrupted) => flushed,
            flushed => outcome.and(flushed),
        };
        match outcome {
            Err(Stop::Interrupted) => Ok(Exit::Interrupted),
            Err(Stop::Failed(failed)) => Err(self.dialler.explain(failed)),
            // `client | head -1` is no failure.
            Ok(()) | Err(Stop::ReaderGone) => Ok(Exit::Ok),
        }
    }
}

/// The server did not answer as it should.
fn failed(message: impl Into<String>) -> Stop {
    Failure::new(Exit::Failure, message).into()
}
