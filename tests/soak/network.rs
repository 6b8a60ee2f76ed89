//! A faulty network between two namespaces (wire.c): whatever it does to packets, no byte is wrong or lost, and
//! every session ends on both sides.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::peers::{End, Load, Plan};
use crate::util::network::{FAR, Faults, Network};
use crate::util::{Daemon, field, folder_with_certificates};
use crate::{Row, Soak, Watch, targets};

pub fn loses(soak: &Soak) -> Result<Row, String> {
    let faults = Faults { there: 5000, back: 5000, lose: 300, double: 300, ..Faults::default() };
    let (row, line) = under(soak, faults)?;
    assert!(count(&line, "lost") > 0 && count(&line, "duplicated") > 0, "{line}");
    Ok(row)
}

pub fn reorders(soak: &Soak) -> Result<Row, String> {
    let faults = Faults {
        there: 2000,
        back: 2000,
        extra: 10_000,
        reorder: 3000,
        lose: 50,
        double: 50,
        ..Faults::default()
    };
    let (row, line) = under(soak, faults)?;
    assert!(count(&line, "reordered") > 0, "{line}");
    Ok(row)
}

pub fn corrupts(soak: &Soak) -> Result<Row, String> {
    let faults = Faults {
        there: 3000,
        back: 3000,
        extra: 5000,
        reorder: 500,
        lose: 50,
        double: 50,
        corrupt: 300,
        ..Faults::default()
    };
    let (row, line) = under(soak, faults)?;
    assert!(count(&line, "corrupted") > 0, "{line}");
    Ok(row)
}

/// Many sessions of all kinds over such a network: the row, and the counts of faults.
fn under(soak: &Soak, faults: Faults) -> Result<(Row, String), String> {
    let program = std::env::var_os("ECHO_ALEX_WIRE").ok_or("tests/soak/run was not used")?;
    let network = Network::lay(&PathBuf::from(program), None, soak.seed, faults)?;
    // If a reset is lost, a timeout ends the session, so the timeouts are short. At this level, every session
    // has its line.
    let config = format!(
        "[log]\nlevel = \"debug\"\n[limits]\nhandshake-timeout = \"15s\"\nidle-timeout = \"15s\"\nwrite-timeout = \"20s\"\n\
         [[listener]]\nname = \"plain\"\nlisten = \"{FAR}:0\"\n\
         [[listener]]\nname = \"tls\"\nlisten = \"{FAR}:0\"\n\
         [listener.tls]\ncertificate = \"alex.crt\"\nkey = \"alex.key\"\n"
    );
    let daemon =
        Daemon::start_through(folder_with_certificates(), &config, &network.script_for_far());
    let watch = Watch::over(&daemon);
    let before = Kernel::now(&network);

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
    let kernel = Kernel::now(&network);
    let line = network.end();
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

/// Counters of the kernel on both sides, as in nstat(8).
struct Kernel {
    dropped: u64,
    sent_again: u64,
}

impl Kernel {
    fn now(network: &Network) -> Self {
        let sides = ["self".to_owned(), network.wire.id().to_string()]
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
