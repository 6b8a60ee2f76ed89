//! `echo-alex-certs tickets`: keys of session tickets that the daemon and `HAProxy` take, rotated without a moment
//! in which the file is not whole.

mod util;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use util::{
    Daemon, TLS, TlsClient, assert_echo, connect_tls, folder_with_certificates, in_days, noise,
    tool,
};

/// `echo-alex-certs tickets` in `folder` with these arguments.
fn tickets(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_echo-alex-certs"))
        .current_dir(folder)
        .arg("tickets")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The same, which must succeed: what it printed.
fn good(folder: &Path, arguments: &[&str]) -> String {
    let output = tickets(folder, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// The same, which must fail: the exit code and the line.
fn refused(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = tickets(folder, arguments);
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("echo-alex-certs: ") && stderr.lines().count() == 1, "{stderr}");
    (output.status.code().unwrap(), stderr)
}

fn lines(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("tickets")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(String::from).collect()
}

#[test]
fn a_file_is_made_once_for_the_daemon_and_its_group() {
    let folder = folder_with_certificates();
    let printed = good(folder.path(), &["tickets"]);
    for part in [
        "tickets: made 3 keys; the last but one seals, until ",
        "file = \"tickets\"",
        "chgrp echo-alex tickets",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    let first = lines(folder.path());
    assert_eq!(first.len(), 3);
    for line in &first {
        let key = STANDARD.decode(line).unwrap();
        assert_eq!((key.len(), &key[..5]), (80, b"ALEXT".as_slice()));
    }
    assert_eq!(fs::metadata(folder.path().join("tickets")).unwrap().mode() & 0o7777, 0o640);
    let (code, line) = refused(folder.path(), &["tickets"]);
    assert_eq!(code, 1);
    assert!(line.contains("tickets exists already"), "{line}");
    assert_eq!(lines(folder.path()), first);
    good(folder.path(), &["--force", "tickets"]);
    assert!(lines(folder.path()).iter().all(|line| !first.contains(line)));
    assert!(!folder.path().join(".echo-alex-certs").exists());
}

#[test]
fn a_rotation_drops_the_first_key_and_adds_one_at_the_end() {
    let folder = folder_with_certificates();
    good(folder.path(), &["tickets"]);
    let path = folder.path().join("tickets");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(&path, Some(65534), Some(65533)).unwrap();
    }
    // By another name for the same file.
    symlink("tickets", folder.path().join("link")).unwrap();
    for name in ["tickets", "link", "tickets"] {
        let before = lines(folder.path());
        let printed = good(folder.path(), &["--rotate", name]);
        assert!(
            printed.contains(": a new key is the last of 3 keys; the last but one seals, until "),
            "{printed}"
        );
        let after = lines(folder.path());
        assert_eq!(after[..2], before[1..]);
        assert!(after.len() == 3 && !before.contains(&after[2]));
        let there = fs::metadata(&path).unwrap();
        assert_eq!(there.mode() & 0o7777, 0o600);
        if is_root {
            assert_eq!((there.uid(), there.gid()), (65534, 65533));
        }
    }
    assert!(fs::symlink_metadata(folder.path().join("link")).unwrap().is_symlink());
}

#[test]
fn keys_of_another_program_are_rotated_with_their_length_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tickets");
    let text: String = (0..4).map(|seed| STANDARD.encode(noise(48, seed)) + "\n").collect();
    fs::write(&path, &text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    good(folder.path(), &["--rotate", "tickets"]);
    let after = lines(folder.path());
    assert_eq!(after[..3], text.lines().skip(1).collect::<Vec<_>>());
    assert_eq!((after.len(), STANDARD.decode(&after[3]).unwrap().len()), (4, 48));
}

#[test]
fn keys_that_have_ended_are_all_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tickets");
    let text: String = (0..3).map(|seed| STANDARD.encode(noise(80, seed)) + "\n").collect();
    fs::write(&path, &text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(in_days(-8)).unwrap();
    let printed = good(folder.path(), &["--rotate", "tickets"]);
    assert!(printed.contains("all that had ended are replaced"), "{printed}");
    assert!(lines(folder.path()).iter().all(|line| !text.contains(line)));
}

#[test]
fn what_cannot_be_rotated_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (code, line) = refused(folder.path(), &["--rotate", "tickets"]);
    assert_eq!(code, 66);
    assert!(line.contains("without --rotate, the file is made"), "{line}");
    let path = folder.path().join("tickets");
    fs::write(&path, "no key\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let (code, line) = refused(folder.path(), &["--rotate", "tickets"]);
    assert_eq!(code, 78);
    assert!(line.contains("tickets: line 1 is not a key in base64"), "{line}");
    assert_eq!(lines(folder.path()), ["no key"]);
    let text: String = (0..3).map(|seed| STANDARD.encode(noise(80, seed)) + "\n").collect();
    fs::write(&path, &text).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(in_days(3)).unwrap();
    let (code, line) = refused(folder.path(), &["--rotate", "tickets"]);
    assert_eq!(code, 78);
    assert!(line.contains("set the clock"), "{line}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let (code, line) = refused(folder.path(), &["--rotate", "--force", "tickets"]);
    assert_eq!(code, 64, "{line}");
}

#[test]
fn the_daemon_resumes_through_three_rotations() {
    let folder = folder_with_certificates();
    good(folder.path(), &["tickets"]);
    let daemon = Daemon::start_in(folder, &format!("[tickets]\nfile = \"tickets\"\n{TLS}"), |_| {});
    let config = TlsClient::default().config(daemon.folder.path());
    let kind = || {
        let mut stream = connect_tls(&config, daemon.address("tls"));
        assert_echo(&mut stream, b"hello");
        stream.conn.handshake_kind()
    };
    assert_eq!(kind(), Some(rustls::HandshakeKind::Full));
    for _ in 0..3 {
        good(daemon.folder.path(), &["--rotate", "tickets"]);
        assert!(daemon.reload().ends_with(" reloaded"));
        assert_eq!(kind(), Some(rustls::HandshakeKind::Resumed));
    }
}

#[test]
fn haproxy_takes_the_file_made_and_rotated() {
    let folder = folder_with_certificates();
    good(folder.path(), &["tickets"]);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    fs::write(folder.path().join("alex.pem"), read("alex.crt") + &read("alex.key")).unwrap();
    let config = "defaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
                  listen tls\n bind 127.0.0.1:65000 ssl crt alex.pem tls-ticket-keys tickets\n server s 127.0.0.1:1\n";
    fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
    let accepts = || {
        let mut haproxy = tool("haproxy")?;
        let output =
            haproxy.current_dir(folder.path()).args(["-c", "-f", "haproxy.cfg"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Some((output.status.success(), said))
    };
    for _ in 0..3 {
        let Some((accepts, said)) = accepts() else { return };
        assert!(accepts, "{said}");
        good(folder.path(), &["--rotate", "tickets"]);
    }
    // It does look at the file.
    fs::write(folder.path().join("tickets"), "no key\n").unwrap();
    assert!(accepts().is_some_and(|(accepts, _)| !accepts));
}
