//! The figures in the documents are right: bounds and constants are those of the code, and files, crates and
//! tests that they name exist.
//!
//! A measured figure is the same in all documents.
#![cfg(not(target_arch = "arm"))] // The documents are the same there.

mod util;

use echo_alex::testing::{HELD_MAX, READ_SIZE};
use util::documents::{Words, between, first_column, path, read, section, sources, words};

/// A text as one line, for sentences that span several.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(name: &str, sentence: &str) {
    assert!(flat(&read(name)).contains(sentence), "{name} does not say: {sentence}");
}

/// A source without its comments and tests.
fn code(file: &str) -> String {
    let text = read(file);
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The value of a constant, as it is written.
fn constant(file: &str, name: &str) -> String {
    let text = read(file);
    let start = format!("const {name}: ");
    let line = text.lines().find(|line| line.contains(&start));
    let line = line.unwrap_or_else(|| panic!("no {name} in {file}"));
    line.split_once(" = ").unwrap().1.trim_end_matches(';').to_owned()
}

fn number(file: &str, name: &str) -> usize {
    constant(file, name).parse().unwrap_or_else(|_| panic!("{name} is no number"))
}

fn dependencies(manifest: &str, table: &str) -> Words {
    let text = read(manifest);
    let lines = section(&text, table, "[").into_iter();
    words(lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name))
}

#[test]
fn each_dependency_has_its_reason() {
    let text = read("CONTRIBUTING.md");
    let (product, tests) = text.split_once("For tests alone:").unwrap();
    let header = "| crate | why it is here |";
    let listed = |text: &str| -> Words {
        first_column(text, header)
            .into_iter()
            .flat_map(|cell| cell.split(", "))
            .map(Into::into)
            .collect()
    };
    let needed = dependencies("Cargo.toml", "[dependencies]");
    assert_eq!(listed(product), needed);
    // Some crates of the product are there too, with more features.
    let for_tests = dependencies("Cargo.toml", "[dev-dependencies]");
    assert_eq!(listed(tests), &for_tests - &needed);
    let benches = dependencies("benches/Cargo.toml", "[dependencies]");
    assert_eq!(listed(&read("benches/README.md")), benches);
}

#[test]
fn one_file_alone_calls_rustls_pemfile() {
    let users: Vec<String> =
        sources("src").into_iter().filter(|file| code(file).contains("rustls_pemfile")).collect();
    assert_eq!(users.len(), 1, "{users:?}: CONTRIBUTING.md and deny.toml speak of one");
}

#[test]
fn the_documents_name_the_oldest_rust_of_the_package() {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let oldest = line.trim_matches('"');
    assert_says("README.md", &format!("needs Rust {oldest} or later"));
    assert_says("CONTRIBUTING.md", &format!("Rust {oldest} or later"));
    assert_says("CONTRIBUTING.md", &format!("compiles everything with Rust {oldest} too"));
}

/// A row of the table of goals in docs/performance.md: the goal, and what was measured.
fn reached(figure: &str) -> (String, String) {
    let text = read("docs/performance.md");
    let row = text.lines().find(|line| line.starts_with(&format!("| {figure}")));
    let cells: Vec<&str> =
        row.unwrap_or_else(|| panic!("no {figure}")).split('|').map(str::trim).collect();
    (cells[2].into(), cells[3].into())
}

/// A bound of benches/counts.
fn bound(table: &str, key: &str) -> f64 {
    let text = read("benches/bounds.toml");
    let bounds: toml::Table = text.parse().unwrap();
    let bound = &bounds[table][key];
    let whole = || u32::try_from(bound.as_integer().unwrap()).unwrap();
    bound.as_float().unwrap_or_else(|| whole().into())
}

/// The numbers in a cell, without the commas in them.
fn numbers(cell: &str) -> Vec<f64> {
    cell.replace(',', "")
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter_map(|word| word.trim_end_matches('.').parse().ok())
        .collect()
}

