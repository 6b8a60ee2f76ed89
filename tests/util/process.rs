//! The daemon as a process: descriptors, memory, processor time, and whether an attack left traces.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use super::daemon::{Daemon, field};
use super::tcp::assert_echo;
use super::tls::{TlsClient, end_tls};
use super::wait_until;

impl Daemon {
    /// How many descriptors the daemon has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The daemon's resident memory in KiB, from /proc/PID/smaps, without what is both writable and executable:
    /// only an emulator has that. It puts translated code there, and the kernel backs it with huge pages, so that
    /// one more function may show as 2 MiB.
    pub fn resident_kib(&self) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.pid())).unwrap();
        let (mut sum, mut counts) = (0, true);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("Rss:"), Some(kib)) if counts => sum += kib.parse::<usize>().unwrap(),
                // The first line of a mapping: its addresses and its permissions.
                (Some(first), Some(permissions)) if !first.ends_with(':') => {
                    counts = !permissions.starts_with("rwx");
                }
                _ => {}
            }
        }
        sum
    }

    /// A number from /proc/PID/status.
    pub fn status_field(&self, key: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The processor time that the daemon has used, in clock ticks (1/100 s), from /proc/PID/stat.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Its state while it has no sessions but those of the test.
    pub fn state(&self) -> State {
        let sessions = field(&self.statistics(), "sessions").to_owned();
        let seen = self.seen();
        let comes_with_time =
            |line: &str| line.contains(" statistics ") || line.contains(" sessions ");
        let lines = seen.iter().filter(|line| !comes_with_time(line)).count();
        State { descriptors: self.descriptors(), sessions, lines }
    }

    /// Asserts that the daemon still echoes, has as many descriptors and sessions as before, and has
    /// logged no more than a line for each of `sessions` and a few about itself.
    pub fn assert_unharmed_since(&self, before: &State, sessions: usize) {
        assert_echo(&mut self.connect("plain"), b"all is well");
        let mut tls = TlsClient::default().connect(self);
        assert_echo(&mut tls, b"all is well");
        end_tls(&mut tls);
        drop(tls);
        let all_closed = || self.descriptors() == before.descriptors;
        wait_until("as many descriptors as before", all_closed);
        let after = self.state();
        assert_eq!(after.sessions, before.sessions);
        // Two lines are for the sessions above.
        let lines = after.lines - before.lines;
        assert!(lines <= sessions + 5, "{lines} lines in the log for {sessions} sessions");
    }
}

/// What an attack must leave as it was.
pub struct State {
    pub descriptors: usize,
    sessions: String,
    /// Lines of the log, without the statistics, which the test asks for, and the sums of sessions, which
    /// come every ten seconds.
    lines: usize,
}

/// Lets the test open so many descriptors; false if the hard limit does not allow it (`ulimit -Hn`).
pub fn raise_descriptor_limit(needed: usize) -> bool {
    let needed = needed as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    current.is_none_or(|current| current >= needed)
        || setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).is_ok()
}

/// Lets the daemon open `more` descriptors and then fail. The kernel limits the numbers of descriptors,
/// and there may be free ones between those that are open.
pub fn limit_descriptors(daemon: &Daemon, more: usize) {
    daemon.wait_until_started();
    let folder = format!("/proc/{}/fd", daemon.pid());
    let open: Vec<u64> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let mut free = (0..).filter(|number| !open.contains(number));
    let limit = Rlimit { current: free.nth(more), maximum: Some(10_000) };
    prlimit(Some(Pid::from_child(&daemon.child)), Resource::Nofile, limit).unwrap();
}
