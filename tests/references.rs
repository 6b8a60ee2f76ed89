//! The manual, docs/reference.md, the help texts, the completions and the example configuration agree with
//! the code: keys and their defaults, options, reasons, exit codes, and figures.
//!
//! The code is the source of each list. These tests read the documents in the source tree, and use no program
//! from outside.
//!
//! They do not run on ARM: the documents are the same there, and under the emulator of .ci/armv7 they start more
//! programs than all other tests.
#![cfg(not(target_arch = "arm"))]

mod util;

use std::collections::BTreeMap;
use std::ffi::OsString;

use echo_alex::testing::{
    CloseReason, Config, Limits, Options, Request, Source, Tls, certs_command, client_command,
};
use util::command_line::{self, assert_generated, assert_generated_part};
use util::documents::{
    Words, between, documents, first_column, manual, read, section, sources, words,
};
use util::options::{help, options, program};

// Configuration keys.

/// A table of the configuration file.
struct Table {
    /// In the file.
    header: &'static str,
    /// Its section in the manual.
    section: &'static str,
    /// The minimal text before a key of this table.
    before: &'static str,
    /// The text after the key that makes the file valid.
    behind: &'static str,
}

const LISTENER: &str = "[[listener]]\nname = \"a\"\nlisten = 5000\n";

/// All tables but `[listener.limits]`, for which the manual refers to `[limits]`.
const TABLES: [Table; 5] = [
    Table { header: "[log]", section: ".Ss Bq log", before: "[log]\n", behind: LISTENER },
    Table { header: "[limits]", section: ".Ss Bq limits", before: "[limits]\n", behind: LISTENER },
    Table {
        header: "[tickets]",
        section: ".Ss Bq tickets",
        before: "[tickets]\n",
        behind: "[[listener]]\nname = \"a\"\nlisten = 5000\n[listener.tls]\n",
    },
    Table { header: "[[listener]]", section: ".Ss Bq Bq listener", before: LISTENER, behind: "" },
    Table {
        header: "[listener.tls]",
        section: ".Ss Bq listener.tls",
        before: "[[listener]]\nname = \"a\"\nlisten = 5000\n[listener.tls]\n",
        behind: "",
    },
];

/// The keys of `[limits]` that `[listener.limits]` must not have.
const ONLY_IN_LIMITS: [&str; 4] =
    ["drain-delay", "drain-timeout", "datagrams-per-second", "datagrams-per-second-per-address"];

const LISTENER_LIMITS: &str = "[[listener]]\nname = \"a\"\nlisten = 5000\n[listener.limits]\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, &Source::BuiltIn).map_err(|failure| failure.message)
}

/// The keys that the code accepts after `before`, from its error about an unknown one.
fn known_keys(before: &str) -> Words {
    let error = parse(&format!("{before}no-such-key = 1\n")).unwrap_err();
    let list = error.split_once("expected one of ").or(error.split_once("expected "));
    words(between(list.unwrap_or_else(|| panic!("{error}")).1, '`'))
}

/// A key in the manual.
#[derive(Debug)]
struct Key {
    name: String,
    /// The text in bold: the default as it is written in the file, or `none`.
    default: Option<String>,
    /// The values of a string with few values.
    choices: Words,
    required: bool,
}

/// The keys of a section of echo-alex.toml(5).
fn described_keys(section_name: &str) -> Vec<Key> {
    let manual = manual("echo-alex.toml.5");
    let mut keys = Vec::new();
    for line in section(&manual, section_name, ".Ss") {
        let Some(line) = line.strip_prefix(".It Cm ") else { continue };
        let (name, description) = line.split_once(" No (").unwrap_or_else(|| panic!("{line}"));
        let description = description.trim_end_matches([' ', ')']);
        let tokens: Vec<&str> = description.split(' ').collect();
        let behind = |macro_name: &str| {
            tokens.windows(2).find(|pair| pair[0] == macro_name).map(|pair| pair[1].to_owned())
        };
        let mut choices = Words::new();
        if description.starts_with("string: ") {
            choices.extend(between(description, '"').into_iter().map(String::from));
            choices.extend(behind("Qq"));
        }
        keys.push(Key {
            name: name.into(),
            default: behind("Sy").map(|default| default.replace("\\~", " ")),
            choices,
            required: description.ends_with("required"),
        });
    }
    assert!(!keys.is_empty(), "{section_name}");
    keys
}

/// The line that a key needs to have an effect.
fn prerequisite(key: &str) -> &'static str {
    match key {
        "socket" => "target = \"syslog\"\n",
        "client-auth" => "client-ca = \"ca.pem\"\n",
        "allow" | "origins" => "service = \"web\"\n",
        _ => "",
    }
}

/// A valid value of a key other than `value`.
fn another(key: &Key, value: &str) -> String {
    if let Some(choice) = key.choices.iter().find(|choice| value != format!("\"{choice}\"")) {
        return format!("\"{choice}\"");
    }
    match value {
        "false" => "true".into(),
        "true" => "false".into(),
        number if number.parse::<u64>().is_ok() => "7".into(),
        "[]" => "[\"*\"]".into(),
        list if list.starts_with('[') => list.split(',').next().unwrap().to_owned() + "]",
        duration if duration.ends_with("s\"") || duration.ends_with("h\"") => "\"7min\"".into(),
        _ => "\"other\"".into(),
    }
}

