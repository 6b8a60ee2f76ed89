//! Counts on this machine: system calls under strace, instructions and allocations under valgrind,
//! and the memory of idle sessions.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bounds::Counts;
use super::load::{SESSIONS, SIZE, WARM_UP};
use crate::clients::{Dialler, Handshake, connect_and_close, exchange};
use crate::servers::{Server, Transport};
use crate::subject::Subject;
use crate::{Result, heap, memory};

/// All counts of one server.
pub(super) fn counts(subject: Subject) -> Result<Counts> {
    let mut counts = system_calls(subject)?;
    counts.push(("instructions-a-message", instructions(subject)?));
    if subject.kind.transport == Transport::Tls {
        for (name, handshake) in [
            ("instructions-a-full-handshake", Handshake::Full),
            ("instructions-a-hybrid-handshake", Handshake::Hybrid),
            ("instructions-a-resumed-handshake", Handshake::Resumed),
        ] {
            counts.push((name, handshake_instructions(subject, handshake)?));
        }
    }
    counts.extend(allocations(subject)?);
    let sessions = if subject.kind.transport == Transport::Tls { 2_000 } else { 5_000 };
    let (idle, _) = memory::idle(subject, sessions, Dialler::sessions)?;
    counts.push(("bytes-an-idle-session", idle));
    Ok(counts)
}

/// The counts of the daemon's web listener.
pub(super) fn web_counts(subject: Subject) -> Result<Counts> {
    const SESSIONS: usize = 2_000;

    let (idle, _) = memory::idle(subject, 10_000, Dialler::websockets)?;
    let (few, bytes) = instructions_of_metrics(subject, 0)?;
    let (many, _) = instructions_of_metrics(subject, SESSIONS)?;
    Ok(vec![
        ("bytes-an-idle-websocket", idle),
        ("instructions-a-kib-of-metrics", few * 1024.0 / bytes as f64),
        ("instructions-a-session-in-metrics", (many - few) / SESSIONS as f64),
    ])
}

/// Instructions in user space for a scrape of the metrics, with so many idle sessions, and the length of the text.
fn instructions_of_metrics(subject: Subject, sessions: usize) -> Result<(f64, usize)> {
    /// Longer than the daemon keeps a text.
    const A_WHILE: Duration = Duration::from_millis(1200);

    let (server, dialler, cost) = under_callgrind(subject, Handshake::Full)?;
    let _idle = dialler.sessions(sessions)?;
    dialler.metrics()?;
    thread::sleep(A_WHILE);
    let mut bytes = 0;
    let instructions = cost.of(&server, || {
        bytes = dialler.metrics()?.len();
        Ok(())
    })?;
    Ok((instructions, bytes))
}

/// The difference between a long and a short run, in which start and end cancel out.
fn system_calls(subject: Subject) -> Result<Counts> {
    const ROUNDS: usize = 200;

    let calls_of_a_run = |rounds| {
        calls_of_a_run(subject, |_, dialler| {
            exchange(&mut dialler.sessions(SESSIONS)?, rounds, SIZE)
        })
    };
    let short = calls_of_a_run(WARM_UP)?;
    let long = calls_of_a_run(WARM_UP + ROUNDS)?;
    let a_message =
        |names: &[&str]| (calls(&long, names) - calls(&short, names)) / (ROUNDS * SESSIONS) as f64;
    Ok(vec![
        ("system-calls-a-message", a_message(&[])),
        ("receives-a-message", a_message(&["read", "readv", "recvfrom", "recvmsg"])),
        ("sends-a-message", a_message(&["write", "writev", "sendto", "sendmsg"])),
    ])
}

/// How many system calls with these names, or with any, were made.
pub(super) fn calls(all: &BTreeMap<String, u64>, names: &[&str]) -> f64 {
    let wanted = all.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
    wanted.map(|(_, calls)| *calls).sum::<u64>() as f64
}

/// How often a server made each system call, from its start over `work` to its end.
pub(super) fn calls_of_a_run(
    subject: Subject,
    work: impl FnOnce(&Server, &Dialler) -> Result<()>,
) -> Result<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("calls");
    // -D makes the tracer a grandchild: the server is our child, and receives our SIGTERM.
    let tracer = words(&["strace", "-D", "-f", "-c", "-o", &path.to_string_lossy()]);
    let (mut server, dialler) = subject.start(&tracer, Handshake::Full)?;
    work(&server, &dialler)?;
    server.stop();
    // The tracer writes its table after the server's end.
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

