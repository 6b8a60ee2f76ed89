//! A daemon at work: its configuration, addresses, log, messages and signals.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::authority::folder_with_certificates;
use super::programs::{program, wait};
use super::tcp::{STUCK, connect, noise};
use super::{PATIENCE, wait_until};

/// A plain listener on a port that the kernel chooses.
pub const PLAIN: &str = "
[[listener]]
name = \"plain\"
listen = \"127.0.0.1:0\"
";

/// A TLS listener that serves alex.crt and alex.key of the daemon's folder.
pub const TLS: &str = "
[[listener]]
name = \"tls\"
listen = \"127.0.0.1:0\"
[listener.tls]
certificate = \"alex.crt\"
key = \"alex.key\"
";

/// A plain listener with the service `web`.
pub const WEB: &str = "
[[listener]]
name = \"web\"
service = \"web\"
listen = \"127.0.0.1:0\"
";

/// A TLS listener called "tls" with the service `web`, with the files of [`TLS`].
pub const TLS_WEB: &str = "
[[listener]]
name = \"tls\"
service = \"web\"
listen = \"127.0.0.1:0\"
[listener.tls]
certificate = \"alex.crt\"
key = \"alex.key\"
";

/// More connections than the daemon accepts before it looks at its signals.
pub const CROWD: usize = 300;

/// Limits that let a crowd in.
pub const ROOM_FOR_A_CROWD: &str = "[limits]\nmax-sessions-per-address = 1000\n";

/// A running daemon with a folder of its own. It is killed when this is dropped.
pub struct Daemon {
    pub folder: tempfile::TempDir,
    pub child: Child,
    /// Log lines that were not read yet.
    lines: Receiver<String>,
    /// Every log line that was read so far.
    seen: RefCell<Vec<String>>,
    /// Messages to the service manager, read as they come: their queue is short (unix(7)).
    notifications: Receiver<String>,
}

/// A daemon with a plain and a TLS listener.
pub fn plain_and_tls() -> Daemon {
    Daemon::start_in(folder_with_certificates(), &format!("{PLAIN}{TLS}"), |_| {})
}

