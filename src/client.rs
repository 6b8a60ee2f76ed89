//! The client: opens a connection, and then talks, pings or measures, over the same link and transport
//! as the daemon's sessions.

pub mod cli;
pub mod target;
pub mod error;
pub mod wait;
pub mod printer;
pub mod connect;
pub mod connection;
pub mod dial;
pub mod context;
pub mod expect;
pub mod echo;
pub mod latency;
pub mod progress;
pub mod mode;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::exit::{Exit, Failure};
use crate::os::output;
use cli::{Mode, Options, Request};
use connection::Connection;
use context::Client;
use error::Error;

/// How long to wait for standard output after Ctrl-C, whose reader may never take it.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Runs the client from its command line to its exit code.
pub fn main() -> ExitCode {
    output::end("echo-alex-client", run())
}

fn run() -> Result<Exit, Failure> {
    match Request::parse(std::env::args_os().skip(1))? {
        Request::Help(text) => {
            output::print(text)?;
        }
        Request::Version => {
            output::print(format_args!("echo-alex-client {}\n", env!("CARGO_PKG_VERSION")))?;
        }
        Request::Run(options) => return do_as_asked(*options),
    }
    Ok(Exit::Ok)
}

/// Does what `options` ask for.
fn do_as_asked(options: Options) -> Result<Exit, Failure> {
    if let Mode::Bench(bench) = &options.mode {
        mode::bench::prepare(bench)?;
    }
    let mut client = Client::new(options)?;
    let outcome = work(&mut client);
    end(client, outcome)
}

fn work(client: &mut Client) -> Result<(), Error> {
    client.dialler.resolve(&client.options, &mut client.waiter)?;
    if !client.options.quiet {
        client.printer.note(client.dialler.resolution());
    }
    let connection = dial_and_introduce(client)?;
    match client.options.mode.clone() {
        Mode::Talk(talk) => mode::talk::run(client, connection, &talk),
        Mode::Ping(ping) => mode::ping::run(client, connection, &ping),
        Mode::Bench(bench) => mode::bench::run(client, connection, &bench),
        Mode::Handshakes(handshakes) => mode::handshakes::run(client, connection, &handshakes),
    }
}

/// Opens the first connection, and prints who is at its other end.
fn dial_and_introduce(client: &mut Client) -> Result<Connection, Error> {
    let dialled = client.dial();
    if let (Ok(connection), false) = (&dialled, client.options.quiet) {
        client.printer.note(format_args!("connected to {}", connection.address));
        for line in client.dialler.introduction() {
            client.printer.note(line);
        }
    }
    // They are needed most if they are refused.
    for certificate in client.dialler.shown_certificates() {
        client.printer.note(certificate);
    }
    dialled
}

/// Writes the rest of the output, and turns the outcome into an exit code.
fn end(mut client: Client, outcome: Result<(), Error>) -> Result<Exit, Failure> {
    let was_interrupted = matches!(outcome, Err(Error::Interrupted));
    let until = was_interrupted.then(|| Instant::now() + LAST_OUTPUT);
    let outcome = match client.printer.flush(&mut client.waiter, until) {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        flushed => outcome.and(flushed),
    };
    match outcome {
        Err(error) if error.is_requested() => Ok(error.exit()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Exit::Ok),
    }
}
