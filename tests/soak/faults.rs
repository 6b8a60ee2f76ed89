//! Faults of the environment while sessions are open: the log daemon, the disk, the clock, the certificates.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;

use crate::peers::{Dice, End, Load, Plan, Target, Totals, play};
use crate::util::{
    Authority, Daemon, PATIENCE, PLAIN, TLS, TlsClient, assert_echo, connect, connect_tls, end_tls,
    field, flight, folder_with_certificates, new_connection, outcome, plain_and_tls, rest,
    wait_until, write_identity,
};
use crate::{Row, Soak, Watch, memory, targets};

/// Peers of all kinds that close cleanly, until they are stopped.
fn load(targets: [Target; 2], seed: u64) -> Load {
    Load::start(
        targets.into_iter().cycle().take(8),
        seed,
        |dice| Plan::any(dice, 1 << 20),
        |_, _| {},
    )
}

/// SIGHUP a thousand times.
pub fn reloads(soak: &Soak) -> Result<Row, String> {
    let daemon = plain_and_tls();
    assert!(daemon.reload().ends_with(" reloaded"));
    let watch = Watch::over(&daemon);
    let load = load(targets(&daemon), soak.seed);
    let count = soak.count(1000);
    let mut dice = Dice::new(soak.seed);
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(dice.next() % 40));
        daemon.signal(Signal::HUP);
        daemon.wait_for_notification(|text| text.contains("READY=1"));
    }
    let totals = load.stop();
    totals.assert_well();
    daemon.statistics();
    let reloaded = daemon.seen().iter().filter(|line| line.ends_with(" reloaded")).count();
    assert_eq!(reloaded, count + 1);
    let row = Row::of(&totals, format!("{count} reloads"));
    // Each reload has a log line too.
    let lines = row.sessions;
    let row = watch.end(&daemon, Row { sessions: lines + count as u64, ..row });
    assert_settled(&row);
    Ok(Row { sessions: lines, ..row })
}

/// Asserts that the memory after the load is about that before it.
fn assert_settled(row: &Row) {
    let (before, after) = (row.memory[0], row.memory[1]);
    assert!(after <= before + 1024, "{before} KiB, then {after}");
}

/// Invalid certificates, and valid ones in between.
pub fn certificates(soak: &Soak) -> Result<Row, String> {
    let folder = folder_with_certificates();
    let authority = Authority::new("test CA");
    authority.write(folder.path(), "signing.pem");
    let good = || authority.sign("alex", rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let (certificate, key) = good();
    write_identity(folder.path(), "alex", &certificate, &key);
    let daemon = Daemon::start_in(folder, &format!("{PLAIN}{TLS}"), |_| {});
    let put = |certificate: &str, key: &str| {
        write_identity(daemon.folder.path(), "alex", certificate, key);
    };
    let shown = || {
        let config = TlsClient::default().config(daemon.folder.path());
        let mut stream = connect_tls(&config, daemon.address("tls"));
        assert_echo(&mut stream, b"hello");
        let shown = stream.conn.peer_certificates().unwrap()[0].clone();
        end_tls(&mut stream);
        shown
    };

    let watch = Watch::over(&daemon);
    let load = load(targets(&daemon), soak.seed);
    let (mut serving, mut serving_key) = (certificate, key);
    let swaps = soak.count(100);
    for round in 0..swaps {
        let other = good();
        std::thread::sleep(Duration::from_millis(100));
        match round % 5 {
            0 => put("not a certificate\n", &serving_key),
            1 => put(&serving, &other.1),
            2 => put(&serving[..serving.len() / 2], &serving_key),
            3 => put("", ""),
            _ => fs::remove_file(daemon.path("alex.crt")).unwrap(),
        }
        let line = daemon.reload();
        assert!(line.contains(" not reloaded"), "{line}");
        assert_eq!(shown(), der(&serving), "the old certificate stays in use");
        (serving, serving_key) = other;
        put(&serving, &serving_key);
        let line = daemon.reload();
        assert!(line.ends_with(" reloaded"), "{line}");
        assert_eq!(shown(), der(&serving), "the new certificate is in use");
    }
    let totals = load.stop();
    totals.assert_well();
    let row = Row::of(&totals, format!("{swaps} invalid, {swaps} valid"));
    let (sessions, ours) = (row.sessions, 2 * swaps as u64);
    // Each reload has a log line too, and each look at the certificate was a session.
    let row = watch.end(&daemon, Row { sessions: sessions + 2 * ours, ..row });
    assert_settled(&row);
    Ok(Row { sessions: sessions + ours, ..row })
}

fn der(pem: &str) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;

    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A log daemon that counts lines about sessions.
struct LogDaemon {
    socket: UnixDatagram,
    lines: Arc<AtomicU64>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl LogDaemon {
    /// Starts a log daemon at `path`. If it is `stuck`, it reads nothing.
    fn start(path: &Path, lines: &Arc<AtomicU64>, stuck: bool) -> Self {
        let _ = fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        let reader = (!stuck).then(|| {
            let (socket, lines) = (socket.try_clone().unwrap(), lines.clone());
            std::thread::spawn(move || count_lines(&socket, &lines))
        });
        Self { socket, lines: lines.clone(), reader }
    }

    /// Stops receiving, and reads what was sent before, so that every line is counted.
    fn stop(self) {
        self.socket.shutdown(std::net::Shutdown::Read).unwrap();
        match self.reader {
            Some(reader) => reader.join().unwrap(),
            None => count_lines(&self.socket, &self.lines),
        }
    }
}

/// Counts the lines about sessions until the socket is shut down.
fn count_lines(socket: &UnixDatagram, lines: &AtomicU64) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        lines.fetch_add(u64::from(is_of_a_session(&text)), Ordering::Relaxed);
    }
}

