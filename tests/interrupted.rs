//! echo-alex-certs is killed, or a system call fails, at each of its steps: afterwards all files in the folder
//! are old or all are new, and no others are left.

mod util;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use util::{Running, tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_echo-alex-certs");

/// The system calls that change a folder, in strace's notation for every processor.
const CALLS: &str = "?mkdir,?mkdirat,?link,?linkat,?rename,?renameat,?renameat2,?unlink,?unlinkat,\
                     ?rmdir,?fsync,?fchmod";

type Contents = BTreeMap<String, (u32, Vec<u8>)>;

fn certs(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs the program, which must succeed.
fn good(folder: &Path, arguments: &[&str]) {
    let output = certs(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Mode and contents of each file in `certs`, also of hidden ones. A folder has no contents.
fn contents(folder: &Path) -> Contents {
    let entries = fs::read_dir(folder.join("certs")).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode();
            let bytes = fs::read(entry.path()).unwrap_or_default();
            (entry.file_name().into_string().unwrap(), (mode, bytes))
        })
        .collect()
}

/// A folder with these files in `certs`.
fn folder_with(files: &Contents) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    for (name, (mode, bytes)) in files {
        let path = folder.path().join("certs").join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)).unwrap();
    }
    folder
}

/// A set of certificates, with a file of the user and one of openssl in the same folder.
fn a_set() -> Contents {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), &["init", "--name", "localhost"]);
    fs::write(folder.path().join("certs/README"), "mine").unwrap();
    fs::write(folder.path().join("certs/signing.srl"), "07").unwrap();
    contents(folder.path())
}

