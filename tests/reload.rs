//! SIGHUP loads the changed file and closes no session of a listener that stays. An invalid file changes
//! nothing.

mod util;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::CertificateDer;
use util::{
    Authority, Daemon, PLAIN, ROOM_FOR_A_CROWD, TLS, TlsClient, assert_echo, connect, connect_tls,
    field, folder_with_certificates, plain_and_tls, read_to_end, tool,
};

/// The certificate that the listener `tls` presents in a new session.
fn served_certificate(daemon: &Daemon) -> CertificateDer<'static> {
    let mut session = TlsClient::default().connect(daemon);
    assert_echo(&mut session, b"new");
    session.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

fn no_answer(address: SocketAddr) {
    assert!(TcpStream::connect(address).is_err(), "{address} still listens");
}

fn assert_reloaded(line: &str) {
    assert!(line.ends_with(" reloaded"), "{line}");
}

#[test]
fn a_new_certificate_is_used_and_old_sessions_continue() {
    let daemon = plain_and_tls();
    let before = served_certificate(&daemon);
    let mut old = TlsClient::default().connect(&daemon);
    assert_echo(&mut old, b"before");
    let config = TlsClient::default().config(daemon.folder.path());

    let authority = Authority::new("new CA");
    authority.write(daemon.folder.path(), "signing.pem");
    authority.write_server(daemon.folder.path(), "alex");
    assert_reloaded(&daemon.reload());

    let after = served_certificate(&daemon);
    assert_ne!(before, after);
    assert_echo(&mut old, b"after");
    // A client that trusts only the old CA cannot connect.
    let mut distrustful = connect_tls(&config, daemon.address("tls"));
    assert!(distrustful.read(&mut [0]).is_err());
}

#[test]
fn a_listener_keeps_a_port_that_the_kernel_chose() {
    let daemon = plain_and_tls();
    let (plain, tls) = (daemon.address("plain"), daemon.address("tls"));
    let mut old = connect(plain);
    assert_echo(&mut old, b"before");
    for _ in 0..3 {
        assert_reloaded(&daemon.reload());
    }
    assert_echo(&mut connect(plain), b"same port");
    assert_echo(&mut connect_tls(&TlsClient::default().config(daemon.folder.path()), tls), b"tls");
    assert_echo(&mut old, b"after");
    let listening = daemon.seen().iter().filter(|line| line.contains(" listening ")).count();
    assert_eq!(listening, 2, "{:#?}", daemon.seen());
}

#[test]
fn new_limits_apply_to_the_next_connection() {
    let daemon = Daemon::start(PLAIN);
    let mut first = daemon.connect("plain");
    assert_echo(&mut first, b"x");
    daemon.rewrite_config(&format!("[limits]\nmax-sessions = 1\n{PLAIN}"));
    assert_reloaded(&daemon.reload());
    assert_eq!(daemon.connect("plain").read(&mut [0]).unwrap_or(0), 0);
    assert_echo(&mut first, b"those that are there stay");
    daemon.rewrite_config(&format!("[limits]\nmax-sessions = 2\n{PLAIN}"));
    assert_reloaded(&daemon.reload());
    assert_echo(&mut daemon.connect("plain"), b"x");
}

#[test]
fn new_timeouts_apply_to_existing_sessions() {
    let daemon = Daemon::start(&format!("[limits]\nidle-timeout = \"none\"\n{PLAIN}"));
    let mut old = daemon.connect("plain");
    assert_echo(&mut old, b"x");
    daemon.rewrite_config(&format!("[limits]\nidle-timeout = \"300ms\"\n{PLAIN}"));
    assert_reloaded(&daemon.reload());
    assert_eq!(read_to_end(&mut old), b"");
    let peer = old.local_addr().unwrap();
    drop(old);
    assert_eq!(field(&daemon.session_line(peer), "reason"), "idle-timeout");
}

#[test]
fn a_new_log_level_applies_at_once() {
    let daemon = Daemon::start(&format!("[log]\nlevel = \"info\"\n{PLAIN}"));
    drop(daemon.connect("plain"));
    daemon.wait_for_line(|line| line.contains(" session listener=plain "));
    assert!(!daemon.seen().iter().any(|line| line.contains(" accepted listener=")));
    daemon.rewrite_config(&format!("[log]\nlevel = \"debug\"\n{PLAIN}"));
    assert_reloaded(&daemon.reload());
    let _new = daemon.connect("plain");
    daemon.wait_for_line(|line| line.contains(" accepted listener=plain "));
}

