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
