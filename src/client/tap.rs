//! Records what happens on a connection, for `explain`: look-ups, attempts to connect, the bytes in both
//! directions. A tap passes on every byte and every error unchanged.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use mio::net::TcpStream;
use serde::Serialize;

use crate::exit::plain;
use crate::wire::link::Wire;

/// The most bytes that are recorded in both directions together. A handshake has a few thousand.
const BYTES_MAX: usize = 1 << 20;

/// The most events that are recorded.
const EVENTS_MAX: usize = 10_000;

/// A direction, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Direction {
    Sent,
    Received,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names say what they are.
pub enum Event {
    /// The resolver is asked for the addresses of this name.
    LookUp(String),
    /// Its answer, in the order to try them.
    Resolved(Vec<SocketAddr>),
    /// A SYN is sent to this address.
    Attempt(SocketAddr),
    /// This address does not accept the connection.
    Refused(SocketAddr, String),
    /// This address accepted the connection, from this address of ours.
    Connected { address: SocketAddr, from: Option<SocketAddr> },
    /// Bytes of the wire.
    Bytes(Direction, Vec<u8>),
    /// The end of the bytes in this direction.
    Fin(Direction),
    /// The connection failed.
    Broken(String),
    /// The handshake is over.
    HandshakeDone,
    /// All of the echo has come back.
    Echoed,
}

/// What happened, in order, each with the time since the start.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The time of day at the start.
    pub began: SystemTime,
    start: Instant,
    /// What happened.
    pub events: Vec<(Duration, Event)>,
    room: usize,
}

impl Transcript {
    /// An empty one, which starts now.
    pub fn new() -> Self {
        Self {
            began: SystemTime::now(),
            start: Instant::now(),
            events: Vec::new(),
            room: BYTES_MAX,
        }
    }

    /// How long ago it started.
    pub fn age(&self) -> Duration {
        self.start.elapsed()
    }

    /// The bytes that were sent.
    pub fn sent(&self) -> Vec<u8> {
        let bytes = |event: &Event| match event {
            Event::Bytes(Direction::Sent, bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        self.events.iter().flat_map(|(_, event)| bytes(event)).collect()
    }

    /// Whether there was more than is recorded.
    pub fn is_full(&self) -> bool {
        self.room == 0 || self.events.len() == EVENTS_MAX
    }

    /// Adds an event.
    pub fn add(&mut self, mut event: Event) {
        if self.is_full() {
            return;
        }
        if let Event::Bytes(_, bytes) = &mut event {
            bytes.truncate(self.room);
            self.room -= bytes.len();
        }
        // The end of a stream can be read any number of times.
        if matches!(event, Event::Fin(_)) && self.events.iter().any(|(_, it)| *it == event) {
            return;
        }
        self.events.push((self.start.elapsed(), event));
    }
}

impl Default for Transcript {
    fn default() -> Self {
        Self::new()
    }
}

/// Where events go; by default, nowhere.
#[derive(Clone, Debug, Default)]
pub struct Tap(Option<Rc<RefCell<Transcript>>>);

impl Tap {
    /// A tap that records from now on.
    pub fn recording() -> Self {
        Self(Some(Rc::default()))
    }

    /// Records an event.
    #[inline]
    pub fn note(&self, event: impl FnOnce() -> Event) {
        if let Some(transcript) = &self.0 {
            transcript.borrow_mut().add(event());
        }
    }

    /// What was recorded.
    pub fn transcript(&self) -> Transcript {
        self.0.as_ref().map(|transcript| transcript.borrow().clone()).unwrap_or_default()
    }
}

/// A socket with a tap.
pub struct Tapped {
    /// The socket.
    pub stream: TcpStream,
    /// Its tap.
    pub tap: Tap,
}

impl Read for Tapped {
    #[inline]
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let outcome = self.stream.read(room);
        match &outcome {
            Ok(0) => self.tap.note(|| Event::Fin(Direction::Received)),
            Ok(count) => {
                let bytes = room.get(..*count).unwrap_or_default();
                self.tap.note(|| Event::Bytes(Direction::Received, bytes.to_vec()));
            }
            Err(error) => self.note_error(error),
        }
        outcome
    }
}

impl Write for Tapped {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.stream.write(bytes);
        match &outcome {
            Ok(count) => {
                let bytes = bytes.get(..*count).unwrap_or_default();
                self.tap.note(|| Event::Bytes(Direction::Sent, bytes.to_vec()));
            }
            Err(error) => self.note_error(error),
        }
        outcome
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Wire for Tapped {
    fn end_writing(&self) -> io::Result<()> {
        let outcome = Wire::end_writing(&self.stream);
        if outcome.is_ok() {
            self.tap.note(|| Event::Fin(Direction::Sent));
        }
        outcome
    }
}

impl Tapped {
    fn note_error(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::WouldBlock {
            self.tap.note(|| Event::Broken(plain(error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_bounded() {
        let mut transcript = Transcript::new();
        for _ in 0..3 {
            transcript.add(Event::Bytes(Direction::Received, vec![0; BYTES_MAX / 2 + 1]));
        }
        assert!(transcript.is_full());
        let length = |event: &Event| match event {
            Event::Bytes(_, bytes) => bytes.len(),
            _ => 0,
        };
        assert_eq!(transcript.events.iter().map(|(_, it)| length(it)).sum::<usize>(), BYTES_MAX);
        let mut transcript = Transcript::new();
        for number in 0..2 * EVENTS_MAX {
            transcript.add(Event::LookUp(number.to_string()));
        }
        assert_eq!(transcript.events.len(), EVENTS_MAX);
    }

    #[test]
    fn the_end_of_a_direction_is_recorded_once() {
        let tap = Tap::recording();
        for direction in [Direction::Sent, Direction::Received, Direction::Received] {
            tap.note(|| Event::Fin(direction));
        }
        assert_eq!(tap.transcript().events.len(), 2);
        assert!(Tap::default().transcript().events.is_empty());
    }
}
