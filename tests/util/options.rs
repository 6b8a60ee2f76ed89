//! The options of the programs, for the tests that compare documents and completions with them.

use std::collections::BTreeSet;
use std::process::Command;

use super::outcome;

/// The names and paths of the programs.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("echo-alex", env!("CARGO_BIN_EXE_echo-alex")),
    ("echo-alex-client", env!("CARGO_BIN_EXE_echo-alex-client")),
    ("echo-alex-certs", CERTS),
];

const CERTS: &str = env!("CARGO_BIN_EXE_echo-alex-certs");

pub fn program(name: &str) -> Command {
    let found = PROGRAMS.iter().find(|(known, _)| *known == name);
    Command::new(found.unwrap_or_else(|| panic!("there is no program {name}")).1)
}

pub fn help(name: &str) -> String {
    outcome(program(name).arg("-h"))
}

/// The options in a text.
pub fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let is_option = |word: &&str| {
        word.starts_with('-') && word.trim_start_matches('-').starts_with(char::is_alphanumeric)
    };
    words.filter(is_option).map(Into::into).collect()
}
