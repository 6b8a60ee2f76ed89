//! A faulty network between two namespaces (wire.c): whatever it does to packets, no byte is wrong or lost, and
//! every session ends on both sides.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::peers::{End, Load, Plan};
use crate::util::{Daemon, field, folder_with_certificates, outcome, wait};
use crate::{Row, Soak, Watch, targets};

/// Addresses for documentation (RFC 5737).
const NEAR: &str = "192.0.2.1";
const FAR: &str = "192.0.2.2";

/// The faults of a network: times in µs, and numbers of packets in 10,000.
struct Faults {
    delay: u32,
    extra: u32,
    reorder: u32,
    lose: u32,
    double: u32,
    corrupt: u32,
}

pub fn loses(soak: &Soak) -> Result<Row, String> {
    let network = Faults { delay: 5000, extra: 0, reorder: 0, lose: 300, double: 300, corrupt: 0 };
    let (row, line) = under(soak, &network)?;
    assert!(count(&line, "lost") > 0 && count(&line, "duplicated") > 0, "{line}");
    Ok(row)
}

pub fn reorders(soak: &Soak) -> Result<Row, String> {
    let network =
        Faults { delay: 2000, extra: 10_000, reorder: 3000, lose: 50, double: 50, corrupt: 0 };
    let (row, line) = under(soak, &network)?;
    assert!(count(&line, "reordered") > 0, "{line}");
    Ok(row)
}

pub fn corrupts(soak: &Soak) -> Result<Row, String> {
    let network =
        Faults { delay: 3000, extra: 5000, reorder: 500, lose: 50, double: 50, corrupt: 300 };
    let (row, line) = under(soak, &network)?;
    assert!(count(&line, "corrupted") > 0, "{line}");
    Ok(row)
}

/// Many sessions of all kinds over such a network: the row, and the counts of faults.
fn under(soak: &Soak, network: &Faults) -> Result<(Row, String), String> {
    let wire = Wire::lay(soak.seed, network)?;
    // If a reset is lost, a timeout ends the session, so the timeouts are short. At this level, every session
    // has its line.
    let config = format!(
        "[log]\nlevel = \"debug\"\n[limits]\nhandshake-timeout = \"15s\"\nidle-timeout = \"15s\"\nwrite-timeout = \"20s\"\n\
         [[listener]]\nname = \"plain\"\nlisten = \"{FAR}:0\"\n\
         [[listener]]\nname = \"tls\"\nlisten = \"{FAR}:0\"\n\
         [listener.tls]\ncertificate = \"alex.crt\"\nkey = \"alex.key\"\n"
    );
    let enter = format!("exec nsenter --net=/proc/{}/ns/net \"$@\"", wire.child.id());
    let daemon = Daemon::start_through(folder_with_certificates(), &config, &enter);
    let watch = Watch::over(&daemon);
    let before = Kernel::now(&wire);

    let done = Arc::new(Mutex::new(Vec::new()));
    let note = {
        let done = done.clone();
        move |plan: &Plan, outcome: &crate::peers::Outcome| {
            if plan.end == End::Done {
                done.lock().unwrap().push((outcome.peer, plan.length));
            }
        }
    };
    let crowd = targets(&daemon).into_iter().cycle().take(64);
    let load = Load::start(crowd, soak.seed, |dice| Plan::any_end(dice, 1 << 20), note);
    std::thread::sleep(soak.seconds(45));
    let totals = load.stop();
    totals.assert_well();
    let row = Row::of(&totals, String::new());
    let sessions = row.sessions;
    // Each session has another line for its beginning.
    let row = Row { sessions, ..watch.end(&daemon, Row { sessions: 2 * sessions, ..row }) };

    let log = daemon.seen();
    let ends: HashSet<[&str; 4]> = log
        .iter()
        .filter(|line| line.contains(" session listener="))
        .map(|line| ["peer", "in", "out", "reason"].map(|key| field(line, key)))
        .collect();
    let done = done.lock().unwrap();
    for (peer, length) in done.iter() {
        let (peer, length) = (peer.unwrap().to_string(), length.to_string());
        let end = [peer.as_str(), &length, &length, "peer-done"];
        assert!(ends.contains(&end), "the log does not agree that a session was complete: {end:?}");
    }
    let kernel = Kernel::now(&wire);
    let line = wire.end();
    let (dropped, again) = (kernel.dropped - before.dropped, kernel.sent_again - before.sent_again);
    // The kernel checks the length of the TCP header before the checksum, so it does not count all of them.
    let corrupted = count(&line, "corrupted");
    assert!(dropped >= corrupted * 9 / 10, "{dropped} of {corrupted} corrupted packets dropped");
    let mut faults =
        format!("{} complete sessions; {} packets", done.len(), count(&line, "packets"));
    let counts =
        ["lost", "duplicated", "reordered", "corrupted"].map(|what| (what, count(&line, what)));
    let kernel = [("dropped by the kernel as damaged", dropped), ("retransmitted", again)];
    for (what, many) in counts.into_iter().chain(kernel).filter(|(_, many)| *many > 0) {
        write!(faults, ", {many} {what}").unwrap();
    }
    Ok((Row { faults, ..row }, line))
}

