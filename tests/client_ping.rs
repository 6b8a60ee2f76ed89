//! `ping` through outages: a daemon that is stopped, restarted and moved, a name that cannot be
//! resolved, and the exit codes of ping(8).

mod util;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use util::client::{Client, client, end, port, run, server, silent, stderr};
use util::{Daemon, PATIENCE, PLAIN, ReservedPort, plain_and_tls, tool};

/// The interval between messages in most tests.
const INTERVAL: Duration = Duration::from_millis(100);

/// How far a time in seconds, as it is printed, is from the real one at most.
const ROUNDING: f64 = 0.1;

/// A ping that is running, with its lines as they come.
struct Ping {
    child: Child,
    lines: Receiver<(Instant, String)>,
    /// The sequence numbers so far, each with whether its echo came.
    messages: Vec<(u64, bool)>,
}

impl Ping {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, messages: Vec::new() }
    }

    /// Waits for a line that has these words, and returns when it came.
    fn wait_for(&mut self, words: &str) -> (Instant, String) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (time, line) = self.lines.recv_timeout(left).expect(words);
            if let Some((_, rest)) = line.split_once(" seq=") {
                let (number, rest) = rest.split_once(' ').unwrap();
                self.messages.push((number.parse().unwrap(), rest.starts_with("time=")));
            }
            if line.contains(words) {
                return (time, line);
            }
        }
    }

    fn echoes(&mut self, count: usize) {
        for _ in 0..count {
            self.wait_for(" time=");
        }
    }

    /// How many messages were lost so far.
    fn lost(&self) -> usize {
        self.messages.iter().filter(|(_, came)| !came).count()
    }

    fn interrupt(&mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::INT).unwrap();
        util::wait(&mut self.child).code().unwrap()
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A daemon at this address, whose port somebody may have had before.
fn daemon_at(address: SocketAddr) -> Daemon {
    Daemon::start(&format!("[[listener]]\nname = \"plain\"\nlisten = \"{address}\"\n"))
}

/// The number of seconds and of lost messages in "back after 3.1 s, 30 lost; was: …".
fn outage(line: &str) -> (f64, usize) {
    let rest = line.strip_prefix("back after ").unwrap_or_else(|| panic!("{line}"));
    let (seconds, rest) = rest.split_once(" s, ").unwrap();
    let (lost, _) = rest.split_once(" lost; was: ").unwrap();
    (seconds.parse().unwrap(), lost.parse().unwrap())
}

/// The client in a mount namespace with a hosts file of its own; `None` where the kernel gives none.
fn with_hosts(folder: &Path, arguments: &[&str]) -> Option<(Command, PathBuf)> {
    let user: &[&str] = if rustix::process::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let mut probe = tool("unshare")?;
    if !probe.args(user).arg("true").output().unwrap().status.success() {
        eprintln!("skipped: the kernel gives no mount namespace");
        return None;
    }
    let (hosts, switch) = (folder.join("hosts"), folder.join("nsswitch.conf"));
    fs::write(&hosts, "").unwrap();
    fs::write(&switch, "hosts: files\n").unwrap();
    let mut command = tool("unshare")?;
    let script = "mount --bind \"$0\" /etc/hosts && mount --bind \"$1\" /etc/nsswitch.conf && \
                  shift && exec \"$@\"";
    command.args(user).args(["sh", "-c", script]).args([&hosts, &switch]);
    command.arg(client().get_program()).args(arguments);
    Some((command, hosts))
}

