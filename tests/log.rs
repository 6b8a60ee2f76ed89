//! The log: one line for the end of each session, on standard error, to the log daemon or to the journal. It
//! never blocks the echo, and never contains raw bytes of a peer.

mod util;

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use util::journal::{fields, log_daemon};
use util::{
    Daemon, PLAIN, ReservedPort, TlsClient, assert_echo, field, flight, new_connection,
    plain_and_tls, read_to_end, wait_until,
};

/// The targets that are a log daemon.
const DAEMONS: [&str; 2] = ["syslog", "journal"];

/// A line for the journal as syslog would have it, without a time; other lines as they are.
fn text(datagram: &[u8]) -> String {
    if datagram.starts_with(b"MESSAGE") {
        let fields = fields(datagram);
        let number = |name: &str| fields[name][0].parse::<u8>().unwrap();
        let priority = number("SYSLOG_FACILITY") * 8 + number("PRIORITY");
        format!("<{priority}> {}", fields["MESSAGE"][0])
    } else {
        String::from_utf8(datagram.to_vec()).unwrap()
    }
}

/// The next fitting line at the log daemon.
fn wait_for_datagram(log: &UnixDatagram, fits: impl Fn(&str) -> bool) -> String {
    let mut buffer = [0; 8192];
    loop {
        let length = log.recv(&mut buffer).expect("no such line at the log daemon");
        let line = text(&buffer[..length]);
        if fits(&line) {
            return line;
        }
    }
}

/// A daemon that logs to `log` in its folder.
fn with_log_daemon(target: &str) -> (Daemon, UnixDatagram) {
    let folder = tempfile::tempdir().unwrap();
    let log = log_daemon(&folder.path().join("log"));
    let config = format!("[log]\ntarget = \"{target}\"\nsocket = \"log\"\n{PLAIN}");
    (Daemon::start_in(folder, &config, |_| {}), log)
}

/// The address of the plain listener, from the log daemon.
fn address(log: &UnixDatagram) -> std::net::SocketAddr {
    let line = wait_for_datagram(log, |line| line.contains(" listening listener=plain "));
    field(&line, "address").parse().unwrap()
}

#[test]
fn the_end_of_a_plain_session_is_one_line() {
    let daemon = plain_and_tls();
    let mut stream = daemon.connect("plain");
    let peer = stream.local_addr().unwrap();
    assert_echo(&mut stream, &[0; 1234]);
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut stream);
    let line = daemon.session_line(peer);
    assert!(line.contains(" INFO "), "{line}");
    let (_, facts) = line.split_once(" session ").unwrap();
    let keys: Vec<&str> = facts.split(' ').map(|fact| fact.split_once('=').unwrap().0).collect();
    assert_eq!(keys, ["listener", "peer", "in", "out", "duration", "reason"]);
    for (key, value) in
        [("listener", "plain"), ("in", "1234"), ("out", "1234"), ("reason", "peer-done")]
    {
        assert_eq!(field(&line, key), value, "{line}");
    }
    assert!(field(&line, "duration").strip_suffix('s').unwrap().parse::<f64>().is_ok(), "{line}");
    daemon.statistics();
    let word = format!("peer={peer} ");
    assert_eq!(daemon.seen().iter().filter(|line| line.contains(&word)).count(), 1);
}

#[test]
fn the_end_of_a_tls_session_has_what_was_agreed_and_the_name_that_the_client_sent() {
    let daemon = plain_and_tls();
    for (only, version, suites) in [
        (&rustls::version::TLS12, "1.2", ["ECDHE_ECDSA_WITH_", "ECDHE_ECDSA_WITH_"]),
        (&rustls::version::TLS13, "1.3", ["AES_", "CHACHA20_"]),
    ] {
        let client = TlsClient { only: Some(only), ..TlsClient::default() };
        let mut tls = client.connect(&daemon);
        assert_echo(&mut tls, b"12345");
        let peer = tls.sock.local_addr().unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        read_to_end(&mut tls);
        drop(tls);
        let line = daemon.session_line(peer);
        assert_eq!(field(&line, "listener"), "tls");
        assert_eq!((field(&line, "in"), field(&line, "out")), ("5", "5"));
        assert_eq!(field(&line, "tls"), version);
        assert!(suites.iter().any(|suite| field(&line, "cipher").starts_with(suite)), "{line}");
        assert_eq!((field(&line, "group"), field(&line, "resumed")), ("X25519", "no"));
        assert_eq!(field(&line, "sni"), "localhost");
        assert!(!line.contains(" alpn=") && !line.contains(" client="), "{line}");
        assert_eq!(field(&line, "reason"), "peer-done");
    }
}