/// Runs the program under strace, which injects faults into system calls. Returns its output and which of
/// [`CALLS`] it made.
fn with_faults(
    folder: &Path,
    inject: &[String],
    arguments: &[&str],
) -> Option<(Output, Vec<String>)> {
    let trace = folder.join("trace");
    let mut strace = tool("strace")?;
    strace.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(&trace);
    for inject in inject {
        strace.args(["-e", &format!("inject={inject}")]);
    }
    strace.current_dir(folder).arg(PROGRAM).args(arguments).stdin(Stdio::null());
    let output = strace.output().unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("not permitted") {
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    let trace = fs::read_to_string(trace).unwrap();
    let name = |line: &str| {
        // The process id is before the call.
        let (name, _) = line.trim_start_matches(char::is_numeric).trim().split_once('(')?;
        Some(name.to_owned())
    };
    Some((output, trace.lines().filter_map(name).collect()))
}

/// Each call of a run with its number among the calls of that name: ("rename", 2) is the second rename.
fn numbered(calls: Vec<String>) -> Vec<(String, usize)> {
    let mut seen = BTreeMap::new();
    let mut number = |call: String| {
        let count = seen.entry(call.clone()).or_insert(0);
        *count += 1;
        (call, *count)
    };
    calls.into_iter().map(&mut number).collect()
}

/// Asserts that the files are those of `before`, or that exactly `changed` are new; returns which.
fn assert_whole(folder: &Path, before: &Contents, changed: &[&str], what: &str) -> bool {
    let after = contents(folder);
    let names = |contents: &Contents| contents.keys().cloned().collect::<Vec<_>>();
    let differ: Vec<&str> = after
        .iter()
        .filter(|(name, it)| before.get(*name) != Some(it))
        .map(|(n, _)| &**n)
        .collect();
    if differ.is_empty() {
        assert_eq!(names(&after), names(before), "{what}");
        return false;
    }
    assert_eq!(differ, changed, "{what}: files of two sets");
    let is_new = |name: &&&str| !before.contains_key(**name);
    let mut expected = names(before);
    expected.extend(changed.iter().filter(is_new).map(ToString::to_string));
    expected.sort();
    assert_eq!(names(&after), expected, "{what}: a file is left, or lost");
    true
}

const ALL: [&str; 6] =
    ["alex.crt", "alex.key", "laptop.crt", "laptop.key", "signing.key", "signing.pem"];

/// Kills a run with `arguments` at each call. Then `next` runs, must succeed, and completes or removes the
/// set.
fn killed_at_each_step(
    before: &Contents,
    inject: &[String],
    arguments: &[&str],
    changed: &[&str],
    next: &[&str],
) {
    let folder = folder_with(before);
    let Some((output, calls)) = with_faults(folder.path(), inject, arguments) else { return };
    assert!(output.status.success(), "{output:?}");
    assert!(assert_whole(folder.path(), before, changed, "nothing was killed"));
    let (mut old, mut new) = (0, 0);
    for (call, count) in numbered(calls) {
        let what = format!("{arguments:?} killed at {call} {count}");
        let folder = folder_with(before);
        let mut inject = inject.to_vec();
        inject.retain(|it| !it.starts_with(&format!("{call}:")));
        inject.push(format!("{call}:signal=KILL:when={count}"));
        let (output, _) = with_faults(folder.path(), &inject, arguments).unwrap();
        assert!(!output.status.success(), "{what}: {output:?}");
        let output = certs(folder.path(), next);
        assert!(output.status.success(), "{what}: {output:?}");
        if assert_whole(folder.path(), before, changed, &what) {
            new += 1;
        } else {
            old += 1;
        }
    }
    assert!(old > 3 && new > 3, "{arguments:?}: {old} times old, {new} times new");
}

#[test]
fn a_set_is_old_or_new_after_a_kill_at_any_step() {
    let before = a_set();
    let verify = ["verify", "certs/alex.crt", "certs/laptop.crt"];
    killed_at_each_step(&before, &[], &["init", "--name", "localhost", "--force"], &ALL, &verify);
}

#[test]
fn a_pair_is_old_or_new_after_a_kill_at_any_step() {
    let before = a_set();
    let force = ["server", "localhost", "--file", "alex", "--force"];
    let verify = ["verify", "certs/alex.crt"];
    killed_at_each_step(&before, &[], &force, &["alex.crt", "alex.key"], &verify);

    // A new pair, which the next run completes or removes.
    let new = ["client", "tablet"];
    let next = ["verify", "--dir", "certs", "certs/laptop.crt"];
    killed_at_each_step(&before, &[], &new, &["tablet.crt", "tablet.key"], &next);
}

#[test]
fn a_set_is_complete_on_file_systems_without_noreplace_or_hard_links() {
    let before = a_set();
    // Without RENAME_NOREPLACE.
    let simple = ["renameat2:error=EINVAL".to_string()];
    let next = ["verify", "certs/alex.crt"];
    killed_at_each_step(
        &before,
        &simple,
        &["client", "tablet"],
        &["tablet.crt", "tablet.key"],
        &next,
    );
    // Without hard links, such as FAT.
    let no_links = ["link", "linkat"].map(|call| format!("{call}:error=EPERM"));
    let force = ["server", "localhost", "--file", "alex", "--force"];
    let verify = ["verify", "certs/alex.crt"];
    let used: Vec<String> = no_links.into_iter().filter(|it| knows(it)).collect();
    killed_at_each_step(&before, &used, &force, &["alex.crt", "alex.key"], &verify);
}

/// Whether strace knows this call on this processor.
fn knows(inject: &str) -> bool {
    let Some(mut strace) = tool("strace") else { return false };
    let output = strace.args(["-qq", "-e", &format!("inject={inject}"), "true"]).output().unwrap();
    output.status.success()
}

#[test]
fn a_failing_call_leaves_all_files_old_or_new() {
    let before = a_set();
    let arguments = ["init", "--name", "localhost", "--force"];
    let folder = folder_with(&before);
    let Some((_, calls)) = with_faults(folder.path(), &[], &arguments) else { return };
    let mut refused = 0;
    for (call, count) in numbered(calls) {
        let what = format!("{call} {count} fails");
        let folder = folder_with(&before);
        let inject = format!("{call}:error=EBUSY:when={count}");
        let (output, _) = with_faults(folder.path(), &[inject], &arguments).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            assert_eq!(stderr, "", "{what}");
            good(folder.path(), &["verify", "certs/alex.crt", "certs/laptop.crt"]);
            assert!(assert_whole(folder.path(), &before, &ALL, &what), "{what}: nothing is new");
        } else if stderr.contains(" are in their places, but ") {
            assert!(call.starts_with("rmdir"), "{what}: {stderr}");
            good(folder.path(), &["verify", "certs/alex.crt", "certs/laptop.crt"]);
            assert!(assert_whole(folder.path(), &before, &ALL, &what), "{what}: nothing is new");
        } else {
            refused += 1;
            let starts =
                ["cannot write ", "cannot make "].map(|it| format!("echo-alex-certs: {it}"));
            assert!(starts.iter().any(|it| stderr.starts_with(it)), "{what}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{what}: {stderr}");
            assert!(contents(folder.path()) == before, "{what}: something changed");
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_signal_after_the_first_rename_does_not_end_the_program() {
    let before = a_set();
    let arguments = ["init", "--name", "localhost", "--force"];
    let folder = folder_with(&before);
    let Some((_, calls)) = with_faults(folder.path(), &[], &arguments) else { return };
    let is_rename = |call: &(String, usize)| call.0.starts_with("rename");
    let late = numbered(calls).into_iter().skip_while(|call| !is_rename(call));
    let mut count = 0;
    for ((call, number), signal) in late.zip(["INT", "TERM", "HUP"].into_iter().cycle()) {
        let folder = folder_with(&before);
        let inject = format!("{call}:signal={signal}:when={number}");
        let (output, _) = with_faults(folder.path(), &[inject], &arguments).unwrap();
        let what = format!("SIG{signal} at {call} {number}");
        assert!(output.status.success(), "{what}: {output:?}");
        assert!(assert_whole(folder.path(), &before, &ALL, &what));
        count += 1;
    }
    assert!(count > 10, "{count}");
}

#[test]
fn a_folder_in_place_of_a_file_leaves_every_file_unchanged() {
    for blocked in ALL {
        let mut before = a_set();
        before.remove(blocked);
        let folder = folder_with(&before);
        fs::create_dir(folder.path().join("certs").join(blocked)).unwrap();
        let before = contents(folder.path());
        let output = certs(folder.path(), &["init", "--name", "localhost", "--force"]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = format!("echo-alex-certs: certs/{blocked} is a directory");
        assert!(stderr.starts_with(&expected), "{stderr}");
        assert!(contents(folder.path()) == before, "{blocked}: something changed");
    }
}

#[test]
fn a_committed_set_does_not_replace_a_newer_file() {
    let before = a_set();
    let folder = folder_with(&before);
    // The last rename is that of the key.
    let Some((_, calls)) = with_faults(folder.path(), &[], &["client", "tablet"]) else { return };
    let last = numbered(calls).into_iter().rfind(|(call, _)| call.starts_with("rename")).unwrap();
    let folder = folder_with(&before);
    let inject = format!("{}:signal=KILL:when={}", last.0, last.1);
    with_faults(folder.path(), &[inject], &["client", "tablet"]).unwrap();
    let place = folder.path().join("certs/tablet.key");
    assert!(!place.exists() && folder.path().join("certs/tablet.crt").exists());
    fs::write(&place, "mine").unwrap();

    let output = certs(folder.path(), &["client", "phone"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("cannot write certs/tablet.key: file exists; certs/.echo-alex"),
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(&place).unwrap(), "mine");

    fs::remove_file(&place).unwrap();
    let output = certs(folder.path(), &["verify", "certs/tablet.crt"]);
    assert!(output.status.success(), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "echo-alex-certs: certs: completed what an interrupted run had begun\n");
    assert!(place.exists());
}

#[test]
fn several_writers_work_one_after_the_other() {
    let before = a_set();
    let folder = folder_with(&before);
    let start = |_| {
        let mut command = Command::new(PROGRAM);
        command.args(["server", "localhost", "--file", "alex", "--force"]);
        command.current_dir(folder.path());
        Running::start(command)
    };
    let all: Vec<Running> = (0..10).map(start).collect();
    for mut running in all {
        assert!(running.finish().success());
    }
    assert!(assert_whole(folder.path(), &before, &["alex.crt", "alex.key"], "ten at a time"));
    good(folder.path(), &["verify", "certs/alex.crt"]);
}

#[test]
fn the_folder_may_be_the_current_one_or_a_link() {
    let before = a_set();
    let folder = folder_with(&before);
    let made = folder.path().join("certs");
    let output = certs(&made, &["server", "localhost", "--file", "alex", "--force", "--dir", "."]);
    assert!(output.status.success(), "{output:?}");
    assert!(assert_whole(folder.path(), &before, &["alex.crt", "alex.key"], "."));
    std::os::unix::fs::symlink("certs", folder.path().join("link")).unwrap();
    good(folder.path(), &["server", "x.local", "--dir", "link"]);
    assert!(made.join("x.key").exists());
    good(folder.path(), &["verify", "--dir", "link", "link/x.crt"]);
}

#[test]
fn the_daemon_reports_how_to_complete_an_interrupted_pair() {
    let before = a_set();
    let folder = folder_with(&before);
    let force = ["server", "localhost", "--file", "alex", "--force"];
    let Some((_, calls)) = with_faults(folder.path(), &[], &force) else { return };
    let last = numbered(calls).into_iter().rfind(|(call, _)| call.starts_with("rename")).unwrap();
    let folder = folder_with(&before);
    with_faults(folder.path(), &[format!("{}:signal=KILL:when={}", last.0, last.1)], &force)
        .unwrap();
    let config = folder.path().join("echo-alex.toml");
    fs::write(&config, util::TLS.replace("\"alex.", "\"certs/alex.")).unwrap();
    let (code, _, stderr) = util::run(&["--check", "-c", config.to_str().unwrap()]);
    assert_eq!(code, 78, "{stderr}");
    let cure =
        format!("run echo-alex-certs verify {}", folder.path().join("certs/alex.crt").display());
    assert!(
        stderr.contains("was interrupted between the two") && stderr.contains(&cure),
        "{stderr}"
    );
    good(folder.path(), &["verify", "certs/alex.crt"]);
    let (code, _, stderr) = util::run(&["--check", "-c", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_user_without_permission_to_complete_a_set_can_still_verify() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can change the user");
        return;
    }
    let before = a_set();
    let folder = folder_with(&before);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path().join("certs"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("certs/.echo-alex-certs")).unwrap();
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(folder.path().join("certs/.echo-alex-certs"), private).unwrap();
    util::copy_program(PROGRAM, &folder.path().join("program"));
    let Some(mut setpriv) = tool("setpriv") else { return };
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "./program"]);
    setpriv.args(["verify", "certs/laptop.crt"]).current_dir(folder.path());
    let output = setpriv.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("is not yours: let the owner of the folder run"), "{stderr}");
    assert!(folder.path().join("certs/.echo-alex-certs").exists());
}
