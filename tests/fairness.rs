//! Fast senders get bounded turns: they starve neither other sessions nor each other.

mod util;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use util::{PATIENCE, TlsClient, assert_echo, noise, plain_and_tls};

const SENDERS: usize = 6;

const MIB: u64 = 1 << 20;

/// The bytes that the senders may have echoed during one round trip of a message, on average. Each sender has
/// one turn of at most a quarter of a MiB in it; the factor is for a busy machine, on which the test itself
/// waits.
const FLOOD_PER_ROUND_TRIP: u64 = 20 * SENDERS as u64 * (MIB / 4);

/// Waits until every sender has received so many bytes.
fn wait_for_all(echoed: &[AtomicU64], least: &[u64]) {
    let end = Instant::now() + PATIENCE;
    while echoed.iter().zip(least).any(|(now, least)| now.load(Ordering::Relaxed) < *least) {
        assert!(Instant::now() < end, "a sender starves: {echoed:?}, wanted {least:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn fast_senders_do_not_starve_round_trips_or_each_other() {
    let daemon = plain_and_tls();
    let address = daemon.address("plain");
    let over = AtomicBool::new(false);
    let echoed: [AtomicU64; SENDERS] = Default::default();
    thread::scope(|scope| {
        // Also if an assertion fails, because the scope waits for its threads.
        let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
        for counter in &echoed {
            let stream = util::connect(address);
            let reader = stream.try_clone().unwrap();
            let over = &over;
            scope.spawn(move || {
                let piece = noise(256 << 10, 1);
                while !over.load(Ordering::Relaxed) {
                    (&stream).write_all(&piece).unwrap();
                }
                stream.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || count(reader, counter));
        }
        wait_for_all(&echoed, &[MIB; SENDERS]);

        let mut plain = daemon.connect("plain");
        let mut tls = TlsClient::default().connect(&daemon);
        let so_far = || echoed.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        let before = so_far();
        for round in 0..200 {
            let message = noise(64, round);
            assert_echo(&mut plain, &message);
            assert_echo(&mut tls, &message);
            let (flood, round_trips) = (so_far() - before, 2 * (round + 1));
            // The first round trips are too few for an average.
            assert!(
                flood < (20 + round_trips) * FLOOD_PER_ROUND_TRIP,
                "{flood} bytes of others in {round_trips} round trips"
            );
        }

        let more = echoed.each_ref().map(|count| count.load(Ordering::Relaxed) + MIB);
        wait_for_all(&echoed, &more);
    });
}

/// Reads to the end and counts.
fn count(mut stream: impl Read, counter: &AtomicU64) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                counter.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}"),
        }
    }
}

/// Calls a function when it is dropped.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
