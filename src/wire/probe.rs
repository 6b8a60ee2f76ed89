//! A probe: a datagram that a measurement sends and gets back. What is in it tells loss, duplicates,
//! reordering and damage apart.
//!
//! # Format
//!
//! Numbers have network byte order.
//!
//! | offset | length | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic: `EAP1` |
//! | 4 | 4 | check: the CRC-32 of the datagram's length, as 8 bytes, and of the fields behind this one |
//! | 8 | 8 | token: random, the same in all probes of a run |
//! | 16 | 8 | sequence number: 1 in the first probe of a run |
//! | 24 | 8 | time at which it was sent, in nanoseconds from the start of the run |
//! | 32 | 8 | received: 0, unless the far end counts; see [`set_received`] |
//! | 40 | | pattern: pseudo-random bytes that follow from token and sequence number |
//!
//! An echo server sends a probe back as it is. A report listener puts in how many probes of this run it
//! has received, which divides the loss into that on the way there and that on the way back.

use std::ops::RangeInclusive;

/// The length of what stands before the pattern, and of the shortest probe, in bytes.
pub const HEADER_LEN: usize = 40;

/// The longest datagram over IPv4, in bytes: 65,535 without the headers of IP and UDP (RFC 768, RFC 791).
pub const DATAGRAM_MAX: usize = 65_507;

/// The lengths that a probe can have.
pub const LENGTHS: RangeInclusive<usize> = HEADER_LEN..=DATAGRAM_MAX;

/// The first bytes of a probe.
const MAGIC: [u8; 4] = *b"EAP1";

/// What a probe says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The number of the run.
    pub token: u64,
    /// The number of the probe in its run.
    pub sequence: u64,
    /// When it was sent, in nanoseconds from the start of the run.
    pub sent: u64,
    /// How many probes of this run the far end had received with this one; 0 if it does not count.
    pub received: u64,
}

/// What a datagram is to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A probe of this run, as it was sent.
    Whole(Header),
    /// A probe that was changed or cut on the way. Any field may be wrong, but damage in one place leaves
    /// either the sequence number or the time right, and both name the probe.
    Damaged(Header),
    /// No probe, or one of another run.
    Foreign,
}

impl Header {
    /// Writes a probe of `size` bytes into `datagram`, in place of what it holds. A `size` below
    /// [`HEADER_LEN`] is taken as that.
    pub fn write(&self, size: usize, datagram: &mut Vec<u8>) {
        let size = size.max(HEADER_LEN);
        let fields = self.fields();
        datagram.clear();
        datagram.extend(MAGIC);
        datagram.extend(check(size, &fields).to_be_bytes());
        datagram.extend(fields);
        for piece in pattern(self.token, self.sequence) {
            let rest = size - datagram.len();
            datagram.extend(piece.get(..rest).unwrap_or(&piece));
            if rest <= piece.len() {
                return;
            }
        }
    }

    /// The header of a probe of any run; `None` if the datagram is no probe, or its header or its length
    /// was changed. The pattern is not looked at.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (magic, check_field, fields) = split(datagram)?;
        let is_whole = magic == MAGIC && check_field == check(datagram.len(), fields);
        is_whole.then(|| Self::from(*fields))
    }

    fn fields(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let fields = [self.token, self.sequence, self.sent, self.received];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }
}

