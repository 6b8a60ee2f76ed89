//! The certificate tool: a CA of your own, and the certificates that it signs.

pub mod cli;
pub mod commands;
pub mod authority;
mod der;
mod files;
mod key;
mod names;
mod tickets;
mod verify;

use std::process::ExitCode;

use crate::command_line::{Request, parse};
use crate::exit::{Exit, Failure};
use crate::os::output;

/// Runs the certificate tool from its command line to its exit code.
pub fn main() -> ExitCode {
    output::end(cli::PROGRAM, run())
}

fn run() -> Result<Exit, Failure> {
    match parse(std::env::args_os().skip(1))? {
        Request::Print(text) => output::print(text).map(|_| Exit::Ok),
        Request::Run(arguments) => commands::run(arguments),
    }
}
