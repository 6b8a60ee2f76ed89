//! `bench`: many sessions in one event loop, full of messages or at a fixed rate, and every returned byte
//! compared.

mod conditions;
mod datagrams;
mod drive;
mod flow;
mod html;
pub mod loaded;
mod report;
mod stream;

use std::net::SocketAddr;
use std::time::Instant;

use mio::Token;

use crate::client::cli::Bench;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::datagram_report::DatagramResults;
use crate::client::error::{Awaited, Error};
use crate::client::load::Load;
use crate::client::page;
use crate::client::pattern::Pattern;
use crate::client::progress::Progress;
use crate::client::recorder::Recorder;
use crate::client::schedule::Schedule;
use crate::exit::Failure;
use crate::os::descriptors;
use conditions::{Conditions, processor_time};
use datagrams::DatagramLoad;
use drive::Drive;
use flow::Flow;
use report::Results;

/// Raises the soft limit on descriptors to what the sessions need, and makes sure that the report can be
/// written.
pub fn prepare(bench: &Bench) -> Result<(), Failure> {
    if let Some(file) = &bench.report {
        page::prepare(file)?;
    }
    descriptors::raise_soft_limit(bench.connections)
        .map_err(|shortage| shortage.failure(format_args!("--connections {}", bench.connections)))
}

/// Measures over TCP or TLS. `first` is the first of the connections.
pub fn run(client: &mut Client, mut first: Connection, bench: &Bench) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let conditions = Conditions::find(client, Some(&mut first))?;
    let address = first.address;
    let mut loads = vec![Load::new(first, 0, bench.size, client)?];
    for number in 1..bench.connections {
        let connection = client.dial()?;
        loads.push(Load::new(connection, number, bench.size, client)?);
    }
    measure(client, bench, address, conditions, &mut loads)
}

/// Measures over UDP.
pub fn run_datagrams(client: &mut Client, bench: &Bench) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let conditions = Conditions::find(client, None)?;
    let timeout = client.options.timeout;
    let first = client.dial_datagrams()?;
    let address = first.address;
    let mut loads = vec![DatagramLoad::new(first, bench.size, timeout)];
    for number in 1..bench.connections {
        let datagrams = client.dialler.dial_datagrams(Token(number), &client.waiter)?;
        loads.push(DatagramLoad::new(datagrams, bench.size, timeout));
    }
    measure(client, bench, address, conditions, &mut loads)
}

/// Measures for the time that was asked for, and reports.
fn measure<F: Flow>(
    client: &mut Client,
    bench: &Bench,
    address: SocketAddr,
    conditions: Conditions,
    flows: &mut [F],
) -> Result<(), Error> {
    let pattern = Pattern::new();
    let mut recorder = Recorder::new(client.options.json);
    let (start, processor) = (Instant::now(), processor_time());
    let mut progress = Progress::new(client, bench.duration, start + bench.duration, "messages");
    let mut schedule = bench.rate.map(|rate| Schedule::new(start, rate, bench.duration));
    let mut drive = Drive::new(client, &pattern, flows, &mut recorder, &mut progress);
    let mut outcome = match &mut schedule {
        Some(schedule) => drive.open(schedule),
        None => drive.closed(bench.depth),
    };
    progress.clear(&mut client.printer);
    let was_ended = outcome.as_ref().is_err_and(Error::is_requested);
    let may_lose = F::LOOK.is_some();
    let is_overdue =
        (schedule.is_some() || may_lose) && matches!(outcome, Err(Error::TimedOut { .. }));
    if outcome.is_err() && !was_ended && !is_overdue {
        return outcome;
    }
    let (end, processor) = (Instant::now(), processor_time().saturating_sub(processor));
    // A message without an echo has waited at least until now.
    let overdue: Vec<Instant> = flows.iter().flat_map(F::overdue).collect();
    if is_overdue {
        for start in &overdue {
            recorder.record(end.saturating_duration_since(*start));
        }
    }
    recorder.finish(end, client)?;
    let datagrams = flows.iter_mut().filter_map(|flow| flow.end(client));
    let datagrams = datagrams.reduce(DatagramResults::plus);
    if is_overdue && may_lose {
        outcome = Ok(());
    }
    let results = Results {
        address,
        conditions,
        duration: end - start,
        client_load: processor.as_secs_f64() / (end - start).as_secs_f64(),
        not_sent: schedule.filter(|_| !was_ended).map_or(0, |schedule| schedule.rest()),
        not_returned: if is_overdue { overdue.len() as u64 } else { 0 },
        datagrams,
        recorder,
    };
    report::print(client, bench, &results)?;
    if let Some(file) = &bench.report {
        html::write(file, client, bench, &results)?;
    }
    outcome?;
    if results.recorder.latencies.count() == 0 && may_lose {
        let timeout = client.options.timeout;
        return Err(Error::NoEcho(Error::TimedOut { what: Awaited::Echo, timeout }.to_string()));
    }
    match results.doubt(bench) {
        Some(doubt) => Err(Error::InvalidRun(doubt)),
        None => Ok(()),
    }
}
