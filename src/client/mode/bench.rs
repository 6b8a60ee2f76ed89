//! `bench`: many sessions in one event loop, each full of messages, and every returned byte compared.

mod load;
mod pattern;
mod report;

use std::time::Instant;

use mio::Token;

use crate::client::cli::Bench;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::error::{Awaited, Error};
use crate::client::latency::Latencies;
use crate::client::progress::Progress;
use crate::exit::{Exit, Failure};
use crate::os::descriptors::{self, Shortage};
use load::Load;
use pattern::Pattern;

/// Raises the soft limit on descriptors to what the sessions need.
pub fn prepare(bench: &Bench) -> Result<(), Failure> {
    descriptors::raise_soft_limit(bench.connections).map_err(|shortage| match shortage {
        Shortage::Hard { needed, maximum } => Failure::new(
            Exit::Failure,
            format!(
                "--connections {} needs {needed} descriptors, and this process may have {maximum}: \
                 take fewer, or raise the hard limit (ulimit -Hn)",
                bench.connections
            ),
        ),
        Shortage::Refused(error) => {
            Failure::system("cannot raise the limit on descriptors", &error)
        }
    })
}

/// Measures for the time that was asked for. `first` is the first of the connections.
pub fn run(client: &mut Client, first: Connection, bench: &Bench) -> Result<(), Error> {
    let pattern = Pattern::new();
    let address = first.address;
    let mut loads = vec![Load::new(first, 0, client)?];
    for number in 1..bench.connections {
        let connection = client.dial()?;
        loads.push(Load::new(connection, number, client)?);
    }
    let mut latencies = Latencies::default();
    let start = Instant::now();
    let end = start + bench.duration;
    let mut progress = Progress::new(client, bench.duration, end);
    let outcome = drive(client, bench, &pattern, &mut loads, &mut latencies, &mut progress);
    progress.clear(&mut client.printer);
    if outcome.as_ref().is_err_and(|error| !error.is_requested()) {
        return outcome;
    }
    let duration = start.elapsed();
    for load in &mut loads {
        load.connection.goodbye(&mut client.buffers);
    }
    let bytes: u64 = loads.iter().map(|load| load.received).sum();
    report::print(client, bench, &latencies, address, duration, bytes)?;
    outcome
}

/// Keeps every session full until the end, and then waits for the messages in flight.
fn drive(
    client: &mut Client,
    bench: &Bench,
    pattern: &Pattern,
    loads: &mut [Load],
    latencies: &mut Latencies,
    progress: &mut Progress,
) -> Result<(), Error> {
    let end = progress.end;
    let timeout = client.options.timeout;
    // The sessions that can send more without waiting for an event.
    let mut ready: Vec<usize> = (0..loads.len()).collect();
    loop {
        let now = Instant::now();
        progress.show(now, latencies.count(), &mut client.printer);
        let is_sending = now < end;
        for number in std::mem::take(&mut ready) {
            let load = &mut loads[number];
            let can_send_more = load
                .advance(bench, pattern, latencies, &mut client.buffers, is_sending)
                .map_err(|error| error.in_session(number))?;
            if can_send_more {
                ready.push(number);
            }
        }
        if !is_sending && loads.iter().all(|load| load.starts.is_empty()) {
            return Ok(());
        }
        let deadline = if is_sending { end } else { end + timeout };
        if now >= deadline {
            return Err(Error::TimedOut { what: Awaited::Echo, timeout });
        }
        let until = if ready.is_empty() { progress.limit(deadline, now) } else { now };
        client.waiter.wait(Some(until))?;
        ready.extend(client.waiter.events().map(|Token(number)| number));
    }
}
