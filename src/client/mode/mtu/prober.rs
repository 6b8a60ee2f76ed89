//! Sends probes of different lengths, and finds out which of them come back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::loss::Loss;
use super::path::Path;
use super::search::{Fate, Search};
use crate::client::datagrams::BUFFER_LEN;
use crate::client::error::{Awaited, Error};
use crate::client::probes::{Arrival, Probes};
use crate::client::wait::Waiter;
use crate::wire::probe::HEADER_LEN;

/// How many lengths are tried: what passes may change during the search, and would make it endless.
const LENGTHS_MAX: u32 = 64;

/// How many probes measure the round trip and the loss.
const FIRST: u32 = 5;

/// The time from one of them to the next, until one comes back.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long an echo may take: so many times the longest that it took so far, but not less than this.
const PATIENCE: u32 = 4;
const PATIENCE_MIN: Duration = Duration::from_millis(200);

/// What the probes have found out.
pub(super) struct Prober {
    path: Path,
    /// How long to wait for a far end that does not answer.
    timeout: Duration,
    pub(super) search: Search,
    /// The longest that came back changed or cut, in bytes.
    pub(super) changed: u32,
    loss: Loss,
    probes: Probes,
    /// The lengths of those that have not come back, by their numbers.
    away: HashMap<u64, u32>,
    slowest: Duration,
    /// When the last one came back.
    heard: Instant,
    datagram: Vec<u8>,
    buffer: Vec<u8>,
}

impl Prober {
    /// Probes of up to `most` bytes, for a far end that answers within `timeout`.
    pub(super) fn new(path: Path, most: u32, timeout: Duration) -> Self {
        let least = path.headers() + u32::try_from(HEADER_LEN).unwrap_or_default();
        let buffer = vec![0; BUFFER_LEN];
        Self {
            path,
            timeout,
            search: Search::new(least, most.max(least)),
            changed: 0,
            loss: Loss::default(),
            probes: Probes::new(timeout),
            away: HashMap::new(),
            slowest: Duration::ZERO,
            heard: Instant::now(),
            datagram: Vec::new(),
            buffer,
        }
    }

    /// The longest packet that can pass, as far as the kernel has heard.
    pub(super) fn path_mtu(&self) -> Option<u32> {
        self.path.mtu()
    }

    /// Whether any probe has come back.
    pub(super) fn is_answered(&self) -> bool {
        self.slowest > Duration::ZERO
    }

    /// Waits for the far end, and measures how long it takes and how much is lost, with the shortest probes.
    pub(super) fn begin(&mut self, waiter: &mut Waiter) -> Result<(), Error> {
        let least = self.search.arrived();
        while !self.is_answered() {
            self.give_up()?;
            self.send(least)?;
            let until = Instant::now() + INTERVAL.min(self.timeout);
            self.wait(waiter, until, Self::is_answered)?;
        }
        for _ in 1..FIRST {
            let number = self.send(least)?;
            let until = Instant::now() + self.patience();
            self.wait(waiter, until, |it| it.came(number))?;
            self.loss.record(self.came(number));
        }
        Ok(())
    }

    /// Searches for the longest packet that comes back. Tells `note` what became of each length.
    pub(super) fn search(
        &mut self,
        waiter: &mut Waiter,
        said: impl Fn(&Self) -> Option<u32>,
        mut note: impl FnMut(u32, Fate),
    ) -> Result<(), Error> {
        for _ in 0..LENGTHS_MAX {
            self.search.hear(said(self));
            let Some(length) = self.search.next() else { return Ok(()) };
            let fate = self.attempt(waiter, length)?;
            note(length, fate);
            self.search.learn(length, fate);
        }
        Err(Error::InvalidRun("what passes changes from one moment to the next".into()))
    }

    /// Sends packets of this length until one comes back or chance does not explain that none does. Beside
    /// each goes one that is known to pass: where that is lost too, the length is not the reason.
    fn attempt(&mut self, waiter: &mut Waiter, length: u32) -> Result<Fate, Error> {
        let mut lost = 0;
        let mut is_told = false;
        while lost < if is_told { 1 } else { self.loss.tries() } {
            let Some(probe) = self.send(length)? else { return Ok(Fate::TooLong) };
            let control = self.send(self.search.arrived())?;
            let until = Instant::now() + self.patience();
            self.wait(waiter, until, |it| it.came(Some(probe)))?;
            if self.came(Some(probe)) {
                return Ok(Fate::Arrived);
            }
            let passes = self.came(control);
            self.loss.record(passes);
            lost += u32::from(passes);
            is_told = self.path.mtu().is_some_and(|mtu| mtu < length);
            self.give_up()?;
        }
        Ok(if is_told { Fate::TooLong } else { Fate::Silent })
    }

    /// Fails if nothing has come back for too long.
    fn give_up(&self) -> Result<(), Error> {
        let timeout = self.timeout;
        if self.heard.elapsed() >= timeout {
            return Err(Error::TimedOut { what: Awaited::Echo, timeout });
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        (self.slowest * PATIENCE).max(PATIENCE_MIN).min(self.timeout)
    }

    /// Sends a probe in a packet of this length; its number. `None` if this machine sends none that long.
    fn send(&mut self, length: u32) -> Result<Option<u64>, Error> {
        let size = length.saturating_sub(self.path.headers()) as usize;
        let number = self.probes.next(size, Instant::now(), &mut self.datagram);
        let is_sent = self.path.send(&self.datagram)?;
        if is_sent {
            self.away.insert(number, length);
        }
        Ok(is_sent.then_some(number))
    }

    /// Whether the probe with this number has come back.
    fn came(&self, number: Option<u64>) -> bool {
        number.is_some_and(|number| !self.away.contains_key(&number))
    }

    /// Receives what comes, until it `is_enough` or the time is over.
    fn wait(
        &mut self,
        waiter: &mut Waiter,
        until: Instant,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<(), Error> {
        loop {
            while let Some(datagram) = self.path.receive(&mut self.buffer)? {
                let arrival = self.probes.receive(datagram, Instant::now());
                self.received(arrival);
            }
            if is_enough(self) || Instant::now() >= until {
                return Ok(());
            }
            waiter.wait(Some(until))?;
        }
    }

    /// Records what a datagram turned out to be.
    fn received(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Echo { sequence, time, .. } | Arrival::Late { sequence, time } => {
                let Some(length) = self.away.remove(&sequence) else { return };
                self.search.learn(length, Fate::Arrived);
                self.slowest = self.slowest.max(time);
                self.heard = Instant::now();
            }
            Arrival::Damaged(Some(number)) => {
                let length = self.away.get(&number).copied();
                self.changed = self.changed.max(length.unwrap_or_default());
            }
            _ => {}
        }
    }
}
