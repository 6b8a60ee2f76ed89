//! The daemon starts itself again with glibc's tunables: memory goes back when many sessions have ended, and
//! nothing else changes. That sockets are handed over through both starts is in handover.rs, which knows of
//! none of this.

#![cfg(target_env = "gnu")]

mod util;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::Signal;
use util::{
    Daemon, PLAIN, TlsClient, assert_echo, copy_program, emulated, end_tls, field,
    folder_with_certificates, plain_and_tls, program, tool, wait_until,
};

const VARIABLE: &str = "GLIBC_TUNABLES";

/// What a start without tunables of the operator ends up with.
const OURS: &str = "glibc.malloc.tcache_count=0";

const STARTED_AGAIN: &str = "ECHO_ALEX_STARTED_AGAIN=1";

/// The environment that the daemon was last started with. Some versions of glibc put a NUL for each colon of
/// the tunables there.
fn environment(daemon: &Daemon) -> String {
    let bytes = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', ":")
}

/// A daemon in whose environment the tunables have this value.
fn start_with(tunables: &str) -> Daemon {
    Daemon::start_in(tempfile::tempdir().unwrap(), PLAIN, |command| {
        command.env(VARIABLE, tunables);
    })
}

#[test]
fn the_memory_of_many_tls_sessions_goes_back() {
    const SESSIONS: usize = 900;
    if emulated() {
        eprintln!("skipped: the emulator keeps the memory of a heap that shrinks");
        return;
    }
    let limits = "[limits]\nmax-sessions-per-address = 1000\n";
    let config = format!("{limits}{PLAIN}{}", util::TLS);
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let client = TlsClient::default().config(daemon.folder.path());
    let many = |count: usize| {
        let sessions: Vec<_> = (0..count)
            .map(|_| {
                let mut stream = util::connect_tls(&client, daemon.address("tls"));
                assert_echo(&mut stream, b"here");
                stream
            })
            .collect();
        let most = daemon.resident_kib();
        for mut stream in sessions {
            end_tls(&mut stream);
        }
        wait_until("all have ended", || field(&daemon.statistics(), "sessions") == "0");
        (most, daemon.resident_kib())
    };
    let (_, before) = many(100);
    let (most, after) = many(SESSIONS);
    // Without the second start, or if nothing empties the fast bins, all of it stays.
    assert!(most > before + 2048, "{before} KiB, then only {most}");
    assert!(after <= before + 1024, "{before} KiB, {most} with sessions, then {after}");
}

#[test]
fn a_start_without_tunables_gets_ours() {
    let environment = environment(&plain_and_tls());
    assert!(environment.contains(&format!("{VARIABLE}={OURS}:")), "{environment}");
    assert!(environment.contains(STARTED_AGAIN), "{environment}");
}

#[test]
fn the_operators_tunables_are_kept() {
    let theirs = "glibc.malloc.perturb=0:glibc.malloc.mxfast=16";
    let environment_with_both = environment(&start_with(theirs));
    let both = format!("{VARIABLE}={theirs}:{OURS}:");
    assert!(environment_with_both.contains(&both), "{environment_with_both}");

    // Who sets the size of the cache has decided.
    let theirs = "glibc.malloc.perturb=0:glibc.malloc.tcache_count=3";
    let environment = environment(&start_with(theirs));
    assert!(environment.contains(&format!("{VARIABLE}={theirs}:")), "{environment}");
    assert!(!environment.contains(STARTED_AGAIN), "{environment}");
}

#[test]
fn the_process_is_the_same_after_the_second_start() {
    let Some(mut command) = tool("env") else { return };
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), PLAIN, |direct| {
        command.args(["--block-signal=USR2", "--ignore-signal=ALRM", program()]);
        command.args(direct.get_args());
        command.envs(direct.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        *direct = command;
    });
    assert!(environment(&daemon).contains(STARTED_AGAIN));
    let of_process = |file: &str| {
        String::from_utf8(fs::read(format!("/proc/{}/{file}", daemon.pid())).unwrap()).unwrap()
    };
    // The kernel starts an emulator by its own name, and that has signal handlers of its own.
    if !emulated() {
        assert_eq!(of_process("comm"), "echo-alex\n");
        let arguments = of_process("cmdline");
        assert!(arguments.starts_with(&format!("{}\0--config\0", program())), "{arguments}");
    }
    // A bit for each signal, from the first (signal(7)).
    let has = |key: &str, signal: Signal| {
        let status = of_process("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let bits = u64::from_str_radix(line.trim(), 16).unwrap();
        bits >> (signal.as_raw() - 1) & 1 == 1
    };
    assert!(has("SigBlk:", Signal::USR2));
    assert!(has("SigIgn:", Signal::ALARM) || emulated());
}

#[test]
fn a_program_that_cannot_be_executed_again_serves_as_it_is() {
    // Its file is gone; the shell has it open.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    copy_program(program(), &copy);
    let copy = copy.display();
    let script = format!("exec 9<{copy}; rm {copy}; shift; exec /proc/self/fd/9 \"$@\"");
    let daemon = Daemon::start_through(folder, PLAIN, &script);
    assert!(!environment(&daemon).contains(STARTED_AGAIN));
    assert_echo(&mut daemon.connect("plain"), b"hello");
}

/// glibc ignores and removes its tunables where the kernel has given a program capabilities of its file.
#[test]
fn tunables_without_an_effect_cause_no_third_start() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may give a file capabilities");
        return;
    }
    let (Some(mut setcap), Some(_)) = (tool("setcap"), tool("setpriv")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    copy_program(program(), &copy);
    let status = setcap.arg("cap_net_bind_service=ep").arg(&copy).status().unwrap();
    if !status.success() {
        eprintln!("skipped: files here have no capabilities");
        return;
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups {} \"$@\"",
        copy.display()
    );
    let daemon = Daemon::launch_through(folder, PLAIN, &script);
    assert_echo(&mut daemon.connect("plain"), b"hello");
    let environment = environment(&daemon);
    assert!(environment.contains(STARTED_AGAIN), "{environment}");
}
