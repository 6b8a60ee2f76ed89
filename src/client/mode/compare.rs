//! `compare`: the same probes over UDP, TCP and TLS, by turns, on one clock.

mod datagrams;
mod line;
mod page;
mod record;
mod report;
mod stream;
mod throughput;
mod transport;

use std::mem;
use std::time::Instant;

use mio::Token;

use crate::client::cli::Compare;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::error::Error;
use crate::client::page::prepare as prepare_file;
use crate::client::probes::Probes;
use crate::client::progress::Progress;
use crate::exit::Failure;
use datagrams::DatagramLine;
use record::Record;
use stream::StreamLine;
use transport::{Kind, Transport};

/// How many connections are opened to measure what that costs. The last one is kept.
const HANDSHAKES: usize = 5;

/// Makes sure that the report can be written.
pub fn prepare(compare: &Compare) -> Result<(), Failure> {
    compare.report.as_deref().map_or(Ok(()), prepare_file)
}

/// Opens what can be opened, sends the probes, and prints what came back. If it is interrupted, it prints what
/// is known.
pub fn run(client: &mut Client, compare: &Compare) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let mut transports = open(client, compare)?;
    let start = Instant::now();
    let mut outcome = exchange(client, compare, &mut transports);
    transports.iter_mut().for_each(Transport::settle);
    if outcome.is_ok() && !compare.throughput.is_zero() {
        outcome = throughput::measure(client, compare.throughput, &mut transports);
    }
    for transport in &mut transports {
        transport.end(&mut client.buffers);
    }
    if outcome.as_ref().is_err_and(|error| !error.is_requested()) {
        return outcome;
    }
    report::print(client, compare, &transports, start.elapsed())?;
    if let Some(file) = &compare.report {
        page::write(file, &client.options.host, compare, &transports)?;
    }
    outcome?;
    judge(transports)
}

/// The transports, each ready or with the reason why it is not. The first one that connects decides which address
/// of the server all use.
fn open(client: &mut Client, compare: &Compare) -> Result<Vec<Transport>, Error> {
    let port = client.options.port;
    let timeout = client.options.timeout;
    let new = |kind, port| Transport::new(kind, port, Record::new(timeout));
    let mut tcp = new(Kind::Tcp, port);
    let mut tls = new(Kind::Tls, compare.tls_port);
    let mut udp = new(Kind::Udp, compare.udp_port.unwrap_or(port));
    // New sessions are not resumed, so that each handshake is a whole one.
    client.dialler.forget_sessions(false)?;
    let mut other = client.dialler.plain();
    mem::swap(&mut client.dialler, &mut other);
    connect(client, &mut tcp, compare.size)?;
    mem::swap(&mut client.dialler, &mut other);
    if let Some(address) = tcp.address {
        client.dialler.use_only(address);
    }
    connect(client, &mut tls, compare.size)?;
    if let Some(address) = tls.address {
        client.dialler.use_only(address);
    }
    client.dialler.set_port(udp.port);
    let token = Token(Kind::Udp as usize);
    match client.dialler.dial_datagrams(token, &client.waiter) {
        Ok(datagrams) => {
            let address = datagrams.address;
            let probes = Probes::new(timeout);
            udp.open(DatagramLine::new(datagrams, probes, compare.size), address);
        }
        Err(error) => udp.error = Some(error),
    }
    Ok(vec![udp, tcp, tls])
}

/// Opens connections of a transport, one after the other.
fn connect(client: &mut Client, transport: &mut Transport, size: usize) -> Result<(), Error> {
    client.dialler.set_port(transport.port);
    let mut last: Option<Connection> = None;
    for number in 0..HANDSHAKES {
        let outcome = if number == 0 { client.dial_and_introduce() } else { client.dial() };
        match outcome {
            Ok(connection) => {
                transport.connects.record(connection.connect_time);
                if let Some(time) = connection.handshake_time {
                    transport.handshakes.record(time);
                    transport.facts = client.dialler.facts(&connection);
                }
                if let Some(mut before) = last.replace(connection) {
                    before.goodbye(&mut client.buffers);
                }
            }
            Err(error @ (Error::Interrupted | Error::OutputClosed | Error::Local(_))) => {
                return Err(error);
            }
            Err(error) => {
                transport.error = Some(error);
                return Ok(());
            }
        }
    }
    if let Some(mut connection) = last {
        connection.set_token(Token(transport.kind as usize), &client.waiter)?;
        let address = connection.address;
        transport.open(StreamLine::new(connection, size), address);
    }
    Ok(())
}

/// Sends the probes, at even intervals and over one transport after the other, and waits for the last of them.
fn exchange(
    client: &mut Client,
    compare: &Compare,
    transports: &mut [Transport],
) -> Result<(), Error> {
    let count = u32::try_from(transports.len()).unwrap_or(u32::MAX);
    let start = Instant::now();
    for transport in &mut *transports {
        transport.record.begin(start);
    }
    let total = compare.interval * compare.count;
    let due = |slot: u32| {
        start + compare.interval * (slot / count) + compare.interval / count * (slot % count)
    };
    let mut progress = Progress::new(client, total, start + total, "echoes");
    let mut slot = 0;
    let outcome = loop {
        let mut is_all = true;
        for transport in &mut *transports {
            is_all &= transport.turn(&mut client.buffers);
        }
        let now = Instant::now();
        while slot < compare.count * count && due(slot) <= now {
            if let Some(transport) = transports.get_mut((slot % count) as usize) {
                transport.send(due(slot), &mut client.buffers);
            }
            slot += 1;
        }
        let received = transports.iter().map(|it| it.record.received()).sum();
        progress.show(now, received, &mut client.printer);
        let next = (slot < compare.count * count).then(|| due(slot));
        let next = next.filter(|_| transports.iter().any(Transport::is_open));
        let deadlines = transports.iter_mut().filter_map(|it| it.deadline(now));
        let Some(until) = next.into_iter().chain(deadlines).min() else { break Ok(()) };
        let until = if is_all { progress.limit(until, now) } else { now };
        if let Err(error) = client.printer.check().and_then(|()| client.waiter.wait(Some(until))) {
            break Err(error);
        }
    };
    progress.clear(&mut client.printer);
    outcome
}

/// Fails if an echo was wrong, or if none came over any transport.
fn judge(transports: Vec<Transport>) -> Result<(), Error> {
    let has_echo = transports.iter().any(|it| it.record.received() > 0);
    let mut errors: Vec<Error> = transports.into_iter().filter_map(|it| it.error).collect();
    if let Some(wrong) = errors.iter().position(|it| matches!(it, Error::Difference(_))) {
        return Err(errors.swap_remove(wrong));
    }
    match errors.into_iter().next() {
        _ if has_echo => Ok(()),
        Some(error) => Err(error),
        None => Err(Error::NoEcho("over none of the transports".into())),
    }
}
