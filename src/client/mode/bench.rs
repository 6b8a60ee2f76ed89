//! `bench`: many sessions in one event loop, full of messages or at a fixed rate, and every returned byte
//! compared.

mod conditions;
mod drive;
mod html;
mod load;
pub mod loaded;
mod pattern;
mod recorder;
mod report;
mod schedule;
mod stream;

use std::time::Instant;

use crate::client::cli::Bench;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::error::Error;
use crate::client::page;
use crate::client::progress::Progress;
use crate::exit::{Exit, Failure};
use crate::os::descriptors::{self, Shortage};
use conditions::{Conditions, processor_time};
use drive::Drive;
use load::Load;
use pattern::Pattern;
use recorder::Recorder;
use report::Results;
use schedule::Schedule;

/// Raises the soft limit on descriptors to what the sessions need, and makes sure that the report can be
/// written.
pub fn prepare(bench: &Bench) -> Result<(), Failure> {
    if let Some(file) = &bench.report {
        page::prepare(file)?;
    }
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
pub fn run(client: &mut Client, mut first: Connection, bench: &Bench) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let conditions = Conditions::find(client, &mut first)?;
    let pattern = Pattern::new();
    let address = first.address;
    let mut loads = vec![Load::new(first, 0, bench.size, client)?];
    for number in 1..bench.connections {
        let connection = client.dial()?;
        loads.push(Load::new(connection, number, bench.size, client)?);
    }
    let mut recorder = Recorder::new(client.options.json);
    let (start, processor) = (Instant::now(), processor_time());
    let mut progress = Progress::new(client, bench.duration, start + bench.duration, "messages");
    let mut schedule = bench.rate.map(|rate| Schedule::new(start, rate, bench.duration));
    let mut drive = Drive {
        client: &mut *client,
        pattern: &pattern,
        loads: &mut loads,
        recorder: &mut recorder,
        progress: &mut progress,
    };
    let outcome = match &mut schedule {
        Some(schedule) => drive.open(schedule),
        None => drive.closed(bench.depth),
    };
    progress.clear(&mut client.printer);
    let was_ended = outcome.as_ref().is_err_and(Error::is_requested);
    let is_overdue = schedule.is_some() && matches!(outcome, Err(Error::TimedOut { .. }));
    if outcome.is_err() && !was_ended && !is_overdue {
        return outcome;
    }
    let (end, processor) = (Instant::now(), processor_time().saturating_sub(processor));
    // A message without an echo has waited at least until now.
    let overdue: Vec<Instant> = loads.iter().flat_map(Load::starts).collect();
    if is_overdue {
        for start in &overdue {
            recorder.record(end.saturating_duration_since(*start));
        }
    }
    recorder.finish(end, client)?;
    for load in &mut loads {
        load.connection.goodbye(&mut client.buffers);
    }
    let results = Results {
        address,
        conditions,
        duration: end - start,
        client_load: processor.as_secs_f64() / (end - start).as_secs_f64(),
        not_sent: schedule.filter(|_| !was_ended).map_or(0, |schedule| schedule.rest()),
        not_returned: if is_overdue { overdue.len() as u64 } else { 0 },
        recorder,
    };
    report::print(client, bench, &results)?;
    if let Some(file) = &bench.report {
        html::write(file, client, bench, &results)?;
    }
    outcome?;
    match results.doubt(bench) {
        Some(doubt) => Err(Error::InvalidRun(doubt)),
        None => Ok(()),
    }
}
