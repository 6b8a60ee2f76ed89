//! The journal: each key of a line is a field, by which journalctl finds it, and no value of a peer can make a
//! field of its own.

mod util;

use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use util::journal::{log_daemon, wait_for_fields};
use util::{
    Authority, Daemon, PLAIN, ReservedPort, TLS, TlsClient, assert_echo, end_tls, field,
    folder_with_certificates, outcome, read_to_end, tool, wait_until, write_identity,
};

/// A daemon whose journal is the socket `log` in its folder.
fn daemon(listeners: &str, folder: tempfile::TempDir) -> (Daemon, UnixDatagram) {
    let journal = log_daemon(&folder.path().join("log"));
    let config = format!("[log]\ntarget = \"journal\"\nsocket = \"log\"\n{listeners}");
    (Daemon::start_in(folder, &config, |_| {}), journal)
}

/// The address of the first listener.
fn address(journal: &UnixDatagram) -> SocketAddr {
    let line = wait_for_fields(journal, |line| line.contains_key("ECHO_ADDRESS"));
    line["ECHO_ADDRESS"][0].parse().unwrap()
}

#[test]
fn each_key_of_a_line_is_a_field() {
    let (daemon, journal) = daemon(PLAIN, tempfile::tempdir().unwrap());
    let mut stream = util::connect(address(&journal));
    let peer = stream.local_addr().unwrap().to_string();
    assert_echo(&mut stream, b"hello");
    drop(stream);
    let line = wait_for_fields(&journal, |line| line.contains_key("ECHO_REASON"));
    for (name, value) in [
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "echo-alex"),
        ("ECHO_LISTENER", "plain"),
        ("ECHO_PEER", &peer),
        ("ECHO_IN", "5"),
        ("ECHO_REASON", "peer-done"),
    ] {
        assert_eq!(line[name], [value], "{line:#?}");
    }
    daemon.signal(rustix::process::Signal::USR1);
    let statistics = wait_for_fields(&journal, |line| line.contains_key("ECHO_UPTIME"));
    assert_eq!(statistics["ECHO_LOG_LINES_LOST"], ["0"]);
    for line in [line, statistics] {
        let [text] = line["MESSAGE"].as_slice() else { panic!("{line:#?}") };
        let pairs = text.split(' ').filter_map(|word| word.split_once('='));
        let named = pairs.map(|(key, value)| {
            let name = format!("ECHO_{}", key.to_uppercase().replace('-', "_"));
            assert_eq!(line[&name], [value], "{line:#?}");
            name
        });
        let fields = line.keys().filter(|name| name.starts_with("ECHO_"));
        assert_eq!(named.count(), fields.count(), "{line:#?}");
    }
    assert_eq!(daemon.seen(), [""; 0]);
}

#[test]
fn a_name_of_a_peer_makes_no_field_and_no_pair() {
    let folder = folder_with_certificates();
    let authority = Authority::new("the clients' CA");
    authority.write(folder.path(), "clients.pem");
    let evil = "x\" reason=forged\nPRIORITY=0\nMESSAGE=forged\n\u{1b}[31m\u{202e}";
    let name = format!("{evil}{}", "x".repeat(1000));
    let (certificate, key) = authority.sign(&name, rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    write_identity(folder.path(), "evil", &certificate, &key);
    let (daemon, journal) = daemon(&format!("{TLS}client-ca = \"clients.pem\"\n"), folder);
    let client = TlsClient { identity: Some("evil"), ..TlsClient::default() };
    let config = client.config(daemon.folder.path());
    let address = address(&journal);
    // The second one is resumed, and the certificate is that of the first.
    for resumed in ["no", "yes"] {
        let mut tls = util::connect_tls(&config, address);
        assert_echo(&mut tls, b"hello");
        end_tls(&mut tls);
        let line = wait_for_fields(&journal, |line| line.contains_key("ECHO_REASON"));
        assert_eq!(line["ECHO_RESUMED"], [resumed]);
        assert_eq!(line["ECHO_REASON"], ["peer-done"]);
        assert_eq!((line["PRIORITY"].len(), line["MESSAGE"].len()), (1, 1), "{line:#?}");
        let subject = &line["ECHO_CLIENT"][0];
        let printable = r#"CN=x\" reason\=forged\u{a}PRIORITY\=0\u{a}MESSAGE\=forged\u{a}\u{1b}"#;
        assert!(subject.starts_with(printable), "{subject}");
        assert!(subject.ends_with('x') && subject.chars().count() == 255, "{subject}");
        let text = &line["MESSAGE"][0];
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
        assert!(text.ends_with("x\" reason=peer-done"), "{text}");
        assert_eq!(text.matches('"').count() - text.matches("\\\"").count(), 2, "{text}");
        assert_eq!((field(text, "tls"), field(text, "group")), ("1.3", "X25519"));
    }
}

/// What a command has before it to be root in a user namespace, where it is not already.
fn user_namespace() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() { &[] } else { &["--map-root-user"] }
}

/// `unshare` for a mount namespace, if there is one to be had.
fn unshare() -> Option<Command> {
    let mut trial = tool("unshare")?;
    if !trial.args(user_namespace()).args(["--mount", "true"]).status().unwrap().success() {
        eprintln!("skipped: the kernel gives no mount namespace");
        return None;
    }
    let mut unshare = tool("unshare")?;
    unshare.args(user_namespace()).arg("--mount");
    Some(unshare)
}

