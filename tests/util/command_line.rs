//! Files that are generated from the definition of a command line: the completions of the shells, and
//! the synopsis and the options of a manual page.
//!
//! A test generates them again and compares. `ECHO_ALEX_WRITE=1 cargo test --test references` writes
//! them.

#![allow(clippy::format_push_string)] // The texts are short.

use std::fs;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;

use super::documents::{path, read};

/// The longest line of text in a generated manual page, in bytes.
const LINE_MAX: usize = 100;

/// What mdoc(7) takes for punctuation behind an argument.
const PUNCTUATION: [char; 5] = ['.', ',', ';', ':', ')'];

/// Asks for the files to be written.
const WRITE: &str = "ECHO_ALEX_WRITE";

/// Compares a file with `text`, or writes it.
pub fn assert_generated(name: &str, text: &str) {
    if std::env::var_os(WRITE).is_some() {
        fs::write(path(name), text).unwrap();
    }
    let is_current = fs::read_to_string(path(name)).is_ok_and(|there| there == text);
    assert!(is_current, "{name} is not current: {WRITE}=1 cargo test --test references writes it");
}

/// Compares a marked part of a manual page with `text`, or writes it.
pub fn assert_generated_part(name: &str, part: &str, text: &str) {
    let start = format!(".\\\" Generated: {part}.\n");
    let end = ".\\\" End of the generated part.\n";
    let page = read(name);
    let split = page
        .split_once(&start)
        .and_then(|(before, rest)| rest.split_once(end).map(|(_, behind)| (before, behind)));
    let (before, behind) = split.unwrap_or_else(|| panic!("{name} has no part {part:?}"));
    assert_generated(name, &format!("{before}{start}{text}{end}{behind}"));
}

/// The completions of each shell: the name of the file, and what is in it.
pub fn completions(command: &Command) -> Vec<(String, String)> {
    let program = command.get_name();
    // Beside subcommands, clap_complete takes the first operand of the program for a subcommand in zsh.
    let options = command.get_arguments().filter(|argument| !argument.is_positional()).cloned();
    let subcommands = command.get_subcommands().cloned();
    let command = Command::new(&*program.to_owned().leak())
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .disable_help_subcommand(true)
        .args(options)
        .subcommands(subcommands);
    let shells = [
        (Shell::Bash, format!("bash/{program}")),
        (Shell::Zsh, format!("zsh/_{program}")),
        (Shell::Fish, format!("fish/{program}.fish")),
    ];
    // In bash, a hyphen in the name of the program breaks the subcommands (clap-rs/clap#6421).
    let in_bash = program.replace('-', "_");
    shells
        .map(|(shell, file)| {
            let mut text = Vec::new();
            let name = if shell == Shell::Bash { &in_bash } else { program };
            clap_complete::generate(shell, &mut command.clone(), name, &mut text);
            let text = String::from_utf8(text).unwrap();
            let text =
                text.replace(&format!("default {in_bash}\n"), &format!("default {program}\n"));
            (format!("packaging/completions/{file}"), text)
        })
        .into()
}

/// The synopsis in mdoc(7), each subcommand with its own options.
pub fn synopsis(command: &Command) -> String {
    let command = built(command);
    let mut text = String::new();
    for subcommand in command.get_subcommands() {
        text += &format!(".Nm\n.Cm {}\n", subcommand.get_name());
        for option in own_options(subcommand) {
            let flag = flags(option).into_iter().next().unwrap_or_default();
            text += &format!(".Op {flag}{}\n", value(option));
        }
        if shared_options(&command).any(|option| !is_automatic(option)) {
            text += ".Op Ar options\n";
        }
        for positional in subcommand.get_positionals() {
            text += &format!(".{}\n", operand(positional));
        }
    }
    text
}

