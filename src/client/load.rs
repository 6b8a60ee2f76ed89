//! One session under load: sends messages, and compares what comes back.

use std::collections::VecDeque;
use std::time::Instant;

use mio::Token;

use super::connection::{Connection, End, Received};
use super::context::Client;
use super::error::Error;
use super::pattern::Pattern;
use super::recorder::Recorder;
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

    /// Starts a message, which was due at `start`. It is sent later.
    pub(super) fn begin(&mut self, start: Instant) {
        self.starts.push_back(start);
        self.begun += self.size;
    }

    /// When the messages in flight were due.
    pub(super) fn starts(&self) -> &VecDeque<Instant> {
        &self.starts
    }

    /// How many bytes were started, and how many of them have come back.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.begun, self.received)
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

    /// Reads and compares what has arrived. Returns how the server has ended its side, if it has.
    pub(super) fn receive(
        &mut self,
        pattern: &Pattern,
        recorder: &mut Recorder,
        buffers: &mut Buffers,
    ) -> Result<Option<End>, Error> {
        loop {
            match self.connection.read(buffers)? {
                Received::Nothing => return Ok(None),
                Received::End(end) => return Ok(Some(end)),
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
