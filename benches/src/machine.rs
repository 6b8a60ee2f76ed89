//! Where things run, and what they have used, as the kernel tells it.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What [`cores`] said at first: once a thread stays on a core, it knows of no other.
static CORES: OnceLock<Option<(usize, usize)>> = OnceLock::new();

/// A core for the server and another one for the load; `None` where there is only one.
fn cores() -> Option<(usize, usize)> {
    let allowed = sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    match cores[..] {
        [] | [_] => None,
        [first, .., last] => Some((first, last)),
    }
}

/// Keeps this thread, and what it starts from now on, on one core.
fn stay_on(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Starts `command` on the server's core.
pub(crate) fn spawn_server(command: &mut Command) -> io::Result<Child> {
    let cores = CORES.get().copied().flatten();
    // A child inherits the core of the thread that starts it.
    if let Some((server, _)) = cores {
        stay_on(server)?;
    }
    let child = command.spawn();
    if let Some((_, load)) = cores {
        stay_on(load)?;
    }
    child
}

/// Splits the machine: the load, which is this program and its children, on one core, and servers
/// on another.
pub(crate) fn split() -> io::Result<Option<(usize, usize)>> {
    let cores = *CORES.get_or_init(cores);
    if let Some((_, load)) = cores {
        stay_on(load)?;
    }
    Ok(cores)
}

/// Asks a process to end.
pub(crate) fn terminate(child: &Child) {
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
}

/// A process and all that come from it.
fn family(pid: u32, found: &mut Vec<u32>) {
    found.push(pid);
    // Of the first thread alone: no server here forks from another one.
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for child in children.unwrap_or_default().split_ascii_whitespace() {
        if let Ok(child) = child.parse() {
            family(child, found);
        }
    }
}

/// The processes that come from these, and they themselves.
fn families(pids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut found = Vec::new();
    for pid in pids {
        family(pid, &mut found);
    }
    found
}

/// The processor time of processes, of the kernel's work for them, and of their children that have
/// ended.
pub(crate) fn processor_time(pids: impl Iterator<Item = u32>) -> Duration {
    let ticks: u64 = families(pids).into_iter().filter_map(ticks).sum();
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have spaces; utime, stime, cutime and cstime are 14 to 17 of proc(5).
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some(fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// The bytes of anonymous memory that are resident.
pub(crate) fn memory(pids: impl Iterator<Item = u32>) -> u64 {
    families(pids).into_iter().filter_map(anonymous).sum()
}

fn anonymous(pid: u32) -> Option<u64> {
    // Exact, where /proc/PID/status may lag behind.
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What a report has to name: figures of two machines are not the same.
pub(crate) fn description() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let number = CORES.get().copied().flatten().map_or(1, |(_, last)| last + 1);
    format!("{model}, {number} cores, Linux {}", kernel.trim())
}

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
