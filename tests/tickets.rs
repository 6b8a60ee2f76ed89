//! Several daemons share the keys of session tickets: each resumes the sessions of the others, as long as both ask
//! the same of their clients, and only while the keys are used.

mod util;

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use socket2::{Domain, Socket, Type};
use util::{
    Authority, Daemon, TLS, TlsClient, WEB, assert_echo, connect, connect_tls, emulated, end_tls,
    field, folder_with_certificates, noise, read_to_end, run, tool, wait_until, write_identity,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const TICKETS: &str = "[tickets]\nfile = \"tickets\"\n";

/// Each session has a line in the log, however many there are.
const ALL_LINES: &str = "[log]\nlevel = \"debug\"\n";

const DAY: i64 = 24 * 60 * 60;

// Files of keys.

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key that was made so many seconds before the tests began, as a line.
fn key(number: u8, age: i64) -> String {
    static BEGIN: OnceLock<u64> = OnceLock::new();
    key_of(number, BEGIN.get_or_init(now).checked_add_signed(-age).unwrap())
}

/// A key that was made then.
fn key_of(number: u8, made: u64) -> String {
    let made = &made.to_be_bytes()[3..];
    STANDARD.encode([b"ALEXT", made, &[number; 6], &noise(64, number.into())].concat()) + "\n"
}

/// A key whose name says no date.
fn undated(number: u8) -> String {
    STANDARD.encode(noise(80, number.into())) + "\n"
}

/// Three keys that were made so many seconds before the tests began, numbered from `first` on.
fn keys(first: u8, age: i64) -> String {
    (first..first + 3).map(|number| key(number, age)).collect()
}

fn write_keys(folder: &Path, text: &str) {
    let path = folder.join("tickets");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
}

// Daemons and sessions.

/// A folder with the certificates of `from`, and these keys.
fn folder_like(from: &Path, keys: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry
            .path()
            .extension()
            .is_some_and(|it| ["pem", "crt", "key"].iter().any(|ext| it == *ext))
        {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    write_keys(folder.path(), keys);
    folder
}

fn daemon_in(folder: tempfile::TempDir, config: &str) -> Daemon {
    Daemon::start_in(folder, &format!("{TICKETS}{config}"), |_| {})
}

/// A daemon with each configuration, the same certificates and the same keys.
fn daemons<const COUNT: usize>(configs: [&str; COUNT]) -> [Daemon; COUNT] {
    let certificates = folder_with_certificates();
    configs.map(|config| daemon_in(folder_like(certificates.path(), &keys(1, 0)), config))
}

/// A client with only this version.
fn only(version: &'static SupportedProtocolVersion) -> TlsClient {
    TlsClient { only: Some(version), ..TlsClient::default() }
}

/// A session with one echo: its log line.
fn session(daemon: &Daemon, config: &Arc<ClientConfig>) -> String {
    let mut stream = connect_tls(config, daemon.address("tls"));
    assert_echo(&mut stream, b"who knows me?");
    end_tls(&mut stream);
    stream.sock.shutdown(Shutdown::Write).unwrap();
    daemon.session_line(stream.sock.local_addr().unwrap())
}

/// Whether a session with one echo is resumed.
fn resumes(daemon: &Daemon, config: &Arc<ClientConfig>) -> bool {
    let line = session(daemon, config);
    assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    field(&line, "resumed") == "yes"
}

/// A session that is refused: its log line.
fn refused(daemon: &Daemon, config: &Arc<ClientConfig>) -> String {
    use std::io::{Read, Write};

    let mut stream = connect_tls(config, daemon.address("tls"));
    let _ = stream.write_all(b"let me in");
    assert!(stream.read(&mut [0]).is_err());
    let _ = stream.sock.shutdown(Shutdown::Write);
    daemon.session_line(stream.sock.local_addr().unwrap())
}

fn reload(daemon: &Daemon, config: &str) {
    daemon.rewrite_config(&format!("{TICKETS}{config}"));
    let line = daemon.reload();
    assert!(line.ends_with(" reloaded"), "{line}");
}

/// A TLS listener that asks for certificates.
fn asking(auth: &str) -> String {
    format!("{TLS}client-ca = \"signing.pem\"\nclient-auth = \"{auth}\"\n")
}

// Resumption.

#[test]
fn a_session_is_resumed_at_another_daemon_after_a_reload_and_after_a_restart() {
    for version in VERSIONS {
        let [one, other] = daemons([TLS, TLS]);
        let config = only(version).config(one.folder.path());
        assert!(!resumes(&one, &config));
        assert!(resumes(&other, &config));
        assert!(resumes(&one, &config));
        reload(&one, TLS);
        assert!(resumes(&one, &config));
        drop(other);
        let restarted = daemon_in(folder_like(one.folder.path(), &keys(1, 0)), TLS);
        assert!(resumes(&restarted, &config));
    }
}

#[test]
fn without_the_table_or_with_keys_that_were_made_apart_nothing_is_resumed_elsewhere() {
    for version in VERSIONS {
        let certificates = folder_with_certificates();
        let apart = [1, 2]
            .map(|daemon| daemon_in(folder_like(certificates.path(), &keys(10 * daemon, 0)), TLS));
        let alone =
            [0; 2].map(|_| Daemon::start_in(folder_like(certificates.path(), ""), TLS, |_| {}));
        for [one, other] in [apart, alone] {
            let config = only(version).config(one.folder.path());
            assert!(!resumes(&one, &config));
            assert!(resumes(&one, &config), "by itself");
            assert!(!resumes(&other, &config));
        }
    }
}

/// `openssl s_client` with these options: what it printed.
fn openssl(daemon: &Daemon, version: &str, options: &[&str]) -> Option<String> {
    let address = daemon.address("tls").to_string();
    let mut openssl = tool("openssl")?;
    openssl
        .current_dir(daemon.folder.path())
        .args(["s_client", version, "-servername", "localhost", "-CAfile", "signing.pem"])
        .args(["-connect", &address])
        .args(options);
    // The end of its input is the end of the session, once the ticket of TLS 1.3 has come with the echo.
    let mut client = util::Running::start(openssl);
    client.write(b"hello\n");
    let mut printed = client.read_to("hello\n");
    let _ = client.finish();
    printed.truncate(64 * 1024);
    Some(printed)
}

fn is_resumed(printed: &str) -> bool {
    match (printed.contains("\nNew, TLS"), printed.contains("\nReused, TLS")) {
        (true, false) => false,
        (false, true) => true,
        _ => panic!("{printed}"),
    }
}

#[test]
fn openssl_resumes_at_another_daemon_but_not_with_a_damaged_ticket() {
    for version in ["-tls1_2", "-tls1_3"] {
        let [one, other] = daemons([TLS, TLS]);
        let file = one.path("session");
        let file = file.to_str().unwrap();
        let Some(printed) = openssl(&one, version, &["-sess_out", file]) else { return };
        assert!(!is_resumed(&printed));
        let pem = fs::read_to_string(file).unwrap();
        for damaged in [true, false] {
            let session = if damaged { damage(&pem) } else { pem.clone() };
            fs::write(file, session).unwrap();
            let printed = openssl(&other, version, &["-sess_in", file]).unwrap();
            assert_eq!(is_resumed(&printed), !damaged, "{version}");
        }
    }
}

/// A session of openssl with another bit in the middle of its ticket.
fn damage(pem: &str) -> String {
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(lines).unwrap();
    // The ticket is an OCTET STRING in the field 10, with lengths of one byte in two.
    let is_ticket =
        |part: &[u8]| matches!(part, [0xaa, 0x81, outer, 0x04, 0x81, inner] if *outer == inner + 3);
    let start = der.windows(6).position(is_ticket).expect("no ticket");
    let length = usize::from(der[start + 5]);
    der[start + 6 + length / 2] ^= 0x10;
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|it| str::from_utf8(it).unwrap()).collect();
    format!(
        "-----BEGIN SSL SESSION PARAMETERS-----\n{}\n-----END SSL SESSION PARAMETERS-----\n",
        lines.join("\n")
    )
}

#[test]
fn three_rotations_cost_no_handshake_and_no_resumption() {
    for version in VERSIONS {
        let [one, other] = daemons([TLS, TLS]);
        let config = only(version).config(one.folder.path());
        assert!(!resumes(&one, &config));
        for first in 2..=4 {
            // The new key comes to one daemon after the other; sessions go back and forth meanwhile.
            for daemon in [&one, &other] {
                write_keys(daemon.folder.path(), &keys(first, 0));
                assert!(daemon.reload().ends_with(" reloaded"));
                for daemon in [&one, &other, &one] {
                    assert!(resumes(daemon, &config), "after rotation {first}");
                }
            }
        }
    }
}

#[test]
fn daemons_that_share_a_port_resume_the_sessions_of_each_other() {
    let times = if emulated() { 40 } else { 200 };
    for count in [2, 4] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let listener = TLS.replace("\"127.0.0.1:0\"", &format!("\"{address}\"\nreuse-port = true"));
        for (tickets, version) in [(TICKETS, &TLS12), (TICKETS, &TLS13), ("", &TLS13)] {
            let certificates = folder_with_certificates();
            let daemons: Vec<Daemon> = (0..count)
                .map(|_| folder_like(certificates.path(), &keys(1, 0)))
                .map(|folder| Daemon::start_in(folder, &format!("{tickets}{listener}"), |_| {}))
                .collect();
            let config = only(version).config(certificates.path());
            let resumed = (0..=times).filter(|_| {
                let mut stream = connect_tls(&config, address);
                assert_echo(&mut stream, b"whoever you are");
                let resumed = stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                end_tls(&mut stream);
                resumed
            });
            let resumed = resumed.count();
            eprintln!("{count} daemons, {version:?}, {tickets:?}: {resumed} of {times}");
            if tickets.is_empty() {
                assert!(resumed < times, "each has its own keys");
            } else {
                assert_eq!(resumed, times, "all but the first");
            }
            drop(daemons);
        }
    }
}