/// Free ports for the plain and the TLS listener, because a log that nobody reads cannot tell them.
fn ports() -> [u16; 2] {
    [(); 2]
        .map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .map(|socket| socket.local_addr().unwrap().port())
}

fn listeners([plain, tls]: [u16; 2]) -> String {
    format!(
        "{}{}",
        PLAIN.replace("127.0.0.1:0", &format!("127.0.0.1:{plain}")),
        TLS.replace("127.0.0.1:0", &format!("127.0.0.1:{tls}"))
    )
}

fn targets_at(folder: &Path, [plain, tls]: [u16; 2]) -> [Target; 2] {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let config = TlsClient::default().config(folder);
    [Target { address: at(plain), tls: None }, Target { address: at(tls), tls: Some(config) }]
}

/// The resources of a daemon whose log cannot be read.
struct Quiet {
    descriptors: usize,
    memory: usize,
}

impl Quiet {
    fn now(daemon: &Daemon) -> Self {
        Self { descriptors: daemon.descriptors(), memory: memory(daemon) }
    }

    /// Asserts that it echoes and has as many descriptors as before, and completes the row.
    fn end(&self, daemon: &Daemon, targets: &[Target; 2], row: Row) -> Row {
        for target in targets {
            let plan = Plan::whole(1000, 1);
            assert!(play(target, &plan).is_whole(&plan));
        }
        wait_until("as many descriptors as before", || daemon.descriptors() == self.descriptors);
        let after = memory(daemon);
        let row = Row {
            descriptors: (self.descriptors, daemon.descriptors()),
            memory: vec![self.memory, after],
            most_memory: after,
            ..row
        };
        assert_settled(&row);
        row
    }
}

/// At the level debug, each session has two lines, for its beginning and its end.
fn is_of_a_session(text: &str) -> bool {
    text.contains(" accepted listener=") || text.contains(" session listener=")
}

