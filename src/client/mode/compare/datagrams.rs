//! Probes over UDP.

use std::time::{Duration, Instant};

use super::line::{Extra, Line, TURN};
use super::record::Record;
use crate::client::datagram_report::DatagramResults;
use crate::client::datagrams::{BUFFER_LEN, Datagrams};
use crate::client::error::Error;
use crate::client::probes::{Arrival, Probes};
use crate::client::undelivered::Undelivered;
use crate::wire::buffers::Buffers;

/// The length of the datagrams of a load, which no usual network fragments; how many are kept in flight; and after
/// what time one without an echo leaves its place to another.
const LOAD_SIZE: usize = 1400;
const LOAD: usize = 32;
const LOAD_TIMEOUT: Duration = Duration::from_millis(250);

/// A socket, and the probes that go through it.
pub(super) struct DatagramLine {
    datagrams: Datagrams,
    probes: Probes,
    /// Those of a load, which are no measurement of loss: the far end may have a limit.
    load: Probes,
    /// The length of a probe.
    size: usize,
    /// The last one that was sent.
    datagram: Vec<u8>,
    buffer: Vec<u8>,
}

impl DatagramLine {
    pub(super) fn new(datagrams: Datagrams, probes: Probes, size: usize) -> Self {
        let (datagram, buffer) = (Vec::new(), vec![0; BUFFER_LEN]);
        let load = Probes::new(LOAD_TIMEOUT);
        Self { datagrams, probes, load, size, datagram, buffer }
    }

    /// A datagram was not delivered. That ends the line if nothing has ever come back; otherwise, the server
    /// may be away for a while.
    fn refused(&self, reason: Undelivered, record: &Record) -> Result<(), Error> {
        if record.received() > 0 || record.late > 0 {
            return Ok(());
        }
        Err(self.datagrams.undelivered(reason))
    }
}

impl Line for DatagramLine {
    fn send(&mut self, due: Instant, record: &mut Record, _: &mut Buffers) -> Result<(), Error> {
        self.probes.next(self.size, due, &mut self.datagram);
        record.sent(due);
        // A datagram for which there is no room is lost, as on the way.
        if let Err(reason) = self.datagrams.send(&self.datagram) {
            self.refused(reason, record)?;
            // The error was about the one before.
            let _ = self.datagrams.send(&self.datagram);
        }
        Ok(())
    }

    fn turn(&mut self, record: &mut Record, _: &mut Buffers) -> Result<bool, Error> {
        for _ in 0..TURN {
            match self.datagrams.receive(&mut self.buffer) {
                Ok(None) => return Ok(true),
                Ok(Some(datagram)) => {
                    let now = Instant::now();
                    if let Arrival::Echo { sequence, .. } | Arrival::Late { sequence, .. } =
                        self.probes.receive(datagram, now)
                    {
                        record.came(sequence, now);
                    }
                }
                Err(reason) => self.refused(reason, record)?,
            }
        }
        Ok(false)
    }

    fn settle(&mut self) -> Extra {
        self.probes.give_up();
        Extra { datagrams: Some(DatagramResults::new(&self.probes)), retransmits: None }
    }

    fn load(&mut self, is_on: bool, now: Instant, _: &mut Buffers) -> Result<(u64, bool), Error> {
        let (mut returned, mut is_all) = (0, false);
        for _ in 0..TURN {
            // An error is about a datagram that is lost.
            match self.datagrams.receive(&mut self.buffer) {
                Ok(None) => {
                    is_all = true;
                    break;
                }
                Ok(Some(datagram)) => {
                    if let Arrival::Echo { .. } = self.load.receive(datagram, now) {
                        returned += datagram.len() as u64;
                    }
                }
                Err(_) => {}
            }
        }
        while self.load.next_fate(now).is_some() {}
        while is_on && self.load.in_flight() < LOAD {
            self.load.next(LOAD_SIZE, now, &mut self.datagram);
            let _ = self.datagrams.send(&self.datagram);
        }
        Ok((returned, is_all))
    }

    fn is_idle(&self) -> bool {
        self.load.in_flight() == 0
    }

    fn end(&mut self, _: &mut Buffers) {}
}
