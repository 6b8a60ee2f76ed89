//! One session under load: keeps messages in flight, and compares what comes back.

use std::collections::VecDeque;
use std::time::Instant;

use mio::Token;

use super::pattern::Pattern;
use crate::client::cli::Bench;
use crate::client::connection::{Connection, Received};
use crate::client::context::Client;
use crate::client::error::Error;
use crate::client::latency::Latencies;
use crate::exit::Failure;
use crate::wire::buffers::{Buffers, READ_SIZE};

/// How many bytes a session sends in a turn, before other sessions have theirs and Ctrl-C is seen.
const TURN: u64 = 1024 * 1024;

/// One session under load.
pub(super) struct Load {
    pub(super) connection: Connection,
    /// Where in the pattern its stream begins.
    phase: usize,
    /// Bytes that were passed to the connection.
    sent: u64,
    /// Bytes that have come back.
    pub(super) received: u64,
    /// Bytes of the messages that were started.
    begun: u64,
    /// When the messages in flight were started.
    pub(super) starts: VecDeque<Instant>,
}

impl Load {
    /// The session with this number, which is also its token.
    pub(super) fn new(
        mut connection: Connection,
        number: usize,
        client: &Client,
    ) -> Result<Self, Failure> {
        connection.set_token(Token(number), &client.waiter)?;
        let phase = number.wrapping_mul(7919) % READ_SIZE;
        let starts = VecDeque::new();
        Ok(Self { connection, phase, sent: 0, received: 0, begun: 0, starts })
    }

    /// Reads everything that has arrived, and sends up to [`TURN`]. Returns whether it can send more.
    pub(super) fn advance(
        &mut self,
        bench: &Bench,
        pattern: &Pattern,
        latencies: &mut Latencies,
        buffers: &mut Buffers,
        is_sending: bool,
    ) -> Result<bool, Error> {
        // Before sending: what has arrived already is not an echo of what is sent now.
        self.receive(bench, pattern, latencies, buffers)?;
        if is_sending {
            while self.starts.len() < bench.depth {
                self.starts.push_back(Instant::now());
                self.begun += bench.size as u64;
            }
        }
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
    fn receive(
        &mut self,
        bench: &Bench,
        pattern: &Pattern,
        latencies: &mut Latencies,
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
                    let in_flight = (self.begun - self.received).div_ceil(bench.size as u64);
                    let now = Instant::now();
                    while self.starts.len() as u64 > in_flight {
                        if let Some(start) = self.starts.pop_front() {
                            latencies.record(now - start);
                        }
                    }
                }
            }
        }
    }
}
