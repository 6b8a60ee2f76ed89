//! `ping`: one echo after the other, timed. A failure costs one message, and the next one tries again.

mod outages;
mod report;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::client::cli::Ping;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::echo::echo;
use crate::client::error::Error;
use report::Results;

/// Pings until the count or the deadline is reached, or until Ctrl-C. The summary follows in any case.
pub fn run(client: &mut Client, ping: &Ping) -> Result<(), Error> {
    let start = Instant::now();
    let mut pings = Pings::new(ping);
    let outcome = pings.collect(client, ping);
    client.waiter.set_limit(None);
    let end = Instant::now();
    report::print(client, ping, &pings.results, end - start, end)?;
    pings.judge(ping, outcome)
}

/// A run.
struct Pings {
    connection: Option<Connection>,
    /// Whether to resolve the host before the next connection.
    look_up: bool,
    /// Whether to ring the bell at each echo.
    bell: bool,
    results: Results,
}

impl Pings {
    /// The host is resolved already.
    fn new(ping: &Ping) -> Self {
        let bell = ping.bell && io::stderr().is_terminal();
        Self { connection: None, look_up: false, bell, results: Results::new() }
    }

    fn collect(&mut self, client: &mut Client, ping: &Ping) -> Result<(), Error> {
        while ping.count.is_none_or(|count| self.results.sent < count) {
            let start = Instant::now();
            let due = start + ping.interval;
            self.results.sent += 1;
            match self.ping(client, ping) {
                Ok(time) => self.received(client, ping, time),
                Err(error) if error.is_outage(self.results.received() > 0) => {
                    self.lost(client, start, &error);
                }
                Err(error) => return Err(error),
            }
            client.flush()?;
            while ping.count != Some(self.results.sent) && Instant::now() < due {
                client.waiter.wait(Some(due))?;
            }
        }
        if let Some(mut connection) = self.connection.take() {
            connection.goodbye(&mut client.buffers);
        }
        Ok(())
    }

    /// Sends one message and returns the time of its echo. Connects first if there is no connection.
    fn ping(&mut self, client: &mut Client, ping: &Ping) -> Result<Duration, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect(client)?,
        };
        let time = echo(client, &mut connection, self.results.sent, ping.size)?;
        if ping.reconnect {
            self.results.connects.record(connection.connect_time);
            if let Some(time) = connection.handshake_time {
                self.results.handshakes.record(time);
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
        let connection = match self.results.address {
            None => client.dial_and_introduce()?,
            Some(_) => client.dial()?,
        };
        self.results.facts = client.dialler.facts(&connection);
        let previous = self.results.address.replace(connection.address);
        let has_moved = previous.is_some_and(|address| address != connection.address);
        if has_moved && !client.options.quiet {
            client.printer.note(format_args!("connected to {}", connection.address));
        }
        Ok(connection)
    }

    /// Records an echo, and prints it.
    fn received(&mut self, client: &mut Client, ping: &Ping, time: Duration) {
        self.results.round_trips.record(time);
        if let Some(line) = self.results.outages.end(Instant::now())
            && !client.options.json
        {
            client.print(&line);
        }
        if prints_messages(client) {
            let phases = match &self.connection {
                Some(connection) if ping.reconnect => phases(connection),
                _ => String::new(),
            };
            client.print(&format!(
                "{} bytes from {}: seq={} {phases}time={}",
                ping.size,
                client.dialler.host,
                self.results.sent,
                milliseconds(time)
            ));
        }
        if self.bell {
            client.printer.draw("\x07".into());
        }
        if ping.reconnect
            && let Some(mut connection) = self.connection.take()
        {
            connection.goodbye(&mut client.buffers);
        }
    }

    /// Records a lost message, which was due at `start`, and prints it.
    fn lost(&mut self, client: &mut Client, start: Instant, error: &Error) {
        self.look_up = true;
        let reason = error.in_short();
        if prints_messages(client) {
            client.print(&format!(
                "{}: seq={} lost: {reason}",
                client.dialler.host, self.results.sent
            ));
        }
        self.results.outages.lost(start, reason, error.to_string());
    }

    /// Success as in ping(8): an echo came, and with a count and a deadline, all of them came.
    fn judge(&self, ping: &Ping, outcome: Result<(), Error>) -> Result<(), Error> {
        let received = self.results.received();
        match outcome {
            Err(Error::TimeIsUp) if received == 0 => {
                let reason = self.results.outages.last_reason().unwrap_or("the time is up");
                Err(Error::NoEcho(reason.to_owned()))
            }
            Err(Error::TimeIsUp) => match ping.count {
                Some(count) if received < count => Err(Error::TooFewEchoes { count, received }),
                _ => Ok(()),
            },
            Ok(()) if received == 0 => Err(Error::NoEcho(
                self.results.outages.last_reason().unwrap_or_default().to_owned(),
            )),
            outcome => outcome,
        }
    }
}

/// Whether each message has a line.
fn prints_messages(client: &Client) -> bool {
    !client.options.json && !client.options.quiet
}

/// How long it took to connect, and the handshake.
fn phases(connection: &Connection) -> String {
    let connect = milliseconds(connection.connect_time);
    match connection.handshake_time {
        Some(time) => format!("connect={connect} handshake={} ", milliseconds(time)),
        None => format!("connect={connect} "),
    }
}

/// "0.412 ms".
fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