#[test]
fn only_sessions_of_removed_listeners_end() {
    let daemon = plain_and_tls();
    let (plain, tls) = (daemon.address("plain"), daemon.address("tls"));
    let mut stays = daemon.connect("plain");
    let mut goes = TlsClient::default().connect(&daemon);
    assert_echo(&mut stays, b"stays");
    assert_echo(&mut goes, b"goes");

    let added = PLAIN.replace("plain", "added");
    daemon.rewrite_config(&format!("{PLAIN}{added}"));
    assert_reloaded(&daemon.reload());
    // A clean end: without close_notify, this is an error.
    assert_eq!(read_to_end(&mut goes), b"");
    let peer = goes.sock.local_addr().unwrap();
    drop(goes);
    assert_eq!(field(&daemon.session_line(peer), "reason"), "listener-removed");
    no_answer(tls);
    assert_echo(&mut stays, b"survives");
    assert_echo(&mut connect(plain), b"new");
    assert_echo(&mut daemon.connect("added"), b"new");
    let line = daemon.wait_for_line(|line| line.contains(" no longer listening "));
    assert_eq!(field(&line, "listener"), "tls");
    assert_eq!(field(&line, "address"), tls.to_string());
    // The totals include the removed listener.
    assert_eq!(field(&daemon.statistics(), "echoed"), (5 + 4 + 8 + 3 + 3).to_string());
}

#[test]
fn connections_in_the_backlog_of_a_removed_listener_get_their_echo() {
    let daemon = Daemon::start(&format!("{ROOM_FOR_A_CROWD}{PLAIN}"));
    let address = daemon.address("plain");
    daemon.rewrite_config(&format!("{ROOM_FOR_A_CROWD}{}", PLAIN.replace("plain", "other")));
    for mut stream in daemon.crowd_before(Signal::HUP, address, b"waits") {
        assert_eq!(read_to_end(&mut stream), b"waits");
    }
    assert_echo(&mut daemon.connect("other"), b"x");
}

#[test]
fn a_listener_with_a_new_address_keeps_its_sessions() {
    let daemon = Daemon::start(PLAIN);
    let before = daemon.address("plain");
    let mut old = connect(before);
    assert_echo(&mut old, b"before");
    daemon.rewrite_config(&PLAIN.replace("127.0.0.1:0", "127.0.0.2:0"));
    assert_reloaded(&daemon.reload());
    let line = daemon.wait_for_nth_line(1, |line| line.contains(" listening listener=plain "));
    assert_echo(&mut connect(field(&line, "address").parse().unwrap()), b"new");
    no_answer(before);
    assert_echo(&mut old, b"after");
}

/// Asserts that a reload of `config` is refused for `cause` and changes nothing.
fn changes_nothing(config: &str, cause: &str, spoil: impl FnOnce(&Daemon)) {
    let daemon = plain_and_tls();
    let before = served_certificate(&daemon);
    let mut old = daemon.connect("plain");
    assert_echo(&mut old, b"before");
    spoil(&daemon);
    daemon.rewrite_config(config);
    let line = daemon.reload();
    assert!(line.contains(" not reloaded, all stays as it was: "), "{line}");
    assert!(line.contains(cause), "no {cause:?} in {line}");
    assert_eq!(served_certificate(&daemon), before);
    assert_echo(&mut old, b"after");
    assert_echo(&mut daemon.connect("plain"), b"new");
    let words = ["no longer listening", "listener=extra"];
    assert!(!daemon.seen().iter().any(|line| words.iter().any(|word| line.contains(word))));

    // A corrected file is loaded.
    drop(old);
    util::Authority::new("other").write_server(daemon.folder.path(), "alex");
    daemon.rewrite_config(PLAIN);
    assert_reloaded(&daemon.reload());
}

#[test]
fn broken_toml_changes_nothing() {
    changes_nothing("[[listener]\n", "echo-alex.toml:1:12: ", |_| {});
}

#[test]
fn a_missing_file_changes_nothing() {
    let daemon = Daemon::start(PLAIN);
    fs::remove_file(daemon.path("echo-alex.toml")).unwrap();
    let line = daemon.reload();
    assert!(line.contains(" not reloaded, ") && line.contains("no such file"), "{line}");
    assert_echo(&mut daemon.connect("plain"), b"as before");
}

/// Runs `"$@"` with the configuration at the default path, in a mount namespace with an /etc of its own.
const IN_THE_DEFAULT_PLACE: &str = "exec unshare --user --map-root-user --mount sh -c '\
    mount -t tmpfs none /etc && mkdir /etc/echo-alex && cp \"$3\" /etc/echo-alex && exec \"$1\"\
    ' sh \"$@\"";

