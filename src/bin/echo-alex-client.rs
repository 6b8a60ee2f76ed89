//! The client: arguments, the task, exit code.

use std::process::ExitCode;

use echo_alex::client;
use echo_alex::client::arguments::{HELP, Request};
use echo_alex::exit::{Exit, Failure};

fn main() -> ExitCode {
    match run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("echo-alex-client: {failure}");
            failure.exit.into()
        }
    }
}

fn run() -> Result<Exit, Failure> {
    match Request::parse(std::env::args_os().skip(1))? {
        Request::Help => print!("{HELP}"),
        Request::Version => println!("echo-alex-client {}", env!("CARGO_PKG_VERSION")),
        Request::Run(options) => return client::run(*options),
    }
    Ok(Exit::Ok)
}