/// Instructions in user space for a message.
fn instructions(subject: Subject) -> Result<f64> {
    const ROUNDS: usize = 50;

    let (server, dialler, cost) = under_callgrind(subject, Handshake::Full)?;
    let mut sessions = dialler.sessions(SESSIONS)?;
    exchange(&mut sessions, WARM_UP, SIZE)?;
    let total = cost.of(&server, || exchange(&mut sessions, ROUNDS, SIZE))?;
    Ok(total / (ROUNDS * SESSIONS) as f64)
}

/// Instructions in user space for a connection with a handshake and an echo of one byte.
fn handshake_instructions(subject: Subject, handshake: Handshake) -> Result<f64> {
    const HANDSHAKES: usize = 50;

    let (server, dialler, cost) = under_callgrind(subject, handshake)?;
    // The first connection has no session to resume.
    for _ in 0..WARM_UP {
        connect_and_close(&dialler)?;
    }
    let total = cost.of(&server, || {
        for _ in 0..HANDSHAKES {
            connect_and_close(&dialler)?;
        }
        Ok(())
    })?;
    Ok(total / HANDSHAKES as f64)
}

/// What callgrind writes about a server.
pub(super) struct Cost {
    /// Removed with this value.
    _folder: tempfile::TempDir,
    path: PathBuf,
}

pub(super) fn under_callgrind(
    subject: Subject,
    handshake: Handshake,
) -> Result<(Server, Dialler, Cost)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cost");
    let output = format!("--callgrind-out-file={}", path.display());
    let tracer = valgrind(subject, &["--tool=callgrind", &output]);
    let (server, dialler) = subject.start(&tracer, handshake)?;
    Ok((server, dialler, Cost { _folder: folder, path }))
}

impl Cost {
    /// The instructions that the server executes for `work`, the first of its kind.
    pub(super) fn of(&self, server: &Server, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        // A dump sets the counter to 0, so the second one has the work between the two alone.
        dump(server.pid())?;
        work()?;
        dump(server.pid())?;
        let cost = fs::read_to_string(self.path.with_extension("2"))?;
        let total = cost.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(total.ok_or("callgrind wrote no total")?.trim().parse()?)
    }
}

fn dump(pid: u32) -> Result<()> {
    let mut command = Command::new("callgrind_control");
    command.arg("--dump").arg(pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err("callgrind_control failed".into()) }
}

/// The differences between many and few messages, and between many and few sessions.
fn allocations(subject: Subject) -> Result<Counts> {
    let base = allocations_of_a_run(subject, 10, 10)?;
    let more_messages = allocations_of_a_run(subject, 10, 110)?;
    let more_sessions = allocations_of_a_run(subject, 60, 10)?;
    let a_message = (more_messages - base) / 1000.0;
    let a_session = (more_sessions - base - a_message * 500.0) / 50.0;
    Ok(vec![("allocations-a-message", a_message), ("allocations-a-session", a_session)])
}

/// How often a server allocated memory, from its start to its end.
fn allocations_of_a_run(subject: Subject, sessions: usize, rounds: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let log = format!("--log-file={}", path.display());
    let options = ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no", &log];
    let tracer = valgrind(subject, &options);
    let (mut server, dialler) = subject.start(&tracer, Handshake::Full)?;
    let mut sessions = dialler.sessions(sessions)?;
    exchange(&mut sessions, rounds, SIZE)?;
    server.stop();
    let log = fs::read_to_string(path)?;
    let total = log.lines().find_map(|line| line.split_once("total heap usage: "));
    let (number, _) = total.and_then(|(_, rest)| rest.split_once(' ')).ok_or("no heap usage")?;
    Ok(number.replace(',', "").parse()?)
}

/// valgrind for a server. It would lose the daemon when that starts itself again, so the daemon has its
/// tunables from the first start on.
fn valgrind(subject: Subject, options: &[&str]) -> Vec<String> {
    let tunables = format!("{}={}", heap::VARIABLE, heap::TUNABLES);
    let environment = ["env", &tunables];
    let environment = if subject.kind.is_daemon() { &environment[..] } else { &[] };
    words(&[environment, &["valgrind"], options].concat())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