#[test]
fn the_bounds_of_the_counts_are_the_goals() {
    for (figure, table, key, place) in [
        ("plain: receives and sends a message", "plain", "system-calls-a-message", 1),
        ("plain: user instructions a message", "plain", "instructions-a-message", 0),
        ("plain: bytes an idle session", "plain", "bytes-an-idle-session", 0),
        ("TLS: receives and sends a message", "tls", "instructions-a-message", 1),
        ("TLS: bytes an idle session", "tls", "bytes-an-idle-session", 0),
        ("web: bytes an idle WebSocket", "web", "bytes-an-idle-websocket", 0),
        ("web: instructions for a KiB of metrics", "web", "instructions-a-kib-of-metrics", 0),
        ("web: instructions for a KiB of metrics", "web", "instructions-a-session-in-metrics", 1),
        ("UDP: system calls a datagram", "udp", "system-calls-a-datagram", 0),
        ("UDP: system calls a datagram", "udp", "instructions-a-datagram", 1),
    ] {
        let (to_reach, measured) = reached(figure);
        let (to_reach, measured) = (numbers(&to_reach)[place], numbers(&measured)[place]);
        assert!((to_reach - bound(table, key)).abs() < 0.001, "{figure}: {to_reach}");
        assert!(measured <= to_reach, "{figure}: {measured}");
    }
}

#[test]
fn a_message_and_an_idle_session_cost_the_same_in_all_documents() {
    let measured = |figure: &str| numbers(&reached(figure).1)[0];
    let instructions = measured("plain: user instructions a message");
    for (document, sentence) in [
        ("README.md", "two system calls and about N instructions"),
        ("docs/design.md", "its two system calls, it executes about N instructions"),
    ] {
        assert_says(document, &sentence.replace('N', &instructions.to_string()));
    }
    let plain = measured("plain: bytes an idle session");
    let tls = format!("{:.1} KB", measured("TLS: bytes an idle session") / 1000.0);
    assert_says("README.md", &format!("idle session {plain} bytes, with TLS {tls}"));
    assert_says("SECURITY.md", &format!("{plain} bytes plain, {tls} TLS"));
    assert_says("docs/design.md", &format!("an idle plain session {plain} bytes"));
    assert_says("docs/design.md", &format!("an idle TLS 1.3 session {tls}"));
    let text = read("docs/performance.md");
    let last = section(&text, "## What it took", "## ").join("\n");
    assert!(last.contains(&format!("and takes {plain}:")), "{last}");
}

#[test]
fn the_bounds_in_the_documents_are_the_constants_of_the_code() {
    let reads = number("src/daemon/session.rs", "STEPS_A_TURN") + 1;
    let kib = READ_SIZE / 1024;
    let held = HELD_MAX / 1024;
    let accepts = number("src/daemon/accept.rs", "ACCEPTS_A_TURN");
    let lines = number("src/daemon/listener.rs", "ENDINGS_LOGGED");
    let counted = number("src/daemon/census.rs", "STEP");
    let rendered = number("src/daemon/metrics.rs", "STEP") / 1024;
    let pause = constant("src/daemon/accept.rs", "THROTTLE_TIME");
    let milliseconds = numbers(&pause)[0];
    assert!(pause.contains("from_millis"), "{pause}");
    let interval = constant("src/daemon/log_limit.rs", "INTERVAL");
    let seconds = numbers(&interval)[0];
    assert!(interval.contains("from_secs"), "{interval}");
    let mebibytes =
        number("src/daemon/session/end.rs", "LAST_TURNS") * (reads - 1) * READ_SIZE / (1 << 20);
    for (document, sentence) in [
        (
            "docs/design.md",
            format!(
                "A session takes at most {reads} steps in a turn, with at most as many reads of {kib} \
                 KiB; a listening socket accepts at most {accepts} connections"
            ),
        ),
        (
            "docs/design.md",
            format!(
                "a step counts at most {counted} sessions, or makes the text longer by {rendered} KiB"
            ),
        ),
        (
            "docs/performance.md",
            format!("a step counts {counted} sessions, or makes the text {rendered} KiB longer"),
        ),
        ("docs/design.md", format!("it echoes up to {mebibytes} MiB of what had arrived")),
        ("docs/design.md", format!("Each listener logs at most {lines} sessions in {seconds} s")),
        ("docs/design.md", format!("or for {milliseconds} ms, and then resumes")),
        ("docs/design.md", format!("| {held} KiB held back |")),
        ("docs/design.md", format!("| plain, stalled | {kib} KiB |")),
        ("SECURITY.md", format!("{reads} reads of {kib} KiB a turn")),
        ("SECURITY.md", format!("{held} KiB held in all")),
        ("SECURITY.md", format!("a try every {milliseconds} ms")),
        ("SECURITY.md", format!("{lines} lines in {seconds} s for the sessions of a listener")),
        ("SECURITY.md", format!("Memory in one session is {kib} KiB plain")),
        ("docs/performance.md", format!("a turn of {reads} reads, at most {} KiB", reads * kib)),
        ("docs/reference.md", format!("beyond {lines} in {seconds} seconds on a listener")),
        ("docs/man/echo-alex.toml.5", format!("up to {lines} in {seconds} seconds for a listener")),
        ("config/echo-alex.toml", format!("up to {lines} in {seconds} seconds for a listener")),
        ("fuzz/README.md", format!("no more than {held} KiB is held")),
    ] {
        assert_says(document, &sentence);
    }
}