impl Daemon {
    /// Starts a daemon with this configuration and waits for READY=1.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, config, |_| {})
    }

    /// The same in a folder that exists, with changes to the command.
    pub fn start_in(
        folder: tempfile::TempDir,
        config: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let daemon = Self::launch_in(folder, config, change);
        let ready = daemon.wait_for_notification(|text| text.contains("READY=1"));
        assert!(ready.contains("STATUS="), "{ready}");
        daemon
    }

    /// Starts a daemon, and waits for nothing.
    pub fn launch_in(
        folder: tempfile::TempDir,
        config: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        Self::launch(folder, config, Command::new(program()), change)
    }

    /// Starts a daemon through `sh -c SCRIPT`, which must end in `exec "$@"`, and waits for READY=1.
    pub fn start_through(folder: tempfile::TempDir, config: &str, script: &str) -> Self {
        let daemon = Self::launch_through(folder, config, script);
        daemon.wait_for_notification(|text| text.contains("READY=1"));
        daemon
    }

    /// The same, and waits for nothing.
    pub fn launch_through(folder: tempfile::TempDir, config: &str, script: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", program()]);
        Self::launch(folder, config, shell, |_| {})
    }

    fn launch(
        folder: tempfile::TempDir,
        config: &str,
        mut command: Command,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        fs::write(folder.path().join("echo-alex.toml"), config).unwrap();
        command
            .arg("--config")
            .arg(folder.path().join("echo-alex.toml"))
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { folder, child, lines, seen: RefCell::default(), notifications: messages(notify) }
    }

    /// Waits until all that belongs to the start is done: READY=1 is sent through a descriptor that
    /// is closed behind it.
    pub fn wait_until_started(&self) {
        self.statistics();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The path of a file in the daemon's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Overwrites the configuration file. A reload is up to the test.
    pub fn rewrite_config(&self, config: &str) {
        fs::write(self.path("echo-alex.toml"), config).unwrap();
    }

    // Listeners and sessions.

    /// The address of the listener `name`, from the log.
    pub fn address(&self, name: &str) -> SocketAddr {
        let line = self.wait_for_line(|line| {
            line.contains(" listening ") && line.contains(&format!("listener={name} "))
        });
        field(&line, "address").parse().unwrap()
    }

    /// A plain connection to the listener `name`.
    pub fn connect(&self, name: &str) -> TcpStream {
        connect(self.address(name))
    }

    /// A plain session that is full in both directions: the daemon has bytes for it that it cannot
    /// send.
    pub fn stuck(&self, name: &str) -> TcpStream {
        let stream = self.connect(name);
        stream.set_nonblocking(true).unwrap();
        let chunk = noise(64 * 1024, 1);
        let mut last = Instant::now();
        // The daemon reads as long as it can write, so both are full when nothing was sent for a while.
        while last.elapsed() < STUCK {
            if (&stream).write(&chunk).is_ok_and(|sent| sent > 0) {
                last = Instant::now();
            } else {
                thread::sleep(Duration::from_millis(5));
            }
        }
        stream.set_nonblocking(false).unwrap();
        stream
    }

    /// Stops the process, connects a crowd that sends `bytes` to `address`, sends `signal`, and lets
    /// the process continue: it finds the signal and the backlog together.
    pub fn crowd_before(
        &self,
        signal: Signal,
        address: SocketAddr,
        bytes: &[u8],
    ) -> Vec<TcpStream> {
        self.signal(Signal::STOP);
        let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(address)).collect();
        for stream in &mut crowd {
            stream.write_all(bytes).unwrap();
        }
        self.signal(signal);
        self.signal(Signal::CONT);
        crowd
    }

    // The log.

    /// The first log line, of all so far and those to come, that fits.
    pub fn wait_for_line(&self, fits: impl Fn(&str) -> bool) -> String {
        if let Some(line) = self.seen.borrow().iter().find(|line| fits(line)) {
            return line.clone();
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.borrow_mut().push(line.clone());
                    if fits(&line) {
                        return line;
                    }
                }
                Err(error) => {
                    panic!("no such log line ({error}); the log so far: {:#?}", self.seen())
                }
            }
        }
    }

    /// The log line that fits and comes after `before` others that fit.
    pub fn wait_for_nth_line(&self, before: usize, fits: impl Fn(&str) -> bool) -> String {
        let all = || self.seen().into_iter().filter(|line| fits(line)).collect::<Vec<_>>();
        wait_until("another such log line", || all().len() > before);
        all().swap_remove(before)
    }

    /// The log line for the end of the session with `peer`.
    pub fn session_line(&self, peer: SocketAddr) -> String {
        self.wait_for_line(|line| {
            line.contains(" session listener=") && line.contains(&format!("peer={peer} "))
        })
    }

    /// Sends SIGUSR1: the statistics line for the daemon as a whole.
    pub fn statistics(&self) -> String {
        let fits = |line: &str| line.contains(" statistics uptime=");
        let before = self.seen().iter().filter(|line| fits(line)).count();
        self.signal(Signal::USR1);
        self.wait_for_nth_line(before, fits)
    }

    /// The log lines so far; all of them once the daemon has ended.
    pub fn seen(&self) -> Vec<String> {
        let mut seen = self.seen.borrow_mut();
        while let Ok(line) = self.lines.try_recv() {
            seen.push(line);
        }
        seen.clone()
    }

    /// The log to its end, for a daemon that is about to stop.
    pub fn whole_log(&self) -> Vec<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.borrow_mut().push(line),
                Err(RecvTimeoutError::Disconnected) => return self.seen(),
                Err(RecvTimeoutError::Timeout) => panic!("the daemon does not end"),
            }
        }
    }

    // Messages to the service manager.

    /// The next message.
    pub fn notification(&self) -> String {
        self.notifications.recv_timeout(PATIENCE).expect("no message to the service manager")
    }

    /// The next message that fits. Others are skipped.
    pub fn wait_for_notification(&self, fits: impl Fn(&str) -> bool) -> String {
        loop {
            let text = self.notification();
            if fits(&text) {
                return text;
            }
        }
    }

    /// The messages that were sent and not read yet.
    pub fn notifications_so_far(&self) -> Vec<String> {
        // Messages keep their order, so what was sent before this mark arrives before it.
        let mark = UnixDatagram::unbound().unwrap();
        mark.send_to(b"MARK", self.path("notify")).unwrap();
        let mut all = Vec::new();
        loop {
            match self.notifications.recv_timeout(PATIENCE).unwrap() {
                text if text == "MARK" => return all,
                text => all.push(text),
            }
        }
    }

    // Signals.

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends SIGHUP and waits until the reload is over: the log line about it.
    pub fn reload(&self) -> String {
        self.reload_by(|| self.signal(Signal::HUP)).1
    }

    /// The same where `ask` sends SIGHUP: what `ask` returns, and the log line.
    pub fn reload_by<T>(&self, ask: impl FnOnce() -> T) -> (T, String) {
        let before = self.seen().iter().filter(|line| is_reload(line)).count();
        let asked = ask();
        self.wait_for_notification(|text| text.contains("READY=1"));
        (asked, self.wait_for_nth_line(before, is_reload))
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The messages that come to a socket. A thread reads them as they come, and ends with the receiver.
fn messages(socket: UnixDatagram) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}

fn is_reload(line: &str) -> bool {
    line.contains(" reloaded") || line.contains(" not reloaded")
}

/// The value of `key=value` in a log line.
pub fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let start = format!(" {key}=");
    let value = line.split_once(&start).unwrap_or_else(|| panic!("no {key}= in {line:?}")).1;
    value.split(' ').next().unwrap()
}
