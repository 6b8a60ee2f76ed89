//! Minutes of abuse and faults for the daemon. `tests/soak/run` builds and starts this program in network and
//! mount namespaces. docs/soak.md describes it and has the figures of a run.
//!
//! A part fails if it panics. Its result is a row of a table.
#![allow(missing_docs, unreachable_pub, clippy::missing_panics_doc)] // It is not a library.
#![allow(clippy::unnecessary_wraps)] // All parts have the same type.

#[path = "../util/mod.rs"]
mod util;

mod faults;
mod network;
mod peers;
mod rounds;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peers::{Target, Totals};
use util::{Daemon, TlsClient};

/// The options of a run.
pub struct Soak {
    pub seed: u64,
    pub quick: bool,
}

impl Soak {
    /// The number `full`, or a tenth of it in a quick run.
    pub fn count(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }

    /// The time `full`, or a sixth of it in a quick run.
    pub fn seconds(&self, full: u64) -> Duration {
        Duration::from_millis(if self.quick { full * 1000 / 6 } else { full * 1000 })
    }

    pub fn rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }
}

/// The result of a part.
#[derive(Default)]
pub struct Row {
    pub sessions: u64,
    pub bytes: u64,
    /// Echoed bytes that were wrong, and bytes that should have been echoed and were not.
    pub wrong: u64,
    pub lost: u64,
    /// What was done to the daemon.
    pub faults: String,
    pub descriptors: (usize, usize),
    /// `RssAnon` in KiB: before, and after each repetition or at the end.
    pub memory: Vec<usize>,
    pub most_memory: usize,
}

impl Row {
    pub fn of(totals: &Totals, faults: String) -> Self {
        let Totals { sessions, received, wrong, lost, .. } = totals;
        let [sessions, bytes, wrong, lost] = [sessions, received, wrong, lost].map(Totals::get);
        Self { sessions, bytes, wrong, lost, faults, ..Self::default() }
    }

    fn render(&self, name: &str) -> String {
        let Self { sessions, bytes, faults, descriptors: (before, after), memory, .. } = self;
        let mega = mega(*bytes);
        let row = format!("| {name} | {sessions} | {mega:.1} | {faults}");
        // If every daemon has ended, there is nothing to compare.
        let Some(most) = memory.iter().max() else { return format!("{row} | - | - |") };
        let most = most.max(&self.most_memory);
        let memory = memory.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{row} | {before}, {after} | {memory}; {most} |")
    }
}

/// Records the resources of a daemon before and after a part, and the peak of its memory.
pub struct Watch {
    before: util::State,
    memory: usize,
    most: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn over(daemon: &Daemon) -> Self {
        let before = daemon.state();
        let memory = memory(daemon);
        let (most, enough) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let status = format!("/proc/{}/status", daemon.pid());
        let thread = std::thread::spawn({
            let (most, enough) = (most.clone(), enough.clone());
            move || {
                while !enough.load(Ordering::Relaxed) {
                    if let Some(kib) =
                        std::fs::read_to_string(&status).ok().as_deref().and_then(rss_anon)
                    {
                        most.fetch_max(kib, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self { before, memory, most, enough, thread: Some(thread) }
    }

    /// The peak of the memory so far minus that at the beginning, in KiB.
    pub fn growth(&self) -> usize {
        self.most.load(Ordering::Relaxed).saturating_sub(self.memory)
    }

    /// Asserts that the daemon is unharmed, and completes the row.
    pub fn end(mut self, daemon: &Daemon, row: Row) -> Row {
        let sessions = usize::try_from(row.sessions).unwrap();
        daemon.assert_unharmed_since(&self.before, sessions);
        self.stop();
        Row {
            descriptors: (self.before.descriptors, daemon.descriptors()),
            memory: vec![self.memory, memory(daemon)],
            most_memory: self.most.load(Ordering::Relaxed),
            ..row
        }
    }

    fn stop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

fn rss_anon(status: &str) -> Option<usize> {
    status.split_once("RssAnon:")?.1.split_whitespace().next()?.parse().ok()
}

pub fn memory(daemon: &Daemon) -> usize {
    daemon.status_field("RssAnon:")
}

/// The plain and the TLS listener of a daemon; TLS sessions can resume each other.
pub fn targets(daemon: &Daemon) -> [Target; 2] {
    let tls = TlsClient::default().config(daemon.folder.path());
    [
        Target { address: daemon.address("plain"), tls: None },
        Target { address: daemon.address("tls"), tls: Some(tls) },
    ]
}

/// The name of a part, and its function, which returns an error if the part has to be skipped.
type Part = (&'static str, fn(&Soak) -> Result<Row, String>);

const PARTS: [Part; 17] = [
    ("a network that loses and duplicates", network::loses),
    ("a network that reorders", network::reorders),
    ("a network that corrupts", network::corrupts),
    ("resets in mid-transfer", rounds::resets),
    ("connect and close", rounds::connect_and_close),
    ("slow handshakes", rounds::slow_handshakes),
    ("senders that never read", rounds::never_read),
    ("readers that stop and resume", rounds::stop_and_resume),
    ("KeyUpdate floods", rounds::key_updates),
    ("resumed sessions", rounds::resumed),
    ("no descriptor left", rounds::descriptors),
    ("the log daemon stopped, restarted, stalled", faults::log_daemon),
    ("a full disk", faults::disk_full),
    ("the clock set back and forth", faults::clock),
    ("reload after reload", faults::reloads),
    ("certificates replaced by invalid ones and back", faults::certificates),
    ("TERM at every moment", faults::term),
];

fn main() {
    let mut soak = Soak { seed: 1, quick: false };
    let mut only = String::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("an option lacks its value");
        match argument.as_str() {
            "--seed" => soak.seed = value().parse().expect("--seed takes a number"),
            "--only" => only = value(),
            "--quick" => soak.quick = true,
            other => panic!("unknown option {other}"),
        }
    }
    println!("seed {}{}", soak.seed, if soak.quick { ", quick" } else { "" });

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let (mut sessions, mut bytes, mut lost, mut wrong) = (0, 0, 0, 0);
    let mut table = String::new();
    for (name, run) in PARTS.into_iter().filter(|(name, _)| name.contains(&only)) {
        println!("\n== {name}");
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| run(&soak))) {
            Ok(Ok(row)) => {
                passed += 1;
                sessions += row.sessions;
                bytes += row.bytes;
                lost += row.lost;
                wrong += row.wrong;
                let row = row.render(name);
                println!("{row}");
                table.extend([&row, "\n"]);
                println!("passed, {:.1} s", start.elapsed().as_secs_f64());
            }
            Ok(Err(why)) => {
                skipped += 1;
                println!("skipped: {why}");
            }
            Err(_) => {
                failed += 1;
                println!("failed: {name}; --seed {} --only '{name}' repeats it", soak.seed);
            }
        }
    }
    println!(
        "\n| part | sessions | MB back | faults | descriptors before, after | KiB before, after; most |"
    );
    println!("| --- | --- | --- | --- | --- | --- |\n{table}");
    let mega = mega(bytes);
    println!("{sessions} sessions, {mega:.0} MB; lost bytes: {lost}, wrong bytes: {wrong}");
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    std::process::exit(i32::from(failed > 0));
}

/// In millions.
#[allow(clippy::cast_precision_loss)]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
