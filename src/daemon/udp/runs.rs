//! How many probes of each run have come to a report listener: what the client needs to tell loss on the way here
//! from loss on the way back.
//!
//! # The table needs no more than its size
//!
//! It has 1,024 runs in 24 KiB. A run that is forgotten begins again with 1, and its client sees that the counts do
//! not fit.

use std::net::SocketAddr;

use super::rates::Time;
use super::table::{Seed, Table};
use crate::wire::probe;

/// In sets of four.
const SETS: usize = 256;

/// The runs whose probes came last.
#[derive(Debug)]
pub struct Runs {
    table: Table<Run, SETS>,
    seed: Seed,
}

/// The probes of one token from one address and port.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// The hash of both.
    hash: u64,
    received: u64,
    came: Time,
}

impl Runs {
    /// A table without a run.
    pub fn new() -> Self {
        Self { table: Table::new(), seed: Seed::random() }
    }

    /// Puts into a probe of `peer` how many of its run have come with it. Leaves alone what is no whole probe.
    pub fn count(&mut self, peer: SocketAddr, datagram: &mut [u8], now: Time) {
        let Self { table, seed } = self;
        probe::set_received(datagram, |token| {
            let hash = seed.hash_bytes(seed.source(peer), &token.to_ne_bytes());
            let run = table.entry(hash, |run| run.hash == hash, |run| run.came);
            *run = Run { hash, received: run.received + 1, came: now };
            run.received
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe::Header;

    /// What `runs` puts into the next probe of this token from this port.
    fn received(runs: &mut Runs, port: u16, token: u64, now: Time) -> u64 {
        let mut datagram = Vec::new();
        Header { token, sequence: 1, sent: 0, received: 0 }.write(64, &mut datagram);
        runs.count(([127, 0, 0, 1], port).into(), &mut datagram, now);
        Header::read(&datagram).unwrap().received
    }

    #[test]
    fn each_run_of_each_source_is_counted() {
        let mut runs = Runs::new();
        for number in 1..=100 {
            for (port, token) in [(40_000, 1), (40_000, 2), (40_001, 1)] {
                assert_eq!(received(&mut runs, port, token, number), number);
            }
        }
    }

    #[test]
    fn runs_that_are_over_give_way_to_new_ones() {
        let mut runs = Runs::new();
        for now in 1..=100_000 {
            assert_eq!(received(&mut runs, 40_000, 7, now), now);
            assert_eq!(received(&mut runs, 40_001, 1000 + now, now), 1);
        }
    }

    #[test]
    fn what_is_no_probe_stays_as_it_is() {
        let mut datagram = b"the quick brown fox jumps over the lazy dog".to_vec();
        let before = datagram.clone();
        Runs::new().count(([127, 0, 0, 1], 40_000).into(), &mut datagram, 1);
        assert_eq!(datagram, before);
    }
}
