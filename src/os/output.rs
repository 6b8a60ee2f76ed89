//! What programs print. Nothing here panics, and nothing that cannot be printed changes an exit code
//! but a lost result: a full disk under standard output is a failure, a closed one is not.
//!
//! `println!` and its like panic where standard output or standard error is closed or full, so no
//! program uses them (`clippy::print_stdout`, `clippy::print_stderr`).

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::exit::{Exit, Failure};

/// What became of a text for standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// It is written.
    Whole,
    /// The reader has closed its end of the pipe, as `head -1` does: it wants no more.
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

/// Writes a line about the work to standard error. A failure is ignored: there is no other place to
/// report it.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes `text` to standard error as it is, for what moves on a terminal.
pub fn draw(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Ends `program` with the exit code of `outcome`, and says why it failed.
pub fn end(program: &str, outcome: Result<Exit, Failure>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            note(format_args!("{program}: {failure}"));
            failure.exit.into()
        }
    }
}
