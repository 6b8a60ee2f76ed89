//! If standard output or standard error is closed or full, no program panics, and exit codes stay the same.

mod util;

use std::fs::OpenOptions;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use util::{PATIENCE, PLAIN, program, wait};

const CERTS: &str = env!("CARGO_BIN_EXE_echo-alex-certs");

/// A pipe without a reader.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A full disk.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// The exit code of `command` with these as its standard output and standard error.
fn code(command: &mut Command, stdout: Stdio, stderr: Stdio) -> i32 {
    let status = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().unwrap();
    status.code().unwrap_or_else(|| panic!("{command:?}: {status}"))
}

/// Commands that print a result and exit, with `FOLDER` for their folder.
const RESULTS: [(&str, &[&str]); 10] = [
    ("echo-alex", &["--help"]),
    ("echo-alex", &["--version"]),
    ("echo-alex", &["--check", "-c", "FOLDER/echo-alex.toml"]),
    ("certs", &["--help"]),
    ("certs", &["--version"]),
    ("certs", &["show", "FOLDER/alex.crt"]),
    ("certs", &["verify", "--dir", "FOLDER", "FOLDER/alex.crt"]),
    ("certs", &["ca", "--dir", "FOLDER/ca"]),
    ("certs", &["server", "--dir", "FOLDER", "--force", "alex.local"]),
    ("certs", &["init", "--dir", "FOLDER/init"]),
];

fn command(which: &str, arguments: &[&str], folder: &str) -> Command {
    let mut command = Command::new(if which == "certs" { CERTS } else { program() });
    command.args(arguments.iter().map(|argument| argument.replace("FOLDER", folder)));
    command
}

/// A new folder with a configuration and certificates.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("echo-alex.toml"), PLAIN).unwrap();
    let path = folder.path().to_str().unwrap();
    let mut init = command("certs", &["init", "--dir", "FOLDER"], path);
    assert_eq!(code(&mut init, Stdio::null(), Stdio::null()), 0);
    folder
}

#[test]
fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
    for (which, arguments) in RESULTS {
        for (stdout, expected) in [(closed as fn() -> Stdio, 0), (full, 1)] {
            for stderr in [Stdio::null as fn() -> Stdio, closed, full] {
                let folder = folder();
                let mut command = command(which, arguments, folder.path().to_str().unwrap());
                assert_eq!(code(&mut command, stdout(), stderr()), expected, "{command:?}");
            }
        }
    }
}

#[test]
fn a_failure_keeps_its_exit_code_if_the_message_cannot_be_written() {
    for (which, arguments, expected) in [
        ("echo-alex", &["--frobnicate"][..], 64),
        ("echo-alex", &["-c", "FOLDER/missing.toml"], 66),
        ("echo-alex", &["--check", "-c", "FOLDER/alex.crt"], 78),
        ("certs", &["frobnicate"], 64),
        ("certs", &["show", "FOLDER/missing.crt"], 66),
        ("certs", &["verify", "--dir", "FOLDER", "FOLDER/missing.crt"], 66),
        ("certs", &["init", "--dir", "FOLDER"], 1),
    ] {
        for stderr in [closed as fn() -> Stdio, full] {
            let folder = folder();
            let mut command = command(which, arguments, folder.path().to_str().unwrap());
            assert_eq!(code(&mut command, Stdio::null(), stderr()), expected, "{command:?}");
        }
    }
}

#[test]
fn a_daemon_that_cannot_write_its_log_serves_and_stops() {
    for stderr in [closed as fn() -> Stdio, full] {
        let folder = folder();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut daemon = Command::new(program())
            .arg("-c")
            .arg(folder.path().join("echo-alex.toml"))
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .stdin(Stdio::null())
            .stdout(closed())
            .stderr(stderr())
            .spawn()
            .unwrap();
        let mut message = [0; 100];
        let length = notify.recv(&mut message).expect("it does not start");
        assert!(message[..length].starts_with(b"READY=1\n"));
        for signal in [Signal::USR1, Signal::TERM] {
            kill_process(Pid::from_child(&daemon), signal).unwrap();
        }
        assert_eq!(wait(&mut daemon).code(), Some(0));
    }
}
