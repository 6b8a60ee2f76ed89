//! `.ci/tests` names what failed and what was flaky, and its last line has the sums.
//! The workflows call scripts and steps that exist, and leave no step out.

mod util;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use util::documents::{Words, path, read, sources, words};
use util::tool;

/// Runs the script with a function in place of cargo, which records its arguments and prints the file for
/// this call.
const RUN: &str = r#"
cargo() {
    local output
    echo "$*" >>calls
    output=output-$(grep -c . calls)
    cat "$output"
    ! grep -q 'FAILED\|signal: ' "$output"
}
export -f cargo
exec bash "$@"
"#;

const FIRST: &str = "     Running unittests src/lib.rs (target/debug/deps/echo_alex-1)
test one ... ok
test two ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running tests/plain.rs (target/debug/deps/plain-1)
test three ... FAILED
test four ... ok
successes:
---- four stdout ----
skipped: nc is not installed
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running tests/simulation/main.rs (target/debug/deps/simulation-1)
test five ... ok
error: test failed, to rerun pass `--test simulation` (signal: 9)
";

const TWO: &str = "     Running unittests src/lib.rs (target/debug/deps/echo_alex-1)
test two ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.01s
";

const THREE: &str = "     Running tests/plain.rs (target/debug/deps/plain-1)
test three ... FAILED
test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.01s
";

const FIVE: &str = "     Running tests/simulation/main.rs (target/debug/deps/simulation-1)
test five ... ok
test six ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

/// Runs `.ci/tests` with these arguments and the output of each call of cargo: whether it succeeds, the
/// arguments of each call, and what it prints at the end.
fn run(arguments: &[&str], outputs: &[&str]) -> Option<(bool, Vec<String>, String)> {
    let mut bash = tool("bash")?;
    // The script changes to the folder above its own.
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/tests");
    fs::create_dir(folder.path().join(".ci")).unwrap();
    fs::copy(script, folder.path().join(".ci/tests")).unwrap();
    for (number, output) in outputs.iter().enumerate() {
        fs::write(folder.path().join(format!("output-{}", number + 1)), output).unwrap();
    }
    bash.args(["-c", RUN, "bash"]).arg(folder.path().join(".ci/tests")).args(arguments);
    let output = bash.output().unwrap();
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (_, result) = printed.rsplit_once("== result\n").unwrap_or_else(|| panic!("{printed}"));
    Some((output.status.success(), calls.lines().map(Into::into).collect(), result.into()))
}

fn lines(result: &str) -> Vec<&str> {
    result.lines().filter(|line| !line.starts_with("test result: ")).collect()
}

#[test]
fn a_failed_test_is_named_and_counted() {
    let Some((success, calls, result)) = run(&["--release"], &[FIRST]) else { return };
    assert!(!success);
    assert_eq!(calls, ["test --locked --no-fail-fast --release -- --show-output --exact"]);
    let expected = [
        "skipped: four: nc is not installed",
        "failed: src/lib.rs two",
        "failed: tests/plain.rs three",
        "failed: tests/simulation/main.rs (no result)",
        "1 passed, 3 failed, 1 skipped",
    ];
    assert_eq!(lines(&result), expected);
}

#[test]
fn a_retry_runs_only_what_failed_and_lists_what_then_passes_as_flaky() {
    let arguments = ["--retry", "--target", "arm", "--test", "plain"];
    let Some((success, calls, result)) = run(&arguments, &[FIRST, TWO, THREE, FIVE]) else {
        return;
    };
    assert!(!success, "one test failed twice");
    let again = "test --locked --no-fail-fast --target arm";
    let expected = [
        "test --locked --no-fail-fast --target arm --test plain -- --show-output --exact"
            .to_owned(),
        format!("{again} --lib -- --show-output --exact two"),
        format!("{again} --test plain -- --show-output --exact three"),
        format!("{again} --test simulation -- --show-output --exact"),
    ];
    assert_eq!(calls, expected);
    let expected = [
        "skipped: four: nc is not installed",
        "flaky: src/lib.rs two: failed, then passed",
        "flaky: tests/simulation/main.rs (no result): failed, then passed",
        "failed twice: tests/plain.rs three",
        "4 passed, 1 failed, 1 skipped",
    ];
    assert_eq!(lines(&result), expected);

    let passed = THREE.replace("FAILED", "ok").replace("0 passed; 1", "1 passed; 0");
    let outputs = [FIRST, TWO, &passed, FIVE];
    let (success, _, result) = run(&["--retry"], &outputs).unwrap();
    assert!(success);
    assert_eq!(lines(&result).iter().filter(|line| line.starts_with("flaky: ")).count(), 3);
    assert!(result.ends_with("\n5 passed, 0 failed, 1 skipped\n"), "{result}");
}

