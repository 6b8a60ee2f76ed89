//! A faulty network between two network namespaces: tests/soak/wire.c at work.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::documents::path;
use super::programs::{outcome, tool, wait};
use super::{emulated, wait_until};

/// The addresses of the two ends, which are for documentation (RFC 5737).
pub const NEAR: &str = "192.0.2.1";
pub const FAR: &str = "192.0.2.2";

/// The faults of a network: times in µs, and numbers of packets in 10,000.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// How long a packet takes to the far end, and to the near end.
    pub there: u32,
    pub back: u32,
    /// How much longer those take that are delayed.
    pub extra: u32,
    pub reorder: u32,
    pub lose: u32,
    pub double: u32,
    pub corrupt: u32,
    /// On which way: "there" or "back"; otherwise on both.
    pub only: Option<&'static str>,
}

/// A network. Its far end is in a namespace of its own, the near end in that of the test or in a new one.
pub struct Network {
    pub wire: Child,
    output: BufReader<ChildStdout>,
    near: Option<Namespace>,
}

impl Network {
    /// Compiles tests/soak/wire.c; `None` where there is no compiler.
    pub fn compile(folder: &Path) -> Option<PathBuf> {
        let program = folder.join("wire");
        let source = path("tests/soak/wire.c");
        outcome(tool("cc")?.arg("-o").args([&program, &source]));
        Some(program)
    }

    /// Lays a network from this namespace, or from `near`, to a new one.
    pub fn lay(
        program: &Path,
        near: Option<Namespace>,
        seed: u64,
        faults: Faults,
    ) -> Result<Self, String> {
        let Faults { there, back, extra, reorder, lose, double, corrupt, only } = faults;
        let mut wire = Namespace::enter(near.as_ref(), program)
            .arg(seed.to_string())
            .args([there, back, extra, reorder, lose, double, corrupt].map(|it| it.to_string()))
            .arg(only.unwrap_or("both"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(wire.stdout.take().unwrap());
        let mut network = Self { wire, output, near };
        if network.line() != "ready\n" {
            return Err("/dev/net/tun is not available".into());
        }
        outcome(network.near("ip").args(["address", "add", NEAR, "peer", FAR, "dev", "near"]));
        outcome(network.far("ip").args(["address", "add", FAR, "peer", NEAR, "dev", "far"]));
        outcome(network.near("ip").args(["link", "set", "near", "up"]));
        outcome(network.far("ip").args(["link", "set", "far", "up"]));
        Ok(network)
    }

    /// A network between two new namespaces; `None`, with a word why, where that is not possible.
    pub fn between_namespaces(folder: &Path, seed: u64, faults: Faults) -> Option<Self> {
        if emulated() {
            eprintln!("skipped: namespaces are not emulated");
            return None;
        }
        for name in ["ip", "nsenter"] {
            tool(name)?;
        }
        let program = Self::compile(folder)?;
        let network = Self::lay(&program, Some(Namespace::new()?), seed, faults);
        network.map_err(|why| eprintln!("skipped: {why}")).ok()
    }

    /// A command in the near namespace.
    pub fn near(&self, program: impl AsRef<Path>) -> Command {
        Namespace::enter(self.near.as_ref(), program.as_ref())
    }

    /// A command in the far namespace.
    pub fn far(&self, program: impl AsRef<Path>) -> Command {
        let words = self.words_for_far();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program.as_ref());
        command
    }

    /// A script that executes `"$@"` in the far namespace.
    pub fn script_for_far(&self) -> String {
        format!("exec {} \"$@\"", self.words_for_far().join(" "))
    }

    fn words_for_far(&self) -> Vec<String> {
        let has_user = self.near.as_ref().is_some_and(|it| it.has_user);
        nsenter(self.wire.id(), has_user)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Removes it: the counts of faults.
    pub fn end(mut self) -> String {
        drop(self.wire.stdin.take());
        let line = self.line();
        assert!(wait(&mut self.wire).success());
        line.trim_end().to_owned()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.wire.kill();
        let _ = self.wire.wait();
    }
}

/// A new network namespace, which lives as long as this.
pub struct Namespace {
    holder: Child,
    /// It is in a user namespace, in which this user is root.
    has_user: bool,
}

impl Namespace {
    /// Makes one; `None`, with a word why, where that is not possible.
    pub fn new() -> Option<Self> {
        let has_user = !rustix::process::geteuid().is_root();
        let user: &[&str] = if has_user { &["--user", "--map-root-user"] } else { &[] };
        if !tool("unshare")?.args(user).args(["--net", "true"]).status().unwrap().success() {
            eprintln!("skipped: the kernel gives no network namespace");
            return None;
        }
        let mut command = tool("unshare")?;
        command.args(user).args(["--net", "cat"]).stdin(Stdio::piped());
        let holder = command.spawn().unwrap();
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let its = format!("/proc/{}/ns/net", holder.id());
        wait_until("there is a namespace", || fs::read_link(&its).is_ok_and(|it| it != own));
        // In a user namespace, the user is mapped a moment later.
        let command = format!("/proc/{}/comm", holder.id());
        wait_until("it is set up", || fs::read_to_string(&command).is_ok_and(|it| it == "cat\n"));
        Some(Self { holder, has_user })
    }

    /// Makes one beside this, which is under the same user.
    pub fn another(&self) -> Self {
        let mut command = self.command("unshare");
        let mut holder = command
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It echoes once it is in its namespace.
        holder.stdin.as_mut().unwrap().write_all(b".").unwrap();
        holder.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self { holder, has_user: self.has_user }
    }

    /// The process that holds it.
    pub fn process(&self) -> u32 {
        self.holder.id()
    }

    /// A script that executes `"$@"` in this namespace.
    pub fn script(&self) -> String {
        format!("exec {} \"$@\"", nsenter(self.holder.id(), self.has_user).join(" "))
    }

    /// A command in this namespace.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        Self::enter(Some(self), program.as_ref())
    }

    /// A command in this namespace, or in that of the test.
    fn enter(namespace: Option<&Self>, program: &Path) -> Command {
        let Some(Self { holder, has_user }) = namespace else { return Command::new(program) };
        let words = nsenter(holder.id(), *has_user);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn nsenter(process: u32, has_user: bool) -> Vec<String> {
    let mut words = vec!["nsenter".to_owned(), format!("--target={process}"), "--net".into()];
    if has_user {
        words.extend(["--user".into(), "--preserve-credentials".into()]);
    }
    words
}