/// A daemon at this level, after 1,200 sessions, and whether they took less than 10 s.
fn after_many_sessions(level: &str) -> (Daemon, bool) {
    let daemon = Daemon::start(&format!("[log]\nlevel = \"{level}\"\n{PLAIN}"));
    let began = Instant::now();
    for _ in 0..12 {
        for _ in 0..100 {
            drop(daemon.connect("plain"));
        }
        // Reading this line reads all lines so far. The daemon does not wait for a full pipe, and would lose
        // lines.
        daemon.statistics();
    }
    // The last session may not have been accepted yet.
    wait_until("all sessions", || {
        let statistics = daemon.statistics();
        field(&statistics, "accepted") == "1200" && field(&statistics, "sessions") == "0"
    });
    (daemon, began.elapsed() < Duration::from_secs(10))
}

fn ends_logged(daemon: &Daemon) -> usize {
    daemon.seen().iter().filter(|line| line.contains(" session listener=")).count()
}

#[test]
fn thousands_of_sessions_are_counted_and_do_not_flood_the_log() {
    let (daemon, fast) = after_many_sessions("info");
    // On a very slow machine this is no flood.
    if fast {
        assert_eq!(ends_logged(&daemon), 1000);
    }
    let summed = || -> usize {
        let sums = daemon.seen().into_iter().filter(|line| line.contains(" sessions listener="));
        sums.map(|sum| field(&sum, "more").parse::<usize>().unwrap()).sum()
    };
    wait_until("the sum", || ends_logged(&daemon) + summed() == 1200);
}

#[test]
fn the_level_debug_logs_every_session() {
    let (daemon, _) = after_many_sessions("debug");
    assert_eq!(ends_logged(&daemon), 1200);
}

#[test]
fn the_level_debug_has_what_the_kernel_knows_of_a_session() {
    for level in ["info", "debug"] {
        let daemon = Daemon::start(&format!("[log]\nlevel = \"{level}\"\n{PLAIN}"));
        for _ in 0..2 {
            let mut stream = daemon.connect("plain");
            assert_echo(&mut stream, b"hello");
            stream.shutdown(Shutdown::Write).unwrap();
            read_to_end(&mut stream);
            let line = daemon.session_line(stream.local_addr().unwrap());
            // An emulated kernel tells nothing, and a line says so once.
            let is_silent = |line: &&String| line.contains(" the kernel tells nothing ");
            let silent = daemon.seen().iter().filter(is_silent).count();
            if level == "info" || silent == 1 {
                assert!(!line.contains(" rtt="), "{line}");
                continue;
            }
            assert_eq!(silent, 0);
            let rtt = field(&line, "rtt").strip_suffix("ms").unwrap();
            assert!(rtt.parse::<f64>().unwrap() > 0.0, "{line}");
            assert_eq!(field(&line, "retransmits"), "0", "{line}");
            assert!(line.contains("s rtt=") && line.ends_with(" reason=peer-done"), "{line}");
        }
    }
}

