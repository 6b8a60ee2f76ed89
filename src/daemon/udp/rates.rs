//! How many datagrams are answered: a token bucket for each source, and one for all.
//!
//! # The table of sources needs no more than its size
//!
//! A bucket that is full again is as good as forgotten, and a datagram fills up in a moment. Therefore only
//! sources of the last moments have entries that matter, and the bucket for all bounds how many these are.
#![allow(clippy::cast_possible_truncation)] // A time ends in 584 years.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::refusal::Refusal;
use super::table::{Seed, Table};
use crate::config::DatagramLimits;
use crate::daemon::admission::network;

/// Nanoseconds since the first datagram could come.
pub type Time = u64;

/// How much of its rate a source that was silent may send at once.
const BURST: Time = Duration::from_millis(250).as_nanos() as Time;

/// How long a source gets no answer after a loop.
const LOOP_PAUSE: Time = Duration::from_secs(10).as_nanos() as Time;

/// A datagram that is longer counts as several: as many as the packets of Ethernet that it takes, about.
const PACKET: usize = 1500;

/// 1,024 sources in sets of four: 32 KiB.
const SETS: usize = 256;

/// The rates of all sources, and what they may be.
#[derive(Debug)]
pub struct Rates {
    all: Bucket,
    /// The time from one datagram to the next.
    interval: Time,
    interval_per_address: Time,
    sources: Table<Source, SETS>,
    seed: Seed,
}

/// A source: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    network: u64,
    bucket: Bucket,
    /// The port that is part of a loop, until then.
    loop_port: u16,
    loop_end: Time,
}

/// A token bucket, as the time when it is full.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Time);

impl Rates {
    /// Rates within these limits.
    pub fn new(limits: DatagramLimits) -> Self {
        let mut rates = Self {
            all: Bucket::default(),
            interval: 0,
            interval_per_address: 0,
            sources: Table::new(),
            seed: Seed::random(),
        };
        rates.set_limits(limits);
        rates
    }

    /// Sets new limits, and forgets what all sources have sent within the old ones.
    pub fn set_limits(&mut self, limits: DatagramLimits) {
        let interval = |rate: usize| 1_000_000_000 / (rate as Time).max(1);
        self.all = Bucket::default();
        self.interval = interval(limits.per_second);
        self.interval_per_address = interval(limits.per_second_per_address);
    }

    /// Takes a datagram of so many bytes into account, if the limits allow it.
    #[inline(always)]
    pub fn take(&mut self, peer: SocketAddr, length: usize, now: Time) -> Result<(), Refusal> {
        let packets = 1 + (length / PACKET) as Time;
        let taken = packets * self.interval_per_address;
        let source = self.source(peer, now);
        if source.loop_port == peer.port() && now < source.loop_end {
            return Err(Refusal::Looping);
        }
        if !source.bucket.take(taken, now) {
            return Err(Refusal::Address);
        }
        if self.all.take(packets * self.interval, now) { Ok(()) } else { Err(Refusal::All) }
    }

    /// Lets a source that is part of a loop wait.
    pub fn pause(&mut self, peer: SocketAddr, now: Time) {
        let source = self.source(peer, now);
        (source.loop_port, source.loop_end) = (peer.port(), now + LOOP_PAUSE);
    }

    #[inline(always)]
    fn source(&mut self, peer: SocketAddr, now: Time) -> &mut Source {
        let network = match network(peer.ip()) {
            // No host has an address of IPv6 that begins like this.
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        };
        let need = |source: &Source| source.bucket.0.max(source.loop_end).saturating_sub(now);
        let source = self.sources.entry(self.seed.hash(network), |it| it.network == network, need);
        source.network = network;
        source
    }
}

