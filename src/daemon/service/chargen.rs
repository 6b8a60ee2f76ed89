//! The characters of `chargen`: the popular pattern of RFC 864. Each line has 72 of the 95 printing
//! characters, and begins with the character after the one that began the line before it.

use std::sync::LazyLock;

use crate::wire::buffers::READ_SIZE;

/// The number of printing characters of ASCII, with the space.
const RING: usize = 95;
/// The characters of a line, without and with its CR LF.
const LINE: usize = 72;
const LINE_WITH_END: usize = LINE + 2;
/// The pattern repeats after this many bytes.
const PERIOD: usize = RING * LINE_WITH_END;

/// The pattern, long enough for a piece that begins anywhere in its first period.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..PERIOD + READ_SIZE).map(character).collect());

/// The character at a place of the stream.
#[allow(clippy::cast_possible_truncation)] // The remainder is below 95.
fn character(place: usize) -> u8 {
    let (line, column) = (place / LINE_WITH_END, place % LINE_WITH_END);
    match column {
        LINE => b'\r',
        column if column > LINE => b'\n',
        column => b' ' + ((line + column) % RING) as u8,
    }
}

/// The stream of one session.
#[derive(Debug, Default)]
pub struct Chargen {
    sent: u64,
}

impl Chargen {
    /// The next bytes of the stream, as many as one read of a session returns at most.
    #[allow(clippy::cast_possible_truncation)] // The remainder is below the period.
    pub fn next_piece(&mut self) -> &'static [u8] {
        let place = (self.sent % PERIOD as u64) as usize;
        self.sent += READ_SIZE as u64;
        &PATTERN[place..place + READ_SIZE]
    }

    /// The number of bytes so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_the_rfc() {
        let mut chargen = Chargen::default();
        let first = chargen.next_piece();
        let lines: Vec<&[u8]> = first.split(|byte| *byte == b'\n').collect();
        // RFC 864, "popular pattern", from the space on.
        let start =
            br##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##;
        assert_eq!(lines[0], [&start[..], b"\r"].concat());
        assert_eq!(lines[1], [&start[1..], b"h\r"].concat());
        assert_eq!(lines[95], lines[0]);
        assert!(lines[94].starts_with(b"~ !"));
    }

    #[test]
    fn pieces_follow_each_other() {
        let mut chargen = Chargen::default();
        let mut stream = Vec::new();
        for _ in 0..10 {
            stream.extend_from_slice(chargen.next_piece());
        }
        assert_eq!(chargen.sent(), stream.len() as u64);
        for (place, byte) in stream.iter().enumerate() {
            assert_eq!(*byte, character(place), "at {place}");
        }
    }
}
