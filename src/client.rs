//! The client: opens a connection, and then talks, pings or measures, over the same link and transport
//! as the daemon's sessions.

pub mod cli;
pub mod target;
pub mod undelivered;
pub mod error;
pub mod activity;
pub mod wait;
pub mod tap;
pub mod printer;
pub mod connect;
pub mod connection;
pub mod datagrams;
pub mod probes;
pub mod datagram_report;
pub mod facts;
pub mod dial;
pub mod context;
pub mod expect;
pub mod echo;
pub mod parting;
pub mod latency;
pub mod progress;
mod pattern;
mod schedule;
mod recorder;
mod load;
mod outages;
pub mod visible;
pub mod drawing;
pub mod page;
pub mod plot;
pub mod mode;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::exit::{Exit, Failure};
use crate::os::output;
use cli::{Mode, Options, Ping, Request};
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
        Request::Diff(diff) => return mode::diff::run(&diff),
        Request::Run(options) => return do_as_asked(*options),
    }
    Ok(Exit::Ok)
}

/// Does what `options` ask for.
fn do_as_asked(options: Options) -> Result<Exit, Failure> {
    match &options.mode {
        Mode::Bench(bench) => mode::bench::prepare(bench)?,
        Mode::Compare(compare) => mode::compare::prepare(compare)?,
        Mode::Hold(hold) => mode::hold::prepare(hold)?,
        _ => {}
    }
    let mut client = Client::new(options)?;
    let outcome = work(&mut client);
    end(client, outcome)
}

fn work(client: &mut Client) -> Result<(), Error> {
    if let Mode::Ping(Ping { deadline: Some(deadline), .. }) = client.options.mode {
        client.waiter.set_limit(Some(Instant::now() + deadline));
    }
    warn_of_key_log(client);
    // It explains the look-up too.
    if let Mode::Explain(explain) = client.options.mode.clone() {
        return mode::explain::run(client, &explain);
    }
    client.dialler.resolve(&client.options, &mut client.waiter)?;
    if !client.options.quiet {
        client.printer.note(client.dialler.resolution());
    }
    match client.options.mode.clone() {
        Mode::Talk(talk) if client.options.udp => mode::talk::datagrams::run(client, &talk),
        Mode::Talk(talk) => {
            let connection = client.dial_and_introduce()?;
            mode::talk::run(client, connection, &talk)
        }
        Mode::Ping(ping) => mode::ping::run(client, &ping),
        Mode::Bench(bench) if client.options.udp => mode::bench::run_datagrams(client, &bench),
        Mode::Bench(bench) => {
            let connection = client.dial_and_introduce()?;
            if bench.loaded_latency {
                mode::bench::loaded::run(client, connection, &bench)
            } else {
                mode::bench::run(client, connection, &bench)
            }
        }
        Mode::Explain(explain) => mode::explain::run(client, &explain),
        Mode::Handshakes(handshakes) => {
            let connection = client.dial_and_introduce()?;
            mode::handshakes::run(client, connection, &handshakes)
        }
        Mode::Idle(idle) => {
            let connection = client.dial_and_introduce()?;
            mode::idle::run(client, connection, &idle)
        }
        Mode::Both(both) => mode::both::run(client, &both),
        Mode::Mtu => mode::mtu::run(client),
        Mode::Compare(compare) => mode::compare::run(client, &compare),
        Mode::Hold(hold) => mode::hold::run(client, &hold),
    }
}

/// Says on a terminal that secrets are written: the variable may be a left-over.
fn warn_of_key_log(client: &mut Client) {
    if let Some(path) = client.dialler.key_log()
        && io::stderr().is_terminal()
        && !client.options.quiet
    {
        client.printer.note(format_args!(
            "SSLKEYLOGFILE: the secrets of TLS go to {}; whoever has them can read the sessions",
            path.display()
        ));
    }
}

/// Writes the rest of the output, and turns the outcome into an exit code.
fn end(mut client: Client, outcome: Result<(), Error>) -> Result<Exit, Failure> {
    client.waiter.set_limit(None);
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