#[test]
fn a_daemon_that_is_stopped_restarted_and_moved_is_an_outage_of_that_length() {
    let folder = tempfile::tempdir().unwrap();
    let reserved = ReservedPort::new();
    let number = reserved.number.to_string();
    let first: SocketAddr = ([127, 0, 0, 1], reserved.number).into();
    let second: SocketAddr = ([127, 0, 0, 2], reserved.number).into();
    let arguments = ["ping", "-i0.1", "alex.test", &number];
    let Some((command, hosts)) = with_hosts(folder.path(), &arguments) else { return };
    fs::write(&hosts, "127.0.0.1 alex.test\n").unwrap();
    let mut daemon = daemon_at(first);
    let began = Instant::now();
    let mut ping = Ping::start(command);
    ping.echoes(3);
    assert_eq!(ping.lost(), 0);

    // It is stopped for three seconds.
    let stopped = Instant::now();
    assert!(daemon.stop().success());
    let (failed, _) = ping.wait_for("alex.test: seq=4 lost: connection closed");
    ping.wait_for("lost: connection refused");
    thread::sleep(Duration::from_secs(3).saturating_sub(stopped.elapsed()));
    let restarted = Instant::now();
    let mut daemon = daemon_at(first);
    let (back, line) = ping.wait_for("back after ");
    let (seconds, lost) = outage(&line);
    // It begins with the first message that is lost, and ends with the first echo.
    assert!(seconds >= (restarted - failed).as_secs_f64() - ROUNDING, "{line}");
    assert!(seconds <= (back - began).as_secs_f64() + ROUNDING, "{line}");
    assert_eq!(lost, ping.lost());
    let messages = seconds / INTERVAL.as_secs_f64();
    assert!(
        (2.0..=messages + 1.0 + ROUNDING).contains(&f64::from(u32::try_from(lost).unwrap())),
        "{line}"
    );
    assert!(line.ends_with("was: connection closed, connection refused"), "{line}");
    ping.echoes(2);

    // It moves to another address; in between, the name has none.
    let before = ping.lost();
    assert!(daemon.stop().success());
    fs::write(&hosts, "").unwrap();
    ping.wait_for("lost: cannot resolve alex.test");
    let _daemon = daemon_at(second);
    fs::write(&hosts, "127.0.0.2 alex.test\n").unwrap();
    let (_, line) = ping.wait_for("back after ");
    assert_eq!(outage(&line).1, ping.lost() - before);
    ping.echoes(2);
    let (total, all) = (ping.lost(), ping.messages.len());
    let numbers: Vec<u64> = ping.messages.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=all as u64).collect::<Vec<_>>());
    assert_eq!(ping.interrupt(), 130);
    let (_, summary) = ping.wait_for(" sent, ");
    let words: Vec<&str> = summary.split([' ', ',']).collect();
    let (sent, received): (usize, usize) = (words[0].parse().unwrap(), words[3].parse().unwrap());
    // Another one may have been sent since.
    assert!(sent >= all, "{summary}");
    assert!(sent - received == total || sent - received == total + 1, "{summary}");
    let (_, summary) = ping.wait_for(" lost, 2 outages, ");
    assert!(summary.starts_with(&format!("{} lost", sent - received)), "{summary}");
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let reserved = ReservedPort::new();
    let number = reserved.number.to_string();
    let mut command = client();
    command.args(["ping", "-q", "-i0.05", "-w600", "--tls", "--insecure", "127.0.0.1", &number]);
    let mut ping = Client::start(&[], |it| {
        *it = command;
        it.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let mut stdout = BufReader::new(ping.child.stdout.take().unwrap());
    thread::sleep(4 * INTERVAL);
    let folder = util::folder_with_certificates();
    let config = util::TLS.replace("127.0.0.1:0", &format!("127.0.0.1:{number}"));
    let _daemon = Daemon::start_in(folder, &config, |_| {});
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(outage(&line).1 >= 2, "{line}");
    ping.signal(Signal::INT);
    assert_eq!(ping.end(), 130);
    line.clear();
    stdout.read_to_string(&mut line).unwrap();
    assert!(line.contains("% loss"), "{line}");
}

#[test]
fn the_exit_codes_are_those_of_ping() {
    let daemon = Daemon::start(PLAIN);
    let plain = port(daemon.address("plain"));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        port(listener.local_addr().unwrap())
    };
    let (_socket, _queue, address) = silent();
    let silent = port(address);
    // It answers the first message only.
    let once = server(|mut stream| {
        let mut bytes = [0; 64];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for (arguments, code, words) in [
        (&["-c2", "-i0.01", "127.0.0.1", &plain][..], 0, ""),
        (&["-w2", "-i0.01", "127.0.0.1", &plain], 0, ""),
        (&["-c1", "127.0.0.1", &closed], 1, "no echo came: cannot connect to 127.0.0.1: "),
        (&["-c3", "-i0.01", "127.0.0.1", &closed], 1, "connection refused"),
        (&["-w0.3", "-i0.01", "127.0.0.1", &closed], 1, "no echo came"),
        (&["-w0.3", "127.0.0.1", &silent], 1, "no echo came: the time is up"),
        (&["-c1", "--timeout=0.2", "127.0.0.1", &silent], 1, "timed out"),
        (&["-c2", "-i0.01", "--timeout=2", "127.0.0.1", &once], 0, ""),
        (&["-c1000", "-w2", "-i0.1", "127.0.0.1", &plain], 1, "of 1000 echoes, "),
        (&["-c1", "host.invalid"], 2, "cannot resolve host.invalid"),
        (&["-c1", "--tls", "--insecure", "127.0.0.1", &plain], 2, "does not speak TLS"),
        (&["-c0", "127.0.0.1", &plain], 64, "from 1 to"),
    ] {
        let output = run(&[&["ping", "-q"], arguments].concat(), b"");
        let (is, said) = end(&output);
        assert_eq!(is, code, "{arguments:?}: {said}");
        assert!(said.contains(words) && said.lines().count() == usize::from(code != 0), "{said}");
        let is_refused_at_once = code == 64 || said.contains("cannot resolve");
        assert_eq!(output.stdout.is_empty(), is_refused_at_once, "{arguments:?}: {output:?}");
    }
    let certificates = plain_and_tls();
    let tls = port(certificates.address("tls"));
    let (code, said) = end(&run(&["ping", "-q", "-c3", "--tls", "localhost", &tls], b""));
    assert_eq!(code, 3, "{said}");
}

#[test]
fn loss_counts_what_was_lost_also_with_a_new_connection_for_each_message() {
    // Every third connection is closed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port(listener.local_addr().unwrap());
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 64];
            if stream.read_exact(&mut bytes).is_ok() && number % 3 != 1 {
                stream.write_all(&bytes).unwrap();
                let _ = stream.read(&mut bytes);
            }
        }
    });
    let arguments = ["ping", "-c9", "-i0.01", "--reconnect", "127.0.0.1", &number];
    let output = run(&arguments, b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.contains("127.0.0.1: seq=2 lost: connection closed\n"), "{text}");
    assert!(text.contains("9 sent, 6 received, 33.333% loss, time "), "{text}");
    assert!(text.contains("\n3 lost, 3 outages, "), "{text}");
    let report = report(&run(&[&arguments[..], &["--json"]].concat(), b""));
    for (key, number) in [("sent", 9), ("received", 6), ("lost", 3), ("outage_count", 3)] {
        assert_eq!(report[key], number, "{report}");
    }
    assert_eq!(report["outages"][0]["reasons"][0], "connection closed", "{report}");
}

fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}