#[test]
fn security_names_existing_tests_and_measured_figures() {
    let security = read("SECURITY.md");
    let rows = section(&security, "| attack | what bounds it | proof | measured |", "Memory");
    let rows = rows.into_iter().skip(1).filter(|line| line.starts_with('|'));
    let mut proofs = Words::new();
    for row in rows {
        let proof = row.split('|').nth(3).unwrap_or_else(|| panic!("{row}"));
        proofs.extend(words(proof.trim().split(", ")));
    }
    assert!(proofs.len() > 10, "{proofs:?}");
    for proof in proofs {
        let file = match proof.as_str() {
            "simulation" => "tests/simulation/main.rs".into(),
            "fuzz" => "fuzz/Cargo.toml".into(),
            _ if proof.contains('/') => proof.clone(),
            _ => format!("tests/{proof}"),
        };
        assert!(path(&file).exists(), "{proof}: there is no {file}");
    }

    let lives = read("tests/simulation/main.rs");
    let (_, lives) = lives.split_once("for seed in 1..=").unwrap();
    let lives: usize = lives.split(' ').next().unwrap().parse().unwrap();
    let lives = format!("{},{:03} lives", lives / 1000, lives % 1000);
    assert_says("SECURITY.md", &format!("{lives} in each run of the tests"));
    assert_says("fuzz/README.md", &format!("simulated in `cargo test` as well: {lives} by seed"));

    let fuzz = read("fuzz/README.md");
    let executions = |target: &str| {
        let row = section(
            &fuzz,
            "| target | executions | coverage: edges, features | findings |",
            "What",
        )
        .into_iter()
        .find(|row| row.starts_with(&format!("| `{target}`")));
        row.unwrap().split('|').nth(2).unwrap().trim().to_owned()
    };
    assert_says("SECURITY.md", &format!("{} dialogues fuzzed", executions("transport")));
    assert_says("SECURITY.md", &format!("tests; {} fuzzed", executions("session")));
}

#[test]
fn the_manual_agrees_with_the_unit() {
    let unit = read("packaging/systemd/echo-alex.service");
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        line.unwrap_or_else(|| panic!("no {key}=")).to_owned()
    };
    let page = "docs/man/echo-alex.8";
    assert_says(page, &format!("It may have {} descriptors", value("LimitNOFILE")));
    assert_eq!(value("RestartSec"), "2s");
    assert_says(page, "is restarted every two seconds until it can bind the address");
    assert_says("docs/design.md", "would be restarted every two seconds forever");
    let highest = constant_of_script("packaging/check-deb", "highest_exposure");
    let rated = format!("{}.{}", highest / 10, highest % 10);
    assert_says("SECURITY.md", &format!("security` rates that {rated}"));
    assert_says("docs/design.md", &format!("`systemd-analyze security` rates {rated}"));
}

/// A number that a script assigns on a line of its own.
fn constant_of_script(file: &str, name: &str) -> usize {
    let text = read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {file}"))
}

/// The figure of the daemon in a table of docs/performance.md, without emphasis.
fn measured(workload: &str) -> String {
    let text = read("docs/performance.md");
    // The table of processor times comes before that of the load of both cores.
    let row = text.lines().find(|line| line.starts_with(&format!("| {workload} |")));
    row.unwrap_or_else(|| panic!("no {workload}")).split('|').nth(2).unwrap().trim().into()
}

