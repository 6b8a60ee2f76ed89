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
        for _ in 0..TURN {
            match self.connection.read(buffers)? {
                Received::Nothing => return Ok(true),
                Received::End(_) => {
                    let size = self.sent * self.size as u64;
                    return Err(Error::ClosedEarly { size, returned: self.expected.returned() });
                }
                Received::Bytes(bytes) => self.expected.received(bytes)?,
            }
            let now = Instant::now();
            while self.expected.returned() / self.size as u64 > self.returned {
                self.returned += 1;
                record.came(self.returned, now);
            }
        }
        Ok(false)
    }

    fn end(&mut self, buffers: &mut Buffers) -> Extra {
        let local = self.connection.local_address();
        let info = local.and_then(|local| TcpInfo::of(local, self.connection.address));
        self.connection.goodbye(buffers);
        Extra { counts: None, retransmits: info.map(|info| info.retransmits) }
    }
}