#[test]
fn the_manual_has_exactly_the_keys_of_the_code() {
    let manual = manual("echo-alex.toml.5");
    let tables: Vec<&str> =
        manual.lines().filter_map(|line| line.strip_prefix(".Ss Bq listener.")).collect();
    for table in &TABLES {
        let mut described: Words =
            described_keys(table.section).into_iter().map(|key| key.name).collect();
        if table.header == "[[listener]]" {
            described.extend(words(tables.iter().copied()));
        }
        assert_eq!(described, known_keys(table.before), "{}", table.header);
    }
    let top: Words = words(["log", "limits", "tickets", "listener"]);
    assert_eq!(known_keys(""), top);
    // "The keys of [limits], except …".
    assert_eq!(known_keys(LISTENER_LIMITS), known_keys("[limits]\n"));
    for key in ONLY_IN_LIMITS {
        let value = if key.starts_with("drain") { "\"1s\"" } else { "1" };
        let error = parse(&format!("{LISTENER_LIMITS}{key} = {value}\n")).unwrap_err();
        assert!(error.contains(&format!("{key} belongs to [limits]")), "{error}");
    }
}

#[test]
fn every_setting_has_an_effect() {
    let settings = read("src/config/settings.rs");
    let fields: Words = settings
        .lines()
        .filter_map(|line| Some(line.strip_prefix("    pub ")?.split_once(": ")?.0.to_owned()))
        .collect();
    assert!(fields.len() > 15, "{fields:?}");
    let outside = sources("src").into_iter().filter(|file| !file.starts_with("src/config"));
    let mut code: String = outside.map(|file| read(&file)).collect();
    // Or a method of the settings does.
    code.extend(settings.lines().filter(|line| line.contains("self.")));
    // Neither a comment nor a pattern that ignores the field uses it.
    let lines =
        code.lines().filter(|line| !line.trim().starts_with("//") && !line.ends_with(": _,"));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let used: Words = lines.flat_map(|line| line.split(|c| !is_word(c))).map(Into::into).collect();
    assert!(fields.is_subset(&used), "nothing uses {:?}", &fields - &used);
}

#[test]
fn the_manual_has_the_values_of_the_code() {
    for table in &TABLES {
        for key in described_keys(table.section).iter().filter(|key| !key.choices.is_empty()) {
            let line = format!("{}{} = \"no-such\"\n", prerequisite(&key.name), key.name);
            let error = parse(&format!("{}{line}{}", table.before, table.behind)).unwrap_err();
            let list = error.split_once(": unknown variant ").or(error.split_once("version: "));
            let list = list.unwrap_or_else(|| panic!("{error}")).1;
            let list = list.split_once(&format!(": {}", key.name)).unwrap().0;
            let known: Words = words(between(list, '`').into_iter().chain(between(list, '"')))
                .into_iter()
                .filter(|value| value != "no-such")
                .collect();
            assert_eq!(key.choices, known, "{} {}", table.header, key.name);
        }
    }
}

#[test]
fn every_service_is_described_and_tested() {
    let error = parse(&format!("{LISTENER}service = \"no-such\"\n")).unwrap_err();
    let (_, list) = error.split_once("expected one of ").unwrap_or_else(|| panic!("{error}"));
    let services = between(list.split(": service").next().unwrap(), '`');
    assert!(services.len() > 2, "{error}");
    for service in services {
        let variant = format!("{}{}", service[..1].to_uppercase(), &service[1..]);
        for (file, text) in [
            ("docs/man/echo-alex.toml.5", format!(".It Qq {service}\n")),
            ("config/echo-alex.toml", format!("\"{service}\"")),
            ("tests/config/valid/services.toml", format!("service = \"{service}\"\n")),
            // The simulation gives it to some of its sessions.
            ("tests/simulation/dialogue/mod.rs", format!(" => ServiceName::{variant},")),
        ] {
            assert!(read(file).contains(&text), "{file} does not have {text}");
        }
        let tests = read("tests/services.rs");
        assert!(service == "echo" || tests.contains(&format!("\"{service}\"")), "{service}");
    }
}

#[test]
fn the_defaults_of_the_manual_are_those_of_the_code() {
    for table in &TABLES {
        for key in described_keys(table.section) {
            let file = |value: &str| {
                let line = format!("{}{} = {value}\n", prerequisite(&key.name), key.name);
                parse(&format!("{}{line}{}", table.before, table.behind)).unwrap()
            };
            let what = format!("{} {}", table.header, key.name);
            let Some(default) = &key.default else {
                assert!(key.required, "{what} has no default, and is not required");
                let all = format!("{}{}", table.before, table.behind);
                let without = all.lines().filter(|line| !line.starts_with(&key.name));
                let error = parse(&without.collect::<Vec<_>>().join("\n")).unwrap_err();
                assert!(error.contains(&format!("missing field `{}`", key.name)), "{error}");
                continue;
            };
            let nothing = format!("{}{}{}", table.before, prerequisite(&key.name), table.behind);
            let nothing = parse(&nothing).unwrap();
            if default == "by-cost" {
                // It depends on the processor, so no value stands for it.
                assert_eq!(nothing.listeners[0].tls, Some(Tls::default()), "{what}");
                continue;
            }
            if default == "none" {
                if key.name == "proxy-protocol" {
                    assert_eq!(nothing.listeners[0].proxies, None, "{what}");
                    continue;
                }
                // A file without a default: these three keys.
                assert!(["certificate", "key", "client-ca"].contains(&key.name.as_str()), "{what}");
                let none = Tls::default();
                assert_eq!(nothing.listeners[0].tls, Some(none), "{what}");
                continue;
            }
            assert_eq!(file(default), nothing, "{what}");
            assert_ne!(file(&another(&key, default)), nothing, "{what}: it makes no difference");
        }
    }
}

