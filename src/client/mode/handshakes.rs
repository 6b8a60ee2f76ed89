//! `handshakes`: TLS handshakes, one after the other, full and resumed.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::cli::Handshakes;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::echo::echo;
use crate::client::error::Error;
use crate::client::facts::Facts;
use crate::client::latency::{Latencies, Summary};
use crate::client::progress::Progress;

/// What `handshakes --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    full: Figures,
    resumed: Figures,
}

/// The figures of one kind of handshake.
#[derive(Serialize)]
struct Figures {
    count: u64,
    duration_s: f64,
    per_s: f64,
    time: Summary,
    /// What was agreed; none without a handshake of this kind.
    facts: Option<Facts>,
}

/// Measures full handshakes for half of the time, and then resumed ones. Prints the figures so far if
/// it is interrupted.
pub fn run(
    client: &mut Client,
    mut first: Connection,
    handshakes: &Handshakes,
) -> Result<(), Error> {
    first.goodbye(&mut client.buffers);
    let half = handshakes.duration / 2;
    let (full, mut outcome) = count(client, half, false)?;
    let mut resumed = Figures::new(&Latencies::default(), half, None);
    if outcome.is_ok() {
        (resumed, outcome) = count(client, half, true)?;
    }
    if client.options.json {
        let host = client.dialler.host.clone();
        client.print_json(&Report { mode: "handshakes", host: &host, full, resumed })?;
    } else {
        for (kind, figures) in [("full", full), ("resumed", resumed)] {
            client.print(&format!(
                "{kind:<8} {} handshakes, {:.0} a second; connect and handshake p50 {:.3} ms, \
                 p99 {:.3}, max {:.3}",
                figures.count,
                figures.per_s,
                figures.time.p50_ms,
                figures.time.p99_ms,
                figures.time.max_ms
            ));
        }
    }
    outcome
}

impl Figures {
    #[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
    fn new(latencies: &Latencies, duration: Duration, facts: Option<Facts>) -> Self {
        let (count, seconds) = (latencies.count(), duration.as_secs_f64());
        Self {
            count,
            duration_s: seconds,
            per_s: count as f64 / seconds,
            time: latencies.summary(),
            facts,
        }
    }
}

/// Makes one connection after the other until the time is over. If the user ends it earlier, that error
/// is returned with the figures.
fn count(
    client: &mut Client,
    time: Duration,
    resumed: bool,
) -> Result<(Figures, Result<(), Error>), Error> {
    client.dialler.forget_sessions(resumed)?;
    let mut latencies = Latencies::default();
    let mut facts = None;
    let start = Instant::now();
    let mut outcome = Ok(());
    let mut is_first = true;
    let unit = if resumed { "resumed handshakes" } else { "full handshakes" };
    let mut progress = Progress::new(client, time, start + time, unit);
    while start.elapsed() < time && outcome.is_ok() {
        progress.show(Instant::now(), latencies.count(), &mut client.printer);
        outcome = shake_hands(client, resumed, is_first, &mut latencies, &mut facts);
        is_first = false;
    }
    progress.clear(&mut client.printer);
    match outcome {
        Err(error) if !error.is_requested() => Err(error),
        outcome => Ok((Figures::new(&latencies, start.elapsed(), facts), outcome)),
    }
}

/// Connects, and has one byte echoed: a server sends session tickets together with its first data.
fn shake_hands(
    client: &mut Client,
    resumed: bool,
    is_first: bool,
    latencies: &mut Latencies,
    facts: &mut Option<Facts>,
) -> Result<(), Error> {
    let mut connection = client.dial()?;
    let was_resumed = connection.agreed().is_some_and(|agreed| agreed.resumed);
    if was_resumed == resumed {
        let handshake = connection.handshake_time.unwrap_or_default();
        latencies.record(connection.connect_time + handshake);
        // All of a kind agree on the same.
        if facts.is_none() {
            *facts = client.dialler.facts(&connection);
        }
    } else if !is_first {
        return Err(Error::NoResumption);
    }
    echo(client, &mut connection, 1, 1)?;
    connection.goodbye(&mut client.buffers);
    Ok(())
}
