//! `ping` over UDP: a probe at each interval, whatever has come back.

use std::time::Instant;

use super::log::{Log, milliseconds, print_echo};
use crate::client::cli::Ping;
use crate::client::context::Client;
use crate::client::datagram_report::DatagramResults;
use crate::client::datagrams::{BUFFER_LEN, Datagrams};
use crate::client::error::{Awaited, Error};
use crate::client::probes::{Arrival, Outcome, Probes};
use crate::client::undelivered::Undelivered;

/// How many datagrams are received before Ctrl-C is looked for.
const TURN: usize = 256;

/// Pings until the count is reached and the last echo has come or is overdue, or a wait fails.
pub(super) fn ping(client: &mut Client, ping: &Ping, log: &mut Log) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let mut pings = Pings {
        ping,
        datagrams: None,
        probes: Probes::new(client.options.timeout),
        datagram: Vec::new(),
        buffer: vec![0; BUFFER_LEN],
        log,
    };
    let outcome = pings.run(client);
    pings.end(client);
    outcome
}

/// A run.
struct Pings<'a> {
    ping: &'a Ping,
    /// `None` until there is a route.
    datagrams: Option<Datagrams>,
    probes: Probes,
    /// The last probe that was sent.
    datagram: Vec<u8>,
    /// For what is received.
    buffer: Vec<u8>,
    log: &'a mut Log,
}

impl Pings<'_> {
    fn run(&mut self, client: &mut Client) -> Result<(), Error> {
        let mut due = Instant::now();
        loop {
            let is_drained = self.receive(client);
            let now = Instant::now();
            let mut is_over = self.is_over();
            if !is_over && now >= due {
                self.send(client, due)?;
                // After a time without the processor, the probes that it cost are not sent in one go.
                due = (due + self.ping.interval).max(now);
                is_over = self.is_over();
            }
            self.tell_fates(client, now);
            client.printer.check()?;
            let deadline = self.probes.deadline();
            if is_over && deadline.is_none() {
                return Ok(());
            }
            let next = (!is_over).then_some(due).into_iter().chain(deadline).min();
            client.waiter.wait(if is_drained { next } else { Some(now) })?;
        }
    }

    /// Whether all probes were sent that were asked for.
    fn is_over(&self) -> bool {
        self.ping.count.is_some_and(|count| self.log.results.sent >= count)
    }

    /// Sends the next probe, which was due at `due`. What prevents that costs this probe.
    fn send(&mut self, client: &mut Client, due: Instant) -> Result<(), Error> {
        let sequence = self.probes.next(self.ping.size, due, &mut self.datagram);
        self.log.results.sent = sequence;
        if self.datagrams.is_none() {
            match client.dial_datagrams() {
                Ok(datagrams) => self.datagrams = Some(datagrams),
                Err(error) => {
                    let reason = error.undelivered().ok_or(error)?;
                    self.probes.fail(sequence, reason);
                }
            }
        }
        let Some(datagrams) = &self.datagrams else { return Ok(()) };
        self.log.results.address = Some(datagrams.address);
        match datagrams.send(&self.datagram) {
            Ok(true) => {}
            Ok(false) => self.probes.fail(sequence, Undelivered::NO_ROOM),
            Err(Undelivered::NothingListens) => {
                if !self.refused(client, Undelivered::NothingListens) {
                    self.send_again(sequence);
                }
            }
            Err(reason) => self.probes.fail(sequence, reason),
        }
        Ok(())
    }

    /// Takes note that an earlier datagram was not delivered. If the server has another address, what was
    /// sent goes there, and the result is true. Otherwise the oldest probe that waits is lost.
    fn refused(&mut self, client: &mut Client, reason: Undelivered) -> bool {
        let has_next = self.datagrams.as_mut().is_some_and(|it| it.try_next(&client.waiter));
        let waiting: Vec<u64> = self.probes.waiting().collect();
        if has_next {
            for sequence in waiting {
                self.send_again(sequence);
            }
        } else if let Some(oldest) = waiting.first() {
            self.probes.fail(*oldest, reason);
        }
        has_next
    }

    /// Sends a probe again, if it waits for its echo.
    fn send_again(&mut self, sequence: u64) {
        if let Some(datagrams) = &self.datagrams
            && self.probes.again(sequence, self.ping.size, &mut self.datagram)
            && let Err(reason) = datagrams.send(&self.datagram)
        {
            self.probes.fail(sequence, reason);
        }
    }

    /// Takes what has come. Returns whether that was all.
    fn receive(&mut self, client: &mut Client) -> bool {
        for _ in 0..TURN {
            let Some(datagrams) = &mut self.datagrams else { return true };
            match datagrams.receive(&mut self.buffer) {
                Ok(None) => return true,
                Ok(Some(datagram)) => {
                    let length = datagram.len();
                    let arrival = self.probes.receive(datagram, Instant::now());
                    self.arrived(client, length, arrival);
                }
                Err(reason) => {
                    self.refused(client, reason);
                }
            }
        }
        false
    }

    /// Records a datagram of this length, and prints it.
    fn arrived(&mut self, client: &mut Client, length: usize, arrival: Arrival) {
        let (sequence, details) = match arrival {
            Arrival::Echo { sequence, time, is_in_order } => {
                self.log.results.round_trips.record(time);
                self.log.results.jitter.record(time);
                let order = if is_in_order { "" } else { " out of order" };
                self.log.ring(client);
                (sequence, format!("time={}{order}", milliseconds(time)))
            }
            Arrival::Late { sequence, time } => {
                (sequence, format!("late, time={}", milliseconds(time)))
            }
            Arrival::Duplicate(sequence) => (sequence, "duplicate".to_owned()),
            Arrival::Damaged(Some(sequence)) => (sequence, "damaged".to_owned()),
            Arrival::Damaged(None) | Arrival::Foreign => return,
        };
        print_echo(client, length, sequence, &details);
    }

    /// Records and prints what has become of probes.
    fn tell_fates(&mut self, client: &mut Client, now: Instant) {
        while let Some(fate) = self.probes.next_fate(now) {
            let error = match fate.outcome {
                Outcome::Came(moment) => {
                    self.log.is_back(client, moment);
                    continue;
                }
                Outcome::Lost(None) => {
                    Error::TimedOut { what: Awaited::Echo, timeout: client.options.timeout }
                }
                Outcome::Lost(Some(reason)) => {
                    let address = self.log.results.address;
                    Error::Undelivered { host: client.dialler.host.clone(), address, reason }
                }
            };
            self.log.lost(client, fate.sequence, fate.due, &error);
        }
    }

    /// Ends the run. What has not come by now is lost.
    fn end(&mut self, client: &mut Client) {
        self.tell_fates(client, Instant::now());
        self.probes.give_up();
        while let Some(fate) = self.probes.next_fate(Instant::now()) {
            if let Outcome::Came(moment) = fate.outcome {
                self.log.is_back(client, moment);
            }
        }
        self.log.results.datagrams = Some(DatagramResults::new(&self.probes));
    }
}