// Borders of trust.

#[test]
fn a_session_without_a_certificate_is_not_resumed_where_one_is_required() {
    for version in VERSIONS {
        let required = asking("required");
        let optional = asking("optional");
        let [open, asks, closed] = daemons([TLS, &optional, &required]);
        let config = only(version).config(open.folder.path());
        for from in [&open, &asks] {
            assert!(!resumes(from, &config));
            assert!(resumes(from, &config));
            let line = refused(&closed, &config);
            assert!(line.contains("the peer sent no certificate"), "{line}");
        }
        // A reload is a border, too.
        assert!(!resumes(&open, &config));
        assert!(resumes(&open, &config));
        reload(&open, &required);
        let line = refused(&open, &config);
        assert!(line.contains("the peer sent no certificate"), "{line}");
    }
}

#[test]
fn a_session_with_a_certificate_is_not_resumed_where_none_or_another_ca_is_asked_for() {
    for version in VERSIONS {
        let required = asking("required");
        let [closed, same, open] = daemons([&required, &required, TLS]);
        let laptop = TlsClient { identity: Some("laptop"), ..only(version) };
        let config = laptop.config(closed.folder.path());
        assert!(!resumes(&closed, &config));
        let line = session(&same, &config);
        assert_eq!(field(&line, "resumed"), "yes", "{line}");
        assert!(
            line.contains(" client=\"CN=laptop\" "),
            "the certificate of the first one: {line}"
        );
        assert!(!resumes(&open, &config));
        // A CA of the same name that has not signed it.
        assert!(!resumes(&closed, &config));
        Authority::new("test CA").write(closed.folder.path(), "other.pem");
        reload(&closed, &required.replace("signing.pem", "other.pem"));
        let line = refused(&closed, &config);
        assert!(line.contains("has another CA of the same name signed"), "{line}");
    }
}