#[test]
fn bytes_of_a_peer_are_not_in_the_log() {
    let daemon = plain_and_tls();
    let evil = b"\x1b[31mevil\n2026-01-01T00:00:00Z ERROR forged line\r\n";
    let mut plain = daemon.connect("plain");
    assert_echo(&mut plain, evil);
    let mut not_tls = daemon.connect("tls");
    not_tls.write_all(evil).unwrap();
    let peers = [plain.local_addr().unwrap(), not_tls.local_addr().unwrap()];
    drop(plain);
    assert_eq!(field(&daemon.session_line(peers[1]), "reason"), "not-tls");
    daemon.session_line(peers[0]);

    // A server name with terminal escapes is not one: the same hello with other bytes for "localhost".
    let mut hello = flight(&mut new_connection(&daemon));
    let place = hello.windows(9).position(|bytes| bytes == b"localhost").unwrap();
    hello[place..place + 9].copy_from_slice(b"\x1b[31mevil");
    let mut tls = daemon.connect("tls");
    tls.write_all(&hello).unwrap();
    let line = daemon.session_line(tls.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "tls-peer");
    assert!(!line.contains(" sni="), "{line}");
    for line in daemon.seen() {
        assert!(!line.contains("evil") && !line.contains("forged"), "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn each_level_hides_the_levels_below_it() {
    for (level, accepted, listening, refused) in [
        ("debug", true, true, true),
        ("info", false, true, true),
        ("warn", false, false, true),
        ("error", false, false, false),
    ] {
        // The port must be known, because the log may not have it.
        let reserved = ReservedPort::new();
        let port = reserved.number;
        let config = format!(
            "[log]\nlevel = \"{level}\"\n[limits]\nmax-sessions = 1\n\
             [[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:{port}\"\n"
        );
        let daemon = Daemon::start(&config);
        let address = ([127, 0, 0, 1], port).into();
        let mut first = util::connect(address);
        assert_echo(&mut first, b"x");
        let mut second = util::connect(address);
        assert_eq!(std::io::Read::read(&mut second, &mut [0]).unwrap_or(0), 0);
        daemon.statistics();
        let has = |text: &str| daemon.seen().iter().any(|line| line.contains(text));
        assert_eq!(has(" DEBUG accepted "), accepted, "{level}");
        assert_eq!(has(" INFO  listening "), listening, "{level}");
        assert_eq!(has(" WARN  refused "), refused, "{level}");
    }
}

#[test]
fn syslog_receives_the_format_of_rfc_3164() {
    let (daemon, log) = with_log_daemon("syslog");
    let mut stream = util::connect(address(&log));
    assert_echo(&mut stream, b"x");
    drop(stream);
    let line = wait_for_datagram(&log, |line| line.contains(" session listener=plain "));
    // <facility daemon (3) * 8 + severity info (6)>Mmm dd hh:mm:ss tag[pid]: text, §4.1.
    let rest = line.strip_prefix("<30>").unwrap_or_else(|| panic!("{line}"));
    let (time, rest) = rest.split_at(16);
    assert!("JanFebMarAprMayJunJulAugSepOctNovDec".contains(&time[..3]), "{line}");
    assert!(time[3..].chars().all(|c| c.is_ascii_digit() || " :".contains(c)), "{line}");
    let shape: Vec<usize> = time.match_indices([' ', ':']).map(|(at, _)| at).collect();
    assert!(shape.ends_with(&[6, 9, 12, 15]), "{line}");
    let tag = format!("echo-alex[{}]: session listener=plain peer=", daemon.pid());
    assert!(rest.starts_with(&tag), "{line}");
    assert!(!line.contains('\n'));
    // It is not logged to standard error as well.
    assert_eq!(daemon.seen(), [""; 0]);
}

#[test]
fn a_missing_log_daemon_is_reported_in_one_line_on_standard_error() {
    for target in DAEMONS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let reserved = ReservedPort::new();
        let port = reserved.number;
        let config = format!(
            "[log]\ntarget = \"{target}\"\nsocket = \"log\"\n\
             [[listener]]\nname = \"plain\"\nlisten = \"127.0.0.1:{port}\"\n"
        );
        let mut daemon = Daemon::start_in(folder, &config, |_| {});
        let missing = format!(
            " WARN  no log daemon takes lines at {}: no such file or directory; ",
            path.display()
        );
        let first = daemon.wait_for_line(|line| line.contains(&missing));
        let echo = || {
            let mut stream = util::connect(([127, 0, 0, 1], port).into());
            assert_echo(&mut stream, b"x");
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut stream), b"");
        };
        echo();
        // If it was there and disappears again, that is reported again.
        let log = log_daemon(&path);
        echo();
        wait_for_datagram(&log, |line| line.contains(" session listener=plain "));
        drop(log);
        echo();
        assert_eq!(daemon.stop().code(), Some(0));
        let log = daemon.whole_log();
        assert_eq!(log.len(), 2, "{log:#?}");
        assert_eq!(log[0], first);
        assert!(log[1].contains("log: connection refused; "), "{log:#?}");
    }
}

#[test]
fn logging_continues_after_a_restart_of_the_log_daemon() {
    for target in DAEMONS {
        let (daemon, log) = with_log_daemon(target);
        let address = address(&log);
        drop(log);
        fs::remove_file(daemon.path("log")).unwrap();
        let ended = |count: usize| {
            let text = format!("STATUS=0 sessions (0 TLS), {count} bytes");
            daemon.wait_for_notification(|status| status.starts_with(&text));
        };
        for _ in 0..3 {
            let mut stream = util::connect(address);
            assert_echo(&mut stream, b"nobody listens");
        }
        ended(3 * 14);
        let log = log_daemon(&daemon.path("log"));
        let mut stream = util::connect(address);
        assert_echo(&mut stream, b"again");
        drop(stream);
        // The count of lost lines comes first.
        let line = wait_for_datagram(&log, |_| true);
        assert!(line.ends_with("3 log lines were lost: the log could not take them"), "{line}");
        let line = wait_for_datagram(&log, |_| true);
        assert!(line.contains(" session listener=plain "), "{line}");
        assert!(line.starts_with("<30>"), "{line}");
    }
}

