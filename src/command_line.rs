//! Parses a command line by its definition with clap. An error is one line, as all errors of the
//! programs are.

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;

use crate::exit::Failure;

/// What a command line asks for.
#[derive(Debug)]
pub enum Request<T> {
    /// Do this.
    Run(T),
    /// Print this: the help or the version.
    Print(String),
}

/// Parses `arguments`, which do not contain the program's name.
pub fn parse<T: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Request<T>, Failure> {
    let program = T::command().get_name().to_owned();
    match T::try_parse_from([program.clone().into()].into_iter().chain(arguments)) {
        Ok(parsed) => Ok(Request::Run(parsed)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Print(error.to_string()))
            }
            _ => Err(Failure::usage(format!("{}; see {program} --help", one_line(&error)))),
        },
    }
}

/// The error with its hints, without the usage that clap prints below.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let ends = |line: &&str| line.starts_with("Usage:") || line.starts_with("For more information");
    let lines = text.lines().take_while(|line| !ends(line));
    let lines = lines.map(|line| line.trim().trim_start_matches("error: "));
    // A hint for values that begin with a dash.
    let lines = lines.filter(|line| !line.starts_with("tip: to pass "));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let line = words.join(" ").replace(" tip: ", "; ");
    let escaped = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.into() };
    line.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "program", version)]
    struct Arguments {
        #[arg(long)]
        option: bool,
    }

    fn request(argument: &str) -> Result<Request<Arguments>, Failure> {
        parse([argument.into()])
    }

    #[test]
    fn an_error_is_one_line_without_control_characters() {
        let line = request("--op\u{1b}[2Jtion\n").unwrap_err().message;
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("unexpected argument") && line.ends_with("; see program --help"));
        let line = request("--optoin").unwrap_err().message;
        assert!(line.contains("'--optoin' found; a similar argument exists: '--option'; see "));
    }

    #[test]
    fn help_and_version_are_printed() {
        for argument in ["--help", "--version"] {
            let Ok(Request::Print(text)) = request(argument) else { panic!("{argument}") };
            assert!(text.contains("program"), "{text}");
        }
        assert!(matches!(request("--option"), Ok(Request::Run(Arguments { option: true }))));
    }
}
