//! The documents of the source tree, for the tests that compare them with the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub type Words = BTreeSet<String>;

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A manual page, with its escapes resolved.
pub fn manual(name: &str) -> String {
    read(&format!("docs/man/{name}")).replace("\\(dq", "\"").replace("\\&", "").replace("\\e", "\\")
}

/// The lines between the line `start` and the next one that begins with `end`.
pub fn section<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| *line != start);
    assert!(lines.next().is_some(), "there is no line {start:?}");
    lines.take_while(|line| !line.starts_with(end)).collect()
}

/// The texts between pairs of `mark`.
pub fn between(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).collect()
}

pub fn words<'a>(all: impl IntoIterator<Item = &'a str>) -> Words {
    all.into_iter().map(Into::into).collect()
}

/// The first column of the table of Markdown that begins with `header`.
pub fn first_column<'a>(text: &'a str, header: &str) -> Vec<&'a str> {
    let rows = section(text, header, "|---").into_iter().skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(1).unwrap().trim())
        .collect()
}

/// Every Markdown document, and the manual.
pub fn documents() -> Vec<(String, String)> {
    let mut names: Vec<String> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "RELEASING.md", "benches/README.md"]
            .into_iter()
            .chain(["fuzz/README.md", "tests/pi/README.md", "certs/README.md"])
            .map(Into::into)
            .collect();
    for folder in ["docs", "docs/man", "docs/pictures"] {
        for entry in fs::read_dir(path(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let is_text = Path::new(&name)
                .extension()
                .is_some_and(|ending| ending != "svg" && ending != "png");
            if entry.file_type().unwrap().is_file() && is_text {
                names.push(format!("{folder}/{name}"));
            }
        }
    }
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The files in a folder of the source tree and in its subfolders.
pub fn sources(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files.extend(sources(&name));
        } else {
            files.push(name);
        }
    }
    files.sort();
    files
}