#[test]
fn the_manual_has_the_default_socket_of_each_target() {
    for (target, path) in [("syslog", "/dev/log"), ("journal", "/run/systemd/journal/socket")] {
        let with = |socket: &str| {
            parse(&format!("[log]\ntarget = \"{target}\"\n{socket}{LISTENER}")).unwrap()
        };
        assert_eq!(with(&format!("socket = \"{path}\"\n")), with(""));
        assert_ne!(with("socket = \"/other\"\n"), with(""));
        for page in ["echo-alex.8", "echo-alex.toml.5"] {
            assert!(manual(page).contains(path), "{page} does not have {path}");
        }
    }
}

/// A key in the example.
struct Shown {
    table: String,
    key: String,
    value: String,
    commented_out: bool,
}

/// The keys of config/echo-alex.toml, including those that are commented out. A `#` with a space after it
/// begins a comment in prose.
fn example() -> Vec<Shown> {
    let mut table = String::new();
    let mut shown = Vec::new();
    for line in read("config/echo-alex.toml").lines() {
        let code = line.strip_prefix('#').unwrap_or(line);
        if code.starts_with('[') {
            table = String::from(code);
        } else if code.starts_with(|c: char| c.is_ascii_lowercase()) {
            let (key, value) = code.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            let commented_out = line.starts_with('#');
            let (key, value) = (key.to_owned(), value.to_owned());
            shown.push(Shown { table: table.clone(), key, value, commented_out });
        } else {
            assert!(line.is_empty() || line.starts_with("# ") || line == "#", "{line}");
        }
    }
    shown
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let mut shown: BTreeMap<String, Words> = BTreeMap::new();
    for line in example() {
        shown.entry(line.table).or_default().insert(line.key);
    }
    let mut expected: BTreeMap<String, Words> = BTreeMap::new();
    for table in &TABLES {
        // A subtable has a line of its own.
        let keys = known_keys(table.before).into_iter();
        let keys =
            keys.filter(|key| table.header != "[[listener]]" || key != "tls" && key != "limits");
        expected.insert(table.header.into(), keys.collect());
    }
    let limits = known_keys(LISTENER_LIMITS)
        .into_iter()
        .filter(|key| !ONLY_IN_LIMITS.contains(&key.as_str()));
    expected.insert("[listener.limits]".into(), limits.collect());
    assert_eq!(shown, expected);

    for line in example() {
        let described = TABLES.iter().find(|table| table.header == line.table).map(|table| {
            described_keys(table.section).into_iter().find(|key| key.name == line.key).unwrap()
        });
        let what = format!("{} {} = {}", line.table, line.key, line.value);
        match described.and_then(|key| key.default) {
            Some(default) if default == "none" || default == "by-cost" => {
                assert!(line.commented_out, "{what}");
            }
            // What makes the last listener one for browsers.
            Some(_) if line.key == "service" && !line.commented_out => {
                assert_eq!(line.value, "\"web\"", "{what}");
            }
            Some(default) => assert!(line.commented_out && line.value == default, "{what}"),
            None if line.table != "[listener.limits]" => {
                assert!(["name", "listen", "file"].contains(&line.key.as_str()), "{what}");
                assert_eq!(line.commented_out, line.table == "[tickets]", "{what}");
            }
            // A timeout is inherited from [limits]; the two numbers have no default.
            None => {
                assert!(line.commented_out, "{what}");
                let with = format!("{LISTENER_LIMITS}{} = {}\n", line.key, line.value);
                let (with, without) = (parse(&with).unwrap(), parse(LISTENER_LIMITS).unwrap());
                if line.key.starts_with("max-sessions") {
                    assert_eq!(without.listeners[0].limits, Limits::default(), "{what}");
                } else {
                    assert_eq!(with, without, "{what}");
                }
            }
        }
    }
}

#[test]
fn the_documents_list_the_cipher_suites_of_the_code() {
    let with_tls = format!("{LISTENER}[listener.tls]\n");
    let error = parse(&format!("{with_tls}cipher-suites = [\"no-such\"]\n")).unwrap_err();
    let known = words(between(error.split_once("expected one of ").unwrap().1, '`'));
    let manual = manual("echo-alex.toml.5");
    let listed = manual.lines().filter_map(|line| line.strip_prefix(".Li TLS_"));
    let listed = listed.map(|name| format!("TLS_{}", name.trim_end_matches([' ', ','])));
    assert_eq!(listed.collect::<Words>(), known);
    for line in example().iter().filter(|line| line.key == "cipher-suites") {
        parse(&format!("{with_tls}cipher-suites = {}\n", line.value)).unwrap();
    }
}

#[test]
fn the_limits_in_security_are_the_defaults() {
    let security = read("SECURITY.md");
    for key in described_keys(".Ss Bq limits") {
        let default = key.default.unwrap().replace('"', "");
        let mut named = 0;
        for (place, start) in security.match_indices(&format!("`{}`, ", key.name)) {
            let value = &security[place + start.len()..];
            let value = value[..value.find([',', ';', '|']).unwrap()].replace(' ', "");
            if value.starts_with(|c: char| c.is_ascii_digit()) {
                assert_eq!(value, default, "{}", key.name);
                named += 1;
            }
        }
        // These have no part in an attack.
        assert!(named > 0 || ONLY_IN_LIMITS.contains(&key.name.as_str()), "{}", key.name);
    }
}

