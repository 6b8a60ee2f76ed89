//! The options that the programs show and take, for the tests that compare documents and completions
//! with them.

use std::collections::BTreeSet;
use std::process::Command;

use super::outcome;

/// The programs, as they are called and where they are.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("echo-alex", env!("CARGO_BIN_EXE_echo-alex")),
    ("echo-alex-client", env!("CARGO_BIN_EXE_echo-alex-client")),
    ("echo-alex-certs", CERTS),
];

const CERTS: &str = env!("CARGO_BIN_EXE_echo-alex-certs");

pub fn program(name: &str) -> Command {
    let found = PROGRAMS.iter().find(|(known, _)| *known == name);
    Command::new(found.unwrap_or_else(|| panic!("{name} is none of ours")).1)
}

pub fn help(name: &str) -> String {
    outcome(program(name).arg("-h"))
}

/// The words of a text that are options.
pub fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let is_option = |word: &&str| {
        word.starts_with('-') && word.trim_start_matches('-').starts_with(char::is_alphanumeric)
    };
    words.filter(is_option).map(Into::into).collect()
}

/// The commands of echo-alex-certs, as it lists them where it meets another one.
pub fn commands() -> Vec<String> {
    let output = Command::new(CERTS).arg("no-such-command").output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    let (_, list) = words.split_once(", but ").unwrap_or_else(|| panic!("{words}"));
    list.trim().split(", ").map(Into::into).collect()
}

/// The options, of those in the help, that a command of echo-alex-certs takes.
pub fn taken_by(command: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let is_taken = |option: &String| {
        let value = match option.as_str() {
            // These are for the program.
            "--help" | "--version" => return false,
            "--renew" | "--force" => "",
            "--days" => "=1",
            "--ip" => "=127.0.0.1",
            "--key-type" => "=ecdsa",
            _ => "=x",
        };
        let mut run = Command::new(CERTS);
        run.current_dir(folder.path()).args([command, &format!("{option}{value}")]);
        let words = String::from_utf8(run.output().unwrap().stderr).unwrap();
        option.starts_with("--") && !words.contains(&format!("{command} takes no {option}"))
    };
    options(&help("echo-alex-certs")).into_iter().filter(is_taken).collect()
}