#[test]
fn a_missing_default_file_changes_nothing_and_opens_no_listener() {
    if !namespaces() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_through(folder, PLAIN, IN_THE_DEFAULT_PLACE);
    let line = daemon.wait_for_line(|line| line.contains(" starts, with "));
    assert!(line.ends_with(" with /etc/echo-alex/echo-alex.toml"), "{line}");
    fs::remove_file(format!("/proc/{}/root/etc/echo-alex/echo-alex.toml", daemon.pid())).unwrap();
    let line = daemon.reload();
    assert!(line.contains(" not reloaded, ") && line.contains("no such file"), "{line}");
    assert_echo(&mut daemon.connect("plain"), b"as before");
    let listening = daemon.seen().iter().filter(|line| line.contains(" listening ")).count();
    assert_eq!(listening, 1, "the built-in listeners are for a start: {:#?}", daemon.seen());
}

/// Whether namespaces can be made here.
fn namespaces() -> bool {
    let Some(mut unshare) = tool("unshare") else { return false };
    let tried = unshare.args(["--user", "--map-root-user", "--mount", "true"]).status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: mount namespaces cannot be made here");
    }
    can
}

#[test]
fn a_special_file_changes_nothing_and_blocks_nothing() {
    for (name, config) in [("echo-alex.toml", PLAIN), ("alex.crt", TLS), ("alex.key", TLS)] {
        let daemon = Daemon::start_in(folder_with_certificates(), &format!("{PLAIN}{TLS}"), |_| {});
        if name != "echo-alex.toml" {
            daemon.rewrite_config(config);
        }
        for make in [make_fifo, link_to_zero] {
            let path = daemon.path(name);
            fs::remove_file(&path).unwrap();
            make(&path);
            let line = daemon.reload();
            assert!(line.contains(" not reloaded, "), "{line}");
            assert!(line.contains(&format!("{}: it is a ", path.display())), "{line}");
            assert_echo(&mut daemon.connect("plain"), b"as before");
        }
    }
}

fn make_fifo(path: &Path) {
    assert!(tool("mkfifo").unwrap().arg(path).status().unwrap().success());
}

fn link_to_zero(path: &Path) {
    std::os::unix::fs::symlink("/dev/zero", path).unwrap();
}

/// A daemon that listens on every address, and its port.
fn daemon_on_every_address() -> (Daemon, u16) {
    let daemon = Daemon::start(&format!("{ROOM_FOR_A_CROWD}{}", on("0")));
    let port = daemon.address("plain").port();
    (daemon, port)
}

/// A listener `plain` that listens on `listen`.
fn on(listen: &str) -> String {
    format!("[[listener]]\nname = \"plain\"\nlisten = {listen}\n")
}

#[test]
fn a_port_is_narrowed_to_one_address_and_widened_again_without_losing_connections() {
    let (daemon, port) = daemon_on_every_address();
    let [one, other] = [1, 2].map(|host| SocketAddr::from(([127, 0, 0, host], port)));
    let mut old = connect(other);
    assert_echo(&mut old, b"before");
    for (listen, answers, waits_at) in [
        (format!("\"{one}\""), false, other),
        (format!("{port}"), true, one),
        (format!("[\"{one}\", \"[::1]:{port}\"]"), false, one),
        (format!("\"0.0.0.0:{port}\""), true, one),
        (format!("\"{one}\""), false, other),
        (format!("\"{other}\""), true, one),
    ] {
        daemon.rewrite_config(&format!("{ROOM_FOR_A_CROWD}{}", on(&listen)));
        let (crowd, line) =
            daemon.reload_by(|| daemon.crowd_before(Signal::HUP, waits_at, b"waits"));
        assert_reloaded(&line);
        for mut stream in crowd {
            let mut echo = [0; 5];
            stream.read_exact(&mut echo).unwrap();
            assert_eq!(&echo, b"waits", "{listen}");
        }
        assert_eq!(TcpStream::connect(other).is_ok(), answers, "{listen}");
        assert_echo(&mut old, b"the session continues");
    }
    no_answer(one);
}

