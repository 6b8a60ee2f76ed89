//! What a 32-bit Raspberry Pi executes: the instructions of an emulated one. How long it takes for
//! them is another matter, which only a real one tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustls::CipherSuite;

use crate::Result;
use crate::clients::{self, Dialler, Handshake, Session};
use crate::counts::{Counts, SESSIONS, SIZE, WARM_UP};
use crate::identity::Identity;
use crate::servers::{self, Kind, Programs};

const TARGET: &str = "armv7-unknown-linux-gnueabihf";
/// That of a Raspberry Pi 2: no instructions for AES, as on every Pi before the 5.
const PROCESSOR: &str = "cortex-a7";

/// Tables of counts by the names of their bounds.
pub(crate) fn counts(root: &Path, identity: &Identity) -> Result<Vec<(&'static str, Counts)>> {
    let programs = Programs {
        product: root.join("target").join(TARGET).join("release"),
        peers: PathBuf::new(),
    };
    let plugin = root.join("benches/target/instructions.so").canonicalize()?;
    let count =
        |kind: Kind, handshake| Emulated::start(&programs, &plugin, kind, identity, handshake);
    let daemons = || servers::ALL.into_iter().filter(|kind| kind.is_daemon());
    let mut tables = Vec::new();
    for kind in daemons() {
        let mut counts = Vec::new();
        for (name, sessions) in
            [("instructions-a-message", SESSIONS), ("instructions-a-message-alone", 1)]
        {
            let rounds = 5000 / sessions;
            let mut server = count(kind, Handshake::Full)?;
            counts.push((name, server.count(sessions, rounds, SIZE)? / (rounds * sessions) as f64));
        }
        tables.push((if kind.tls { "arm-tls" } else { "arm-plain" }, counts));
    }
    let mut ciphers = Vec::new();
    if let Some(tls) = daemons().find(|kind| kind.tls) {
        for (name, suite) in [
            ("chacha20-poly1305-instructions-a-byte", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
            ("aes-128-gcm-instructions-a-byte", CipherSuite::TLS13_AES_128_GCM_SHA256),
        ] {
            const RECORD: usize = 16 * 1024;
            const ROUNDS: usize = 50;
            let mut server = count(tls, Handshake::Only(suite))?;
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
    _server: servers::Server,
    dialler: Dialler,
    /// Where the plugin counts.
    counter: tempfile::NamedTempFile,
}

impl Emulated {
    fn start(
        programs: &Programs,
        plugin: &Path,
        kind: Kind,
        identity: &Identity,
        handshake: Handshake,
    ) -> Result<Self> {
        let counter = tempfile::NamedTempFile::new()?;
        let option = format!("file={},count={}", plugin.display(), counter.path().display());
        let emulator = ["qemu-arm", "-L", "/usr/arm-linux-gnueabihf", "-cpu", PROCESSOR, "-plugin"];
        let mut emulator = emulator.map(str::to_owned).to_vec();
        emulator.push(option);
        let server = kind.start(programs, Some(identity), &emulator)?;
        let dialler = Dialler::new(server.port, Some(identity).filter(|_| kind.tls), handshake)?;
        Ok(Self { _server: server, dialler, counter })
    }

    /// The instructions of so many rounds of messages, when all are connected.
    fn count(&mut self, sessions: usize, rounds: usize, size: usize) -> Result<f64> {
        let mut sessions = self.dialler.sessions(sessions)?;
        clients::exchange(&mut sessions, WARM_UP, size)?;
        let before = self.executed()?;
        clients::exchange(&mut sessions, rounds, size)?;
        let executed = self.executed()? - before;
        sessions.into_iter().try_for_each(Session::close)?;
        Ok(executed as f64)
    }

    /// All instructions so far.
    fn executed(&self) -> Result<u64> {
        // The last echo is here before the turn that sent it is over.
        thread::sleep(Duration::from_millis(50));
        let bytes = fs::read(self.counter.path())?;
        Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| "the emulator did not count")?))
    }
}
