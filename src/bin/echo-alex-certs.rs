//! The certificate tool: the library has all of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    echo_alex::certs()
}