#[test]
fn a_port_that_cannot_be_narrowed_stays_unchanged() {
    let (daemon, port) = daemon_on_every_address();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let extra = PLAIN.replace("plain", "extra").replace("127.0.0.1:0", &taken.to_string());
    daemon.rewrite_config(&format!(
        "{ROOM_FOR_A_CROWD}{}{extra}",
        on(&format!("\"127.0.0.1:{port}\""))
    ));
    let one = SocketAddr::from(([127, 0, 0, 1], port));
    let (crowd, line) = daemon.reload_by(|| daemon.crowd_before(Signal::HUP, one, b"waits"));
    assert!(line.contains(&format!("cannot listen on {taken}: address already in use")), "{line}");
    for mut stream in crowd {
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
    }
    assert_echo(&mut connect(([127, 0, 0, 2], port).into()), b"every address");
    assert!(!daemon.seen().iter().any(|line| line.contains("no longer listening")));
}

#[test]
fn a_bad_key_changes_nothing_not_even_the_listeners_before_it() {
    let extra = PLAIN.replace("plain", "extra");
    changes_nothing(&format!("{extra}{TLS}"), "alex.key is not the key of ", |daemon| {
        fs::copy(daemon.path("laptop.key"), daemon.path("alex.key")).unwrap();
    });
}

#[test]
fn an_address_in_use_changes_nothing_not_even_the_limits() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let extra = PLAIN.replace("plain", "extra").replace("127.0.0.1:0", &address.to_string());
    let config =
        format!("[log]\nlevel = \"error\"\n[limits]\nmax-sessions = 1\n{PLAIN}{TLS}{extra}");
    changes_nothing(
        &config,
        &format!("cannot listen on {address}: address already in use"),
        |_| {},
    );
}

#[test]
fn a_new_client_ca_applies_to_resumed_sessions_too() {
    let daemon = Daemon::start_in(folder_with_certificates(), TLS, |_| {});
    let anonymous = TlsClient::default().config(daemon.folder.path());
    let address = daemon.address("tls");
    assert_echo(&mut connect_tls(&anonymous, address), b"no certificate needed");
    daemon.rewrite_config(&format!("{TLS}client-ca = \"signing.pem\"\n"));
    assert_reloaded(&daemon.reload());
    let mut resumed = connect_tls(&anonymous, address);
    let _ = std::io::Write::write_all(&mut resumed, b"let me in");
    assert!(resumed.read(&mut [0]).is_err());
    let laptop = TlsClient { identity: Some("laptop"), ..TlsClient::default() };
    assert_echo(&mut laptop.connect(&daemon), b"with a certificate");
}

/// The time of the monotonic clock in a message to the service manager.
fn time_of_reload(message: &str) -> Duration {
    let lines: Vec<&str> = message.lines().collect();
    assert!(lines.contains(&"RELOADING=1"), "{message}");
    let time = lines.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    Duration::from_micros(time.parse().unwrap())
}

#[test]
fn the_service_manager_receives_reloading_with_the_time_and_then_ready() {
    let daemon = Daemon::start(PLAIN);
    let mut reloads = Vec::new();
    for config in [PLAIN, "broken"] {
        daemon.rewrite_config(config);
        let before = Instant::now();
        daemon.signal(Signal::HUP);
        let reloading = daemon.notification();
        reloads.push((before, time_of_reload(&reloading), Instant::now()));
        assert!(daemon.notification().contains("READY=1"));
    }
    // The time agrees with the monotonic clock of the test.
    let [(before1, time1, after1), (before2, time2, after2)] = reloads[..] else { unreachable!() };
    let between = time2.checked_sub(time1).unwrap() + Duration::from_micros(1);
    assert!(between >= before2 - after1 && between <= after2 - before1 + Duration::from_micros(2));
}

#[test]
fn the_time_of_a_reload_is_right_after_weeks_of_uptime() {
    const WEEKS: u64 = 3_000_000;
    // Without root, a time namespace needs a user namespace.
    let namespace = format!("--user --map-root-user --time --monotonic={WEEKS} --boottime={WEEKS}");
    let Some(mut unshare) = tool("unshare") else { return };
    // It may not be permitted, and older kernels put only children into it.
    let uptime = unshare.args(namespace.split(' ')).args(["cat", "/proc/uptime"]).output().unwrap();
    let uptime = String::from_utf8(uptime.stdout).unwrap();
    let seconds = uptime.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
    if seconds.is_none_or(|seconds| seconds < WEEKS) {
        eprintln!("skipped: time namespaces cannot be made here");
        return;
    }
    let clock = || {
        Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap() + Duration::from_secs(WEEKS)
    };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_through(folder, PLAIN, &format!("exec unshare {namespace} \"$@\""));
    let before = clock();
    daemon.signal(Signal::HUP);
    let time = time_of_reload(&daemon.notification());
    assert!(time + Duration::from_micros(1) > before && time <= clock(), "{before:?}, {time:?}");
}
