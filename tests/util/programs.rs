//! Other programs: how they are found, started, read and waited for.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, ReservedPort, wait_until};

/// The path of the daemon under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_echo-alex")
}

/// Copies a program so that it can be run at once. `cp` does it, because a file that this process
/// wrote may still be open for writing in a child that another thread has just forked, and
/// execve(2) would fail with ETXTBSY.
pub fn copy_program(from: &str, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {from} {}", to.display());
}

/// Whether the programs may run under an emulator. On a Pi they do not; what the tests do for the
/// emulator does no harm there.
pub const fn emulated() -> bool {
    cfg!(target_arch = "arm")
}

/// The environment variable that an emulated program needs: where its C library is.
pub fn emulator() -> Option<(&'static str, OsString)> {
    const FOLDER: &str = "QEMU_LD_PREFIX";
    let folder = std::env::var_os(FOLDER).filter(|_| emulated())?;
    Some((FOLDER, folder))
}

/// A program from outside, if it is installed.
pub fn tool(name: &str) -> Option<Command> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&paths).map(|path| path.join(name));
    installed(name, paths.find(|path| path.is_file())).map(Command::new)
}

/// Something from outside, if it was found. If not, the test prints that and is left out, unless
/// `ECHO_ALEX_REQUIRE_TOOLS` is set, as in CI.
pub fn installed<T>(name: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        assert!(std::env::var_os("ECHO_ALEX_REQUIRE_TOOLS").is_none(), "{name} is not installed");
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// Replaces getaddrinfo(3): prints a line and does not return, as if no name server answered.
pub const SILENT_RESOLVER: &str = r#"
#include <unistd.h>
int getaddrinfo(void) {
    write(2, "resolving\n", 10);
    for (;;) pause();
}
"#;

/// Compiles `source` into a library for `LD_PRELOAD`; `None` where there is no compiler.
pub fn preload(source: &str, folder: &Path) -> Option<PathBuf> {
    let mut compiler = tool("cc")?;
    let (file, library) = (folder.join("preload.c"), folder.join("preload.so"));
    std::fs::write(&file, source).unwrap();
    outcome(compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &file]));
    Some(library)
}

/// Runs the daemon to its end: exit code, standard output, standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(arguments).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Runs a command that must succeed: its standard output.
pub fn outcome(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for the end of a child.
pub fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "the process does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A program that is running, with pipes for standard input and output. It is killed when this is
/// dropped.
pub struct Running {
    pub child: Child,
    output: Receiver<Vec<u8>>,
    unread: Vec<u8>,
}

impl Running {
    /// Starts a server, and waits until it listens on `port`.
    pub fn start_server(command: Command, port: &ReservedPort) -> Self {
        let server = Self::start(command);
        wait_until("a server listens", || port.is_listening());
        server
    }

    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, output, unread: Vec::new() }
    }

    /// Writes to its standard input and closes it, from a thread: the program may stop reading until
    /// its output is read.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.child.stdin.take().expect("standard input is closed already");
        thread::spawn(move || {
            // It may have ended; then its output shows that.
            let _ = stdin.write_all(&bytes);
        });
    }

    /// Writes to its standard input, which stays open.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Reads so many bytes of its standard output.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        self.read_until(|read| (read.len() >= length).then_some(length))
    }

    /// Reads its standard output up to and including `end`.
    pub fn read_to(&mut self, end: &str) -> String {
        let bytes = self.read_until(|read| {
            let found = read.windows(end.len()).position(|window| window == end.as_bytes());
            found.map(|start| start + end.len())
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until `enough` gives the length that is wanted.
    fn read_until(&mut self, enough: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        loop {
            if let Some(length) = enough(&self.unread) {
                return self.unread.drain(..length).collect();
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.unread.extend(bytes),
                Err(error) => {
                    let so_far = &self.unread[..self.unread.len().min(4096)];
                    panic!("{error}; so far: {:?}", String::from_utf8_lossy(so_far));
                }
            }
        }
    }

    /// Closes its standard input, and waits for its end.
    pub fn finish(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        wait(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
