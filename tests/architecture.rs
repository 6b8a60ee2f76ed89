//! The source tree follows docs/design.md: each folder uses only what it may use, and no two files depend on
//! each other.
#![cfg(not(target_arch = "arm"))] // The sources are the same there.

mod util;

use std::collections::BTreeMap;

use util::documents::{Words, between, path, read, section, sources, words};

/// The only file that is not Rust.
const PAGE: &str = "src/daemon/service/web/page.html";

/// The files of the library, without those that have only tests.
fn library() -> Vec<String> {
    let files: Vec<String> = sources("src")
        .into_iter()
        .filter(|file| {
            *file != PAGE && !file.starts_with("src/bin/") && !file.ends_with("/tests.rs")
        })
        .filter(|file| file != "src/lib.rs")
        .collect();
    assert!(files.len() > 20);
    files
}

/// A source without its comments and tests.
fn code(file: &str) -> String {
    let text = read(file);
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The module of a file: `daemon::session` for `src/daemon/session.rs`.
fn module(file: &str) -> String {
    file.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::")
}

/// The folder of a module, or the module itself if it is in no folder.
fn folder(module: &str) -> &str {
    module.split("::").next().unwrap()
}

/// The paths that `text`, the code of `module`, uses: absolute, without `crate::`.
fn paths(module: &str, text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let above = |levels: usize| {
        let parts: Vec<&str> = module.split("::").collect();
        parts[..parts.len() - levels].join("::")
    };
    let children = text.lines().filter_map(|line| {
        line.trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .strip_prefix("mod ")?
            .strip_suffix(';')
    });
    let mut starts = vec![("crate::".to_owned(), String::new())];
    starts.push(("super::".into(), above(1)));
    starts.extend(children.map(|child| (format!("{child}::"), format!("{module}::{child}"))));
    let mut found = Vec::new();
    for (start, base) in starts {
        for (place, start) in text.match_indices(&start) {
            if text[..place].ends_with(is_part) {
                continue;
            }
            let rest = &text[place + start.len()..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            found.push(format!("{base}::{}", &rest[..end]).trim_start_matches("::").to_owned());
            // A list in braces: each name in it is a path.
            if rest[end..].starts_with('{') {
                let list = rest[end + 1..].split('}').next().unwrap();
                let names =
                    list.split(',').map(|name| name.split_whitespace().next().unwrap_or(""));
                let base = found.pop().unwrap();
                found.extend(names.map(|name| format!("{base}{name}")));
            }
        }
    }
    found
}

/// The modules that each module depends on.
fn needs() -> BTreeMap<String, Words> {
    let files = library();
    let modules: Words = files.iter().map(|file| module(file)).collect();
    let of = |file: &String| {
        let module = module(file);
        let named = paths(&module, &code(file));
        let mut needed: Words = named
            .iter()
            .filter_map(|path| {
                let candidates =
                    modules.iter().filter(|it| path == *it || path.starts_with(&format!("{it}::")));
                candidates.max_by_key(|it| it.len()).cloned()
            })
            .collect();
        needed.remove(&module);
        (module, needed)
    };
    files.iter().map(of).collect()
}

/// What each folder may use, from docs/design.md.
fn allowed() -> BTreeMap<String, Words> {
    let design = read("docs/design.md");
    let rows =
        section(&design, "| part of src | what it is | what it may use |", "#").into_iter().skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let name = between(cells[1], '`')[0].trim_end_matches('/').trim_end_matches(".rs");
            (name.to_owned(), words(between(cells[3], '`')))
        })
        .collect()
}

#[test]
fn each_folder_uses_only_what_the_design_allows() {
    let allowed = allowed();
    let there: Words = needs().keys().map(|module| folder(module).to_owned()).collect();
    let described: Words = allowed.keys().filter(|name| *name != "bin").cloned().collect();
    assert_eq!(described, there, "docs/design.md does not list the parts of src");
    for (module, needed) in needs() {
        for other in needed {
            let (from, to) = (folder(&module), folder(&other));
            assert!(from == to || allowed[from].contains(to), "{module} must not use {other}");
        }
    }
}

#[test]
fn the_design_allows_no_circle_of_folders() {
    let mut left = allowed();
    assert!(without_circles(&mut left), "a circle: {left:#?}");
}

#[test]
fn no_two_files_need_each_other() {
    let mut left = needs();
    assert!(without_circles(&mut left), "a circle: {left:#?}");
}

/// Removes what depends on nothing that is left, until all are removed, or only circles are left.
fn without_circles(left: &mut BTreeMap<String, Words>) -> bool {
    while let Some(free) = left
        .iter()
        .find(|(_, needed)| !needed.iter().any(|name| left.contains_key(name)))
        .map(|(name, _)| name.clone())
    {
        left.remove(&free);
    }
    left.is_empty()
}

#[test]
fn rustls_and_mio_are_used_only_where_the_design_allows() {
    let design = read("docs/design.md");
    for crate_name in ["rustls", "mio"] {
        let uses = |text: &str| {
            text.match_indices(crate_name).any(|(place, name)| {
                let before = text[..place].chars().next_back();
                let behind = &text[place + name.len()..];
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                    && (behind.starts_with("::") || behind.starts_with('_'))
            })
        };
        let files = library().into_iter().filter(|file| uses(&code(file)));
        let found: Words = files.map(|file| format!("{}/", folder(&module(&file)))).collect();
        let end = format!("` name {crate_name}");
        let end = design.find(&end).unwrap_or_else(|| panic!("{end}"));
        let start = design[..end].rfind("nly `").unwrap();
        assert_eq!(words(between(&design[start..=end], '`')), found, "{crate_name}");
    }
}

#[test]
fn each_file_begins_with_its_purpose() {
    for file in sources("src") {
        let start = if file == PAGE { "<!doctype html>\n<!-- " } else { "//! " };
        assert!(read(&file).starts_with(start), "{file} does not begin with its purpose");
    }
    assert!(path("src/lib.rs").exists());
}
