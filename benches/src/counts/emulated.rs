//! Counts on an emulated 32-bit Raspberry Pi: the instructions that it executes. How long a real one
//! takes for them is not known here.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustls::CipherSuite;

use super::bounds::Counts;
use super::load::{SESSIONS, SIZE, WARM_UP};
use crate::clients::{Dialler, Handshake, Session, exchange};
use crate::identity::Identity;
use crate::servers::{self, Kind, Programs, Server, Transport};
use crate::subject::Subject;
use crate::{Result, heap};

const TARGET: &str = "armv7-unknown-linux-gnueabihf";

/// The processor of a Raspberry Pi 2. Like every Pi before the 5, it has no instructions for AES.
const PROCESSOR: &str = "cortex-a7";

/// The counts, by the names of their tables of bounds.
pub(super) fn counts(root: &Path, identity: &Identity) -> Result<Vec<(&'static str, Counts)>> {
    let programs = Programs {
        product: root.join("target").join(TARGET).join("release"),
        peers: PathBuf::new(),
    };
    let plugin = root.join("benches/target/instructions.so").canonicalize()?;
    let start = |kind: Kind, handshake| {
        Emulated::start(Subject { kind, programs: &programs, identity }, &plugin, handshake)
    };
    let has_sessions = |kind: &Kind| kind.transport != Transport::Udp;
    let daemons = || servers::ALL.into_iter().filter(|kind| kind.is_daemon()).filter(has_sessions);
    let mut tables = Vec::new();
    for kind in daemons() {
        let mut counts = Vec::new();
        for (name, sessions) in
            [("instructions-a-message", SESSIONS), ("instructions-a-message-alone", 1)]
        {
            let rounds = 5000 / sessions;
            let mut server = start(kind, Handshake::Full)?;
            counts.push((name, server.count(sessions, rounds, SIZE)? / (rounds * sessions) as f64));
        }
        tables
            .push((if kind.transport == Transport::Tls { "arm-tls" } else { "arm-plain" }, counts));
    }
    let mut ciphers = Vec::new();
    if let Some(tls) = daemons().find(|kind| kind.transport == Transport::Tls) {
        for (name, suite) in [
            ("chacha20-poly1305-instructions-a-byte", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
            ("aes-128-gcm-instructions-a-byte", CipherSuite::TLS13_AES_128_GCM_SHA256),
        ] {
            const RECORD: usize = 16 * 1024;
            const ROUNDS: usize = 50;
            let mut server = start(tls, Handshake::Only(suite))?;
            ciphers.push((name, server.count(1, ROUNDS, RECORD)? / (ROUNDS * RECORD) as f64));
        }
    }
    tables.push(("arm-ciphers", ciphers));
    let mut sizes = Vec::new();
    for name in ["echo-alex", "echo-alex-client", "echo-alex-certs"] {
        sizes.push((name, fs::metadata(programs.product.join(name))?.len() as f64));
    }
    tables.push(("arm-bytes", sizes));
    Ok(tables)
}

/// A daemon under the emulator.
struct Emulated {
    _server: Server,
    dialler: Dialler,
    /// The file in which the plugin counts.
    counter: tempfile::NamedTempFile,
}

impl Emulated {
    fn start(subject: Subject, plugin: &Path, handshake: Handshake) -> Result<Self> {
        let counter = tempfile::NamedTempFile::new()?;
        let option = format!("file={},count={}", plugin.display(), counter.path().display());
        // Without these, the daemon would start itself again, and the plugin would lose it.
        let tunables = format!("{}={}", heap::VARIABLE, heap::TUNABLES);
        let emulator = ["qemu-arm", "-L", "/usr/arm-linux-gnueabihf", "-cpu", PROCESSOR];
        let options = ["-E", &tunables, "-plugin", &option];
        let emulator: Vec<_> = emulator.into_iter().chain(options).map(str::to_owned).collect();
        let (server, dialler) = subject.start(&emulator, handshake)?;
        Ok(Self { _server: server, dialler, counter })
    }

    /// The instructions for so many rounds of messages, without those for connecting.
    fn count(&mut self, sessions: usize, rounds: usize, size: usize) -> Result<f64> {
        let mut sessions = self.dialler.sessions(sessions)?;
        exchange(&mut sessions, WARM_UP, size)?;
        let before = self.executed()?;
        exchange(&mut sessions, rounds, size)?;
        let executed = self.executed()? - before;
        sessions.into_iter().try_for_each(Session::close)?;
        Ok(executed as f64)
    }

    /// All instructions so far.
    fn executed(&self) -> Result<u64> {
        // The last echo arrives before the iteration of the event loop that sent it is over.
        thread::sleep(Duration::from_millis(50));
        let bytes = fs::read(self.counter.path())?;
        Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| "the emulator did not count")?))
    }
}
