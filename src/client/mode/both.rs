//! `both`: one connection as both of its ends see it.
//!
//! The other end is a listener of the daemon that reports what it received. A session with an echo listener
//! beside it has the same messages echoed: its round trips are what the times in the report divide.

mod clocks;
mod report;
pub mod rows;
pub mod text;
mod view;

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::client::cli::Both;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::drawing::Colours;
use crate::client::echo::{echo, message};
use crate::client::error::{Awaited, Error};
use crate::client::parting::part;
use crate::client::tap::{Tap, Transcript};
use crate::exit::Failure;
use clocks::{Sample, Times};
use report::{REPORT_MAX, Report};
use rows::{Finding, Row, rows};
use view::View;

/// The length of a message, in bytes.
const SIZE: usize = 64;

/// The time from one message to the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// What `both --json` prints.
#[derive(Serialize)]
struct Comparison<'a> {
    mode: &'static str,
    host: &'a str,
    client: &'a View,
    server: &'a View,
    differences: Vec<Difference>,
    time: Option<Times>,
}

/// What stands out.
#[derive(Serialize)]
struct Difference {
    what: &'static str,
    explanation: String,
    is_change: bool,
}

/// Opens both sessions, sends the messages, reads the report, and compares.
pub fn run(client: &mut Client, both: &Both) -> Result<(), Error> {
    let port = both.report_port;
    let of_report = |error: Error| error.in_report_session(port);
    let tap = Tap::recording();
    let mut reporting = open(client, port, &tap).map_err(|error| {
        advise(client, &error, port);
        of_report(error)
    })?;
    client.dialler.stay();
    let mut echoing = open(client, client.options.port, &Tap::default())?;
    let samples = exchange(client, &mut reporting, &mut echoing, both)?;
    echoing.goodbye(&mut client.buffers);
    let sent = (SIZE * samples.len(), samples.len());
    let (own, report) =
        views(client, &mut reporting, &tap.transcript(), sent).map_err(of_report)?;
    let times = Times::new(&samples, SIZE as u64, report.accepted, &report.chunks);
    let rows = rows(&own, &report.view);
    print(client, &own, &report, &rows, times)?;
    let is_changed = |row: &&Row| row.finding.as_ref().is_some_and(|it| it.is_change);
    let changed: Vec<&str> = rows.iter().filter(is_changed).map(|row| row.name).collect();
    if changed.is_empty() { Ok(()) } else { Err(Error::Changed(changed)) }
}

/// Opens a session with the listener at this port.
fn open(client: &mut Client, port: u16, tap: &Tap) -> Result<Connection, Error> {
    client.dialler.set_port(port);
    client.dialler.set_tap(tap.clone());
    client.dial_and_introduce()
}

/// Shows the configuration of a report listener where none listens.
fn advise(client: &mut Client, error: &Error, port: u16) {
    if matches!(error, Error::Unreachable { .. }) && !client.options.quiet {
        client.printer.note(format_args!(
            "the daemon reports what it received if its configuration has:\n\n[[listener]]\n\
             name = \"report\"\nlisten = {port}\nservice = \"report\"\n"
        ));
    }
}

/// Sends messages to both listeners, one after the other, each when the one before it has been echoed.
fn exchange(
    client: &mut Client,
    reporting: &mut Connection,
    echoing: &mut Connection,
    both: &Both,
) -> Result<Vec<Sample>, Error> {
    // A clock that is set in the meantime changes nothing.
    let (began, start) = (SystemTime::now(), Instant::now());
    let mut samples = Vec::new();
    for number in 1..=both.count {
        let sent = Instant::now();
        let due = sent + INTERVAL;
        let message = message(number.into(), SIZE);
        let outcome = reporting.send(&message, &mut client.buffers);
        outcome.map_err(|reason| Error::from(reason).in_report_session(both.report_port))?;
        echo(client, echoing, number.into(), SIZE)?;
        samples.push(Sample { sent: began + (sent - start), round_trip: sent.elapsed() });
        while number < both.count && Instant::now() < due {
            client.waiter.wait(Some(due))?;
        }
    }
    Ok(samples)
}

/// How both ends see `connection`, whose server reports what it received, and which this ends. So many bytes
/// were sent on it, in so many pieces; `transcript` has its handshake.
pub fn views(
    client: &mut Client,
    connection: &mut Connection,
    transcript: &Transcript,
    sent: (usize, usize),
) -> Result<(View, Report), Error> {
    let own = View::of_client(client, connection, transcript, sent)?;
    let timeout = client.options.timeout;
    let last = part(client, connection, timeout, REPORT_MAX + 1)?;
    let is_whole = last.is_over || last.bytes.len() > REPORT_MAX || last.bytes.contains(&b'\n');
    if !is_whole {
        return Err(Error::TimedOut { what: Awaited::Report, timeout });
    }
    let report = Report::read(&last.bytes).map_err(Error::NoReport)?;
    Ok((own, report))
}

fn print(
    client: &mut Client,
    own: &View,
    report: &Report,
    rows: &[Row],
    times: Option<Times>,
) -> Result<(), Failure> {
    if !client.options.json {
        let text = text::draw(rows, times.as_ref(), Colours::of_output());
        client.printer.print(text.into_bytes());
        return Ok(());
    }
    let difference = |row: &Row| {
        let Finding { explanation, is_change } = row.finding.clone()?;
        Some(Difference { what: row.name, explanation, is_change })
    };
    let uneven = times.filter(Times::is_uneven).map(|times| Difference {
        what: "time",
        explanation: times.explanation(),
        is_change: false,
    });
    let host = client.options.host.clone();
    client.print_json(&Comparison {
        mode: "both",
        host: &host,
        client: own,
        server: &report.view,
        differences: rows.iter().filter_map(difference).chain(uneven).collect(),
        time: times,
    })
}

#[cfg(test)]
mod tests;
