//! Probes over TCP, with TLS or without.

use std::time::Instant;

use super::line::{Extra, Line, TURN};
use super::record::Record;
use crate::client::connection::{Connection, Received};
use crate::client::echo::message;
use crate::client::error::Error;
use crate::client::expect::Expected;
use crate::os::tcp_info::TcpInfo;
use crate::wire::buffers::Buffers;

/// The length of the messages of a load, and how many bytes it keeps in flight.
const LOAD_MESSAGE: usize = 16 * 1024;
const LOAD: usize = 256 * 1024;

/// A connection, and the messages that are in flight on it.
pub(super) struct StreamLine {
    connection: Connection,
    expected: Expected,
    /// The length of a message.
    size: usize,
    /// How many were sent, and how many came back.
    sent: u64,
    returned: u64,
}

impl StreamLine {
    pub(super) fn new(connection: Connection, size: usize) -> Self {
        Self { connection, expected: Expected::default(), size, sent: 0, returned: 0 }
    }

    /// Receives and compares a number of pieces, after each of which `then` is called. Returns whether that was all.
    fn receive(
        &mut self,
        buffers: &mut Buffers,
        mut then: impl FnMut(&mut Self),
    ) -> Result<bool, Error> {
        for _ in 0..TURN {
            match self.connection.read(buffers)? {
                Received::Nothing => return Ok(true),
                Received::End(_) => {
                    let returned = self.expected.returned();
                    let size = returned + self.expected.missing() as u64;
                    return Err(Error::ClosedEarly { size, returned });
                }
                Received::Bytes(bytes) => self.expected.received(bytes)?,
            }
            then(self);
        }
        Ok(false)
    }
}

impl Line for StreamLine {
    fn send(
        &mut self,
        due: Instant,
        record: &mut Record,
        buffers: &mut Buffers,
    ) -> Result<(), Error> {
        self.sent += 1;
        record.sent(due);
        let message = message(self.sent, self.size);
        self.expected.sent(&message);
        Ok(self.connection.send(&message, buffers)?)
    }

    fn turn(&mut self, record: &mut Record, buffers: &mut Buffers) -> Result<bool, Error> {
        self.connection.flush()?;
        self.receive(buffers, |line| {
            let now = Instant::now();
            while line.expected.returned() / line.size as u64 > line.returned {
                line.returned += 1;
                record.came(line.returned, now);
            }
        })
    }

    fn settle(&mut self) -> Extra {
        let local = self.connection.local_address();
        let info = local.and_then(|local| TcpInfo::of(local, self.connection.address));
        Extra { datagrams: None, retransmits: info.map(|info| info.retransmits) }
    }

    fn load(
        &mut self,
        is_on: bool,
        _: Instant,
        buffers: &mut Buffers,
    ) -> Result<(u64, bool), Error> {
        self.connection.flush()?;
        let before = self.expected.returned();
        let is_all = self.receive(buffers, |_| {})?;
        while is_on && self.expected.missing() < LOAD {
            self.sent += 1;
            let message = message(self.sent, LOAD_MESSAGE);
            self.expected.sent(&message);
            self.connection.send(&message, buffers)?;
        }
        Ok((self.expected.returned() - before, is_all))
    }

    fn is_idle(&self) -> bool {
        self.expected.missing() == 0
    }

    fn end(&mut self, buffers: &mut Buffers) {
        self.connection.goodbye(buffers);
    }
}
