//! A table of fixed size, and the hashes that choose a place in it.
#![allow(clippy::cast_possible_truncation)] // Parts of numbers are meant.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

/// How many entries share a set.
const WAYS: usize = 4;

/// Entries in sets. A hash chooses the set; a new entry takes the place of one that is needed least.
#[derive(Debug)]
pub struct Table<T, const SETS: usize> {
    sets: Box<[[T; WAYS]; SETS]>,
}

impl<T: Copy + Default, const SETS: usize> Table<T, SETS> {
    /// A table without entries.
    pub fn new() -> Self {
        Self { sets: array([T::default(); WAYS]) }
    }

    /// The entry that `is_it`, or otherwise a default one in the place of that whose `need` is least.
    #[inline(always)]
    pub fn entry(
        &mut self,
        hash: u64,
        is_it: impl Fn(&T) -> bool,
        need: impl Fn(&T) -> u64,
    ) -> &mut T {
        let set = &mut self.sets[hash as usize % SETS];
        if let Some(way) = set.iter().position(is_it) {
            return &mut set[way];
        }
        let mut chosen = 0;
        for way in 1..WAYS {
            if need(&set[way]) < need(&set[chosen]) {
                chosen = way;
            }
        }
        set[chosen] = T::default();
        &mut set[chosen]
    }
}

/// An array on the heap. Its length is known when it is compiled, so that an index needs no check.
#[allow(clippy::unnecessary_box_returns)] // It is long.
pub fn array<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    Box::new([value; N])
}

/// Hashes with a secret of this process, so that no peer can choose what shares a set.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64, u64);

impl Seed {
    /// A new secret.
    pub fn random() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0), random.hash_one(1))
    }

    /// A secret that is always the same, but for `number`.
    #[cfg(test)]
    pub fn of(number: u64) -> Self {
        let known = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        Self(known.hash_one((number, 0)), known.hash_one((number, 1)))
    }

    /// The hash of a number.
    #[inline(always)]
    pub fn hash(self, number: u64) -> u64 {
        mix(number ^ self.0, self.1)
    }

    /// An address and a port as a number: a hash where they are longer than one.
    #[inline(always)]
    pub fn source(self, peer: SocketAddr) -> u64 {
        let port = u64::from(peer.port());
        match peer.ip() {
            IpAddr::V4(address) => u64::from(u32::from(address)) << 16 | port,
            IpAddr::V6(address) => self.hash_bytes(port, &address.octets()),
        }
    }

    /// The hash of `bytes`, which goes on from `hash`.
    #[inline(always)]
    pub fn hash_bytes(self, hash: u64, bytes: &[u8]) -> u64 {
        // Bytes that differ in a few bits have hashes with much in common until here: with some secrets, most of
        // them would share a place.
        mix(self.hash_words(hash ^ bytes.len() as u64, bytes), self.1)
    }

    #[inline(always)]
    fn hash_words(self, mut hash: u64, bytes: &[u8]) -> u64 {
        let Some(last) = bytes.last_chunk() else {
            let mut only = [0; 16];
            only[..bytes.len()].copy_from_slice(bytes);
            return self.hash_word(hash, &only);
        };
        // The last word may overlap the one before.
        for word in bytes[..bytes.len() - 1].as_chunks().0 {
            hash = self.hash_word(hash, word);
        }
        self.hash_word(hash, last)
    }

    #[inline(always)]
    fn hash_word(self, hash: u64, word: &[u8; 16]) -> u64 {
        let word = u128::from_le_bytes(*word);
        mix(word as u64 ^ hash, (word >> 64) as u64 ^ self.0)
    }
}

/// The product of both, folded to its two halves.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_forgets_what_is_needed_least() {
        let mut table = Table::<(u64, u64), 1>::new();
        for (key, need) in [(1, 10), (2, 30), (3, 20), (4, 40)] {
            *table.entry(0, |it| it.0 == key, |it| it.1) = (key, need);
        }
        assert_eq!(*table.entry(0, |it| it.0 == 3, |it| it.1), (3, 20));
        assert_eq!(*table.entry(0, |it| it.0 == 5, |it| it.1), (0, 0));
        let mut all = table.sets[0];
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (2, 30), (3, 20), (4, 40)]);
    }

    #[test]
    fn each_byte_and_the_length_change_a_hash() {
        let seed = Seed::random();
        let bytes: Vec<u8> = (0..40).collect();
        let hash = seed.hash_bytes(1, &bytes);
        assert_eq!(hash, seed.hash_bytes(1, &bytes));
        assert_ne!(hash, seed.hash_bytes(2, &bytes));
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_ne!(hash, seed.hash_bytes(1, &changed), "{place}");
            assert_ne!(hash, seed.hash_bytes(1, &bytes[..place]), "{place}");
        }
        assert_ne!(seed.hash_bytes(1, &[0; 3]), seed.hash_bytes(1, &[0; 4]));
    }

    /// The hashes are as good as random: of the numbers that differ in two bytes, so many share a place.
    #[test]
    fn numbers_in_sequence_are_spread_over_all_places() {
        const PLACES: usize = 4096;
        const EXPECTED: usize = 1507; // 4096 / e
        for seed in (0..100).map(Seed::of) {
            for shift in (0..=48).step_by(8) {
                let mut taken = [false; PLACES];
                for number in 0..PLACES as u64 {
                    let hash = seed.hash_bytes(1, &(number << shift).to_le_bytes());
                    taken[hash as usize % PLACES] = true;
                }
                let free = taken.iter().filter(|taken| !**taken).count();
                assert!(free < EXPECTED + 200, "{seed:?} {shift}: {free}");
            }
        }
    }
}