#[test]
fn another_listener_resumes_nothing() {
    let other_name = TLS.replace("\"tls\"", "\"tls2\"");
    let [daemon] = daemons([&format!("{TLS}{other_name}")]);
    for version in VERSIONS {
        let config = only(version).config(daemon.folder.path());
        assert!(!resumes(&daemon, &config));
        assert!(resumes(&daemon, &config));
        let mut stream = connect_tls(&config, daemon.address("tls2"));
        assert_echo(&mut stream, b"hello");
        assert_eq!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn another_certificate_for_the_name_resumes_but_not_a_temporary_one() {
    for version in VERSIONS {
        let [one] = daemons([TLS]);
        let authority = Authority::new("another CA");
        let folder = folder_like(one.folder.path(), &keys(1, 0));
        authority.write_server(folder.path(), "alex");
        let other = daemon_in(folder, TLS);
        let temporary = "[[listener]]\nname = \"tls\"\nlisten = \"127.0.0.1:0\"\n[listener.tls]\n";
        let temporary = daemon_in(folder_like(one.folder.path(), &keys(1, 0)), temporary);
        let config = only(version).config(one.folder.path());
        assert!(!resumes(&one, &config));
        // The client does not know the CA of this certificate, and does not see it.
        assert!(resumes(&other, &config));
        // It sees this one, and refuses it.
        let line = refused(&temporary, &config);
        assert_eq!(field(&line, "reason"), "certificate-refused", "{line}");
    }
}

#[test]
fn a_client_whose_certificate_has_expired_makes_a_full_handshake_and_is_refused() {
    let lifetime = Duration::from_secs(if emulated() { 30 } else { 5 });
    for version in VERSIONS {
        let required = asking("required");
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("test CA");
        authority.write(folder.path(), "signing.pem");
        authority.write_server(folder.path(), "alex");
        let (certificate, key) =
            authority.sign_until("laptop", ClientAuth, SystemTime::now() + lifetime);
        write_identity(folder.path(), "laptop", &certificate, &key);
        write_keys(folder.path(), &keys(1, 0));
        let daemon = daemon_in(folder, &format!("{ALL_LINES}{required}"));
        let laptop = TlsClient { identity: Some("laptop"), ..only(version) };
        let config = laptop.config(daemon.folder.path());
        assert!(!resumes(&daemon, &config));
        let (mut resumed, mut end) = (false, None);
        wait_until("the end of the certificate", || {
            use std::io::{Read, Write};

            let mut stream = connect_tls(&config, daemon.address("tls"));
            let _ = stream.write_all(b"x");
            let is_echoed = stream.read(&mut [0]).is_ok();
            let _ = stream.sock.shutdown(Shutdown::Both);
            let line = daemon.session_line(stream.sock.local_addr().unwrap());
            if is_echoed {
                resumed |= line.contains(" resumed=yes ");
            } else {
                end = Some(line);
            }
            !is_echoed
        });
        assert!(resumed, "as long as the certificate is valid");
        let line = end.unwrap();
        assert!(line.contains("expired"), "{line}");
    }
}

// The dates of keys.

#[test]
fn keys_that_have_ended_are_not_used_and_the_log_says_so() {
    for version in VERSIONS {
        let folder = folder_with_certificates();
        write_keys(folder.path(), &keys(1, 8 * DAY));
        let daemon = daemon_in(folder, TLS);
        let config = only(version).config(daemon.folder.path());
        for _ in 0..3 {
            assert!(!resumes(&daemon, &config), "every handshake is a full one, and none fails");
        }
        let is_warning =
            |line: &&String| line.contains(" WARN ") && line.contains("tickets ended on ");
        assert_eq!(daemon.seen().iter().filter(is_warning).count(), 1, "{:#?}", daemon.seen());
        // A reload with new keys ends that.
        write_keys(daemon.folder.path(), &keys(4, 0));
        assert!(daemon.reload().ends_with(" reloaded"));
        assert!(!resumes(&daemon, &config));
        assert!(resumes(&daemon, &config));
        let file = daemon.path("echo-alex.toml");
        write_keys(daemon.folder.path(), &keys(1, 8 * DAY));
        let (code, stdout, stderr) = run(&["--check", "-c", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(": good, 1 listener (1 TLS)"), "{stdout}");
        assert!(stderr.contains("the key that seals session tickets ended on "), "{stderr}");
    }
}

#[test]
fn keys_that_end_while_the_daemon_runs_are_not_used_any_more() {
    let folder = folder_with_certificates();
    let made = (now() + 5).checked_add_signed(-7 * DAY).unwrap();
    let text: String = (1..=3).map(|number| key_of(number, made)).collect();
    write_keys(folder.path(), &text);
    let daemon = daemon_in(folder, &format!("{ALL_LINES}{TLS}"));
    let config = TlsClient::default().config(daemon.folder.path());
    let is_warning = |line: &String| line.contains(" WARN ") && line.contains("tickets ended on ");
    wait_until("the end of the keys", || {
        resumes(&daemon, &config);
        daemon.seen().iter().any(is_warning)
    });
    assert!(!resumes(&daemon, &config));
    assert!(!resumes(&daemon, &config));
    assert_eq!(daemon.seen().iter().filter(|line| is_warning(line)).count(), 1);
}

#[test]
fn keys_with_a_date_that_the_clock_has_not_reached_wait_for_it() {
    let folder = folder_with_certificates();
    write_keys(folder.path(), &keys(1, -2 * DAY));
    let daemon = daemon_in(folder, TLS);
    daemon.wait_for_line(|line| line.contains("no session is resumed until the clock is set"));
    let config = TlsClient::default().config(daemon.folder.path());
    assert!(!resumes(&daemon, &config));
    assert!(!resumes(&daemon, &config));
    // A clock that is a little slow does no harm.
    write_keys(daemon.folder.path(), &keys(1, -DAY / 2));
    assert!(daemon.reload().ends_with(" reloaded"));
    assert!(!resumes(&daemon, &config));
    assert!(resumes(&daemon, &config));
}

#[test]
fn a_key_without_a_date_has_that_of_the_file() {
    let folder = folder_with_certificates();
    let text: String = (1..=3).map(undated).collect();
    write_keys(folder.path(), &text);
    let daemon = daemon_in(folder, TLS);
    let config = TlsClient::default().config(daemon.folder.path());
    assert!(!resumes(&daemon, &config));
    assert!(resumes(&daemon, &config));
    let file = File::options().write(true).open(daemon.path("tickets")).unwrap();
    file.set_modified(util::in_days(-8)).unwrap();
    assert!(daemon.reload().ends_with(" reloaded"));
    daemon.wait_for_line(|line| line.contains("the key that seals session tickets ended on "));
    assert!(!resumes(&daemon, &config));
    assert!(!resumes(&daemon, &config));
}

#[test]
fn the_metrics_have_the_end_of_the_key_that_seals() {
    let folder = folder_with_certificates();
    let text = [key(1, 2 * DAY), key(2, DAY), key(3, 0)].concat();
    write_keys(folder.path(), &text);
    let daemon = daemon_in(folder, &format!("{WEB}{TLS}"));
    let name = "echo_alex_ticket_key_expiry_timestamp_seconds ";
    let value = || {
        let mut stream = connect(daemon.address("web"));
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let text = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        text.lines().find_map(|line| line.strip_prefix(name).map(|it| it.parse::<i64>().unwrap()))
    };
    let end = value().unwrap() - i64::try_from(now()).unwrap();
    assert!((6 * DAY - 600..=6 * DAY).contains(&end), "{end}");
    // Without the table, there is none.
    daemon.rewrite_config(&format!("{WEB}{TLS}"));
    assert!(daemon.reload().ends_with(" reloaded"));
    wait_until("metrics that were made since", || value().is_none());
}

// Files that cannot be used.

#[test]
fn a_file_that_cannot_be_used_is_one_line_at_a_start_and_changes_nothing_at_a_reload() {
    let folder = folder_with_certificates();
    write_keys(folder.path(), &keys(1, 0));
    let daemon = daemon_in(folder, TLS);
    let config = TlsClient::default().config(daemon.folder.path());
    assert!(!resumes(&daemon, &config));
    let file = daemon.path("tickets");
    let path = daemon.path("echo-alex.toml");
    let two = key(1, 0) + &key(2, 0);
    let make_fifo = || {
        fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    };
    let cases: [(i32, &str, &dyn Fn()); 6] = [
        (78, "it has 2 keys, and needs 3 to 16", &|| fs::write(&file, &two).unwrap()),
        (78, "line 3 is not a key in base64", &|| {
            fs::write(&file, two.clone() + "-----BEGIN PRIVATE KEY-----\n").unwrap();
        }),
        (78, "line 3 has 64 bytes, not 48 or 80", &|| {
            fs::write(&file, two.clone() + &STANDARD.encode(noise(64, 1))).unwrap();
        }),
        (78, "it has more than 4096 bytes", &|| fs::write(&file, keys(1, 0).repeat(30)).unwrap()),
        (78, "it is a FIFO, not a regular file", &make_fifo),
        (66, "cannot read the ticket keys ", &|| fs::remove_file(&file).unwrap()),
    ];
    for (code, message, make) in cases {
        make();
        let (exit, stdout, stderr) = run(&["--check", "-c", path.to_str().unwrap()]);
        assert_eq!((exit, stdout.as_str()), (code, ""), "{stderr}");
        let line = stderr.lines().last().unwrap();
        assert!(line.contains(message) && line.contains(file.to_str().unwrap()), "{line}");
        let line = daemon.reload();
        assert!(line.contains("not reloaded, all stays as it was: "), "{line}");
        assert!(line.contains(message), "{line}");
        assert!(resumes(&daemon, &config), "with the keys that it has");
    }
}

#[test]
fn a_file_that_every_user_can_read_is_a_warning() {
    let folder = folder_with_certificates();
    write_keys(folder.path(), &keys(1, 0));
    let daemon = daemon_in(folder, TLS);
    fs::set_permissions(daemon.path("tickets"), Permissions::from_mode(0o644)).unwrap();
    assert!(daemon.reload().ends_with(" reloaded"));
    let warning = "every user of this machine can read the ticket keys: chmod o-rwx ";
    daemon.wait_for_line(|line| line.contains(warning));
    let before = daemon.seen().iter().filter(|line| line.contains(warning)).count();
    assert_eq!(before, 1, "{:#?}", daemon.seen());
}