/// The sections of the commands and of the options in mdoc(7).
pub fn options(command: &Command) -> String {
    let command = built(command);
    let writer = Writer::new(&command);
    let mut text = String::from(".Sh COMMANDS\n");
    for subcommand in command.get_subcommands() {
        text += &format!(".Ss {}\n", subcommand.get_name());
        text += &writer.prose(subcommand.get_about(), subcommand.get_long_about());
        text += &writer.list(own_options(subcommand));
    }
    text += ".Sh OPTIONS\n";
    let mut headings: Vec<Option<&str>> = Vec::new();
    for option in shared_options(&command) {
        if !headings.contains(&option.get_help_heading()) {
            headings.push(option.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            text += &format!(".Ss {heading}\n");
        }
        let below = |option: &&Arg| option.get_help_heading() == heading;
        text += &writer.list(shared_options(&command).filter(below));
    }
    text
}

/// The command with its global options in each subcommand, as the parser has it.
fn built(command: &Command) -> Command {
    let mut command = command.clone();
    command.build();
    command
}

/// Whether clap itself adds this option to each command.
fn is_automatic(option: &Arg) -> bool {
    ["help", "version"].contains(&option.get_id().as_str())
}

/// The options that a subcommand has and the program has not.
fn own_options(command: &Command) -> impl Iterator<Item = &Arg> {
    let options = command.get_arguments().filter(|it| !it.is_positional() && !it.is_hide_set());
    options.filter(|it| !it.is_global_set() && !is_automatic(it))
}

/// The options that every subcommand takes.
fn shared_options(command: &Command) -> impl Iterator<Item = &Arg> {
    let options = command.get_arguments().filter(|it| !it.is_positional() && !it.is_hide_set());
    options.filter(|it| it.is_global_set() || is_automatic(it))
}

/// The names of an option in mdoc(7).
fn flags(option: &Arg) -> Vec<String> {
    let short = option.get_short().map(|short| format!("Fl {short}"));
    short.into_iter().chain(option.get_long().map(|long| format!("Fl -{long}"))).collect()
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

fn value_name(argument: &Arg) -> String {
    let name = argument.get_value_names().and_then(|names| names.first());
    name.map_or_else(|| argument.get_id().to_string(), ToString::to_string)
}

/// The value of an option in mdoc(7), with a blank before it.
fn value(option: &Arg) -> String {
    let is_there = takes_value(option);
    if is_there { format!(" Ar {}", value_name(option).to_lowercase()) } else { String::new() }
}

/// A positional argument in mdoc(7).
fn operand(argument: &Arg) -> String {
    let many = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    let dots = if many { " ..." } else { "" };
    let name = value_name(argument).to_lowercase();
    let optional = if argument.is_required_set() { "" } else { "Op " };
    format!("{optional}Ar {name}{dots}")
}

/// Turns help texts into mdoc(7).
struct Writer {
    /// The names of values, such as `FILE`.
    values: Vec<String>,
}

impl Writer {
    fn new(command: &Command) -> Self {
        let all = command.get_subcommands().chain([command]);
        let arguments = all.flat_map(Command::get_arguments);
        let values = arguments.filter(|it| it.is_positional() || takes_value(it));
        let values = values.map(value_name).collect();
        Self { values }
    }

    /// A list of options with their descriptions.
    fn list<'a>(&self, options: impl Iterator<Item = &'a Arg>) -> String {
        let mut text = String::new();
        for option in options {
            text += &format!(".It {}{}\n", flags(option).join(" , "), value(option));
            if is_automatic(option) {
                text += &format!("Print the {}.\n", option.get_id());
                continue;
            }
            text += &self.prose(option.get_help(), option.get_long_help());
            let hides = option.is_hide_possible_values_set() || !takes_value(option);
            let possible = if hides { Vec::new() } else { option.get_possible_values() };
            if !possible.is_empty() {
                let names: Vec<&str> = possible
                    .iter()
                    .filter(|it| !it.is_hide_set())
                    .map(clap::builder::PossibleValue::get_name)
                    .collect();
                text += &format!("Possible values:\n.Cm {} .\n", names.join(" , "));
            }
            let defaults = option.get_default_values();
            if takes_value(option) && !defaults.is_empty() && !option.is_hide_default_value_set() {
                let defaults: Vec<_> = defaults.iter().map(|it| it.to_string_lossy()).collect();
                text += &format!("Default:\n.Sy {} .\n", defaults.join(" "));
            }
        }
        if text.is_empty() { text } else { format!(".Bl -tag -width Ds\n{text}.El\n") }
    }

    /// The summary as a sentence, and the rest of the long text behind it.
    fn prose(&self, summary: Option<&StyledStr>, long: Option<&StyledStr>) -> String {
        let summary = summary.map(ToString::to_string).unwrap_or_default();
        let long = long.map(ToString::to_string).unwrap_or_default();
        let rest = long.strip_prefix(&summary).unwrap_or(&long).trim_start();
        let text = format!("{summary}. {rest}");
        let paragraphs = text.split("\n\n").map(|paragraph| self.paragraph(paragraph));
        paragraphs.collect::<Vec<_>>().join(".Pp\n")
    }

    fn paragraph(&self, text: &str) -> String {
        let mut lines = Lines::default();
        for (number, piece) in text.split('`').enumerate() {
            if number % 2 == 1 {
                lines.start_macro(&format!("Ql {}", escaped(piece)));
                continue;
            }
            let rest = piece.trim_start_matches(PUNCTUATION);
            let is_behind_quotation = number > 0;
            if is_behind_quotation {
                lines.punctuation(&piece[..piece.len() - rest.len()]);
            }
            for word in rest.split_whitespace() {
                self.word(word, &mut lines);
            }
        }
        lines.finish()
    }

    fn word(&self, word: &str, lines: &mut Lines) {
        let bare = word.trim_end_matches(PUNCTUATION);
        let punctuation = &word[bare.len()..];
        let page = bare.strip_suffix(')').or(punctuation.starts_with(')').then_some(bare));
        let page = page.and_then(|page| page.rsplit_once('('));
        let is_option = bare.starts_with('-') && !bare.trim_start_matches('-').is_empty();
        if let Some((name, section)) = page.filter(|(_, section)| section.len() == 1) {
            lines.start_macro(&format!("Xr {name} {section}"));
            lines.punctuation(&punctuation[1..]);
        } else if is_option {
            lines.start_macro(&format!("Fl {}", &bare[1..]));
            lines.punctuation(punctuation);
        } else if self.values.iter().any(|value| value == bare) {
            lines.start_macro(&format!("Ar {}", bare.to_lowercase()));
            lines.punctuation(punctuation);
        } else {
            lines.word(word);
        }
    }
}

/// Lines of mdoc(7): text, and macros on lines of their own.
#[derive(Default)]
struct Lines {
    done: String,
    line: String,
    is_macro: bool,
}

impl Lines {
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.done += &self.line;
            self.done.push('\n');
            self.line.clear();
        }
        self.is_macro = false;
    }

    fn start_macro(&mut self, text: &str) {
        self.end_line();
        self.line = format!(".{text}");
        self.is_macro = true;
    }

    /// Punctuation behind a macro: each sign is an argument of its own.
    fn punctuation(&mut self, signs: &str) {
        for sign in signs.chars() {
            self.line += &format!(" {sign}");
        }
    }

    fn word(&mut self, word: &str) {
        let is_full = self.line.len() + 1 + word.len() > LINE_MAX;
        // A sentence begins a line.
        if self.is_macro || is_full || self.line.ends_with(['.', ':']) {
            self.end_line();
        }
        if !self.line.is_empty() {
            self.line.push(' ');
        }
        self.line += &escaped(word);
    }

    fn finish(mut self) -> String {
        self.end_line();
        self.done
    }
}

/// Text in which no character means anything to roff(7).
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