#[test]
fn the_documents_have_the_ports_of_the_built_in_configuration_and_of_the_client() {
    let built_in = Config::built_in().unwrap();
    let port = |name: &str| {
        let listener = built_in.listeners.iter().find(|listener| listener.name == name).unwrap();
        listener.endpoints[0].addresses()[0].port()
    };
    let (plain, tls, web) = (port("plain"), port("tls"), port("web"));
    assert_eq!(request(&["localhost"]).port, plain);
    assert_eq!(request(&["--tls", "localhost"]).port, tls);
    for (text, words) in [
        (help("echo-alex-client"), "[default: {}, --tls: {}]"),
        (read("SECURITY.md"), "plain on {} and TLS on {}, the page on {}"),
        (help("echo-alex"), "echo on port {}, with TLS on {}, and a page for browsers on {}"),
        (
            manual("echo-alex.8"),
            "plain echo is served on port {} and TLS on port {} of every address, and a page for browsers on port {}",
        ),
        (manual("echo-alex-client.1"), "at port {}, or {} with"),
    ] {
        let words = [plain, tls, web]
            .iter()
            .fold(words.to_owned(), |words, port| words.replacen("{}", &port.to_string(), 1));
        let text: Vec<&str> = text.split_whitespace().collect();
        assert!(text.join(" ").contains(&words), "nowhere: {words}");
    }
}

// Reasons.

#[test]
fn the_documents_list_the_reasons_of_the_code_in_its_order() {
    let reference = read("docs/reference.md");
    let listed: Vec<&str> = first_column(&reference, "| reason | what happened |")
        .into_iter()
        .flat_map(|cell| between(cell, '`'))
        .collect();
    assert_eq!(listed, CloseReason::NAMES, "docs/reference.md");
    let manual = manual("echo-alex.8");
    let listed: Vec<&str> = section(&manual, "The reasons are:", ".El")
        .into_iter()
        .filter_map(|line| line.strip_prefix(".It Cm "))
        .collect();
    assert_eq!(listed, CloseReason::NAMES, "echo-alex(8)");
}

#[test]
fn every_reason_has_a_cause() {
    let table = read("src/wire/close.rs");
    let names: Vec<&str> = section(&table, "reasons! {", "}")
        .into_iter()
        .filter_map(|line| Some(line.split_once(" = ")?.0.trim().split('(').next().unwrap()))
        .collect();
    assert_eq!(names.len(), CloseReason::NAMES.len());
    let files = sources("src").into_iter().filter(|file| !file.ends_with("/tests.rs"));
    let code: String =
        files.map(|file| read(&file).split("#[cfg(test)]").next().unwrap().to_owned()).collect();
    let is_letter = |c: char| c.is_alphanumeric();
    for name in names {
        let path = format!("::{name}");
        let mut uses = code.match_indices(&path).map(|(place, it)| place + it.len());
        assert!(uses.any(|end| !code[end..].starts_with(is_letter)), "nothing ends with {name}");
    }
}

