//! Thousands of attacks, repeated on the same daemon. After each repetition the daemon echoes, has as many
//! descriptors as before and has logged at most a line for each session. After the last one, it uses no more
//! memory than the peak of the first ones.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::peers::{Dice, End, Plan, Target, Totals, play};
use crate::util::{
    Daemon, PLAIN, TLS, TlsClient, assert_echo, established, field, flight,
    folder_with_certificates, limit_descriptors, new_connection, noise, rest, wait_until,
};
use crate::{Row, Soak, Watch, memory, targets};

/// The memory after the last repetition may exceed the peak of the first ones by this, in KiB, because the
/// number of simultaneous sessions is random.
const SLACK: usize = 512;

const LIMITS: &str = "
[limits]
max-sessions = 3000
max-sessions-per-address = 3000
handshake-timeout = \"2s\"
write-timeout = \"3s\"
";

fn daemon() -> Daemon {
    Daemon::start_in(folder_with_certificates(), &format!("{LIMITS}{PLAIN}{TLS}"), |_| {})
}

/// Repeats `attack`, which returns the numbers of its sessions and bytes.
fn rounds(
    soak: &Soak,
    daemon: &Daemon,
    faults: &str,
    mut attack: impl FnMut(u64) -> (u64, u64),
) -> Row {
    // The heap may stay at its peak; a leak grows beyond it.
    let mut needed = 0;
    let mut all = Row { faults: faults.to_owned(), ..Row::default() };
    for round in 0..soak.rounds() {
        let watch = Watch::over(daemon);
        let (sessions, bytes) = attack(soak.seed.wrapping_add(1000 * round as u64));
        let row = watch.end(daemon, Row { sessions, bytes, ..Row::default() });
        all.sessions += sessions;
        all.bytes += bytes;
        if round == 0 {
            (all.descriptors, all.memory) = (row.descriptors, row.memory);
        } else {
            all.descriptors.1 = row.descriptors.1;
            all.memory.push(memory(daemon));
        }
        all.most_memory = all.most_memory.max(row.most_memory);
        if round <= soak.rounds() / 2 {
            needed = all.most_memory;
        }
    }
    let last = *all.memory.last().unwrap();
    assert!(
        last <= needed + SLACK,
        "the memory grows with each repetition, in KiB: {:?}",
        all.memory
    );
    all
}

/// So many sessions with plans from `plan`, in several threads.
fn crowd(
    targets: &[Target],
    count: usize,
    threads: usize,
    seed: u64,
    plan: impl Fn(&mut Dice) -> Plan + Sync,
) -> Totals {
    let (next, totals) = (AtomicUsize::new(0), Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let plan = plan(&mut Dice::new(seed.wrapping_add(number as u64)));
                    totals.add(&plan, &play(&targets[number % targets.len()], &plan));
                }
            });
        }
    });
    assert_eq!(Totals::get(&totals.wrong), 0, "wrong bytes");
    totals
}

/// Asserts that the attack worked: so many sessions ended for this reason.
fn assert_ended(daemon: &Daemon, reason: &str, sessions: usize) {
    assert_eq!(field(&daemon.statistics(), reason), sessions.to_string());
}

fn figures(totals: &Totals) -> (u64, u64) {
    (Totals::get(&totals.sessions), Totals::get(&totals.received))
}

pub fn resets(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let targets = targets(&daemon);
    let count = soak.count(1000);
    Ok(rounds(soak, &daemon, &format!("{count} resets each"), |seed| {
        let totals = crowd(&targets, count, 8, seed, |dice| {
            let plan = Plan::whole(1 << 20, dice.next());
            Plan { end: End::Reset(1 + dice.below(plan.length)), ..plan }
        });
        figures(&totals)
    }))
}

pub fn connect_and_close(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let addresses = targets(&daemon).map(|target| target.address);
    let count = soak.count(10_000);
    Ok(rounds(soak, &daemon, &format!("{count} each"), |_| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in 0..count / 2 {
                        drop(TcpStream::connect(addresses[number % 2]).unwrap());
                    }
                });
            }
        });
        (count as u64, 0)
    }))
}

pub fn slow_handshakes(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let count = soak.count(1000);
    let hello = flight(&mut new_connection(&daemon));
    let faults = format!("{count} at once, silent after 1 to {} bytes", hello.len() - 1);
    let row = rounds(soak, &daemon, &faults, |seed| {
        let mut dice = Dice::new(seed);
        let mut slow: Vec<TcpStream> = (0..count).map(|_| daemon.connect("tls")).collect();
        for stream in &mut slow {
            let cut = 1 + dice.below(hello.len() - 1);
            stream.write_all(&hello[..cut]).unwrap();
        }
        established(&daemon, &TlsClient::default());
        for mut stream in slow {
            assert_eq!(rest(&mut stream), b"");
        }
        (count as u64 + 1, 0)
    });
    assert_ended(&daemon, "handshake-timeout", soak.rounds() * count);
    Ok(row)
}