#[test]
fn a_build_that_fails_is_a_failure() {
    let broken = "error: could not compile `echo-alex`: FAILED\n";
    let Some((success, calls, result)) = run(&["--retry"], &[broken]) else { return };
    assert!(!success && calls.len() == 1, "{calls:?}");
    assert_eq!(
        lines(&result),
        ["failed: cargo test, with exit code 1", "0 passed, 1 failed, 0 skipped"]
    );
}

/// The steps of `.ci/run`, in its order.
fn steps() -> Vec<String> {
    let script = read(".ci/run");
    let (_, list) = script.split_once("\nsteps=(").unwrap();
    list.split(')').next().unwrap().split_whitespace().map(Into::into).collect()
}

/// The steps that a workflow runs: behind `.ci/run`, or in a line of its matrix.
fn steps_of_workflow(text: &str) -> Words {
    let lines = text.lines().map(str::trim);
    let lists = lines.filter_map(|line| {
        let list = line.strip_prefix("run: .ci/run ").or(line.strip_prefix("steps: "))?;
        (!list.starts_with("${{")).then_some(list)
    });
    words(lists.flat_map(str::split_whitespace))
}

#[test]
fn the_usage_of_the_run_describes_each_step() {
    let script = read(".ci/run");
    let described: Vec<&str> = script
        .lines()
        .filter_map(|line| line.strip_prefix("#   ")?.split_whitespace().next())
        .collect();
    assert_eq!(described, steps());
    for step in steps() {
        assert!(script.contains(&format!("\n{step}() {{")), "{step} is no function");
    }
}

#[test]
fn an_unknown_step_is_refused_before_any_step_runs() {
    let Some(mut bash) = tool("bash") else { return };
    let output = bash.arg(path(".ci/run")).args(["commits", "no-such-step"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("there is no step no-such-step; the steps are: tools commits"));
}

#[test]
fn the_workflows_call_scripts_and_steps_that_exist() {
    let mut called = 0;
    for workflow in sources(".github/workflows") {
        let text = read(&workflow);
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for word in code.flat_map(str::split_whitespace) {
            if [".ci/", "packaging/", "tests/", "benches/"].iter().any(|it| word.starts_with(it)) {
                let file = path(word);
                let mode = fs::metadata(&file).map(|it| it.permissions().mode());
                assert!(mode.is_ok_and(|mode| mode & 0o100 != 0), "{workflow}: {word}");
                called += 1;
            }
        }
        for step in steps_of_workflow(&text) {
            assert!(steps().contains(&step), "{workflow}: {step}");
        }
    }
    assert!(called > 8, "{called}");
}

#[test]
fn the_workflow_of_each_change_runs_every_step() {
    let mut run = steps_of_workflow(&read(".github/workflows/ci.yml"));
    // Each step installs what it needs.
    run.insert("tools".into());
    assert_eq!(run, steps().into_iter().collect::<Words>());
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_changelog() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("packaging")).unwrap();
    let script = folder.path().join("packaging/release-notes");
    fs::copy(path("packaging/release-notes"), &script).unwrap();
    write("Cargo.toml", "[package]\nversion = \"1.2.0\"\n[dependencies]\nversion = \"9\"\n");
    write(
        "CHANGELOG.md",
        "# Changelog\n\n## [Unreleased]\n\nnext\n\n## [1.2.0] - 2026-12-01\n\n### Added\n\n- This.\n\n\
         ## [1.1.0] - 2026-11-01\n\n- That.\n",
    );
    let notes = |tag: &str| {
        let mut bash = tool("bash")?;
        let output = bash.arg(&script).arg(tag).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        Some((output.status.success(), printed, String::from_utf8(output.stderr).unwrap()))
    };
    let Some(printed) = notes("v1.2.0") else { return };
    assert_eq!(printed, (true, "### Added\n\n- This.\n".into(), String::new()));
    let (success, printed, error) = notes("v1.3.0").unwrap();
    assert!(!success && printed.is_empty() && error.contains("has to be v1.2.0"), "{error}");
    write("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\nnext\n");
    let (success, _, error) = notes("v1.2.0").unwrap();
    assert!(!success && error.contains("CHANGELOG.md has no section [1.2.0]"), "{error}");
}
