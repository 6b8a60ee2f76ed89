//! The documents are complete and true: links lead somewhere, the index names every page, and the examples
//! show what the programs print.
#![cfg(not(target_arch = "arm"))] // The documents are the same there.

mod util;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use util::documents::{documents, path, read};
use util::tool;

/// The documents in Markdown.
fn pages() -> Vec<(String, String)> {
    documents().into_iter().filter(|(name, _)| is_page(name)).collect()
}

fn is_page(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "md")
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// What the links of a page point to.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1);
    targets.map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

/// The anchors of a page, as code hosts make them of its headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut followed = 0;
    for (name, text) in pages() {
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let folder = path(&name).parent().unwrap().to_owned();
            let target = if file.is_empty() { path(&name) } else { folder.join(file) };
            assert!(target.exists(), "{name}: {link}");
            if !heading.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.iter().any(|anchor| anchor == heading), "{name}: {link}: {there:?}");
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}

/// The files that the links of a page point to.
fn linked(page: &str) -> Vec<PathBuf> {
    let folder = path(page).parent().unwrap().to_owned();
    let files = links(&read(page)).into_iter().filter(|link| !link.starts_with("https://"));
    files
        .filter_map(|link| folder.join(link.split('#').next().unwrap()).canonicalize().ok())
        .collect()
}

#[test]
fn the_index_names_every_document() {
    let index = linked("docs/README.md");
    for (name, _) in documents() {
        let needs_no_entry = ["README.md", "docs/README.md"].contains(&name.as_str());
        let file = path(&name).canonicalize().unwrap();
        assert!(needs_no_entry || index.contains(&file), "docs/README.md does not name {name}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 120, "README.md has {lines} lines");
}

#[test]
fn the_examples_show_what_the_programs_print() {
    for name in ["ip", "nc", "openssl", "xxd"] {
        if tool(name).is_none() {
            return;
        }
    }
    let (Some(mut python), Some(mut unshare)) = (tool("python3"), tool("unshare")) else { return };
    // The same namespaces as those of the script.
    let user = if rustix::process::geteuid().is_root() { &[][..] } else { &["--map-root-user"] };
    let namespaces = ["--net", "--pid", "--fork", "--mount-proc", "true"];
    if !unshare.args(user).args(namespaces).output().unwrap().status.success() {
        eprintln!("skipped: the kernel gives no network and process namespaces");
        return;
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_echo-alex")).parent().unwrap();
    let examples: &mut Command = python.arg(path("docs/examples")).arg("--check");
    let output = examples.env("ECHO_ALEX_PROGRAMS", programs).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{errors}");
}
