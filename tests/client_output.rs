//! Readers of the client's output: one that closes the pipe, one that never reads, and a slow one.

mod util;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use echo_alex::testing::client_command;
use rustix::process::Signal;
use util::client::{Client, client, end, full_pipe, port, server};
use util::{Daemon, PLAIN, noise, plain_and_tls};

/// A pipe whose reader has closed it.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A full disk.
fn full_disk() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A server that echoes one message and keeps the connection, and a function that waits for the echo.
fn echo_once() -> (String, impl FnOnce()) {
    let (sender, echoed) = channel();
    let port = server(move |mut stream| {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        stream.write_all(&bytes[..count]).unwrap();
        sender.send(()).unwrap();
        let _ = stream.read(&mut bytes);
    });
    (port, move || echoed.recv_timeout(util::PATIENCE).unwrap())
}

#[test]
fn a_full_disk_is_a_failure_and_a_closed_pipe_is_not() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let input = daemon.path("input");
    std::fs::write(&input, b"hello").unwrap();
    let report = daemon.path("report.json");
    std::fs::write(&report, "{\"mode\":\"bench\",\"messages\":1}").unwrap();
    let report = report.to_str().unwrap();
    let reporter = util::report::lying(|_| {});
    let udp = util::udp::echo(Some);
    let compare =
        ["compare", "-c2", "-i0.01", "--insecure", "--udp-port", &udp, "--tls-port", &tls];
    let plain = ["127.0.0.1", &plain];
    let tls = ["--tls", "--insecure", "127.0.0.1", &tls];
    let cases = [
        &[&["--help"][..]][..],
        &[&["--version"]],
        &[&[], &plain],
        &[&["--verify"], &tls],
        &[&["--udp", "127.0.0.1", &udp]],
        &[&["ping", "--udp", "-c2", "-i0.01", "127.0.0.1", &udp]],
        &[&["bench", "--udp", "--duration=0.1", "127.0.0.1", &udp]],
        &[&["ping", "-c2", "-i0.01"], &plain],
        &[&["ping", "-c2", "-i0.01", "--json"], &plain],
        &[&["bench", "--duration=0.1"], &plain],
        &[&["bench", "--duration=0.1", "--json"], &tls],
        &[&["handshakes", "--duration=0.2"], &tls],
        &[&["explain"], &tls],
        &[&["idle", "--max=0.1"], &plain],
        &[&["both", "-c1", "--report-port", &reporter], &plain],
        &[&["mtu"], &["127.0.0.1", &udp]],
        &[&compare[..], &plain],
        &[&["hold", "--sessions=2", "--duration=0.1"], &plain],
        &[&["diff", report, report]],
    ];
    for command in client_command().get_subcommands() {
        let name = command.get_name();
        let is_tested = cases.iter().any(|case| case[0].first() == Some(&name));
        assert!(is_tested || name == "talk", "{name} is not tested");
    }
    for arguments in cases {
        let arguments = arguments.concat();
        let run = |stdout: Stdio, stderr: Stdio| {
            let mut command = client();
            command.args(&arguments).stdin(std::fs::File::open(&input).unwrap());
            command.stdout(stdout).stderr(stderr).spawn().unwrap().wait_with_output().unwrap()
        };
        let (code, said) = end(&run(full_disk(), Stdio::piped()));
        assert_eq!(code, 1, "{arguments:?}: {said}");
        let words = "echo-alex-client: cannot write to standard output: no space left on device\n";
        assert!(said.ends_with(words), "{arguments:?}: {said}");
        for stderr in [closed as fn() -> Stdio, full_disk] {
            assert_eq!(end(&run(full_disk(), stderr())).0, 1, "{arguments:?}");
            assert_eq!(end(&run(closed(), stderr())).0, 0, "{arguments:?}");
            assert_eq!(end(&run(Stdio::null(), stderr())).0, 0, "{arguments:?}");
        }
        // They are not even open.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" >&- 2>&-", "sh"]);
        if let Some((folder, path)) = util::emulator() {
            command.env(folder, path);
        }
        command.arg(client().get_program()).args(&arguments);
        let status = command.stdin(std::fs::File::open(&input).unwrap()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_ping_ends_when_its_reader_closes_the_pipe() {
    let daemon = Daemon::start(PLAIN);
    let port = port(daemon.address("plain"));
    let mut pings = Client::start(&["ping", "-i0.01", "127.0.0.1", &port], |command| {
        command.stdout(Stdio::piped());
    });
    let mut stdout = BufReader::new(pings.child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("seq=1 "), "{line}");
    drop(stdout);
    assert_eq!(pings.end(), 0);
}

#[test]
fn ctrl_c_ends_a_client_whose_output_is_not_read() {
    for signal in [Signal::INT, Signal::TERM] {
        for is_error in [false, true] {
            let (reader, writer) = full_pipe();
            let (port, wait_for_echo) = echo_once();
            let mut pings = Client::start(&["ping", "-i600", "127.0.0.1", &port], |command| {
                if is_error {
                    command.stderr(writer)
                } else {
                    command.stdout(writer)
                };
            });
            wait_for_echo();
            pings.signal(signal);
            assert_eq!(pings.end(), 130, "standard error: {is_error}");
            drop(reader);
        }
    }
}

/// Sends as much as the client takes, in pieces that differ.
fn pour(stream: &mut TcpStream) -> usize {
    util::send_until_stuck(stream, (1..).map(|seed| noise(64 << 10, seed)))
}

#[test]
fn a_client_whose_output_is_not_read_stops_reading_and_can_be_ended() {
    let (sender, stuck) = channel();
    let port = server(move |mut stream| {
        sender.send(pour(&mut stream)).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let mut client = Client::start(&["127.0.0.1", &port], |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    });
    let sent = stuck.recv_timeout(util::PATIENCE).expect("the client does not stop reading");
    let status = std::fs::read_to_string(format!("/proc/{}/status", client.child.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: usize = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(util::emulated() || kib < 32 * 1024, "{peak}, {sent} bytes sent");
    client.signal(Signal::INT);
    assert_eq!(client.end(), 130);
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let sent = noise(8 << 20, 6);
    for arguments in [&["127.0.0.1", &plain][..], &["--tls", "--insecure", "127.0.0.1", &tls]] {
        let mut client = Client::start(&[&["--verify"], arguments].concat(), |command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        });
        let mut stdin = client.child.stdin.take().unwrap();
        let mut stdout = client.child.stdout.take().unwrap();
        let read = std::thread::scope(|scope| {
            scope.spawn(|| {
                stdin.write_all(&sent).unwrap();
                drop(stdin);
            });
            let mut read = Vec::new();
            let mut piece = [0; 3000];
            while let count @ 1.. = stdout.read(&mut piece).unwrap() {
                read.extend_from_slice(&piece[..count]);
            }
            read
        });
        assert!(read == sent, "{} of {} bytes", read.len(), sent.len());
        assert_eq!(client.end(), 0);
    }
}