impl From<[u8; 32]> for Header {
    fn from(bytes: [u8; 32]) -> Self {
        let mut fields = bytes
            .chunks_exact(8)
            .map(|field| field.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        let mut next = || fields.next().unwrap_or_default();
        Self { token: next(), sequence: next(), sent: next(), received: next() }
    }
}

/// Compares every byte of `datagram` with the probe of the run `token` that it says it is.
pub fn verify(datagram: &[u8], token: u64) -> Verdict {
    let Some((magic, _, fields)) = split(datagram) else { return Verdict::Foreign };
    let header = Header::from(*fields);
    match Header::read(datagram) {
        Some(Header { token: other, .. }) if other != token => Verdict::Foreign,
        Some(_) if has_pattern(datagram, &header) => Verdict::Whole(header),
        Some(_) => Verdict::Damaged(header),
        // The magic or the token may be what was damaged.
        None if magic == MAGIC || header.token == token => Verdict::Damaged(header),
        None => Verdict::Foreign,
    }
}

/// Puts into a probe how many probes of its run its sender's far end has received with this one, which `received`
/// knows by the token of the run. Returns whether it did: it leaves alone what is no probe, and damage, which the
/// sender has to see.
pub fn set_received(datagram: &mut [u8], received: impl FnOnce(u64) -> u64) -> bool {
    let Some(header) = Header::read(datagram) else { return false };
    let fields = Header { received: received(header.token), ..header }.fields();
    let check = check(datagram.len(), &fields);
    datagram[4..8].copy_from_slice(&check.to_be_bytes());
    datagram[8..HEADER_LEN].copy_from_slice(&fields);
    true
}

/// Magic, check and fields of a datagram that is long enough for them.
fn split(datagram: &[u8]) -> Option<([u8; 4], u32, &[u8; 32])> {
    let (magic, rest) = datagram.split_first_chunk()?;
    let (check, rest) = rest.split_first_chunk()?;
    Some((*magic, u32::from_be_bytes(*check), rest.first_chunk()?))
}

fn has_pattern(datagram: &[u8], header: &Header) -> bool {
    let received = datagram.get(HEADER_LEN..).unwrap_or_default();
    let pieces = pattern(header.token, header.sequence);
    received.chunks(8).zip(pieces).all(|(received, piece)| piece.starts_with(received))
}

/// The pattern of a probe, 8 bytes at a time (`SplitMix64`; Steele, Lea and Flood 2014).
fn pattern(token: u64, sequence: u64) -> impl Iterator<Item = [u8; 8]> {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    // Runs and probes that differ in one bit have nothing in common.
    let mut state = token.wrapping_add(mix(sequence));
    std::iter::repeat_with(move || {
        state = state.wrapping_add(GAMMA);
        mix(state).to_be_bytes()
    })
}

fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// The CRC-32 of the length of a datagram and of its fields (ITU-T V.42 §8.1.1.6.2, as in Ethernet).
fn check(length: usize, fields: &[u8; 32]) -> u32 {
    let length = (length as u64).to_be_bytes();
    !length
        .iter()
        .chain(fields)
        .fold(u32::MAX, |crc, byte| CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8)
}

/// What each byte contributes to a CRC-32.
const CRC_TABLE: [u32; 256] = {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[allow(clippy::cast_possible_truncation)] // It is below 256.
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUN: u64 = 0x0123_4567_89ab_cdef;

    fn header() -> Header {
        Header { token: RUN, sequence: 7, sent: 1_000_000, received: 0 }
    }

    fn probe(header: Header, size: usize) -> Vec<u8> {
        let mut datagram = b"what was here before".to_vec();
        header.write(size, &mut datagram);
        datagram
    }

    #[test]
    fn the_check_is_the_usual_crc_32() {
        // Computed with zlib.
        assert_eq!(check(64, &[0; 32]), 0x3822_3ffb);
    }

    #[test]
    fn the_format_stays_what_it_is() {
        let expected: &[&[u8]] = &[
            b"EAP1\x6f\x19\x8f\x8a",
            b"\x01\x23\x45\x67\x89\xab\xcd\xef",
            b"\0\0\0\0\0\0\0\x07",
            b"\0\0\0\0\0\x0f\x42\x40",
            b"\0\0\0\0\0\0\0\0",
            b"\x18\xeb\x56\x12\xa5\x86\x90\x93\x05\x49",
        ];
        assert_eq!(probe(header(), 50), expected.concat());
    }

    #[test]
    fn the_shortest_probe_is_its_header() {
        for size in [0, HEADER_LEN - 1, HEADER_LEN] {
            assert_eq!(probe(header(), size).len(), HEADER_LEN);
        }
        assert_eq!(verify(&probe(header(), HEADER_LEN), RUN), Verdict::Whole(header()));
        assert_eq!(Header::read(&probe(header(), HEADER_LEN)[..HEADER_LEN - 1]), None);
    }

    #[test]
    fn a_probe_of_another_run_is_foreign_and_so_is_what_is_no_probe() {
        let other = probe(Header { token: RUN + 1, ..header() }, 64);
        assert_eq!(verify(&other, RUN), Verdict::Foreign);
        for datagram in [&b""[..], b"hello\n", &[b'x'; 64]] {
            assert_eq!(verify(datagram, RUN), Verdict::Foreign);
        }
    }

    #[test]
    fn the_count_of_the_far_end_does_not_hide_damage() {
        let mut whole = probe(header(), 64);
        assert!(set_received(&mut whole, |_| 5));
        assert_eq!(verify(&whole, RUN), Verdict::Whole(Header { received: 5, ..header() }));

        let mut damaged = probe(header(), 64);
        damaged[20] ^= 1;
        let before = damaged.clone();
        assert!(!set_received(&mut damaged, |_| 5));
        assert_eq!(damaged, before);
        damaged[20] ^= 1;
        damaged[63] ^= 1;
        assert!(set_received(&mut damaged, |_| 5));
        assert!(matches!(verify(&damaged, RUN), Verdict::Damaged(_)));
        assert!(!set_received(&mut [], |_| 1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            token: u64, sequence: u64, sent: u64, received: u64, size in HEADER_LEN..3000,
        ) {
            let header = Header { token, sequence, sent, received };
            let datagram = probe(header, size);
            prop_assert_eq!(datagram.len(), size);
            prop_assert_eq!(Header::read(&datagram), Some(header));
            prop_assert_eq!(verify(&datagram, token), Verdict::Whole(header));
        }

        #[test]
        fn damage_in_one_byte_is_seen_and_the_probe_still_known(
            size in HEADER_LEN..200, place: prop::sample::Index, change in 1..=u8::MAX,
        ) {
            let mut datagram = probe(header(), size);
            let place = place.index(size);
            datagram[place] ^= change;
            let Verdict::Damaged(found) = verify(&datagram, RUN) else {
                return Err(TestCaseError::fail(format!("byte {place}")));
            };
            prop_assert!(found.sequence == 7 || found.sent == 1_000_000);
        }

        #[test]
        fn a_probe_that_was_cut_or_made_longer_is_damaged(
            size in HEADER_LEN..200, length in HEADER_LEN..300,
        ) {
            let mut datagram = probe(header(), size);
            datagram.resize(length, 0);
            let is_damaged = verify(&datagram, RUN) == Verdict::Damaged(header());
            prop_assert_eq!(is_damaged, length != size);
        }

        #[test]
        fn no_datagram_causes_a_panic(mut datagram: Vec<u8>, token: u64, received: u64) {
            let _ = verify(&datagram, token);
            set_received(&mut datagram, |_| received);
        }
    }
}