#[test]
fn a_log_daemon_that_never_reads_does_not_block_the_echo() {
    for target in DAEMONS {
        let (daemon, log) = with_log_daemon(target);
        let address = address(&log);
        // More lines than the queue of the socket holds (net.unix.max_dgram_qlen).
        let queue = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
        let sessions = queue.trim().parse::<usize>().unwrap() + 100;
        for _ in 0..sessions {
            let mut stream = util::connect(address);
            assert_echo(&mut stream, b"not held up");
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut stream), b"");
        }
        let mut later = util::connect(address);
        // Between a thousand and a million.
        let echoed = 11 * sessions;
        let text =
            format!("STATUS=1 session (0 TLS), {}.{} kB ", echoed / 1000, echoed % 1000 / 100);
        daemon.wait_for_notification(|status| status.starts_with(&text));
        // Reading the queue makes room for the rest.
        log.set_nonblocking(true).unwrap();
        let mut kept = 0;
        while let Ok(length) = log.recv(&mut [0; 8192]) {
            assert!(length > 0);
            kept += 1;
        }
        log.set_nonblocking(false).unwrap();
        assert!(kept < sessions);
        assert_echo(&mut later, b"x");
        drop(later);
        let line = wait_for_datagram(&log, |_| true);
        let lost = format!("{} log lines were lost", sessions - kept);
        assert!(line.contains(&lost), "{line}, expected {lost}");
        wait_for_datagram(&log, |line| line.contains(" session listener=plain "));
        daemon.signal(rustix::process::Signal::USR1);
        let line = wait_for_datagram(&log, |line| line.contains(" statistics uptime="));
        assert_eq!(field(&line, "log-lines-lost"), (sessions - kept).to_string());
    }
}

#[test]
fn standard_error_without_a_reader_does_not_block_the_echo() {
    let folder = tempfile::tempdir().unwrap();
    let reserved = ReservedPort::new();
    let port = reserved.number;
    let config = format!(
        "[log]\nlevel = \"debug\"\n[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:{port}\"\n"
    );
    fs::write(folder.path().join("echo-alex.toml"), config).unwrap();
    let notify = log_daemon(&folder.path().join("notify"));
    let mut child = std::process::Command::new(util::program())
        .arg("-c")
        .arg(folder.path().join("echo-alex.toml"))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_datagram(&notify, |text| text.contains("READY=1"));
    // A pipe holds 64 KiB, and the two lines of a session have more than 150 bytes.
    for _ in 0..600 {
        let mut stream = util::connect(([127, 0, 0, 1], port).into());
        assert_echo(&mut stream, b"not held up");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(util::wait(&mut child).code(), Some(0));
}

#[test]
fn a_failed_start_is_reported_on_standard_error_and_in_syslog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = log_daemon(&path);
    let config = format!(
        "[log]\ntarget = \"syslog\"\nsocket = \"{}\"\n\
         [[listener]]\nname = \"a\"\nlisten = \"192.0.2.1:5000\"\n",
        path.display()
    );
    let mut daemon = Daemon::launch_in(folder, &config, |_| {});
    assert_eq!(daemon.wait().code(), Some(69));
    let cause = "listener \"a\": cannot listen on 192.0.2.1:5000: ";
    let line = wait_for_datagram(&log, |line| line.starts_with("<27>"));
    assert!(line.contains(cause), "{line}");
    wait_until("a line on standard error", || !daemon.seen().is_empty());
    assert!(daemon.seen()[0].starts_with(&format!("echo-alex: {cause}")));
}

#[test]
fn a_relative_path_of_the_log_daemon_starts_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::os::unix::net::UnixDatagram::bind(folder.path().join("log")).unwrap();
    log.set_read_timeout(Some(util::PATIENCE)).unwrap();
    let config = format!("[log]\ntarget = \"syslog\"\nsocket = \"log\"\n{PLAIN}");
    let _daemon = Daemon::start_in(folder, &config, |_| {});
    let mut line = [0; 1000];
    let length = log.recv(&mut line).unwrap();
    assert!(String::from_utf8_lossy(&line[..length]).contains(" starts, with "));
}
