//! The bytes that a measurement sends, and the comparison with what comes back.

use crate::client::expect::{Difference, Expected};
use crate::wire::buffers::READ_SIZE;

/// Bytes without a short period, so that no fault goes unnoticed. They are there twice, so that a piece of
/// up to [`READ_SIZE`] can start anywhere.
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    pub(super) fn new() -> Self {
        // xorshift32, Marsaglia 2003.
        let mut state = 2_463_534_242_u32;
        let mut bytes = Vec::with_capacity(2 * READ_SIZE);
        while bytes.len() < READ_SIZE {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.extend_from_within(..);
        Self(bytes)
    }

    /// `length` bytes of the stream that begins at `phase`, from `offset` on.
    #[allow(clippy::cast_possible_truncation)] // The remainder is small.
    pub(super) fn piece(&self, phase: usize, offset: u64, length: usize) -> &[u8] {
        let at = (phase + (offset % READ_SIZE as u64) as usize) % READ_SIZE;
        &self.0[at..at + length]
    }

    /// Compares `received`, which arrived at `offset`, with the stream that begins at `phase` and of which
    /// `sent` bytes were sent.
    pub(super) fn check(
        &self,
        phase: usize,
        mut offset: u64,
        sent: u64,
        received: &[u8],
    ) -> Result<(), Difference> {
        for received in received.chunks(READ_SIZE) {
            let due = self.piece(phase, offset, received.len());
            if *received != *due || offset + received.len() as u64 > sent {
                let known = usize::try_from(sent - offset).unwrap_or(usize::MAX).min(due.len());
                let mut expected = Expected::starting_at(offset);
                expected.sent(&due[..known]);
                return expected.received(received);
            }
            offset += received.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_in_a_stream_is_found_where_it_is() {
        let pattern = Pattern::new();
        let sent = 3 * READ_SIZE as u64;
        let offset = READ_SIZE as u64 - 100;
        let mut received = pattern.piece(11, offset, 5000).to_vec();
        assert_eq!(pattern.check(11, offset, sent, &received), Ok(()));
        received[300] ^= 1;
        let difference = pattern.check(11, offset, sent, &received).unwrap_err();
        assert_eq!((difference.offset, difference.received), (offset + 300, received[300]));
        received[300] ^= 1;
        let difference = pattern.check(11, offset, offset + 10, &received).unwrap_err();
        assert_eq!((difference.offset, difference.sent), (offset + 10, None));
    }
}
