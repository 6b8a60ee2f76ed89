//! Is what comes back what was sent?

use std::collections::VecDeque;
use std::fmt;

/// Bytes that were sent and have not come back.
#[derive(Debug, Default)]
pub struct Expected {
    bytes: VecDeque<u8>,
    /// How many have come back.
    offset: u64,
}

/// The first byte that came back wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its place in the stream, from 0.
    pub offset: u64,
    /// What was sent there; `None` if nothing was.
    pub sent: Option<u8>,
    /// What came.
    pub came: u8,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, sent, came } = self;
        write!(f, "the echo differs at byte {offset}: ")?;
        match sent {
            Some(sent) => write!(f, "sent 0x{sent:02x}, came 0x{came:02x}"),
            None => write!(f, "came 0x{came:02x} where nothing was sent"),
        }
    }
}

impl Expected {
    /// Of a stream of which this many bytes have come back already.
    pub fn starting_at(offset: u64) -> Self {
        Self { bytes: VecDeque::new(), offset }
    }

    /// These bytes were sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// These bytes came.
    pub fn came(&mut self, bytes: &[u8]) -> Result<(), Difference> {
        let known = bytes.len().min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let split = known.min(front.len());
        if front[..split] != bytes[..split] || back[..known - split] != bytes[split..known] {
            let sent = self.bytes.iter().copied();
            let at = sent.zip(bytes).take_while(|(sent, came)| sent == *came).count();
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
        Difference { offset, sent: self.bytes.get(at).copied(), came: bytes[at] }
    }

    /// How many bytes have still to come back.
    pub fn missing(&self) -> usize {
        self.bytes.len()
    }

    /// How many came back.
    pub fn returned(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told_with_its_offset_and_both_values() {
        let mut expected = Expected::default();
        expected.sent(b"hello ");
        expected.sent(b"world");
        expected.came(b"hel").unwrap();
        expected.came(b"lo w").unwrap();
        let difference = expected.came(b"oRld").unwrap_err();
        assert_eq!(difference, Difference { offset: 8, sent: Some(b'r'), came: b'R' });
        assert_eq!(difference.to_string(), "the echo differs at byte 8: sent 0x72, came 0x52");
    }

    #[test]
    fn more_than_was_sent_is_a_difference() {
        let mut expected = Expected::default();
        expected.sent(b"hi");
        let difference = expected.came(b"hi\0").unwrap_err();
        assert_eq!(difference, Difference { offset: 2, sent: None, came: 0 });
    }

    #[test]
    fn what_is_missing_is_known() {
        let mut expected = Expected::default();
        for _ in 0..1000 {
            expected.sent(b"0123456789");
            expected.came(b"0123456").unwrap();
            expected.came(b"789").unwrap();
        }
        expected.sent(b"abc");
        expected.came(b"a").unwrap();
        assert_eq!((expected.missing(), expected.returned()), (2, 10_001));
    }
}