pub fn never_read(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let targets = targets(&daemon);
    let count = soak.count(100);
    let mut growth = 0;
    let mut row = rounds(soak, &daemon, "", |seed| {
        let watch = Watch::over(&daemon);
        let totals = crowd(&targets, count, count, seed, |dice| Plan {
            stops: vec![0],
            end: End::Stay,
            ..Plan::whole(24 << 20, dice.next())
        });
        growth = growth.max(watch.growth());
        // The bounds in docs/design.md: 32 KiB plain, 150 KiB with TLS; and the session itself.
        let bound = count / 2 * (33 + 150) + 1024;
        assert!(growth < bound, "{growth} KiB more for {count} stuck sessions, more than {bound}");
        figures(&totals)
    });
    assert_ended(&daemon, "write-timeout", soak.rounds() * count);
    row.faults = format!(
        "{count} at once, stalled in both directions until write-timeout; {growth} KiB for all"
    );
    Ok(row)
}

pub fn stop_and_resume(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let targets = targets(&daemon);
    let count = soak.count(60);
    Ok(rounds(soak, &daemon, &format!("{count} at once, 3 stops each"), |seed| {
        let totals = crowd(&targets, count, count, seed, |dice| {
            let length = (8 << 20) + dice.below(8 << 20);
            let mut stops: Vec<usize> = (0..3).map(|_| dice.below(length / 2)).collect();
            stops.sort_unstable();
            Plan { stops, ..Plan::whole(length, dice.next()) }
        });
        totals.assert_well();
        figures(&totals)
    }))
}

pub fn key_updates(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let targets = targets(&daemon);
    let (storms, talks, updates) = (soak.count(100), soak.count(20), soak.count(5000));
    let faults = format!(
        "{talks} sessions with {updates} updates each, {storms} floods of 1,000 without data"
    );
    Ok(rounds(soak, &daemon, &faults, |seed| {
        let totals = crowd(&targets[1..], talks, 4, seed, |dice| Plan {
            piece: 100,
            new_keys: true,
            ..Plan::whole(100 * updates, dice.next())
        });
        totals.assert_well();
        for _ in 0..storms {
            let mut storm = established(&daemon, &TlsClient::default());
            for _ in 0..1000 {
                storm.conn.refresh_traffic_keys().unwrap();
            }
            // The session may be reset before all is written.
            let _ = storm.sock.write_all(&flight(&mut storm.conn));
            let _ = storm.sock.shutdown(Shutdown::Write);
            rest(&mut storm.sock);
        }
        let (sessions, bytes) = figures(&totals);
        (sessions + storms as u64, bytes)
    }))
}

pub fn resumed(soak: &Soak) -> Result<Row, String> {
    let daemon = daemon();
    let targets = targets(&daemon);
    let count = soak.count(2000);
    let (mut all, mut resumed) = (0, 0);
    let mut row = rounds(soak, &daemon, "", |seed| {
        let totals = Totals::default();
        for number in 0..count {
            let plan = Plan::whole(1000, seed.wrapping_add(number as u64));
            let outcome = play(&targets[1], &plan);
            totals.add(&plan, &outcome);
            resumed += usize::from(outcome.resumed);
        }
        all += count;
        totals.assert_well();
        figures(&totals)
    });
    assert!(resumed * 10 >= all * 9, "{resumed} of {all} were resumed");
    row.faults = format!("{count} each, {resumed} resumed in all");
    Ok(row)
}

pub fn descriptors(soak: &Soak) -> Result<Row, String> {
    const ROOM: usize = 50;
    let daemon = daemon();
    let count = 200_usize;
    let (mut ticks, mut exhausted) = (0, Duration::ZERO);
    let mut row = rounds(soak, &daemon, "", |seed| {
        let before = daemon.descriptors();
        limit_descriptors(&daemon, ROOM);
        let mut waiting: Vec<TcpStream> = (0..count).map(|_| daemon.connect("plain")).collect();
        wait_until("no descriptor left", || daemon.descriptors() == before + ROOM);

        let watch = soak.seconds(6);
        let start = daemon.cpu_ticks();
        std::thread::sleep(watch);
        let used = daemon.cpu_ticks() - start;
        // Ten attempts a second cost almost nothing; a busy loop would use 100 ticks a second.
        let bound = watch.as_millis() / 200;
        assert!(u128::from(used) <= bound, "{used} ticks of processor time in {watch:?}");
        (ticks, exhausted) = (ticks + used, exhausted + watch);
        for stream in &mut waiting[..ROOM] {
            assert_echo(stream, b"served");
        }

        limit_descriptors(&daemon, 5000);
        for (number, stream) in waiting.iter_mut().enumerate() {
            assert_echo(stream, &noise(1000, seed.wrapping_add(number as u64)));
        }
        (count as u64, 1000 * count as u64)
    });
    row.faults = format!(
        "{count} at once where {ROOM} fit; {} ms of processor time in {exhausted:?} without a descriptor",
        10 * ticks
    );
    Ok(row)
}