pub fn log_daemon(soak: &Soak) -> Result<Row, String> {
    let folder = folder_with_certificates();
    let (path, lines, ports) = (folder.path().join("log"), Arc::default(), ports());
    let mut log = LogDaemon::start(&path, &lines, false);
    let config = format!(
        "[log]\nlevel = \"debug\"\ntarget = \"syslog\"\nsocket = \"{}\"\n{}",
        path.display(),
        listeners(ports)
    );
    let mut daemon = Daemon::start_in(folder, &config, |_| {});
    let targets = targets_at(daemon.folder.path(), ports);
    let before = Quiet::now(&daemon);
    let load = load(targets.clone(), soak.seed);
    let (rounds, turn) = (soak.count(10).max(2), Duration::from_secs(1));
    for _ in 0..rounds {
        std::thread::sleep(turn);
        log.stop();
        fs::remove_file(&path).unwrap();
        std::thread::sleep(turn);
        log = LogDaemon::start(&path, &lines, true);
        std::thread::sleep(turn);
        log.stop();
        log = LogDaemon::start(&path, &lines, false);
    }
    std::thread::sleep(turn);
    let totals = load.stop();
    totals.assert_well();
    let row = before.end(&daemon, &targets, Row::of(&totals, String::new()));

    // A log daemon that reads: it receives the count of lost lines.
    log.stop();
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    daemon.signal(Signal::USR1);
    let lost: u64 = loop {
        let mut buffer = [0; 8192];
        let length = socket.recv(&mut buffer).expect("no statistics");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        lines.fetch_add(u64::from(is_of_a_session(&text)), Ordering::Relaxed);
        if text.contains(" statistics uptime=") {
            break field(&text, "log-lines-lost").parse().unwrap();
        }
    };
    let arrived = lines.load(Ordering::Relaxed);
    // Including the two echoes at the end.
    let lines = 2 * (row.sessions + 2);
    assert_eq!(arrived + lost, lines, "{arrived} lines arrived, {lost} were lost");
    assert!(lost > 0, "no line was lost");
    assert_eq!(daemon.stop().code(), Some(0));
    let faults =
        format!("{rounds} times each; {arrived} lines arrived, {lost} were lost and counted");
    Ok(Row { faults, ..row })
}

pub fn disk_full(soak: &Soak) -> Result<Row, String> {
    let folder = folder_with_certificates();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    outcome(Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "soak"]).arg(&disk));
    let disk = Mounted(disk);
    let (file, ports) = (disk.0.join("log"), ports());
    let script = format!("exec \"$@\" 2>> '{}'", file.display());
    let mut daemon = Daemon::start_through(folder, &listeners(ports), &script);
    let targets = targets_at(daemon.folder.path(), ports);
    let before = Quiet::now(&daemon);
    let load = load(targets.clone(), soak.seed);
    let length = || fs::metadata(&file).unwrap().len();
    let rounds = soak.count(10).max(2);
    let mut full = Duration::ZERO;
    for _ in 0..rounds {
        wait_until("a full disk", || length() == 16 << 10);
        let turn = soak.seconds(3);
        std::thread::sleep(turn);
        full += turn;
        // With room on the disk, logging continues, and reports what was lost.
        fs::File::options().write(true).open(&file).unwrap().set_len(0).unwrap();
        wait_until("a line", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains(" log lines were lost"))
        });
    }
    let totals = load.stop();
    totals.assert_well();
    let faults = format!("{rounds} times full, {full:?} in all");
    let row = before.end(&daemon, &targets, Row::of(&totals, faults));
    assert_eq!(daemon.stop().code(), Some(0));
    Ok(row)
}

/// A file system, which is unmounted at the end.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

pub fn clock(soak: &Soak) -> Result<Row, String> {
    let library = fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|path| path.is_file())
        .ok_or("libfaketime is not installed")?;
    let folder = folder_with_certificates();
    let file = folder.path().join("clock");
    let set = |shift: &str| {
        // Atomically, because a reader must not find it empty.
        let new = file.with_extension("new");
        fs::write(&new, shift).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    set("+0");
    let config =
        format!("[limits]\nidle-timeout = \"3s\"\nhandshake-timeout = \"1s\"\n{PLAIN}{TLS}");
    let daemon = Daemon::start_in(folder, &config, |command| {
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &file)
            .env("FAKETIME_NO_CACHE", "1")
            // The wall clock, not the monotonic clock, which cannot be set.
            .env("DONT_FAKE_MONOTONIC", "1");
    });
    let watch = Watch::over(&daemon);
    let load = load(targets(&daemon), soak.seed);
    let rounds = soak.count(200);
    let mut years = std::collections::BTreeSet::new();
    let mut others = 0;
    for round in 0..rounds {
        // Two sessions during the change, one idle, one in its handshake: they must time out when they
        // should.
        let looks = round % 20 == 0;
        let begun = Instant::now();
        let mut waiting = looks.then(|| {
            others += 2;
            [daemon.connect("plain"), daemon.connect("tls")]
        });
        set(["+1y", "-1y", "+0"][round % 3]);
        std::thread::sleep(Duration::from_millis(50));
        let line = daemon.statistics();
        years.insert(line[..4].to_owned());
        if let Some([idle, handshake]) = &mut waiting {
            rest(handshake);
            let took = begun.elapsed();
            assert!((1.0..2.0).contains(&took.as_secs_f64()), "handshake-timeout after {took:?}");
            assert_eq!(idle.read(&mut [0]).unwrap(), 0);
            let took = begun.elapsed();
            assert!((3.0..4.0).contains(&took.as_secs_f64()), "idle-timeout after {took:?}");
        }
    }
    set("+0");
    let totals = load.stop();
    totals.assert_well();
    assert_eq!(years.len(), 3, "the clock was not set: {years:?}");
    let years = years.into_iter().collect::<Vec<_>>().join(", ");
    let row = Row::of(&totals, format!("{rounds} times by a year, in the log {years}"));
    let sessions = row.sessions + others;
    let row = watch.end(&daemon, Row { sessions, ..row });
    assert_settled(&row);
    Ok(row)
}

