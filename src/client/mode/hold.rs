//! `hold`: many sessions, each with messages at a fixed rate, through whatever happens. What ends is connected
//! again, and what is lost is counted.

mod drive;
mod report;
mod session;
mod tally;
mod work;

use std::time::Instant;

use crate::client::cli::Hold;
use crate::client::connect;
use crate::client::context::Client;
use crate::client::error::Error;
use crate::exit::Failure;
use crate::os::descriptors;
use drive::Drive;
use tally::Tally;
use work::Work;

/// Raises the soft limit on descriptors to what the sessions need, and makes sure that the addresses from which
/// to connect are there.
pub fn prepare(hold: &Hold) -> Result<(), Failure> {
    for from in &hold.from {
        connect::bound(*from)
            .map_err(|error| Failure::system(format_args!("cannot connect from {from}"), &error))?;
    }
    descriptors::raise_soft_limit(hold.sessions)
        .map_err(|shortage| shortage.failure(format_args!("--sessions {}", hold.sessions)))
}

/// Holds the sessions for the time that was asked for, or until Ctrl-C, and reports.
pub fn run(client: &mut Client, hold: &Hold) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let (mut work, first) = Work::new(client, hold)?;
    Drive::new(&mut work, hold, first)?.run()?;
    let now = Instant::now();
    work.recorder.finish(now, work.client)?;
    let Work { client, tally, recorder, .. } = work;
    report::print(client, hold, &tally, &recorder, now)?;
    judge(&tally, recorder.latencies.count())
}

/// Success if every message that was due was sent and came back as it was.
fn judge(tally: &Tally, echoed: u64) -> Result<(), Error> {
    if echoed == 0 {
        let reason = tally.outages.last_reason().unwrap_or("the time was too short");
        return Err(Error::NoEcho(reason.to_owned()));
    }
    let (messages, bytes, unsent) = (tally.outages.lost, tally.bytes_lost, tally.not_sent);
    let never = tally.never as u64;
    if messages + never == 0 { Ok(()) } else { Err(Error::Lost { messages, bytes, unsent, never }) }
}