/// A daemon with standard error at a pipe that `JOURNAL_STREAM` names, or another one, and with a journal
/// that listens, or none. `None` where there is no namespace to hide that of this machine.
fn with_stream(named: &str, listens: bool) -> Option<(Daemon, UnixDatagram)> {
    unshare()?;
    let folder = tempfile::tempdir().unwrap();
    let journal = log_daemon(&folder.path().join("log"));
    let script = format!(
        "exec unshare {} --mount sh -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
         {{ ! {listens} || ln -s {} /run/systemd/journal/socket; }} && \
         export JOURNAL_STREAM={named} && exec \"$@\"' sh \"$@\"",
        user_namespace().join(" "),
        folder.path().join("log").display(),
    );
    Some((Daemon::start_through(folder, PLAIN, &script), journal))
}

/// Device and inode of standard error, as systemd writes them.
const STANDARD_ERROR: &str = "$(stat -Lc %d:%i /dev/fd/2)";

#[test]
fn standard_error_that_is_the_journal_means_its_own_protocol() {
    let Some((mut daemon, journal)) = with_stream(STANDARD_ERROR, true) else { return };
    assert_eq!(wait_for_fields(&journal, |_| true)["PRIORITY"], ["6"]);
    assert_echo(&mut util::connect(address(&journal)), b"x");
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(daemon.whole_log(), [""; 0]);
}

#[test]
fn without_the_socket_of_the_journal_its_stream_gets_the_text_with_the_priority() {
    let Some((daemon, _)) = with_stream(STANDARD_ERROR, false) else { return };
    let line = daemon.wait_for_line(|line| line.contains("listening listener=plain "));
    assert!(line.starts_with("<6>listening "), "{line}");
}

#[test]
fn standard_error_that_is_not_the_stream_of_the_journal_gets_lines_with_a_time() {
    let Some((daemon, journal)) = with_stream("8:12345", true) else { return };
    let line = daemon.wait_for_line(|line| line.contains(" listening listener=plain "));
    assert!(line.contains("Z INFO  listening "), "{line}");
    journal.set_nonblocking(true).unwrap();
    assert!(journal.recv(&mut [0; 1]).is_err(), "the journal got a line");
}

/// systemd-journald in a mount namespace with a /run of its own. It is killed when this is dropped.
struct Journald(Child);

impl Journald {
    fn start() -> Option<Self> {
        let paths = ["/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald"];
        let Some(program) = paths.into_iter().find(|path| Path::new(path).exists()) else {
            tool("systemd-journald");
            return None;
        };
        let (mut unshare, _) = (unshare()?, tool("nsenter")?);
        let script = format!("mount -t tmpfs none /run && exec {program}");
        let journald = unshare.args(["sh", "-c", &script]).stderr(Stdio::null()).spawn().unwrap();
        let journald = Self(journald);
        let socket = format!("/proc/{}/root/run/systemd/journal/socket", journald.0.id());
        wait_until("the socket of journald", || Path::new(&socket).exists());
        Some(journald)
    }

    /// The words that run a command where it runs.
    fn inside(&self) -> String {
        let user = if user_namespace().is_empty() { "" } else { "--user --preserve-credentials" };
        format!("nsenter --target {} --mount {user}", self.0.id())
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn journalctl_finds_a_session_by_its_fields() {
    if tool("journalctl").is_none() {
        return;
    }
    let Some(journald) = Journald::start() else { return };
    let reserved = ReservedPort::new();
    let address = ([127, 0, 0, 1], reserved.number).into();
    let config = format!(
        "[log]\ntarget = \"journal\"\n[[listener]]\nname = \"plain\"\nlisten = \"{address}\"\n"
    );
    let script = format!("exec {} \"$@\"", journald.inside());
    let daemon = Daemon::start_through(tempfile::tempdir().unwrap(), &config, &script);
    let mut done = util::connect(address);
    let peer = done.local_addr().unwrap().to_string();
    assert_echo(&mut done, b"hello");
    done.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut done);
    let mut reset = util::connect(address);
    assert_echo(&mut reset, b"hello");
    util::reset(reset);
    let found = |reason: &str| {
        let reason = format!("ECHO_REASON={reason}");
        let arguments = ["journalctl", "--quiet", "-o", "json", "ECHO_LISTENER=plain", &reason];
        let inside = journald.inside();
        let output = outcome(Command::new("env").args(inside.split_whitespace()).args(arguments));
        let lines = output.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    wait_until("both sessions in the journal", || {
        found("peer-done").len() + found("peer-reset").len() == 2
    });
    let line = found("peer-done").remove(0);
    for (name, value) in [
        ("ECHO_PEER", peer.as_str()),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "echo-alex"),
        ("_TRANSPORT", "journal"),
        ("_PID", &daemon.pid().to_string()),
    ] {
        assert_eq!(line[name], value, "{line:#}");
    }
    let text = line["MESSAGE"].as_str().unwrap();
    assert!(text.starts_with(&format!("session listener=plain peer={peer} in=5 ")), "{text}");
}
