//! The client: dial, and then talk, pipe, ping or measure, over the same link and transport as the
//! daemon's sessions.

pub mod arguments;
pub mod dial;
pub mod wait;
pub mod expect;
pub mod relay;
pub mod ping;
pub mod bench;
pub mod latency;

use serde::Serialize;

use crate::buffers::Buffers;
use crate::exit::{Exit, Failure};
use crate::output;
use arguments::{Options, Task};
use dial::{Connection, Dialler};
use wait::Waiter;

/// What every task needs.
pub struct Client {
    options: Options,
    dialler: Dialler,
    buffers: Buffers,
    waiter: Waiter,
}

/// Does what `options` ask for.
pub fn run(options: Options) -> Result<Exit, Failure> {
    let task = options.task.clone();
    let mut client = Client {
        dialler: Dialler::new(&options, true)?,
        buffers: Buffers::new(),
        waiter: Waiter::new()?,
        options,
    };
    if !client.options.quiet {
        let addresses: Vec<String> =
            client.dialler.addresses.iter().map(|address| address.ip().to_string()).collect();
        output::note(format_args!("{} is {}", client.dialler.host, addresses.join(", ")));
    }
    let connection = client.dial_and_introduce()?;
    match &task {
        Task::Relay { verify } => relay::run(&mut client, connection, *verify),
        Task::Ping(ping) => ping::run(&mut client, connection, ping),
        Task::Bench(bench) => bench::run(&mut client, connection, bench),
    }
}

impl Client {
    /// The first connection, and who is at its other end.
    fn dial_and_introduce(&mut self) -> Result<Connection, Failure> {
        let dialled = self.dialler.dial(&mut self.waiter, &mut self.buffers);
        if let (Ok(connection), false) = (&dialled, self.options.quiet) {
            output::note(format_args!("connected to {}", connection.address));
            for line in self.dialler.introduction() {
                output::note(line);
            }
        }
        // Where they are refused, they are wanted most.
        for certificate in self.dialler.shown_certificates() {
            output::note(certificate);
        }
        dialled
    }
}

/// Prints a report as one JSON object.
fn print_json(report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
    print(&text)
}

/// Prints a line; whoever does not want to read it need not.
fn print(line: &str) -> Result<(), Failure> {
    output::print(format_args!("{line}\n")).map(drop)
}