#[test]
fn the_goals_are_compared_with_the_measured_figures() {
    for (figure, workloads) in [
        (
            "plain: processor time relative to epoll",
            &["plain/100x64", "plain/1000x64", "plain/10000x64"][..],
        ),
        ("plain: connect, echo a byte, close", &["plain/connect"]),
        (
            "plain: streams relative to epoll",
            &["plain/stream-1", "plain/stream-10", "plain/stream-100"],
        ),
        ("TLS: messages relative to epoll + OpenSSL", &["tls/100x64"]),
        ("TLS: streams relative to epoll + OpenSSL", &["tls/stream-1", "tls/stream-10"]),
        ("TLS: full handshakes relative to", &["tls/full-ecdsa"]),
        ("TLS: resumed handshakes relative to", &["tls/resumed-ecdsa"]),
        ("UDP: processor time relative to recvfrom", &["udp/1x64", "udp/100x64", "udp/100x1400"]),
    ] {
        let (_, reached) = reached(figure);
        let measured: Vec<String> = workloads.iter().map(|workload| measured(workload)).collect();
        assert_eq!(reached.replace("**", ""), measured.join(", "), "{figure}");
    }

    let text = read("docs/performance.md");
    let memory = |transport: &str| -> Vec<String> {
        let start = format!("| echo-alex | {transport} |");
        let row = text.lines().find(|line| line.starts_with(&start)).unwrap();
        row.split('|').skip(3).map(|cell| cell.trim().to_owned()).collect()
    };
    let (plain, tls) = (memory("plain"), memory("TLS"));
    assert_eq!(format!("{} B", numbers(&reached("plain: bytes an idle session").1)[0]), plain[0]);
    assert_eq!(format!("{} B", numbers(&reached("TLS: bytes an idle session").1)[0]), tls[0]);
    let left = numbers(&tls[1])[0] * 1024.0 / 1e6;
    let (_, stated) = reached("memory after 5,000 TLS sessions");
    assert_eq!(stated, format!("{left:.1} MB"));
    let stalled = format!("{} plain, {} TLS", plain[2], tls[2]);
    assert_eq!(reached("a stalled reader").1, stalled);
    assert_says("SECURITY.md", &format!("three that would send 30 MB each: {stalled};"));
    let start = reached("start to READY=1").1;
    let start = start.trim_end_matches(", 20 starts");
    assert_says("docs/performance.md", &format!("From its start to READY=1: {start}, with"));
}

#[test]
fn the_sums_of_the_soak_test_are_those_of_its_table() {
    let soak = read("docs/soak.md");
    let header = "| part | sessions | MB back | faults | descriptors before, after | KiB before, after; most |";
    let rows = section(&soak, header, "- ");
    let rows: Vec<Vec<&str>> = rows
        .into_iter()
        .skip(1)
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_says("docs/soak.md", &format!("of the {} parts passed", rows.len()));
    let sum =
        |column: usize| rows.iter().map(|row| row[column].parse::<f64>().unwrap()).sum::<f64>();
    let thousands = |number: f64| {
        let number = format!("{number:.0}");
        let mut grouped = String::new();
        for (place, digit) in number.chars().enumerate() {
            if place > 0 && (number.len() - place) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    };
    let sessions = thousands(sum(2));
    assert_says("docs/soak.md", &format!("{sessions} sessions, {} MB echoed", thousands(sum(3))));
    let number_before = |text: &str, words: &str| -> Option<f64> {
        let (before, _) = text.split_once(words)?;
        before.rsplit(' ').next().unwrap().parse().ok()
    };
    let of_all =
        |words: &str| thousands(rows.iter().filter_map(|row| number_before(row[4], words)).sum());
    let packets = of_all(" packets, ");
    let damaged = of_all(" corrupted, ");
    assert_says("SECURITY.md", &format!("{packets} packets, {damaged} of them damaged"));
}

#[test]
fn the_documented_equivalent_mutants_are_those_that_the_command_excludes() {
    let config: toml::Table = toml::from_str(&read(".cargo/mutants.toml")).unwrap();
    let list = |key: &str| -> Words {
        let all = config[key].as_array().unwrap();
        all.iter().map(|item| item.as_str().unwrap().into()).collect()
    };
    let document = read("docs/mutation.md");
    let named = first_column(&document, "| mutant | why it is the same program |");
    assert_eq!(list("exclude_re"), words(named.iter().map(|name| name.trim_matches('`'))));
    let named = between(&document, '`');
    for file in list("examine_globs") {
        assert!(named.contains(&file.strip_prefix("src/").unwrap()), "{file}");
    }
}
