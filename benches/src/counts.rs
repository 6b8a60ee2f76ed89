//! What a message and a session cost, counted and not timed: the same on a busy machine, so that it
//! can be held to a bound.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{self, Dialler, Handshake};
use crate::compare;
use crate::identity::{self, Identity};
use crate::servers::{self, Kind, Programs};
use crate::{Result, arm};

/// Sessions that are full of messages.
pub(crate) const SESSIONS: usize = 100;
/// Before anything is counted: what is made once has been made.
pub(crate) const WARM_UP: usize = 5;
/// Bytes of a message.
pub(crate) const SIZE: usize = 64;

/// Names and figures, in the order of the report.
pub(crate) type Counts = Vec<(&'static str, f64)>;

/// What to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The peers too.
    pub(crate) all: bool,
    /// On an emulated Pi.
    pub(crate) arm: bool,
}

/// The largest counts that pass: tables of `benches/bounds.toml`.
type Bounds = BTreeMap<String, BTreeMap<String, f64>>;

/// Counts, compares with the bounds, and says how many passed.
pub(crate) fn run(options: Options, programs: &Programs, root: &Path) -> Result<ExitCode> {
    let bounds: Bounds = toml::from_str(&fs::read_to_string(root.join("benches/bounds.toml"))?)?;
    let folder = tempfile::tempdir()?;
    let identity = Identity::make(folder.path(), identity::Kind::Ecdsa)?;
    // No split of the machine: nothing is timed, and both halves are slow under a tracer.
    let mut judge = Judge { bounds, passed: 0, failed: 0 };
    if options.arm {
        for (table, counts) in arm::counts(root, &identity)? {
            judge.judge(table, table, &counts);
        }
    } else {
        for kind in servers::ALL {
            if kind.is_daemon() || (options.all && !kind.is_extra()) {
                let counts = counts(programs, kind, &identity)
                    .map_err(|error| format!("{}: {error}", kind.name))?;
                let transport = if kind.tls { "tls" } else { "plain" };
                if kind.is_daemon() {
                    judge.judge(&format!("{} {transport}", kind.name), transport, &counts);
                } else {
                    show(&format!("{} {transport}", kind.name), &counts);
                }
            }
        }
    }
    println!("{} passed, {} failed", judge.passed, judge.failed);
    Ok(if judge.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Judge {
    bounds: Bounds,
    passed: usize,
    failed: usize,
}

impl Judge {
    fn judge(&mut self, title: &str, table: &str, counts: &Counts) {
        println!("{title}");
        for (name, count) in counts {
            let bound = self.bounds.get(table).and_then(|table| table.get(*name));
            let passes = bound.is_some_and(|bound| count <= bound);
            *(if passes { &mut self.passed } else { &mut self.failed }) += 1;
            let bound = bound.map_or_else(|| "no bound".to_owned(), |bound| figure(*bound));
            let verdict = if passes { "" } else { "  FAILED" };
            println!("  {name:<34} {:>12}  at most {bound:>10}{verdict}", figure(*count));
        }
    }
}

fn show(title: &str, counts: &Counts) {
    println!("{title}");
    for (name, count) in counts {
        println!("  {name:<34} {:>12}", figure(*count));
    }
}

fn figure(count: f64) -> String {
    if count < 1000.0 { format!("{count:.2}") } else { format!("{count:.0}") }
}

fn counts(programs: &Programs, kind: Kind, identity: &Identity) -> Result<Counts> {
    let mut counts = system_calls(programs, kind, identity)?;
    counts.push(("instructions-a-message", instructions(programs, kind, identity)?));
    counts.extend(allocations(programs, kind, identity)?);
    let sessions = if kind.tls { 2_000 } else { 5_000 };
    let (idle, _) = compare::idle_memory(programs, kind, identity, sessions)?;
    counts.push(("bytes-an-idle-session", idle));
    Ok(counts)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// The difference of a long and a short run: what starts and ends is in both of them.
fn system_calls(programs: &Programs, kind: Kind, identity: &Identity) -> Result<Counts> {
    const ROUNDS: usize = 200;

    let short = traced(programs, kind, identity, WARM_UP)?;
    let long = traced(programs, kind, identity, WARM_UP + ROUNDS)?;
    let a_message = |names: &[&str]| {
        let count = |calls: &BTreeMap<String, u64>| -> u64 {
            let wanted =
                calls.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
            wanted.map(|(_, calls)| calls).sum()
        };
        (count(&long) as f64 - count(&short) as f64) / (ROUNDS * SESSIONS) as f64
    };
    Ok(vec![
        ("system-calls-a-message", a_message(&[])),
        ("receives-a-message", a_message(&["read", "readv", "recvfrom", "recvmsg"])),
        ("sends-a-message", a_message(&["write", "writev", "sendto", "sendmsg"])),
    ])
}

/// How often each system call was made in a whole life of a server.
fn traced(
    programs: &Programs,
    kind: Kind,
    identity: &Identity,
    rounds: usize,
) -> Result<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("calls");
    // As a grandchild: the server is our own child, and ends when it is told to.
    let tracer = words(&["strace", "-D", "-f", "-c", "-o", &path.to_string_lossy()]);
    let mut server = kind.start(programs, Some(identity), &tracer)?;
    let dialler = Dialler::new(server.port, Some(identity).filter(|_| kind.tls), Handshake::Full)?;
    let mut sessions = dialler.sessions(SESSIONS)?;
    clients::exchange(&mut sessions, rounds, SIZE)?;
    server.stop();
    // The tracer writes after the server's end.
    let deadline = Instant::now() + Duration::from_secs(10);
    let table = loop {
        let table = fs::read_to_string(&path).unwrap_or_default();
        if table.trim_end().ends_with(" total") {
            break table;
        }
        if Instant::now() > deadline {
            return Err("strace wrote no table".into());
        }
        thread::sleep(Duration::from_millis(10));
    };
    Ok(table
        .lines()
        .filter_map(|line| {
            // % time, seconds, usecs/call, calls, errors (may be blank), system call.
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (calls, name) = (fields.get(3)?.parse().ok()?, *fields.last()?);
            (name != "total").then(|| (name.to_owned(), calls))
        })
        .collect())
}

/// What the processor executes outside of the kernel.
fn instructions(programs: &Programs, kind: Kind, identity: &Identity) -> Result<f64> {
    const ROUNDS: usize = 50;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cost");
    let output = format!("--callgrind-out-file={}", path.display());
    let tracer = words(&["valgrind", "--tool=callgrind", &output]);
    let server = kind.start(programs, Some(identity), &tracer)?;
    let dialler = Dialler::new(server.port, Some(identity).filter(|_| kind.tls), Handshake::Full)?;
    let mut sessions = dialler.sessions(SESSIONS)?;
    clients::exchange(&mut sessions, WARM_UP, SIZE)?;
    // A dump begins to count from 0 again, so the second one has the messages between, and no more.
    dump(server.pid())?;
    clients::exchange(&mut sessions, ROUNDS, SIZE)?;
    dump(server.pid())?;
    let cost = fs::read_to_string(path.with_extension("2"))?;
    let total = cost.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total.ok_or("callgrind wrote no total")?.trim().parse()?;
    Ok(total / (ROUNDS * SESSIONS) as f64)
}

fn dump(pid: u32) -> Result<()> {
    let mut command = Command::new("callgrind_control");
    command.arg("--dump").arg(pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("callgrind_control failed".into()) }
}

/// Differences again: of many and few messages, of many and few sessions.
fn allocations(programs: &Programs, kind: Kind, identity: &Identity) -> Result<Counts> {
    let base = allocated(programs, kind, identity, 10, 10)?;
    let more_messages = allocated(programs, kind, identity, 10, 110)?;
    let more_sessions = allocated(programs, kind, identity, 60, 10)?;
    let a_message = (more_messages - base) / 1000.0;
    let a_session = (more_sessions - base - a_message * 500.0) / 50.0;
    Ok(vec![("allocations-a-message", a_message), ("allocations-a-session", a_session)])
}

/// How often a server allocated in its whole life.
fn allocated(
    programs: &Programs,
    kind: Kind,
    identity: &Identity,
    sessions: usize,
    rounds: usize,
) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let log = format!("--log-file={}", path.display());
    let tracer =
        words(&["valgrind", "--tool=memcheck", "--leak-check=no", "--undef-value-errors=no", &log]);
    let mut server = kind.start(programs, Some(identity), &tracer)?;
    let dialler = Dialler::new(server.port, Some(identity).filter(|_| kind.tls), Handshake::Full)?;
    let mut sessions = dialler.sessions(sessions)?;
    clients::exchange(&mut sessions, rounds, SIZE)?;
    server.stop();
    let log = fs::read_to_string(path)?;
    let total = log.lines().find_map(|line| line.split_once("total heap usage: "));
    let (number, _) = total.and_then(|(_, rest)| rest.split_once(' ')).ok_or("no heap usage")?;
    Ok(number.replace(',', "").parse()?)
}
