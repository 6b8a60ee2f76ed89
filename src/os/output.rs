//! Prints to standard output and standard error, and never panics. The exit code changes only when a
//! result is lost: a full disk under standard output is a failure, a reader that has gone is not.
//!
//! `println!` and similar macros panic where standard output or standard error is closed or full, so no
//! program uses them (`clippy::print_stdout`, `clippy::print_stderr`).

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::exit::{Exit, Failure};

/// The outcome of printing to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// All was written.
    Whole,
    /// The reader has closed its end of the pipe and reads no more, as `head -1` does.
    ReaderGone,
}

/// Writes `text` to standard output as it is.
pub fn print(text: impl Display) -> Result<Printed, Failure> {
    write(text.to_string().as_bytes())
}

/// Writes `bytes` to standard output.
pub fn write(bytes: &[u8]) -> Result<Printed, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Printed::Whole),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::ReaderGone),
        Err(error) => Err(Failure::system("cannot write to standard output", &error)),
    }
}

/// Writes a line to standard error. A failure is ignored: there is no other place to report it.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes `text` to standard error without an end of line, for progress on a terminal.
pub fn draw(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// The exit code of `outcome`. Prints why `program` failed, if it did.
pub fn end(program: &str, outcome: Result<Exit, Failure>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            note(format_args!("{program}: {failure}"));
            failure.exit.into()
        }
    }
}
