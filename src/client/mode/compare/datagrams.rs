//! Probes over UDP.

use std::time::Instant;

use super::line::{Extra, Line, TURN};
use super::record::Record;
use crate::client::datagrams::{BUFFER_LEN, Datagrams};
use crate::client::error::Error;
use crate::client::probes::{Arrival, Probes};
use crate::client::undelivered::Undelivered;
use crate::wire::buffers::Buffers;

/// A socket, and the probes that go through it.
pub(super) struct DatagramLine {
    datagrams: Datagrams,
    probes: Probes,
    /// The length of a probe.
    size: usize,
    /// The last one that was sent.
    datagram: Vec<u8>,
    buffer: Vec<u8>,
}

impl DatagramLine {
    pub(super) fn new(datagrams: Datagrams, probes: Probes, size: usize) -> Self {
        let (datagram, buffer) = (Vec::new(), vec![0; BUFFER_LEN]);
        Self { datagrams, probes, size, datagram, buffer }
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

    fn end(&mut self, _: &mut Buffers) -> Extra {
        self.probes.give_up();
        Extra { counts: Some(self.probes.counts()), retransmits: None }
    }
}
