//! The machine: which core a process runs on, and what it has used.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{
    Pid, Resource, Signal, getpriority_process, getrlimit, kill_process, setpriority_process,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this program may use, from before it is pinned to one of them.
static CORES: OnceLock<Vec<usize>> = OnceLock::new();

/// The server's core and the load's, once the machine is split.
fn halves() -> Option<(usize, usize)> {
    match CORES.get()?[..] {
        [] | [_] => None,
        [first, .., last] => Some((first, last)),
    }
}

/// Splits the machine: the load (this program and its children) runs on one core, servers run on
/// another. Returns whether there are two.
pub(crate) fn split() -> io::Result<bool> {
    let allowed = sched_getaffinity(None)?;
    CORES.get_or_init(|| (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect());
    halves().map_or(Ok(false), |(_, load)| stay_on(load).map(|()| true))
}

/// Pins this thread, and what it starts from now on, to one core.
fn stay_on(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Does `work` with a higher priority than the load on the same core, so that it waits for the server alone.
/// That takes the right to raise a priority (root); without it, the load delays the work too.
pub(crate) fn ahead_of_the_load<T>(work: impl FnOnce() -> T) -> T {
    const HIGHEST: i32 = -20;
    let usual = getpriority_process(None).unwrap_or(0);
    let _ = setpriority_process(None, HIGHEST);
    let done = work();
    let _ = setpriority_process(None, usual);
    done
}

/// Starts `command` on the server's core.
pub(crate) fn spawn_server(command: &mut Command) -> io::Result<Child> {
    let Some((server, load)) = halves() else { return command.spawn() };
    // A child inherits the core of the thread that starts it.
    stay_on(server)?;
    let child = command.spawn();
    stay_on(load)?;
    child
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
}

/// Finds a process and its descendants.
fn family(pid: u32, found: &mut Vec<u32>) {
    found.push(pid);
    // Only the children of the first thread: no server here forks from another thread.
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for child in children.unwrap_or_default().split_ascii_whitespace() {
        if let Ok(child) = child.parse() {
            family(child, found);
        }
    }
}

/// These processes and their descendants.
fn families(pids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut found = Vec::new();
    for pid in pids {
        family(pid, &mut found);
    }
    found
}

/// The processor time of processes and their descendants, in user space and in the kernel, with that
/// of children that have ended.
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

/// The resident anonymous memory of processes and their descendants, in bytes.
pub(crate) fn memory(pids: impl Iterator<Item = u32>) -> u64 {
    families(pids).into_iter().filter_map(anonymous).sum()
}

fn anonymous(pid: u32) -> Option<u64> {
    // Exact, while /proc/PID/status may lag behind.
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The machine in words, for the report: figures of different machines cannot be compared.
pub(crate) fn description() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let number = CORES.get().map_or(0, Vec::len);
    format!("{model}, {number} cores, Linux {}", kernel.trim())
}

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
