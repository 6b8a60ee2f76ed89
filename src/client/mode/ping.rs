//! `ping`: messages at an interval, timed. A failure costs one message, and the next one tries again.

mod datagrams;
mod log;
mod report;
mod stream;

use std::io::{self, IsTerminal};
use std::time::Instant;

use crate::client::cli::Ping;
use crate::client::context::Client;
use crate::client::error::Error;
use log::Log;
use report::Results;

/// Pings until the count or the deadline is reached, or until Ctrl-C. The summary follows in any case.
pub fn run(client: &mut Client, ping: &Ping) -> Result<(), Error> {
    let start = Instant::now();
    let bell = ping.bell && io::stderr().is_terminal();
    let mut log = Log::new(bell);
    let outcome = if client.options.udp {
        datagrams::ping(client, ping, &mut log)
    } else {
        stream::ping(client, ping, &mut log)
    };
    client.waiter.set_limit(None);
    let end = Instant::now();
    report::print(client, ping, &log.results, end - start, end)?;
    judge(ping, &log.results, outcome)
}

/// Success as in ping(8): an echo came, and with a count and a deadline, all of them came.
fn judge(ping: &Ping, results: &Results, outcome: Result<(), Error>) -> Result<(), Error> {
    let received = results.received();
    match outcome {
        Err(Error::TimeIsUp) if received == 0 => {
            let reason = results.outages.last_reason().unwrap_or("the time is up");
            Err(Error::NoEcho(reason.to_owned()))
        }
        Err(Error::TimeIsUp) => match ping.count {
            Some(count) if received < count => Err(Error::TooFewEchoes { count, received }),
            _ => Ok(()),
        },
        Ok(()) if received == 0 => {
            Err(Error::NoEcho(results.outages.last_reason().unwrap_or_default().to_owned()))
        }
        outcome => outcome,
    }
}
