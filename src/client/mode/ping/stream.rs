//! `ping` over TCP or TLS: one echo after the other.

use std::time::{Duration, Instant};

use super::log::{Log, milliseconds, print_echo};
use crate::client::cli::Ping;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::echo::echo;
use crate::client::error::Error;

/// Pings until the count is reached, or a wait fails.
pub(super) fn ping(client: &mut Client, ping: &Ping, log: &mut Log) -> Result<(), Error> {
    let mut pings = Pings { connection: None, look_up: false, log };
    while ping.count.is_none_or(|count| pings.log.results.sent < count) {
        let start = Instant::now();
        let due = start + ping.interval;
        pings.log.results.sent += 1;
        match pings.ping(client, ping) {
            Ok(time) => pings.received(client, ping, time),
            Err(error) if error.is_outage(pings.log.results.received() > 0) => {
                pings.look_up = true;
                let sequence = pings.log.results.sent;
                pings.log.lost(client, sequence, start, &error);
            }
            Err(error) => return Err(error),
        }
        client.flush()?;
        while ping.count != Some(pings.log.results.sent) && Instant::now() < due {
            client.waiter.wait(Some(due))?;
        }
    }
    if let Some(mut connection) = pings.connection.take() {
        connection.goodbye(&mut client.buffers);
    }
    Ok(())
}

/// A run.
struct Pings<'a> {
    connection: Option<Connection>,
    /// Whether to resolve the host before the next connection. It is resolved at the start.
    look_up: bool,
    log: &'a mut Log,
}

impl Pings<'_> {
    /// Sends one message and returns the time of its echo. Connects first if there is no connection.
    fn ping(&mut self, client: &mut Client, ping: &Ping) -> Result<Duration, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect(client)?,
        };
        let results = &mut self.log.results;
        let time = echo(client, &mut connection, results.sent, ping.size)?;
        if ping.reconnect {
            results.connects.record(connection.connect_time);
            if let Some(time) = connection.handshake_time {
                results.handshakes.record(time);
            }
        }
        self.connection = Some(connection);
        Ok(time)
    }

    fn connect(&mut self, client: &mut Client) -> Result<Connection, Error> {
        if self.look_up {
            client.dialler.resolve(&client.options, &mut client.waiter)?;
            self.look_up = false;
        }
        let results = &mut self.log.results;
        let connection = match results.address {
            None => client.dial_and_introduce()?,
            Some(_) => client.dial()?,
        };
        results.facts = client.dialler.facts(&connection);
        let previous = results.address.replace(connection.address);
        let has_moved = previous.is_some_and(|address| address != connection.address);
        if has_moved && !client.options.quiet {
            client.printer.note(format_args!("connected to {}", connection.address));
        }
        Ok(connection)
    }

    /// Records an echo, and prints it.
    fn received(&mut self, client: &mut Client, ping: &Ping, time: Duration) {
        self.log.results.round_trips.record(time);
        self.log.is_back(client, Instant::now());
        let phases = match &self.connection {
            Some(connection) if ping.reconnect => phases(connection),
            _ => String::new(),
        };
        let sequence = self.log.results.sent;
        let details = format!("{phases}time={}", milliseconds(time));
        print_echo(client, ping.size, sequence, &details);
        self.log.ring(client);
        if ping.reconnect
            && let Some(mut connection) = self.connection.take()
        {
            connection.goodbye(&mut client.buffers);
        }
    }
}

/// How long it took to connect, and the handshake.
fn phases(connection: &Connection) -> String {
    let connect = milliseconds(connection.connect_time);
    match connection.handshake_time {
        Some(time) => format!("connect={connect} handshake={} ", milliseconds(time)),
        None => format!("connect={connect} "),
    }
}
