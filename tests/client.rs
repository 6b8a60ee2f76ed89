//! The client in a pipe, with pings and with measurements, against the daemon and against servers of
//! other projects.

mod util;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;

use rustix::process::{Pid, Signal};
use util::client::{Client, client, end, full_pipe, port, run, server, start, stderr, tls_server};
use util::{Daemon, PATIENCE, PLAIN, ReservedPort, Running, noise, plain_and_tls, tool};

#[test]
fn a_pipe_returns_exactly_the_bytes_that_were_sent() {
    let daemon = plain_and_tls();
    let signing = daemon.path("signing.pem");
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let sent = noise(16 << 20, 1);
    let tls = ["--tls", "--ca", signing.to_str().unwrap(), "localhost", &tls];
    for arguments in [&["127.0.0.1", &plain][..], &tls] {
        for input in [&sent[..], b"hi\0there", b""] {
            let output = run(arguments, input);
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(output.stdout == input, "{} of {} bytes", output.stdout.len(), input.len());
        }
    }
}

#[test]
fn standard_input_can_be_a_file_or_the_null_device() {
    let daemon = Daemon::start(PLAIN);
    let port = port(daemon.address("plain"));
    let path = daemon.path("file");
    std::fs::write(&path, noise(1 << 20, 2)).unwrap();
    let output = client()
        .args(["--verify", "127.0.0.1", &port])
        .stdin(File::open(&path).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == noise(1 << 20, 2));
    let output = client()
        .args(["--verify", "127.0.0.1", &port])
        .stdin(File::open("/dev/null").unwrap())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
}

#[test]
fn a_gigabyte_passes_in_bounded_memory() {
    let daemon = Daemon::start(PLAIN);
    let mut child = client()
        .args(["--verify", "127.0.0.1", &port(daemon.address("plain"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let piece = noise(1 << 20, 3);
    let pid = child.id();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1024 {
                stdin.write_all(&piece).unwrap();
            }
            drop(stdin);
        });
        let mut back = vec![0; 1 << 20];
        for number in 0..1024 {
            stdout.read_exact(&mut back).unwrap();
            assert!(back == piece, "piece {number} differs");
            if number == 1000 {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
                let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
                let kib: usize = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
                assert!(kib < 96 * 1024, "{peak}");
            }
        }
    });
    assert!(util::wait(&mut child).success());
}

