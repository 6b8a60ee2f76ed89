//! Datagrams that come back: an echo at the other end answers our answers, and a packet with a forged source
//! can set both on each other for ever (CVE-2024-2169).
//!
//! # A loop is the same datagram again and again, faster than people and their tools repeat one
//!
//! What such an echo sends back is what it got. So a datagram is part of a loop if it has come [`ANSWERED`] times
//! from the same source, each time within [`WINDOW`] after the time before. It does not matter how many others
//! are on their way at the same time. chargen (RFC 864) answers with other bytes each time, but always with a
//! piece of its pattern; so all that begin with such a piece count as the same.
#![allow(clippy::cast_possible_truncation)] // Parts of numbers are meant.

use std::net::SocketAddr;
use std::time::Duration;

use super::rates::Time;
use super::table::{Seed, array};

/// How often the same datagram has an answer.
const ANSWERED: u32 = 3;

/// The longest time from one of them to the next.
const WINDOW: u32 = (Duration::from_millis(200).as_nanos() >> TICK) as u32;

/// Times in the table are in units of 2^20 ns, about 1 ms.
const TICK: u32 = 20;

/// How many datagrams are remembered, in 96 KiB. Each has one place: a datagram that takes the place of one in a
/// loop lets that go round three times more.
const PLACES: usize = 8192;

/// How many bytes show that a datagram is from chargen.
const PATTERN: usize = 16;

/// The datagrams that came last.
#[derive(Debug)]
pub struct Repeats {
    last: Box<[Repeat; PLACES]>,
    seed: Seed,
}

/// A datagram, and how often it came.
#[derive(Clone, Copy, Debug, Default)]
struct Repeat {
    /// A part of the hash of its source and its bytes; another part is its place.
    hash: u32,
    /// When it came last, in ticks.
    came: u32,
    count: u32,
}

impl Repeats {
    /// A table without a datagram.
    pub fn new() -> Self {
        Self { last: array(Repeat::default()), seed: Seed::random() }
    }

    /// Whether the datagram `bytes` of `peer` is part of a loop.
    #[inline(always)]
    pub fn is_loop(&mut self, peer: SocketAddr, bytes: &[u8], now: Time) -> bool {
        let hash = self.hash(peer, bytes);
        let (place, hash) = (hash as usize % PLACES, (hash >> 32) as u32);
        let came = (now >> TICK) as u32;
        let last = &mut self.last[place];
        let is_repeat = last.hash == hash && came.wrapping_sub(last.came) <= WINDOW;
        let count = if is_repeat { last.count.saturating_add(1) } else { 1 };
        *last = Repeat { hash, came, count };
        count > ANSWERED
    }

    #[inline(always)]
    fn hash(&self, peer: SocketAddr, bytes: &[u8]) -> u64 {
        let bytes = if is_chargen(bytes) { b"chargen" } else { bytes };
        self.seed.hash_bytes(self.seed.source(peer), bytes)
    }
}

/// Whether these bytes begin as a piece of the pattern of RFC 864: the printable characters in their order.
#[inline]
fn is_chargen(bytes: &[u8]) -> bool {
    let Some((first, _)) = bytes.split_first_chunk::<PATTERN>() else { return false };
    // Most others differ in the first two bytes already.
    (first[1] == first[0].wrapping_add(1) || first[0] == b'~') && is_pattern(first)
}

#[cold]
fn is_pattern(bytes: &[u8]) -> bool {
    bytes.windows(2).all(|pair| match pair {
        [b'~', next] => *next == b' ',
        [one @ b' '..=b'}', next] => *next == one + 1,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Time = 1_000_000;

    fn peer(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    /// How many of the datagrams pass that come with this time between them.
    fn passed(interval: Time, datagrams: impl IntoIterator<Item = (u16, Vec<u8>)>) -> usize {
        let mut repeats = Repeats::new();
        let mut now = 1000 * MS;
        let datagrams = datagrams.into_iter();
        let pass = datagrams.filter(|(port, bytes)| {
            now += interval;
            !repeats.is_loop(peer(*port), bytes, now)
        });
        pass.count()
    }

    #[test]
    fn the_same_datagram_passes_three_times_and_again_after_a_pause() {
        let same = || (0..1000).map(|_| (40_000, b"the same".to_vec()));
        assert_eq!(passed(0, same()), 3);
        assert_eq!(passed(150 * MS, same()), 3);
        assert_eq!(passed(250 * MS, same()), 1000);
    }

    #[test]
    fn datagrams_that_differ_or_come_from_elsewhere_pass() {
        let numbered = (0..5000_u32).map(|number| (40_000, number.to_be_bytes().to_vec()));
        assert_eq!(passed(0, numbered), 5000);
        let longer = (0..1000).map(|length| (40_000, vec![0; length]));
        assert_eq!(passed(0, longer), 1000);
        let from_everywhere = (1..1000).map(|port| (port, b"the same".to_vec()));
        assert_eq!(passed(0, from_everywhere), 999);
    }

    #[test]
    fn loops_at_the_same_time_are_all_found() {
        const LOOPS: u32 = 200;
        for seed in (0..100).map(Seed::of) {
            let mut repeats = Repeats { seed, ..Repeats::new() };
            let mut pass = |number: u32| !repeats.is_loop(peer(40_000), &number.to_be_bytes(), MS);
            for _ in 0..100 {
                for number in 0..LOOPS {
                    pass(number);
                }
            }
            // Two may share a place, and then neither is found before another datagram takes it.
            let unfound = (0..LOOPS).filter(|number| pass(*number)).count();
            assert!(unfound <= 20, "{unfound}");
        }
    }

    #[test]
    fn lines_of_chargen_count_as_the_same() {
        let ring: Vec<u8> = (b' '..=b'~').cycle().take(200).collect();
        let lines = || (0..95).map(|start| (40_000, ring[start..start + 72].to_vec()));
        assert_eq!(passed(MS, lines()), 3);
        assert_eq!(passed(250 * MS, lines()), 95);
        assert!(!is_chargen(&ring[..PATTERN - 1]) && !is_chargen(b"0123456789abcdef"));
        assert!(!is_chargen(&(0..16).collect::<Vec<u8>>()));
    }
}
