//! The loop's scratch buffers, and what a session keeps of them when the kernel is full.

use std::io::{self, Write};

/// What one read may bring, in bytes.
///
/// 32 KiB: reads of 4 KiB cost several times as much in bulk, reads of 64 KiB up to twice as much
/// (docs/performance.md).
pub const READ_SIZE: usize = 32 * 1024;

/// What a transport may hold back between two reads, in bytes: the longest handshake message
/// (64 KiB) and the largest record (16 KiB + 2 KiB, RFC 5246 §6.2.3) that surrounds its end.
pub const HELD_MAX: usize = 96 * 1024;

/// What was held back, and one read behind it.
const WIRE_SIZE: usize = HELD_MAX + READ_SIZE;

/// The buffers that all sessions take turns in. An idle session has none of its own.
#[derive(Debug)]
pub struct Buffers {
    /// Bytes from the wire.
    pub wire: Box<[u8; WIRE_SIZE]>,
    /// Plaintext that a transport took out of them.
    pub plain: Vec<u8>,
    /// Bytes for the wire.
    pub sealed: Scratch,
    /// Plaintext that a service answers with, where it is not what came.
    pub answer: Vec<u8>,
    /// How many bytes of plaintext were echoed since the start.
    pub echoed: u64,
}

impl Buffers {
    /// Buffers for one loop, about 250 KiB in all once TLS has used them.
    #[allow(clippy::missing_panics_doc)] // It does not.
    pub fn new() -> Self {
        Self {
            // Not by way of the stack.
            wire: vec![0; WIRE_SIZE].into_boxed_slice().try_into().expect("this is its length"),
            plain: Vec::new(),
            sealed: Scratch::default(),
            answer: Vec::new(),
            echoed: 0,
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// A buffer that is filled and emptied without being zeroed again each time.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
    filled: usize,
}

impl Scratch {
    /// Forgets what it holds.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// What was put in since the last `clear`.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// At least `room` bytes to write into, behind the rest.
    pub fn spare(&mut self, room: usize) -> &mut [u8] {
        let needed = self.filled + room;
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Counts `written` bytes of `spare` as filled.
    pub fn advance(&mut self, written: usize) {
        self.filled += written;
    }
}

/// Bytes for the wire that the kernel has not taken yet.
///
/// Empty, it is one word, and owns no memory. A session whose outbox is not empty is not read from, so
/// it never holds more than the answer to one read: `READ_SIZE`, and with TLS the record that the read
/// completed and the record overhead.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes.len() - waiting.sent)
    }

    /// Writes `bytes` now if nothing waits before them, and keeps what the kernel does not take.
    #[inline]
    pub fn send(&mut self, wire: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.is_empty() { write_some(wire, bytes)? } else { 0 };
        if taken < bytes.len() {
            self.keep(&bytes[taken..]);
        }
        Ok(())
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) {
        let new = || Box::new(Waiting { bytes: Vec::new(), sent: 0 });
        self.waiting.get_or_insert_with(new).bytes.extend_from_slice(bytes);
    }

    /// Writes what waits; says whether the kernel took any of it.
    pub fn flush(&mut self, wire: &mut impl Write) -> io::Result<bool> {
        let Some(Waiting { bytes, sent }) = self.waiting.as_deref_mut() else { return Ok(false) };
        let taken = write_some(wire, &bytes[*sent..])?;
        *sent += taken;
        if *sent == bytes.len() {
            self.waiting = None;
        }
        Ok(taken > 0)
    }
}

/// As much of `bytes` as goes out without blocking. A short count is an answer: the kernel is full
/// and will say when it is not, so no second call is spent on hearing `WouldBlock`.
#[inline(always)]
fn write_some(wire: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    wire.write(bytes).or_else(|error| would_block(error).map(|()| 0))
}

/// Whether an error is only that the kernel has no more bytes, or no more room, for now. (A socket
/// that does not block is not interrupted by signals: there is nothing to wait in.)
#[cold]
pub fn would_block(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that has room for this many bytes.
    struct Room(usize);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.min(bytes.len());
            self.0 -= count;
            if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_outbox_owns_memory_only_while_bytes_wait() {
        let mut outbox = Outbox::default();
        outbox.send(&mut Room(5), b"hello").unwrap();
        assert!(outbox.waiting.is_none());
        outbox.send(&mut Room(2), b"hello").unwrap();
        assert_eq!((outbox.is_empty(), outbox.len()), (false, 3));
        outbox.send(&mut Room(9), b" world").unwrap();
        assert_eq!(outbox.len(), 9, "nothing overtakes what waits");
        assert!(!outbox.flush(&mut Room(0)).unwrap());
        assert!(outbox.flush(&mut Room(4)).unwrap());
        assert_eq!(outbox.len(), 5);
        assert!(outbox.flush(&mut Room(5)).unwrap());
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_loops_buffer_has_room_for_what_was_held_and_one_read_behind_it() {
        // 96 KiB and 32 KiB: docs/design.md, "What a peer can cost".
        assert_eq!(Buffers::new().wire.len(), 128 * 1024);
    }

    #[test]
    fn scratch_gives_back_what_was_put_in_since_it_was_cleared() {
        let mut scratch = Scratch::default();
        scratch.spare(5)[..5].copy_from_slice(b"hello");
        scratch.advance(5);
        scratch.clear();
        scratch.spare(1)[..1].copy_from_slice(b"a");
        scratch.advance(1);
        scratch.spare(3)[..2].copy_from_slice(b"bc");
        scratch.advance(2);
        assert_eq!(scratch.filled(), b"abc");
    }
}