impl Bucket {
    /// Takes as much as fills up in `taken`, unless it is empty.
    #[inline(always)]
    fn take(&mut self, taken: Time, now: Time) -> bool {
        let has_some = self.0 < now + BURST;
        if has_some {
            self.0 = self.0.max(now) + taken;
        }
        has_some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Time = 1_000_000_000;

    fn rates() -> Rates {
        Rates::new(DatagramLimits { per_second: 10_000, per_second_per_address: 2000 })
    }

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// How many of `count` datagrams pass that come in a second.
    fn passed(rates: &mut Rates, peer: SocketAddr, length: usize, count: u64) -> u64 {
        let pass = |place| rates.take(peer, length, SECOND + place * SECOND / count).is_ok();
        (0..count).map(pass).filter(|pass| *pass).count() as u64
    }

    #[test]
    fn a_source_gets_its_rate_and_a_quarter_of_it_at_once() {
        let source = peer("192.0.2.1:40000");
        assert_eq!(passed(&mut rates(), source, 64, 1000), 1000);
        assert_eq!(passed(&mut rates(), source, 64, 2000), 2000);
        let most = passed(&mut rates(), source, 64, 100_000);
        assert!((2490..=2510).contains(&most), "{most}");
        let at_once = |rates: &mut Rates, now| {
            (0..9999).take_while(|_| rates.take(source, 64, now).is_ok()).count()
        };
        let mut rates = rates();
        assert_eq!(at_once(&mut rates, SECOND), 500);
        assert_eq!(rates.take(source, 64, SECOND), Err(Refusal::Address));
        assert_eq!(at_once(&mut rates, SECOND + SECOND / 10), 200);
        assert_eq!(at_once(&mut rates, 9 * SECOND), 500, "no more than a quarter is saved");
    }

    #[test]
    fn a_long_datagram_counts_as_its_packets() {
        let source = peer("192.0.2.1:40000");
        let most = passed(&mut rates(), source, 65_507, 10_000);
        // 44 packets each.
        assert!((2500 / 44..=2500 / 44 + 2).contains(&most), "{most}");
    }

    #[test]
    fn ports_and_addresses_of_one_network_share_a_rate_and_others_do_not() {
        for (one, same, other) in [
            ("192.0.2.1:40000", "192.0.2.1:40001", "192.0.2.2:40000"),
            ("[2001:db8::1]:40000", "[2001:db8::2]:40000", "[2001:db8:0:1::1]:40000"),
        ] {
            let mut rates = rates();
            while rates.take(peer(one), 64, SECOND).is_ok() {}
            assert_eq!(rates.take(peer(same), 64, SECOND), Err(Refusal::Address), "{same}");
            assert_eq!(rates.take(peer(other), 64, SECOND), Ok(()), "{other}");
        }
    }

    #[test]
    fn all_sources_share_a_rate_and_the_table_holds_them() {
        let mut rates = rates();
        let mut sources = (0..=u32::MAX).map(|number| SocketAddr::from((number.to_be_bytes(), 4)));
        let passed = sources.by_ref().take_while(|it| rates.take(*it, 64, SECOND).is_ok()).count();
        assert_eq!(passed, 2500);
        assert_eq!(rates.take(sources.next().unwrap(), 64, SECOND), Err(Refusal::All));
        // A source that is at its limit is not forgotten for those that have sent little.
        let mut rates = self::rates();
        let fast = peer("192.0.2.1:40000");
        while rates.take(fast, 64, SECOND).is_ok() {}
        for source in sources.take(1900) {
            assert_eq!(rates.take(source, 64, SECOND), Ok(()));
        }
        assert_eq!(rates.take(fast, 64, SECOND), Err(Refusal::Address));
    }

    #[test]
    fn a_source_in_a_loop_waits_and_its_other_ports_do_not() {
        let mut rates = rates();
        let (looping, other) = (peer("192.0.2.1:40000"), peer("192.0.2.1:40001"));
        rates.pause(looping, SECOND);
        assert_eq!(rates.take(looping, 64, 10 * SECOND), Err(Refusal::Looping));
        assert_eq!(rates.take(other, 64, 10 * SECOND), Ok(()));
        assert_eq!(rates.take(looping, 64, 11 * SECOND), Ok(()));
    }
}
