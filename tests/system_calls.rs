//! The system calls of the daemon: none while all sessions are idle, the minimum for a message, and none that
//! opens a file after the start.

mod util;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use util::{
    Daemon, PATIENCE, PLAIN, TlsClient, assert_echo, emulated, plain_and_tls, tool, wait_until,
};

/// Calls that an emulator makes for itself when it translates code.
const EMULATORS_OWN: [&str; 7] =
    ["brk", "futex", "madvise", "mmap", "mprotect", "munmap", "rt_sigprocmask"];

/// strace, attached to a daemon.
struct Trace {
    child: Child,
    file: PathBuf,
    daemon: u32,
}

impl Trace {
    /// Traces every system call of the daemon from now on. `None` without strace, or if tracing is not
    /// permitted.
    fn start(daemon: &Daemon) -> Option<Self> {
        let file = daemon.path("trace");
        // An emulator has a thread in addition to that of the daemon.
        let threads = (!emulated()).then_some("-f");
        let mut child = tool("strace")?
            .args(threads)
            .arg("-o")
            .arg(&file)
            .args(["-p", &daemon.pid().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut words = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut words).unwrap();
        if words.contains("not permitted") {
            eprintln!("skipped: strace may not trace here");
            util::wait(&mut child);
            return None;
        }
        assert!(words.contains("attached"), "{words}");
        // The output of strace must have a reader.
        std::thread::spawn(move || stderr.lines().count());
        Some(Self { child, file, daemon: daemon.pid() })
    }

    /// The calls since the start, in order, without the waits for events at the beginning and at the end.
    fn lines(mut self) -> Vec<String> {
        // A peer may have its echo before the call that sent it returns.
        wait_until("a daemon that waits for events", || state(self.daemon) == 'S');
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        util::wait(&mut self.child);
        let trace = fs::read_to_string(&self.file).unwrap();
        let finished = trace.lines().filter(|line| !line.contains("<detached ...>"));
        // If all calls are traced, the thread is stopped before the call.
        finished.map(|line| line.trim_start_matches(char::is_numeric).trim_start().into()).collect()
    }

    /// The names of these calls.
    fn calls(self) -> Vec<String> {
        let lines = self.lines();
        let names = lines.iter().filter_map(|line| Some(line.split_once('(')?.0.to_owned()));
        names.filter(|name| !(emulated() && EMULATORS_OWN.contains(&name.as_str()))).collect()
    }
}

/// What the process does, as proc(5) says it: `S` waits.
fn state(process: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn idle_sessions_cost_no_system_call() {
    let daemon = plain_and_tls();
    let mut plain: Vec<_> = (0..50).map(|_| daemon.connect("plain")).collect();
    for session in &mut plain {
        assert_echo(session, b"12345");
    }
    // One handshake after the other: on a slow machine, all at once could exceed the timeout.
    let mut tls: Vec<_> = (0..50)
        .map(|_| {
            let mut session = TlsClient::default().connect(&daemon);
            assert_echo(&mut session, b"12345");
            session
        })
        .collect();
    // The last message to the service manager.
    daemon.wait_for_notification(|text| text == "STATUS=100 sessions (50 TLS), 500 bytes echoed\n");
    let Some(trace) = Trace::start(&daemon) else { return };
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(trace.calls(), [""; 0]);

    // The trace works: it has the calls for a message.
    let Some(trace) = Trace::start(&daemon) else { return };
    assert_echo(&mut plain[0], b"awake");
    assert_ne!(trace.calls(), [""; 0]);
    assert_echo(&mut tls[0], b"awake");
}

#[test]
fn a_message_costs_one_read_one_write_and_one_wait() {
    // Without a service manager, which would receive the figures.
    let daemon = Daemon::launch_in(tempfile::tempdir().unwrap(), PLAIN, |command| {
        command.env_remove("NOTIFY_SOCKET");
    });
    let mut stream = daemon.connect("plain");
    assert_echo(&mut stream, b"first");
    let Some(trace) = Trace::start(&daemon) else { return };
    for _ in 0..100 {
        assert_echo(&mut stream, &[7; 1000]);
    }
    let calls = trace.calls();
    let count = |name: &str| calls.iter().filter(|call| *call == name).count();
    // Their names depend on the architecture.
    let reads = count("recvfrom") + count("recv");
    let writes = count("sendto") + count("send");
    let waits = count("epoll_wait") + count("epoll_pwait");
    assert_eq!((reads, writes), (100, 100), "{calls:?}");
    assert!(waits <= 101, "{calls:?}");
    assert_eq!(count("epoll_ctl"), 0, "{calls:?}");
    assert_eq!(calls.len(), 200 + waits, "{calls:?}");
}

/// All that serving needs, whatever peers do: accept, read, write, wait, close; the pipe of the signals;
/// random numbers for keys; memory. No call opens a file, starts a program or connects.
const SERVING: [&str; 31] = [
    "accept4",
    "brk",
    "clock_gettime64",
    "close",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "fcntl",
    "fcntl64",
    "futex",
    "getrandom",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "ppoll",
    "ppoll_time64",
    "poll",
    "read",
    "recv",
    "recvfrom",
    "rt_sigreturn",
    "send",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "sigreturn",
    "write",
    "writev",
];

#[test]
fn serving_opens_no_file_and_starts_no_program() {
    let daemon = plain_and_tls();
    let config = TlsClient::default().config(daemon.folder.path());
    daemon.statistics();
    let Some(trace) = Trace::start(&daemon) else { return };
    assert_echo(&mut daemon.connect("plain"), b"plain");
    for _ in ["full", "resumed"] {
        let mut tls = util::connect_tls(&config, daemon.address("tls"));
        assert_echo(&mut tls, b"tls");
        util::end_tls(&mut tls);
    }
    let mut garbage = daemon.connect("tls");
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    garbage.read_to_end(&mut Vec::new()).unwrap();
    drop(daemon.stuck("plain"));
    daemon.statistics();
    let calls = trace.calls();
    let others: Vec<_> = calls.iter().filter(|call| !SERVING.contains(&call.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(calls.iter().any(|call| call == "accept4"), "{calls:?}");
}

#[test]
fn a_message_of_tcp_waits_for_no_more_than_a_turn_of_datagrams() {
    const TURN: usize = 64;

    let udp = PLAIN.replace("plain", "udp") + "transport = \"udp\"\n";
    let daemon = Daemon::start(&format!("{PLAIN}{udp}"));
    let mut stream = daemon.connect("plain");
    assert_echo(&mut stream, b"first");
    let Some(trace) = Trace::start(&daemon) else { return };
    // While the daemon is stopped, more than a turn of datagrams comes, and then the message.
    daemon.signal(Signal::STOP);
    wait_until("a daemon that is stopped", || "Tt".contains(state(daemon.pid())));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..2 * TURN {
        socket.send_to(&number.to_be_bytes(), daemon.address("udp")).unwrap();
    }
    stream.write_all(b"message").unwrap();
    daemon.signal(Signal::CONT);
    stream.read_exact(&mut [0; 7]).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..2 * TURN {
        socket.recv(&mut [0; 8]).unwrap();
    }
    let sent = trace.lines().into_iter().filter(|line| line.starts_with("send"));
    let before = sent.take_while(|line| !line.contains("\"message\"")).count();
    assert_eq!(before, TURN);
}

#[test]
fn an_idle_udp_listener_costs_no_system_call() {
    // Without a service manager, which would receive the figures.
    let config = PLAIN.replace("plain", "udp") + "transport = \"udp\"\n";
    let daemon = Daemon::launch_in(tempfile::tempdir().unwrap(), &config, |command| {
        command.env_remove("NOTIFY_SOCKET");
    });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(daemon.address("udp")).unwrap();
    let echo = || {
        socket.send(b"12345").unwrap();
        assert_eq!(socket.recv(&mut [0; 9]).unwrap(), 5);
    };
    echo();
    let Some(trace) = Trace::start(&daemon) else { return };
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(trace.calls(), [""; 0]);
    // The trace works: it has the calls for a datagram.
    let Some(trace) = Trace::start(&daemon) else { return };
    echo();
    assert_ne!(trace.calls(), [""; 0]);
}
