//! Fast senders have their turns and no more: they starve nobody, and each other neither.

mod util;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use util::{PATIENCE, TlsClient, assert_echo, noise, plain_and_tls};

const SENDERS: usize = 6;

const MIB: u64 = 1 << 20;

/// What the senders may have back while one message goes there and back, on average. A turn of
/// theirs is a quarter of a MiB each, or less, and a round trip takes one; the rest is for a busy machine, where the
/// test itself may have to wait for its turns.
const FLOOD_PER_ROUND_TRIP: u64 = 20 * SENDERS as u64 * (MIB / 4);

/// Waits until every sender has had so many bytes back.
fn wait_for_all(echoed: &[AtomicU64], least: &[u64]) {
    let end = Instant::now() + PATIENCE;
    while echoed.iter().zip(least).any(|(now, least)| now.load(Ordering::Relaxed) < *least) {
        assert!(Instant::now() < end, "a sender starves: {echoed:?}, wanted {least:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn floods_leave_their_turns_to_a_ping_pong_and_to_each_other() {
    let daemon = plain_and_tls();
    let address = daemon.address("plain");
    let over = AtomicBool::new(false);
    let echoed: [AtomicU64; SENDERS] = Default::default();
    thread::scope(|scope| {
        // Also where an assertion fails: the scope waits for its threads.
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
            // The first few are too few for an average.
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

/// Does something when it goes out of scope.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