#[test]
fn every_reason_in_a_document_exists() {
    let mut named = 0;
    for (name, text) in documents() {
        for (place, start) in text.match_indices("reason=") {
            let reason: String = text[place + start.len()..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                .collect();
            assert!(CloseReason::NAMES.contains(&reason.as_str()), "{name}: reason={reason}");
            named += 1;
        }
    }
    assert!(named > 3);
}

// Exit codes.

/// The codes in `src/exit.rs` by their names.
fn exit_codes() -> BTreeMap<String, String> {
    let text = read("src/exit.rs");
    let codes: BTreeMap<String, String> = section(&text, "pub enum Exit {", "}")
        .into_iter()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .map(|(name, code)| (name.to_owned(), code.to_owned()))
        .collect();
    assert!(codes.len() > 5 && codes.values().all(|code| code.parse::<u8>().is_ok()), "{codes:?}");
    codes
}

/// The codes in a manual page.
fn described_codes(page: &str) -> Words {
    let manual = manual(page);
    section(&manual, ".Sh EXIT STATUS", ".Sh")
        .into_iter()
        .filter_map(|line| line.strip_prefix(".It "))
        .flat_map(|codes| codes.split(" , "))
        .map(Into::into)
        .collect()
}

/// The codes in a help text.
fn codes_of_help(program: &str) -> Words {
    let help = help(program);
    let (_, list) = help.split_once("Exit codes: ").unwrap();
    let is_code = |word: &&str| word.parse::<u8>().is_ok();
    words(list.split([' ', ',', '\n']).filter(is_code))
}

#[test]
fn the_documents_list_the_exit_codes_of_the_code() {
    let daemon = described_codes("echo-alex.8");
    let reference = read("docs/reference.md");
    let listed = |header: &str| words(first_column(&reference, header));
    assert_eq!(listed("| code | meaning |"), daemon, "docs/reference.md");
    assert_eq!(codes_of_help("echo-alex"), daemon, "echo-alex -h");
    let client = described_codes("echo-alex-client.1");
    assert_eq!(listed("| code of the client | meaning |"), client, "docs/reference.md");
    assert_eq!(codes_of_help("echo-alex-client"), client, "echo-alex-client -h");
    let all = daemon.union(&client).cloned().collect::<Words>();
    assert_eq!(all, exit_codes().into_values().collect::<Words>());
    assert!(described_codes("echo-alex-certs.1").is_subset(&all));
}

/// The codes in source files, as `Exit::Name` or by the constructors of `Failure`.
fn codes_of_sources(files: &[&str]) -> Words {
    let codes = exit_codes();
    let mut found = Words::new();
    for file in files {
        let text = read(file);
        let text = text.split("#[cfg(test)]").next().unwrap();
        for (name, code) in &codes {
            let is_named = text.match_indices(&format!("Exit::{name}")).any(|(place, name)| {
                !text[place + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
            });
            if is_named {
                found.insert(code.clone());
            }
        }
        for (call, kind) in [("Failure::usage(", "Usage"), ("Failure::config(", "Config")] {
            if text.contains(call) {
                found.insert(codes[kind].clone());
            }
        }
    }
    found
}

#[test]
fn each_manual_page_has_the_exit_codes_of_its_program() {
    let all = sources("src");
    // Shared code has failures of files and addresses, which all programs use.
    let shared = ["src/exit.rs", "src/os"];
    for (page, belongs) in [
        ("echo-alex-client.1", &["src/client.rs", "src/client", "src/tls/client.rs"][..]),
        ("echo-alex-certs.1", &["src/certs.rs", "src/certs"]),
        ("echo-alex.8", &["src/config", "src/daemon"]),
    ] {
        let of_program = |file: &&str| belongs.iter().any(|start| file.starts_with(start));
        let files: Vec<&str> = all.iter().map(String::as_str).filter(of_program).collect();
        assert!(files.len() > 1 && !files.iter().any(|file| shared.contains(file)), "{files:?}");
        let found = codes_of_sources(&files);
        let described = described_codes(page);
        assert!(found.len() > 1 && found.is_subset(&described), "{page}: {found:?} {described:?}");
    }
}

#[test]
fn the_unit_and_the_manual_agree_on_when_not_to_restart() {
    let unit = read("packaging/systemd/echo-alex.service");
    let list =
        unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    let codes: Vec<&str> = list.split(' ').collect();
    let (final_code, others) = codes.split_last().unwrap();
    let sentence = format!("one that ends with {} or {final_code} is not", others.join(", "));
    assert!(manual("echo-alex.8").replace('\n', " ").contains(&sentence), "{sentence}");
}

// Options.

/// The options in the patterns of a parser: the words in `Long("a" | "b")` and the letters in
/// `Short('a' | 'b')`.
fn options_of_source(file: &str) -> Words {
    let text = read(file);
    let mut options = Words::new();
    for (pattern, mark, dashes) in [("Long(\"", '"', "--"), ("Short('", '\'', "-")] {
        for (place, start) in text.match_indices(pattern) {
            let rest = &text[place + start.len() - 1..];
            let list = &rest[..rest.find(')').unwrap()];
            options.extend(between(list, mark).iter().map(|word| format!("{dashes}{word}")));
        }
    }
    options
}

/// The options in a line of mdoc(7): the words after `Fl`, and those that are joined by `|`.
fn flags(line: &str) -> Vec<String> {
    let tokens: Vec<&str> = line.split(' ').collect();
    let mut flags = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        if tokens[place].trim_start_matches('.') == "Fl" {
            place += 1;
            flags.push(format!("-{}", tokens[place]));
            while tokens.get(place + 1) == Some(&"|") {
                place += 2;
                flags.push(format!("-{}", tokens[place]));
            }
        }
        place += 1;
    }
    flags
}

/// The options that a manual page describes.
fn options_of_manual(page: &str) -> Words {
    let manual = manual(page);
    manual.lines().filter(|line| line.starts_with(".It Fl ")).flat_map(flags).collect()
}

#[test]
fn parser_help_and_manual_of_the_daemon_have_the_same_options() {
    let parsed = options_of_source("src/daemon/cli.rs");
    assert!(parsed.contains("--help") && parsed.len() > 5, "{parsed:?}");
    assert_eq!(options(&help("echo-alex")), parsed, "echo-alex -h");
    assert_eq!(options_of_manual("echo-alex.8"), parsed, "echo-alex.8");
    let manual = manual("echo-alex.8");
    let synopsis = section(&manual, ".Sh SYNOPSIS", ".Sh");
    let synopsis: Words = synopsis.into_iter().flat_map(flags).collect();
    assert!(!synopsis.is_empty() && synopsis.is_subset(&parsed), "{synopsis:?}");
}

#[test]
fn the_daemon_accepts_the_options_of_its_help() {
    let folder = tempfile::tempdir().unwrap();
    let message = |option: &str| {
        // An option with a value takes --help for it, and nothing is done either way.
        let mut daemon = program("echo-alex");
        let output = daemon.current_dir(folder.path()).args([option, "--help"]).output();
        String::from_utf8(output.unwrap().stderr).unwrap()
    };
    assert!(message("--no-such").contains("invalid option"));
    for option in options(&help("echo-alex")) {
        let message = message(&option);
        assert!(!message.contains("invalid option"), "{message}");
    }
}

/// The programs whose command line is defined once: the page of the manual, and the definition.
fn definitions() -> [(&'static str, clap::Command); 2] {
    [
        ("docs/man/echo-alex-client.1", client_command()),
        ("docs/man/echo-alex-certs.1", certs_command()),
    ]
}

#[test]
fn the_options_in_the_manual_are_generated_from_the_command_line() {
    for (page, command) in definitions() {
        assert_generated_part(page, "synopsis", &command_line::synopsis(&command));
        assert_generated_part(page, "options", &command_line::options(&command));
    }
}

#[test]
fn the_completions_are_generated_from_the_command_line() {
    for (_, command) in definitions() {
        for (file, text) in command_line::completions(&command) {
            assert_generated(&file, &text);
        }
    }
}

#[test]
fn the_reference_shows_the_help_of_the_daemon() {
    assert!(read("docs/reference.md").contains(&format!("echo-alex -h\n{}```", help("echo-alex"))));
}

fn request(arguments: &[&str]) -> Options {
    match Request::parse(arguments.iter().map(OsString::from)) {
        Ok(Request::Run(options)) => *options,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

// Output.

/// The words after `.Cm` in lines of a manual page.
fn commands_of(lines: &[&str]) -> Words {
    let lines = lines.iter().filter_map(|line| line.strip_prefix(".Cm "));
    let all: Vec<&str> = lines.flat_map(|line| line.split(' ')).collect();
    words(all.into_iter().filter(|word| word.starts_with(char::is_alphabetic)))
}

fn keys_of(object: &serde_json::Value) -> Words {
    words(object.as_object().unwrap_or_else(|| panic!("{object}")).keys().map(String::as_str))
}

#[test]
fn the_keys_of_a_session_in_the_log_are_those_of_the_manual_in_its_order() {
    let manual = manual("echo-alex.8");
    let list = section(&manual, ".Bl -tag -width duration", ".El");
    let described: Vec<&str> =
        list.into_iter().filter_map(|line| line.strip_prefix(".It Cm ")).collect();
    let daemon = util::plain_and_tls();
    let mut plain = daemon.connect("plain");
    util::assert_echo(&mut plain, b"hello");
    let peers = [plain.local_addr().unwrap(), {
        let mut tls = util::TlsClient::default().connect(&daemon);
        util::assert_echo(&mut tls, b"hello");
        util::end_tls(&mut tls);
        tls.sock.local_addr().unwrap()
    }];
    // A reset has no detail, and all bytes were sent.
    util::reset(plain);
    // Neither session has these; the kernel is asked at the level debug alone.
    let rare = ["proxy", "unsent", "alpn", "client", "rtt", "retransmits", "detail"];
    let of_tls = ["tls", "cipher", "group", "resumed", "sni"];
    for (peer, absent) in peers.into_iter().zip([&of_tls[..], &[]]) {
        let line = daemon.session_line(peer);
        let (_, pairs) = line.split_once(" session ").unwrap();
        let keys: Vec<&str> =
            pairs.split(' ').map(|word| word.split_once('=').unwrap().0).collect();
        let expected: Vec<&str> = described
            .iter()
            .copied()
            .filter(|key| !absent.contains(key) && !rare.contains(key))
            .collect();
        assert_eq!(keys, expected, "{line}");
    }
}

/// The keys of an object and of those in it, with dots between; an array has the keys of its first entry.
fn paths_of(object: &serde_json::Value, before: &str, paths: &mut Words) {
    for (key, value) in object.as_object().unwrap_or_else(|| panic!("{object}")) {
        let path = format!("{before}{key}");
        match value {
            serde_json::Value::Object(_) => paths_of(value, &format!("{path}."), paths),
            serde_json::Value::Array(all) if all[0].is_object() => {
                paths_of(&all[0], &format!("{path}[]."), paths);
            }
            _ => _ = paths.insert(path),
        }
    }
}

#[test]
fn the_keys_of_a_report_are_those_of_its_document() {
    let document = read("docs/report.md");
    let described = |header: &str| -> Words {
        let keys = first_column(&document, header);
        words(keys.into_iter().flat_map(|names| between(names, '`')))
    };
    let service = "[[listener]]\nname = \"tls\"\nservice = \"report\"\nlisten = \"127.0.0.1:0\"\n\
                   [listener.tls]\ncertificate = \"alex.crt\"\nkey = \"alex.key\"\n";
    let daemon = util::Daemon::start_in(util::folder_with_certificates(), service, |_| {});
    let mut tls = util::TlsClient::default().connect(&daemon);
    std::io::Write::write_all(&mut tls, b"hello").unwrap();
    tls.conn.send_close_notify();
    let mut report: serde_json::Value =
        serde_json::from_slice(&util::read_to_end(&mut tls)).unwrap();
    for (part, header) in [("tcp", "| key of `tcp` | value |"), ("tls", "| key of `tls` | value |")]
    {
        // The kernel may tell nothing.
        let object = report[part].take();
        assert!(
            object.is_null() && part == "tcp" || keys_of(&object) == described(header),
            "{object}"
        );
    }
    let mut paths = Words::new();
    paths_of(&report, "", &mut paths);
    assert_eq!(paths, described("| key | value |"));
}

/// The keys that an item of the section on JSON names before the first line that is one of `rest`, and behind it.
fn described(item: &str, rest: &[&str]) -> (Words, Words) {
    let manual = manual("echo-alex-client.1");
    let json = section(&manual, ".Sh JSON", ".Sh").join("\n");
    let item = section(&json, &format!(".It {item}"), ".It");
    let list: Vec<&str> = item.into_iter().take_while(|line| *line != ".El").collect();
    let split = list.iter().position(|line| rest.contains(line)).unwrap_or(list.len());
    let mut before = commands_of(&list[..split]);
    before.insert("mode".into());
    (before, commands_of(&list[split..]))
}

#[test]
fn the_keys_of_the_clients_json_are_those_of_the_manual() {
    let manual = manual("echo-alex-client.1");
    let json = section(&manual, ".Sh JSON", ".Sh").join("\n");
    let (rest, times) = json.split_once("Latencies are objects with\n").unwrap();
    let (_, outage) = rest.split_once("An outage is an object with\n").unwrap();
    let outage = commands_of(&outage.lines().collect::<Vec<_>>());
    let times = commands_of(&times.lines().collect::<Vec<_>>());
    let daemon = util::plain_and_tls();
    let report = |arguments: &[&str], name: &str| -> serde_json::Value {
        let address = daemon.address(name);
        let mut client = program("echo-alex-client");
        client.args(["--json", "-q", "127.0.0.1", &address.port().to_string()]).args(arguments);
        // On a busy machine, an open loop may be late; its report is printed all the same.
        let printed = String::from_utf8(client.output().unwrap().stdout).unwrap();
        serde_json::from_str(&printed)
            .or_else(|_| serde_json::from_str(printed.lines().last().unwrap()))
            .unwrap()
    };
    let tls = ["--tls", "--insecure"];

    for command in client_command().get_subcommands() {
        let prints_json = command
            .get_arguments()
            .any(|it| [Some("json"), Some("format")].contains(&it.get_long()));
        let name = command.get_name();
        let item = format!("\n.It {}{}\n", name[..1].to_uppercase(), &name[1..]);
        assert_eq!(prints_json, json.contains(&item), "JSON of {name}");
    }
    let (ping, with_reconnect) = described("Ping", &["with"]);
    let report_of_ping = report(&["--ping", "-c1"], "plain");
    assert_eq!(keys_of(&report_of_ping), ping);
    assert_eq!(keys_of(&report_of_ping["round_trip"]), times);
    let lost = util::client::run(&["ping", "--json", "-qc1", "127.0.0.1:1"], b"").stdout;
    let lost: serde_json::Value = serde_json::from_slice(&lost).unwrap();
    assert_eq!(keys_of(&lost), ping);
    assert_eq!(keys_of(&lost["outages"][0]), outage);
    let reconnected = report(&[&tls[..], &["--ping", "-c1", "--reconnect"]].concat(), "tls");
    assert_eq!(&keys_of(&reconnected) - &ping, with_reconnect);
    assert_eq!(keys_of(&reconnected["handshake"]), times);
    let datagrams = util::client::run(&["ping", "--udp", "--json", "-qc1", "127.0.0.1:1"], b"");
    let datagrams: serde_json::Value = serde_json::from_slice(&datagrams.stdout).unwrap();
    let (of_ping, of_bench) = described("Datagrams", &["A bench also has"]);
    assert_eq!(keys_of(&datagrams), &ping | &of_ping);

    let (bench, _) = described("Bench", &[]);
    let measured = report(&["--bench", "--duration=0.1", "--rate=100"], "plain");
    assert_eq!(keys_of(&measured), bench);
    let port = util::udp::echo(Some);
    let datagrams = ["bench", "--udp", "--json", "-q", "--duration=0.1", "127.0.0.1", &port];
    let printed = util::client::run(&datagrams, b"").stdout;
    let report_of_udp =
        printed.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let (of_both, _) = described("Datagrams", &["A ping also has"]);
    let of_udp = &of_both | &of_bench;
    assert_eq!(keys_of(&serde_json::from_slice(report_of_udp).unwrap()), &bench | &of_udp);
    assert_eq!(keys_of(&measured["latency"]), times);
    assert_eq!(keys_of(&measured["late"]), times);
    let (loaded, each) = described("Loaded", &["and for each of", "as above; and for each of"]);
    let of_the_run = ["version", "kernel", "machine", "congestion_control", "tls_version"];
    let of_the_run: Words = words(of_the_run.into_iter().chain(["cipher_suite", "timer_error_ms"]));
    let loaded_report = report(&["--bench", "--duration=0.2", "--loaded-latency"], "plain");
    assert_eq!(keys_of(&loaded_report), &loaded | &of_the_run);
    assert_eq!(&keys_of(&loaded_report["phases"][0]) | &words(["phases"]), each);
    let (interval, _) = described("Interval", &[]);
    let port = daemon.address("plain").port().to_string();
    let measure = ["bench", "--json", "-q", "--duration=0.1", "127.0.0.1", &port];
    let printed = util::client::run(&measure, b"");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let first: serde_json::Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(keys_of(&first), interval);

    let (idle, session) = described("Idle", &["and for each of"]);
    let silent = util::client::run(&["idle", "--json", "-q", "--max=0.1", "127.0.0.1", &port], b"");
    let idle_report: serde_json::Value = serde_json::from_slice(&silent.stdout).unwrap();
    assert_eq!(keys_of(&idle_report), &idle | &words(["sessions"]));
    assert_eq!(&keys_of(&idle_report["sessions"][0]) | &words(["sessions"]), session);

    let explain = [&tls[..], &["explain", "--format=json"]].concat();
    let port = daemon.address("tls").port().to_string();
    let printed = util::client::run(&[&explain[..], &["127.0.0.1", &port]].concat(), b"").stdout;
    let explained: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    let (whole, _) = described("Explain", &[]);
    let whole: Words = whole.into_iter().filter(|key| key != "json").collect();
    assert_eq!(keys_of(&explained), whole);
    let parts = [
        ("Facts", "of the TLS session; null for plain TCP.", &explained["facts"]),
        ("Phases", "", &explained["phases"][0]),
        ("Steps", ".Cm direction", &explained["steps"][0]),
    ];
    for (name, rest, part) in parts {
        let (keys, _) = described(name, &[rest]);
        let keys: Words = keys.into_iter().filter(|key| key != "mode").collect();
        assert_eq!(keys_of(part), keys, "{name}");
    }

    let (whole, each) = described("Handshakes", &["each"]);
    let handshakes = report(&[&tls[..], &["--handshakes", "--duration=0.4"]].concat(), "tls");
    assert_eq!(keys_of(&handshakes), whole);
    for kind in ["full", "resumed"] {
        assert_eq!(keys_of(&handshakes[kind]), each, "{kind}");
        assert_eq!(keys_of(&handshakes[kind]["time"]), times, "{kind}");
    }
}

#[test]
fn the_keys_of_the_reports_about_datagrams_are_those_of_the_manual() {
    let manual = manual("echo-alex-client.1");
    let json = section(&manual, ".Sh JSON", ".Sh").join("\n");
    let (_, times) = json.split_once("Latencies are objects with\n").unwrap();
    let times = commands_of(&times.lines().collect::<Vec<_>>());
    let daemon = util::plain_and_tls();
    let echo = util::udp::echo(Some);
    let printed = util::client::run(&["mtu", "--json", "-q", "127.0.0.1", &echo], b"").stdout;
    let mtu: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(keys_of(&mtu), described("Mtu", &[]).0);

    let [plain, tls] = ["plain", "tls"].map(|name| daemon.address(name).port().to_string());
    let compare = ["compare", "--json", "-q", "-c2", "-i0.01", "--insecure", "--udp-port", &echo];
    let printed = util::client::run(
        &[&compare[..], &["--tls-port", &tls, "127.0.0.1", &plain]].concat(),
        b"",
    );
    let compare: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    let (whole, each) = described("Compare", &["and for each of"]);
    assert_eq!(keys_of(&compare), &whole | &words(["transports"]));
    for row in compare["transports"].as_array().unwrap() {
        assert_eq!(&keys_of(row) | &words(["transports"]), each);
        assert_eq!(keys_of(&row["delay"]), times);
    }
}

#[test]
fn the_keys_of_the_report_of_held_sessions_are_those_of_the_manual() {
    let daemon = util::plain_and_tls();
    let [plain, tls] = ["plain", "tls"].map(|name| daemon.address(name).port().to_string());
    let hold = ["hold", "--json", "-q", "--insecure", "--sessions=2", "--duration=0.1"];
    let hold = [&hold[..], &["--tls-port", &tls, "127.0.0.1", &plain]].concat();
    let printed = String::from_utf8(util::client::run(&hold, b"").stdout).unwrap();
    let report: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(keys_of(&report), described("Hold", &[]).0);
}

#[test]
fn the_keys_of_both_ends_are_those_of_the_manual() {
    let daemon = util::Daemon::start(util::PLAIN);
    let reporter = util::report::lying(|report| {
        let (names, none) = (["x"], serde_json::Value::Null);
        report["tls"] = serde_json::json!({
            "version": "1.3", "cipher_suite": "x", "group": none, "sni": none, "alpn_offered": names,
            "alpn": none, "signature_schemes_offered": names, "resumed": false, "retried": false,
            "client_certificate": none, "client_hello_sha256": "x",
        });
    });
    let port = daemon.address("plain").port().to_string();
    let both = ["both", "--json", "-q", "-c1", "--report-port", &reporter, "127.0.0.1", &port];
    let both: serde_json::Value =
        serde_json::from_slice(&util::client::run(&both, b"").stdout).unwrap();
    assert_eq!(keys_of(&both), described("Both", &[]).0);
    let views = "are how each end sees the session with the report listener:";
    let parts = [
        ("Views", views, &both["client"]),
        ("Views", views, &both["server"]),
        ("TCP", "is what the kernel of that end knows, or null:", &both["client"]["tcp"]),
        ("TLS", "is null for plain TCP:", &both["server"]["tls"]),
        ("Differences", "For each difference:", &both["differences"][0]),
        ("Ways", "each have", &both["time"]["back"]),
    ];
    for (name, before, part) in parts {
        // The kernel may tell nothing.
        let is_untold = name == "TCP" && part.is_null();
        assert!(is_untold || keys_of(part) == described(name, &[before]).1, "{name}: {part}");
    }
    let (mut time, _) = described("Time", &[".Cm clock_offset_ms"]);
    time.remove("mode");
    assert_eq!(keys_of(&both["time"]), time);

    let ends = util::client::run(
        &["explain", "--report", "--format=json", "127.0.0.1", &util::report::lying(|_| {})],
        b"",
    );
    let ends: serde_json::Value = serde_json::from_slice(&ends.stdout).unwrap();
    let (mut row, _) = described("Ends", &["otherwise null."]);
    row.remove("mode");
    assert_eq!(keys_of(&ends["ends"][0]), row);
}
