//! One session under load: sends messages, and compares what comes back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::Token;

use super::flow::Flow;
use super::pattern::Pattern;
use super::recorder::Recorder;
use crate::client::connection::{Connection, Received};
use crate::client::context::Client;
use crate::client::datagram_report::DatagramResults;
use crate::client::error::Error;
use crate::exit::Failure;
use crate::wire::buffers::{Buffers, READ_SIZE};

/// How many bytes a session sends in a turn, before other sessions have theirs and Ctrl-C is seen.
const TURN: u64 = 1024 * 1024;

/// One session under load.
pub(super) struct Load {
    pub(super) connection: Connection,
    /// The length of a message.
    size: u64,
    /// Where in the pattern its stream begins.
    phase: usize,
    /// Bytes that were passed to the connection.
    sent: u64,
    /// Bytes that have come back.
    received: u64,
    /// Bytes of the messages that were started.
    begun: u64,
    /// When the messages in flight were started, or were due.
    starts: VecDeque<Instant>,
}

impl Load {
    /// The session with this number, which is also its token, and with messages of this size.
    pub(super) fn new(
        mut connection: Connection,
        number: usize,
        size: usize,
        client: &Client,
    ) -> Result<Self, Failure> {
        connection.set_token(Token(number), &client.waiter)?;
        let phase = number.wrapping_mul(7919) % READ_SIZE;
        let (size, starts) = (size as u64, VecDeque::new());
        Ok(Self { connection, size, phase, sent: 0, received: 0, begun: 0, starts })
    }

    /// Sends up to [`TURN`] of what was started. Returns whether it can send more.
    pub(super) fn send(&mut self, pattern: &Pattern, buffers: &mut Buffers) -> Result<bool, Error> {
        self.connection.flush()?;
        let limit = self.begun.min(self.sent + TURN);
        while self.connection.is_flushed() && self.sent < limit {
            let length = usize::try_from(self.begun - self.sent).unwrap_or(READ_SIZE);
            let piece = pattern.piece(self.phase, self.sent, length.min(READ_SIZE));
            self.connection.send(piece, buffers)?;
            self.sent += piece.len() as u64;
        }
        Ok(self.connection.is_flushed() && self.sent < self.begun)
    }

    /// Reads and compares what has arrived.
    pub(super) fn receive(
        &mut self,
        pattern: &Pattern,
        recorder: &mut Recorder,
        buffers: &mut Buffers,
    ) -> Result<(), Error> {
        loop {
            match self.connection.read(buffers)? {
                Received::Nothing => return Ok(()),
                Received::End(_) => {
                    let (size, returned) = (self.begun, self.received);
                    return Err(Error::ClosedEarly { size, returned });
                }
                Received::Bytes(bytes) => {
                    pattern.check(self.phase, self.received, self.sent, bytes)?;
                    self.received += bytes.len() as u64;
                    recorder.received(bytes.len());
                    let in_flight = (self.begun - self.received).div_ceil(self.size);
                    let now = Instant::now();
                    while self.starts.len() as u64 > in_flight {
                        if let Some(start) = self.starts.pop_front() {
                            recorder.record(now.saturating_duration_since(start));
                        }
                    }
                }
            }
        }
    }
}

impl Flow for Load {
    const LOOK: Option<Duration> = None;

    fn begin(&mut self, start: Instant) {
        self.starts.push_back(start);
        self.begun += self.size;
    }

    fn in_flight(&self) -> usize {
        self.starts.len()
    }

    fn overdue(&self) -> Vec<Instant> {
        self.starts.iter().copied().collect()
    }

    fn send(&mut self, pattern: &Pattern, client: &mut Client) -> Result<bool, Error> {
        Load::send(self, pattern, &mut client.buffers)
    }

    fn receive(
        &mut self,
        pattern: &Pattern,
        recorder: &mut Recorder,
        client: &mut Client,
    ) -> Result<bool, Error> {
        Load::receive(self, pattern, recorder, &mut client.buffers)?;
        Ok(false)
    }

    fn end(&mut self, client: &mut Client) -> Option<DatagramResults> {
        self.connection.goodbye(&mut client.buffers);
        None
    }
}
