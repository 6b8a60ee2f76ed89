//! The certificate tool: makes a CA and the certificates that it signs, shows and verifies them.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use echo_alex::certs::{cli, commands};
use echo_alex::command_line::{Request, parse};
use echo_alex::exit::{Exit, Failure};
use echo_alex::os::output;

fn main() -> ExitCode {
    output::end(cli::PROGRAM, run())
}

fn run() -> Result<Exit, Failure> {
    match parse(std::env::args_os().skip(1))? {
        Request::Print(text) => output::print(text).map(|_| Exit::Ok),
        Request::Run(arguments) => commands::run(arguments),
    }
}