pub fn term(soak: &Soak) -> Result<Row, String> {
    const DRAIN: Duration = Duration::from_millis(400);
    let certificates = folder_with_certificates();
    let config = format!("[limits]\ndrain-timeout = \"{}ms\"\n{PLAIN}{TLS}", DRAIN.as_millis());
    let (daemons, totals) = (soak.count(200), Totals::default());
    let mut dice = Dice::new(soak.seed);
    let mut longest = Duration::ZERO;
    for _ in 0..daemons {
        let folder = tempfile::tempdir().unwrap();
        for name in ["signing.pem", "alex.crt", "alex.key"] {
            fs::copy(certificates.path().join(name), folder.path().join(name)).unwrap();
        }
        let mut daemon = Daemon::start_in(folder, &config, |_| {});
        let targets = targets(&daemon);
        let hello = flight(&mut new_connection(&daemon));
        let moment = Duration::from_micros(dice.next() % 60_000);
        let seed = dice.next();
        let (took, status) = std::thread::scope(|scope| {
            for number in 0..8 {
                let (targets, totals, mut dice) = (&targets, &totals, Dice::new(seed + number));
                scope.spawn(move || {
                    let target = &targets[dice.below(2)];
                    let plan = match number {
                        // Echoing, fast and slow.
                        0..3 => Plan {
                            rest: Duration::from_millis(1),
                            piece: 5000,
                            ..Plan::whole(1 << 20, dice.next())
                        },
                        // Half-closed: all is sent soon, and read late.
                        3..5 => {
                            Plan { stops: vec![0], ..Plan::whole(dice.size(400_000), dice.next()) }
                        }
                        5 => Plan::whole(dice.size(1 << 20), dice.next()),
                        _ => Plan {
                            stops: vec![0],
                            end: End::Stay,
                            ..Plan::whole(24 << 20, dice.next())
                        },
                    };
                    let outcome = play(target, &plan);
                    // The echo is a prefix of what was sent.
                    assert_eq!(outcome.wrong, 0);
                    // It may have been cut off, which is no failure here.
                    totals.add(&Plan { end: End::Stay, ..plan }, &outcome);
                });
            }
            // In the handshake.
            let cut = dice.below(hello.len());
            let mut slow = connect(targets[1].address);
            slow.write_all(&hello[..cut]).unwrap();
            std::thread::sleep(moment);
            let start = Instant::now();
            let status = daemon.stop();
            rest(&mut slow);
            (start.elapsed(), status)
        });
        assert_eq!(status.code(), Some(0));
        assert!(took < DRAIN + Duration::from_secs(2), "TERM took {took:?}");
        let log = daemon.whole_log();
        assert!(log.last().unwrap().contains(" stopped, 0 sessions (0 TLS), "), "{log:#?}");
        longest = longest.max(took);
    }
    let faults = format!(
        "{daemons} daemons, TERM after 0 to 60 ms; the slowest exited with 0 after {} ms",
        longest.as_millis()
    );
    Ok(Row::of(&totals, faults))
}
