//! Compares what comes back with what was sent.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;

/// The bytes that were sent and have not come back.
#[derive(Debug, Default)]
pub struct Expected {
    bytes: VecDeque<u8>,
    /// How many bytes have come back.
    offset: u64,
}

/// The first byte of an echo that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its offset in the stream.
    pub offset: u64,
    /// The byte that was sent there; `None` if none was.
    pub sent: Option<u8>,
    /// The byte that was received.
    pub received: u8,
}

impl Error for Difference {}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, sent, received } = self;
        write!(f, "the echo differs at byte {offset}: ")?;
        match sent {
            Some(sent) => write!(f, "sent 0x{sent:02x}, received 0x{received:02x}"),
            None => write!(f, "received 0x{received:02x} where nothing was sent"),
        }
    }
}

impl Expected {
    /// For a stream of which this many bytes have already come back.
    pub fn starting_at(offset: u64) -> Self {
        Self { bytes: VecDeque::new(), offset }
    }

    /// Records bytes that were sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Compares bytes that were received.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), Difference> {
        let known = bytes.len().min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let split = known.min(front.len());
        if front[..split] != bytes[..split] || back[..known - split] != bytes[split..known] {
            let sent = self.bytes.iter().copied();
            let at = sent.zip(bytes).take_while(|(sent, received)| sent == *received).count();
            return Err(self.difference(at, bytes));
        }
        if known < bytes.len() {
            return Err(self.difference(known, bytes));
        }
        self.bytes.drain(..known);
        self.offset += known as u64;
        Ok(())
    }

    fn difference(&self, at: usize, bytes: &[u8]) -> Difference {
        let offset = self.offset + at as u64;
        Difference { offset, sent: self.bytes.get(at).copied(), received: bytes[at] }
    }

    /// How many bytes have not come back yet.
    pub fn missing(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes have come back.
    pub fn returned(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_has_its_offset_and_both_values() {
        let mut expected = Expected::default();
        expected.sent(b"hello ");
        expected.sent(b"world");
        expected.received(b"hel").unwrap();
        expected.received(b"lo w").unwrap();
        let difference = expected.received(b"oRld").unwrap_err();
        assert_eq!(difference, Difference { offset: 8, sent: Some(b'r'), received: b'R' });
        assert_eq!(difference.to_string(), "the echo differs at byte 8: sent 0x72, received 0x52");
    }

    #[test]
    fn more_than_was_sent_is_a_difference() {
        let mut expected = Expected::default();
        expected.sent(b"hi");
        let difference = expected.received(b"hi\0").unwrap_err();
        assert_eq!(difference, Difference { offset: 2, sent: None, received: 0 });
    }

    #[test]
    fn missing_and_returned_bytes_are_counted() {
        let mut expected = Expected::default();
        for _ in 0..1000 {
            expected.sent(b"0123456789");
            expected.received(b"0123456").unwrap();
            expected.received(b"789").unwrap();
        }
        expected.sent(b"abc");
        expected.received(b"a").unwrap();
        assert_eq!((expected.missing(), expected.returned()), (2, 10_001));
    }
}