#[test]
fn the_client_exits_silently_when_the_reader_closes_the_pipe() {
    let daemon = Daemon::start(PLAIN);
    let mut child = start(&["-q", "127.0.0.1", &port(daemon.address("plain"))]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"first\n").unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    drop(stdout);
    // A process that another test has just forked may still hold our end of the pipe, so one line may
    // be written without an error.
    util::wait_until("the client's end", || {
        let _ = stdin.write_all(b"more\n");
        child.try_wait().unwrap().is_some()
    });
    let status = util::wait(&mut child);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn the_client_exits_when_the_server_closes_even_if_standard_input_is_open() {
    let port = server(|mut stream| {
        stream.write_all(b"that is all").unwrap();
    });
    let mut child = client()
        .args(["-q", "127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "that is all");
    assert!(util::wait(&mut child).success());
}

#[test]
fn an_answer_that_is_cut_short_is_reported_with_byte_counts() {
    let arguments = |port: &str| ["-q".to_owned(), "127.0.0.1".into(), port.into()];
    let run_against = |port: String, input: &[u8]| {
        let arguments = arguments(&port);
        end(&run(&arguments.each_ref().map(String::as_str), input))
    };
    // It answers with a part of the input.
    let part = server(|mut stream| {
        let mut bytes = [0; 11];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes[..5]).unwrap();
    });
    let (code, said) = run_against(part, b"hello world");
    assert_eq!(code, 1, "{said}");
    assert!(said.ends_with("answered less than was sent: sent 11 bytes, received 5\n"), "{said}");

    // It closes before it has read anything, which may cause a reset.
    let (code, said) = run_against(server(drop), b"hello");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(": sent ") && said.ends_with("received 0\n"), "{said}");

    // It echoes the beginning, and then closes.
    let a_while = server(|mut stream| {
        let mut bytes = [0; 10_000];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let (code, said) = run_against(a_while, &noise(16 << 20, 5));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(": sent ") && said.ends_with("received 10000\n"), "{said}");

    // It answers with something else than an echo.
    let other = server(|mut stream| {
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(b"something longer").unwrap();
    });
    assert_eq!(run_against(other, b"question"), (0, String::new()));
}

#[test]
fn a_server_that_closes_before_the_input_ends_is_reported_as_such() {
    let port = server(|mut stream| {
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let mut child = start(&["-q", "--verify", "127.0.0.1", &port]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"abc").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = "echo-alex-client: the server closed the connection before the input ended: sent 3 bytes, received 3\n";
    assert_eq!(end(&output), (1, said.into()));
    drop(stdin);
}

#[test]
fn a_verified_echo_needs_no_close_notify() {
    let port = tls_server(b"", false);
    let arguments = ["--verify", "--tls", "--insecure", "127.0.0.1", &port];
    let output = run(&arguments, b"all of it");
    let (code, said) = end(&output);
    assert_eq!((code, &output.stdout[..]), (0, &b"all of it"[..]), "{said}");
    assert!(said.contains("without close_notify, after everything had come back"), "{said}");
    assert!(said.contains("9 bytes came back as they were sent"), "{said}");
    assert_eq!(end(&run(&[&["-q"], &arguments[..]].concat(), b"all of it")), (0, String::new()));
    // Without --verify, the client cannot tell.
    let (code, said) = end(&run(&arguments[1..], b"all of it"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("without close_notify: its answer may be truncated"), "{said}");
}

#[test]
fn data_that_arrives_with_the_end_of_the_handshake_counts_in_each_mode() {
    let port = tls_server(b"EXTRA", true);
    let tls = ["-q", "--tls", "--insecure", "127.0.0.1", &port];
    for mode in [
        &["--verify"][..],
        &["ping", "-c1"],
        &["ping", "-c2", "-i0.01", "--reconnect"],
        &["bench", "--duration=0.2"],
        &["handshakes", "--duration=0.2"],
    ] {
        let (code, said) = end(&run(&[mode, &tls].concat(), b"hello"));
        assert_eq!(code, 1, "{mode:?}: {said}");
        assert!(said.contains("byte 0: received 0x45 where nothing was sent"), "{mode:?}: {said}");
    }
    let output = run(&tls, b"hello");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"EXTRAhello"[..]));
}

#[test]
fn data_that_arrives_before_it_was_sent_is_no_echo() {
    let (sender, foretold) = std::sync::mpsc::channel();
    let port = server(move |mut stream| {
        let mut bytes = [0; 64];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        // Not in the same segment as the echo of the first message.
        std::thread::sleep(util::STUCK);
        let second = String::from_utf8(bytes.to_vec()).unwrap().replace('1', "2");
        stream.write_all(second.as_bytes()).unwrap();
        sender.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    // The client does not continue before the line of the first ping is written.
    let (mut reader, writer) = full_pipe();
    let arguments = ["ping", "-c2", "-i0.01", "127.0.0.1", &port];
    let mut pings = Client::start(&arguments, |command| {
        command.stdout(writer);
    });
    foretold.recv_timeout(PATIENCE).unwrap();
    let reading = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    pings.wait_for("the echo differs at byte 0: received 0x65 where nothing was sent");
    assert_eq!(pings.end(), 1);
    reading.join().unwrap().unwrap();
}

#[test]
fn a_tls_server_that_closes_without_close_notify_may_have_been_cut_off() {
    let mut daemon = plain_and_tls();
    let signing = daemon.path("signing.pem");
    let port = port(daemon.address("tls"));
    let mut child = start(&["-q", "--tls", "--ca", signing.to_str().unwrap(), "localhost", &port]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    daemon.child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("without close_notify"), "{}", stderr(&output));
    drop(stdin);
}

#[test]
fn a_changed_byte_is_reported_with_its_offset_and_both_values() {
    let port = server(|mut stream| {
        let mut bytes = [0; 11];
        stream.read_exact(&mut bytes).unwrap();
        bytes[6] = b'W';
        stream.write_all(&bytes).unwrap();
        let _ = stream.read(&mut bytes);
    });
    let output = run(&["-q", "--verify", "127.0.0.1", &port], b"hello world");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "echo-alex-client: the echo differs at byte 6: sent 0x77, received 0x57\n"
    );
}

#[test]
fn an_echo_that_is_too_short_or_too_long_is_reported() {
    let port = server(|mut stream| {
        let mut bytes = [0; 11];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes[..5]).unwrap();
    });
    let output = run(&["-q", "--verify", "127.0.0.1", &port], b"hello world");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cut short: sent 11 bytes, received 5"), "{output:?}");

    // A typical fault of a first C server: it sends strlen + 1 bytes.
    let port = server(|mut stream| {
        let mut bytes = [0; 64];
        let count = stream.read(&mut bytes).unwrap();
        stream.write_all(&bytes[..=count]).unwrap();
        let _ = stream.read(&mut bytes);
    });
    let output = run(&["-q", "--verify", "127.0.0.1", &port], b"hello");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("byte 5: received 0x00 where nothing was sent"), "{output:?}");
}

#[test]
fn each_failure_has_its_exit_code_and_one_line() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        port(listener.local_addr().unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let junk = folder.path().join("junk.pem");
    std::fs::write(&junk, "no certificate").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = port(silent.local_addr().unwrap());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["-q", "127.0.0.1", &closed], 2, "cannot connect to 127.0.0.1: 127.0.0.1:"),
        (&["-q", "host.invalid"], 2, "cannot resolve host.invalid"),
        (&["-q", "-6", "127.0.0.1"], 2, "127.0.0.1 has no IPv6 address"),
        (
            &["-q", "ping", "-c1", "--timeout", "0.2", "127.0.0.1", &silent_port],
            1,
            "no echo came: no echo within 0.2 s",
        ),
        (
            &["-q", "--tls", "--insecure", "--timeout", "0.2", "127.0.0.1", &silent_port],
            4,
            "no end of the TLS handshake within 0.2 s",
        ),
        (&["--bench", "--ping", "h"], 64, "unexpected argument '--bench' found"),
        (&["--no-such-option"], 64, "unexpected argument '--no-such-option' found"),
        (&[], 64, "required arguments were not provided: <HOST>"),
        (&["ping"], 64, "required arguments were not provided: <HOST>"),
        (&["--timeout", "1e19", "h"], 64, "up to 366 days"),
        (&["ping", "-i", "1e19", "h"], 64, "up to 366 days"),
        (&["bench", "--duration", "10000000000000000000", "h"], 64, "up to 366 days"),
        (&["bench", "--depth", "18446744073709551615", "h"], 64, "from 1 to"),
        (&["bench", "--connections", "18446744073709551615", "h"], 64, "from 1 to"),
        (&["ping", "-s", "18446744073709551615", "h"], 64, "from 1 to"),
        (&["h:5000", "5000"], 64, "two ports: 5000 and 5000"),
        (&["h:no-such-port"], 64, "nor a name in /etc/services"),
        (&["-q", "fe80::1"], 2, "a link-local address needs its interface, such as fe80::1%eth0"),
        (
            &["--tls", "--ca", "/nowhere.pem", "127.0.0.1"],
            66,
            "cannot read the certificate /nowhere.pem",
        ),
        (
            &["--tls", "--ca", junk.to_str().unwrap(), "127.0.0.1"],
            78,
            "junk.pem: there is no certificate",
        ),
    ];
    for (arguments, code, words) in cases {
        let output = run(arguments, b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(
            said.starts_with("echo-alex-client: ") && said.contains(words),
            "{arguments:?}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_ping_looks_like_ping() {
    let daemon = Daemon::start(PLAIN);
    let port = port(daemon.address("plain"));
    let output = run(&["ping", "-c3", "-i0.01", "-s100", "127.0.0.1", &port], b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in (1..).zip(&lines[..3]) {
        assert!(
            line.starts_with(&format!("100 bytes from 127.0.0.1: seq={number} time=")),
            "{line}"
        );
        assert!(line.ends_with(" ms"), "{line}");
    }
    assert_eq!(lines[3], "--- 127.0.0.1 echo statistics ---");
    assert!(lines[4].starts_with("3 sent, 3 received, 0% loss, time "), "{text}");
    assert!(lines[5].starts_with("round trip min/avg/max/p99 = "), "{text}");

    // More than the socket buffers of both sides hold.
    let output = run(&["ping", "-c1", "-s50000000", "127.0.0.1", &port], b"");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_ping_that_reconnects_times_each_phase() {
    let daemon = plain_and_tls();
    let port = port(daemon.address("tls"));
    let arguments =
        ["ping", "-c2", "-i0.01", "--reconnect", "--tls", "--insecure", "localhost", &port];
    let text = String::from_utf8(run(&arguments, b"").stdout).unwrap();
    let line = text.lines().next().unwrap();
    for word in ["connect=", "handshake=", "time="] {
        assert!(line.contains(word), "{text}");
    }
    let json = [&arguments[..], &["--json"]].concat();
    let report: serde_json::Value = serde_json::from_slice(&run(&json, b"").stdout).unwrap();
    assert_eq!((&report["mode"], &report["sent"]), (&"ping".into(), &2.into()));
    for phase in ["round_trip", "connect", "handshake"] {
        assert!(report[phase]["p99_ms"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn an_interrupted_ping_prints_its_summary() {
    let daemon = Daemon::start(PLAIN);
    let mut child = client()
        .args(["ping", "-i60", "127.0.0.1", &port(daemon.address("plain"))])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert!(text.contains("1 sent, 1 received, 0% loss"), "{text}");
    assert_eq!(util::wait(&mut child).code(), Some(130));
}

#[test]
fn ctrl_c_ends_a_client_that_waits_for_the_fin() {
    let (sender, ended) = channel();
    let server = server(move |mut stream| {
        util::read_to_end(&mut stream);
        sender.send(stream).unwrap();
    });
    let mut child = start(&["--timeout=600", "127.0.0.1", &server]);
    drop(child.stdin.take());
    let stream = ended.recv_timeout(PATIENCE).expect("the client does not end its side");
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(util::wait(&mut child).code(), Some(130));
    drop(stream);
}

#[test]
fn a_measurement_checks_every_byte_and_reports_in_text_and_json() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let load = ["bench", "--connections=20", "--size=3000", "--depth=3", "--duration=0.3"];
    let plain = [&load[..], &["127.0.0.1", &plain]].concat();
    let output = run(&plain, b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.contains("20 sessions, 3000 bytes, depth 3"), "{text}");
    assert!(text.contains("every byte checked") && text.contains('#'), "{text}");

    let tls = [&load[..], &["--json", "--tls", "--insecure", "127.0.0.1", &tls]].concat();
    let output = run(&tls, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    let report: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let messages = report["messages"].as_u64().unwrap();
    assert!(messages >= 60, "{report}");
    assert_eq!(report["bytes_each_way"].as_u64().unwrap(), messages * 3000);
    let latency = |key: &str| report["latency"][key].as_f64().unwrap();
    assert!(latency("p50_ms") > 0.0 && latency("p50_ms") <= latency("max_ms"), "{report}");

    // A server that changes one byte after a while.
    let port = server(|mut stream| {
        let mut buffer = [0; 1000];
        for round in 0.. {
            let Ok(count) = stream.read(&mut buffer) else { return };
            if round == 5 {
                buffer[0] ^= 1;
            }
            if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
    let output = run(&["bench", "--duration=30", "127.0.0.1", &port], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("session 0: the echo differs at byte"), "{output:?}");
}

/// Runs the client through a shell that sets a limit on descriptors first.
fn run_with_limit(limit: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
    if let Some((folder, path)) = util::emulator() {
        command.env(folder, path);
    }
    command.arg(client().get_program()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_measurement_raises_its_limit_on_descriptors_or_reports_it() {
    let daemon = Daemon::start(PLAIN);
    let load = ["bench", "--connections=100", "--duration=0.1", "127.0.0.1"];
    let plain = port(daemon.address("plain"));
    let output = run_with_limit("-Sn 64", &[&load[..], &[&plain]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("100 sessions"), "{text}");

    let untouched = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port(untouched.local_addr().unwrap());
    let (code, said) = end(&run_with_limit("-n 64", &[&load[..], &[&port]].concat()));
    assert_eq!(code, 1, "{said}");
    let words = "--connections 100 needs 132 descriptors, and this process may have 64";
    assert!(said.contains(words), "{said}");
    untouched.set_nonblocking(true).unwrap();
    assert!(untouched.accept().is_err(), "the client has connected");
}

#[test]
fn full_and_resumed_handshakes_are_counted_separately() {
    let daemon = plain_and_tls();
    let port = port(daemon.address("tls"));
    let arguments =
        ["handshakes", "--json", "--duration=0.6", "--tls", "--insecure", "127.0.0.1", &port];
    let output = run(&arguments, b"");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in ["full", "resumed"] {
        assert!(report[kind]["count"].as_u64().unwrap() > 0, "{report}");
    }
    let resumed = daemon.wait_for_line(|line| line.contains("resumed=yes"));
    assert!(resumed.contains("reason=peer-done"), "{resumed}");
}

#[test]
fn it_works_with_servers_of_other_projects() {
    let folder = util::folder_with_certificates();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (path("signing.pem"), path("alex.crt"), path("alex.key"));
    let input = noise(200_000, 4);

    if let Some(mut socat) = tool("socat") {
        let port = ReservedPort::new();
        let number = port.number.to_string();
        socat.arg(format!("TCP-LISTEN:{number},bind=127.0.0.1,reuseaddr")).arg("EXEC:cat");
        let _server = Running::start_server(socat, &port);
        let output = run(&["--verify", "127.0.0.1", &number], &input);
        assert!(output.status.success() && output.stdout == input, "socat: {}", stderr(&output));
    }
    if let Some(mut gnutls) = tool("gnutls-serv") {
        let port = ReservedPort::new();
        let number = port.number.to_string();
        gnutls.args(["--echo", "--port", &number, "--x509certfile", &certificate]);
        gnutls.args(["--x509keyfile", &key, "--quiet"]);
        let _server = Running::start_server(gnutls, &port);
        let arguments = ["ping", "--tls", "--ca", &ca, "localhost", &number, "-c3", "-i0.01"];
        let output = run(&arguments, b"");
        assert!(output.status.success(), "gnutls-serv: {}", stderr(&output));
    }
    if let Some(mut openssl) = tool("openssl") {
        let port = ReservedPort::new();
        let number = port.number.to_string();
        openssl.args(["s_server", "-quiet", "-rev", "-accept", &format!("127.0.0.1:{number}")]);
        openssl.args(["-cert", &certificate, "-key", &key]);
        let _server = Running::start_server(openssl, &port);
        let mut talking = client();
        talking.args(["-q", "--tls", "--ca", &ca, "127.0.0.1", &number]);
        let mut talking = Running::start(talking);
        // It answers each line reversed.
        talking.write(b"hello\n");
        assert_eq!(talking.read_to("\n"), "olleh\n");
    }
}

#[test]
fn verify_finds_the_extra_nul_byte_of_a_beginners_server() {
    let Some(mut compiler) = tool("cc") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("server");
    compiler.args(["-Wall", "-o"]).arg(&program);
    compiler.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seed/server.c"));
    assert!(compiler.status().unwrap().success());
    let mut server = Running::start(Command::new(program));
    let port = server.read_to("\n");

    let output = run(&["-q", "127.0.0.1", port.trim()], b"hello\n");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"hello\n\0"[..]));
    let output = run(&["-q", "--verify", "127.0.0.1", port.trim()], b"hello\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("byte 6: received 0x00 where nothing was sent"), "{output:?}");
}

#[test]
fn netcat_can_be_the_server() {
    let Some(mut nc) = tool("nc") else { return };
    let port = ReservedPort::new();
    let number = port.number.to_string();
    nc.args(["-l", "127.0.0.1", &number]);
    let mut server = Running::start_server(nc, &port);
    let mut talking = client();
    talking.args(["-q", "127.0.0.1", &number]);
    let mut talking = Running::start(talking);
    talking.write(b"to nc\n");
    assert_eq!(server.read(6), b"to nc\n");
    server.write(b"from nc\n");
    assert_eq!(talking.read(8), b"from nc\n");
    assert!(talking.finish().success());
    assert!(util::wait(&mut server.child).success());
}

#[test]
fn each_address_of_a_name_is_tried() {
    let resolved = |family: &str| {
        let output = run(&["-q", family, "localhost", "1"], b"");
        !stderr(&output).contains("cannot resolve") && !stderr(&output).contains("has no IPv")
    };
    if !resolved("-4") || !resolved("-6") {
        eprintln!("skipped: localhost is not both an IPv4 and an IPv6 address here");
        return;
    }
    for (listen, there, not_there) in [("127.0.0.1:0", "-4", "-6"), ("[::1]:0", "-6", "-4")] {
        let daemon =
            Daemon::start(&format!("[[listener]]\nname = \"plain\"\nlisten = \"{listen}\"\n"));
        let port = port(daemon.address("plain"));
        for family in [&[][..], &[there]] {
            let arguments = [&["-q", "--verify"], family, &["localhost", &port]].concat();
            let output = run(&arguments, b"found");
            assert!(output.status.success(), "{listen} {family:?}: {}", stderr(&output));
        }
        let output = run(&["-q", not_there, "localhost", &port], b"");
        assert_eq!(output.status.code(), Some(2), "{listen}: {}", stderr(&output));
    }
}

#[test]
fn ipv6_works_with_and_without_brackets_and_a_family_can_be_chosen() {
    let Ok(probe) = TcpListener::bind("[::1]:0") else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    drop(probe);
    let daemon = Daemon::start("[[listener]]\nname = \"plain\"\nlisten = \"[::1]:0\"\n");
    let port = port(daemon.address("plain"));
    for host in ["::1", "[::1]"] {
        let output = run(&["-6", "--verify", host, &port], b"six");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("connected to [::1]:{port}")), "{output:?}");
    }
    let output = run(&["-q", "--verify", &format!("[::1]:{port}")], b"six");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(&["-q", "-4", "::1", &port], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("::1 has no IPv4 address"), "{output:?}");
}

#[test]
fn host_and_port_can_be_one_argument() {
    let daemon = plain_and_tls();
    let signing = daemon.path("signing.pem");
    let plain = format!("127.0.0.1:{}", port(daemon.address("plain")));
    let tls = format!("localhost:{}", port(daemon.address("tls")));
    for arguments in
        [&["--timeout", "5min", &plain][..], &["--tls", "--ca", signing.to_str().unwrap(), &tls]]
    {
        let output = run(&[&["-q", "--verify"], arguments].concat(), b"hello");
        assert!(output.status.success() && output.stdout == b"hello", "{}", stderr(&output));
    }
}

#[test]
fn tls_to_a_plain_port_is_explained() {
    let daemon = Daemon::start(PLAIN);
    let speaks_first = server(|mut stream| {
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let resets = server(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        util::reset(stream);
    });
    let not_tls = "the server does not speak TLS on this port: try without --tls";
    let perhaps_not = "does it speak TLS on this port?";
    for (port, words) in [
        (port(daemon.address("plain")), not_tls),
        (speaks_first, not_tls),
        (server(drop), perhaps_not),
        (resets, perhaps_not),
    ] {
        let arguments = ["-q", "--tls", "--insecure", "127.0.0.1", &port];
        let (code, said) = end(&run(&arguments, b"hello"));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn plain_tcp_to_a_tls_port_is_explained() {
    let daemon = plain_and_tls();
    let port = port(daemon.address("tls"));
    for mode in [&[][..], &["--verify"], &["ping", "-c1"], &["bench", "--duration=9"]] {
        let output = run(&[mode, &["-q", "127.0.0.1", &port]].concat(), b"hello, Alex\n");
        let (code, said) = end(&output);
        assert_eq!((code, said.lines().count()), (2, 1), "{mode:?}: {said}");
        assert!(said.contains("the server speaks TLS on this port: try with --tls"), "{said}");
        assert!(mode != ["--verify"] || output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn an_echo_that_looks_like_an_alert_is_an_echo() {
    let daemon = Daemon::start(PLAIN);
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    let output = run(&["--verify", "127.0.0.1", &port(daemon.address("plain"))], alert);
    assert!(output.status.success() && output.stdout == alert, "{}", stderr(&output));
}
