//! A stream that loads the line beside a measurement: one direction of it or both, as fast as it can.

use mio::Token;

use crate::client::connection::{Connection, Received};
use crate::client::context::Client;
use crate::client::error::Error;
use crate::client::expect::{Difference, Expected};
use crate::client::pattern::Pattern;
use crate::exit::Failure;
use crate::wire::buffers::{Buffers, READ_SIZE};

/// How many reads and how many writes a stream makes in a turn. The messages that are measured wait
/// meanwhile.
const TURN: usize = 2;

/// How many bytes may be under way to the server and back. More than the line and the socket buffers
/// hold.
const WINDOW: u64 = 16 * 1024 * 1024;

/// The characters of a line of chargen, without and with its CR LF, and the number of different ones
/// (RFC 864).
const LINE: u64 = 72;
const LINE_WITH_END: u64 = LINE + 2;
const RING: u64 = 95;

/// What the server does with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It sends everything back.
    Echo,
    /// It sends nothing back.
    Discard,
    /// It sends characters (RFC 864).
    Chargen,
}

/// A stream.
pub(super) struct Stream {
    connection: Connection,
    service: Service,
    /// Where in the pattern, or in that of chargen, it begins.
    phase: usize,
    sent: u64,
    received: u64,
}

impl Stream {
    /// The stream with this token.
    pub(super) fn new(
        mut connection: Connection,
        service: Service,
        token: usize,
        client: &Client,
    ) -> Result<Self, Failure> {
        connection.set_token(Token(token), &client.waiter)?;
        let phase = token.wrapping_mul(7919) % READ_SIZE;
        Ok(Self { connection, service, phase, sent: 0, received: 0 })
    }

    /// Bytes that were sent, and bytes that came.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Reads and sends a little. Returns whether more can be done without waiting for an event.
    pub(super) fn turn(&mut self, pattern: &Pattern, buffers: &mut Buffers) -> Result<bool, Error> {
        let can_read = self.receive(pattern, buffers)?;
        self.connection.flush()?;
        for _ in 0..TURN {
            if !self.connection.is_flushed() || !self.may_send() {
                return Ok(can_read);
            }
            let piece = pattern.piece(self.phase, self.sent, READ_SIZE);
            self.connection.send(piece, buffers)?;
            self.sent += piece.len() as u64;
        }
        Ok(can_read || self.connection.is_flushed() && self.may_send())
    }

    fn may_send(&self) -> bool {
        match self.service {
            Service::Echo => self.sent - self.received < WINDOW,
            Service::Discard => true,
            Service::Chargen => false,
        }
    }

    /// Reads and compares a little of what has arrived. Returns whether there may be more.
    fn receive(&mut self, pattern: &Pattern, buffers: &mut Buffers) -> Result<bool, Error> {
        for _ in 0..TURN {
            match self.connection.read(buffers)? {
                Received::Nothing => return Ok(false),
                Received::End(_) => {
                    let (size, returned) = (self.sent, self.received);
                    return Err(Error::ClosedEarly { size, returned });
                }
                Received::Bytes(bytes) => {
                    match self.service {
                        Service::Echo => {
                            pattern.check(self.phase, self.received, self.sent, bytes)?;
                        }
                        Service::Discard => Expected::starting_at(self.received).received(bytes)?,
                        Service::Chargen => {
                            if let (0, Some(first)) = (self.received, bytes.first()) {
                                self.phase = usize::from(first.saturating_sub(b' '));
                            }
                            check_characters(self.phase, self.received, bytes)?;
                        }
                    }
                    self.received += bytes.len() as u64;
                }
            }
        }
        Ok(true)
    }
}

/// Compares `bytes`, which arrived at `offset`, with the characters of a server whose first line begins
/// with the character that has this number.
fn check_characters(first: usize, offset: u64, bytes: &[u8]) -> Result<(), Difference> {
    let places = (offset..).zip(bytes);
    for (offset, received) in places {
        let due = character(first, offset);
        if due != *received {
            return Err(Difference { offset, sent: Some(due), received: *received });
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation)] // The remainder is below 95.
fn character(first: usize, place: u64) -> u8 {
    let (line, column) = (place / LINE_WITH_END, place % LINE_WITH_END);
    match column {
        LINE => b'\r',
        column if column > LINE => b'\n',
        column => b' ' + ((first as u64 + line + column) % RING) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_characters_of_chargen_are_compared_from_whatever_line_they_begin() {
        let text: Vec<u8> = (0..300).map(|place| character(3, place)).collect();
        assert!(text.starts_with(b"#$%&"));
        assert_eq!(&text[71..76], b"j\r\n$%");
        assert_eq!(check_characters(3, 0, &text), Ok(()));
        assert_eq!(check_characters(3, 100, &text[100..]), Ok(()));
        let mut wrong = text;
        wrong[200] ^= 1;
        assert_eq!(check_characters(3, 100, &wrong[100..]).unwrap_err().offset, 200);
    }
}