fn count(line: &str, key: &str) -> u64 {
    field(line, key).parse().unwrap()
}

/// A network by tests/soak/wire.c, with the far end in a namespace of its own.
struct Wire {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Wire {
    fn lay(seed: u64, network: &Faults) -> Result<Self, String> {
        let Faults { delay, extra, reorder, lose, double, corrupt } = *network;
        let program = std::env::var_os("ECHO_ALEX_WIRE").ok_or("tests/soak/run was not used")?;
        let mut child = Command::new(program)
            .arg(seed.to_string())
            .args([delay, extra, reorder, lose, double, corrupt].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut wire = Self { output: BufReader::new(child.stdout.take().unwrap()), child };
        if wire.line() != "ready\n" {
            return Err("/dev/net/tun is not available".into());
        }
        wire.ip(false, &["address", "add", NEAR, "peer", FAR, "dev", "near"]);
        wire.ip(true, &["address", "add", FAR, "peer", NEAR, "dev", "far"]);
        wire.ip(false, &["link", "set", "near", "up"]);
        wire.ip(true, &["link", "set", "far", "up"]);
        Ok(wire)
    }

    fn ip(&self, far: bool, arguments: &[&str]) {
        let net = format!("--net=/proc/{}/ns/net", self.child.id());
        let mut command = Command::new(if far { "nsenter" } else { "ip" });
        if far {
            command.args([&net, "ip"]);
        }
        outcome(command.args(arguments));
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Removes it: the counts of faults.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let line = self.line();
        assert!(wait(&mut self.child).success());
        format!(" {}", line.trim_end())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counters of the kernel on both sides, as in nstat(8).
struct Kernel {
    dropped: u64,
    sent_again: u64,
}

impl Kernel {
    fn now(wire: &Wire) -> Self {
        let sides = ["self".to_owned(), wire.child.id().to_string()]
            .map(|process| fs::read_to_string(format!("/proc/{process}/net/snmp")).unwrap());
        let sum = |protocol, name| sides.iter().map(|text| snmp(text, protocol, name)).sum::<u64>();
        Self {
            dropped: sum("Ip: ", "InHdrErrors") + sum("Tcp: ", "InCsumErrors"),
            sent_again: sum("Tcp: ", "RetransSegs"),
        }
    }
}

/// A counter in /proc/net/snmp, which has a line of names and a line of numbers.
fn snmp(text: &str, protocol: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let place = names.split(' ').position(|word| word == name).unwrap();
    numbers.split(' ').nth(place).unwrap().parse().unwrap()
}
