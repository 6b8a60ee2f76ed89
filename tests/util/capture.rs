//! The UDP packets of a network namespace, as tcpdump(8) sees them.

use std::process::Command;

use super::{Running, tool};

/// A packet of UDP.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    pub interface: String,
    /// `In`, `Out`, `B` (broadcast) or `M` (multicast).
    pub way: String,
    /// An address and a port with a dot between them.
    pub from: String,
    pub to: String,
}

/// tcpdump at work. It is killed when this is dropped.
pub struct Capture(Running);

impl Capture {
    /// Captures on all interfaces of the namespace in which `enter` starts a program; `None`, with a word why, where
    /// that is not possible.
    pub fn start(enter: impl Fn(&str) -> Command) -> Option<Self> {
        tool("tcpdump")?;
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: tcpdump changes its user, which a user namespace does not allow");
            return None;
        }
        // The line by which it says that it captures is on standard error.
        let mut shell = enter("sh");
        shell.args(["-c", "exec tcpdump \"$@\" 2>&1", "sh", "-l", "-nn", "-t", "--immediate-mode"]);
        // Short pieces, so that many fit into its buffer.
        shell.args(["-s", "128", "-i", "any", "udp"]);
        let mut tcpdump = Running::start(shell);
        tcpdump.read_to("listening on ");
        tcpdump.read_to("\n");
        Some(Self(tcpdump))
    }

    /// Waits for the next packet.
    pub fn next(&mut self) -> Packet {
        let line = self.0.read_to("\n");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [interface, way, "IP" | "IP6", from, ">", to, ..] = words[..] else {
            panic!("tcpdump: {line}");
        };
        let [interface, way, from] = [interface, way, from].map(str::to_owned);
        Packet { interface, way, from, to: to.trim_end_matches(':').to_owned() }
    }
}
