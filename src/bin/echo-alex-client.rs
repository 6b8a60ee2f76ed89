//! The client: arguments, the task, exit code.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use echo_alex::client;
use echo_alex::client::cli::Request;
use echo_alex::exit::{Exit, Failure};
use echo_alex::os::output;

fn main() -> ExitCode {
    output::end("echo-alex-client", run())
}

fn run() -> Result<Exit, Failure> {
    match Request::parse(std::env::args_os().skip(1))? {
        Request::Help(text) => {
            output::print(text)?;
        }
        Request::Version => {
            output::print(format_args!("echo-alex-client {}\n", env!("CARGO_PKG_VERSION")))?;
        }
        Request::Run(options) => return client::run(*options),
    }
    Ok(Exit::Ok)
}
