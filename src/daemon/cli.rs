//! The daemon's command line: serve, check a configuration, or ask a daemon that serves.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Config};
use crate::daemon::event_loop::EventLoop;
use crate::daemon::listener::warn_of_everybody;
use crate::daemon::{admission, health, logger};
use crate::exit::{Exit, Failure};
use crate::os::{heap, output};
use crate::tls::server;
use crate::tls::tickets::TicketKeys;

const HELP: &str = "\
echo-alex: an echo server for plain TCP and TLS

Usage: echo-alex [OPTIONS]

  -c, --config FILE  Read FILE; without this, /etc/echo-alex/echo-alex.toml, and
                     without that, serve echo on port 5000, with TLS on 5001,
                     and a page for browsers on 5080
  -t, --check        Check the configuration and its certificates, and end
      --probe        Ask the daemon that serves this configuration on this
                     machine whether it is ready, and end: 0 if it is, 1 if not
  -h, --help         Show this
  -V, --version      Show the version

Signals: TERM and INT stop (twice: at once), QUIT stops when all sessions are
done, HUP reloads, USR1 writes counters.
Exit codes: 0 stopped, 64 usage, 66 no such file, 69 address not available,
            77 no permission, 78 configuration, 1 anything else
";

/// Runs the daemon from its command line to its exit code.
pub fn main() -> ExitCode {
    let outcome = run();
    if let Err(failure) = &outcome {
        // systemctl status shows the line on standard error; the log may be somewhere else.
        logger::failure(failure);
    }
    output::end("echo-alex", outcome.map(|()| Exit::Ok))
}

fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse()?;
    match arguments.task {
        Task::Help => drop(output::print(HELP)?),
        Task::Version => {
            output::print(format_args!("echo-alex {}\n", env!("CARGO_PKG_VERSION")))?;
        }
        Task::Check => check(&Config::for_start(arguments.config.as_deref())?)?,
        Task::Probe => {
            let answer = health::probe(&Config::for_start(arguments.config.as_deref())?)?;
            output::print(format_args!("{answer}\n"))?;
        }
        Task::Serve => {
            heap::start_again_with_tunables();
            let config = Config::for_start(arguments.config.as_deref())?;
            logger::set(&config.log)?;
            let file = arguments.config.unwrap_or_else(|| config::DEFAULT_PATH.into());
            EventLoop::start(config, file)?.run()?;
        }
    }
    Ok(())
}

/// What a start would find, without binding an address.
fn check(config: &Config) -> Result<(), Failure> {
    logger::set_to_stderr();
    admission::raise_descriptor_limit(config)?;
    let keys = config.ticket_keys.as_deref().map(TicketKeys::load).transpose()?;
    let mut with_tls = 0;
    for listener in &config.listeners {
        warn_of_everybody(listener);
        with_tls += usize::from(server::of_listener(listener, keys.as_ref())?.is_some());
    }
    let all = config.listeners.len();
    output::print(format_args!(
        "{}: good, {all} listener{} ({with_tls} TLS)\n",
        config.source,
        if all == 1 { "" } else { "s" }
    ))?;
    Ok(())
}

struct Arguments {
    config: Option<PathBuf>,
    task: Task,
}

enum Task {
    Serve,
    Check,
    Probe,
    Help,
    Version,
}

impl Arguments {
    fn parse() -> Result<Self, Failure> {
        use lexopt::prelude::{Long, Short};

        let usage = |error: lexopt::Error| Failure::usage(format!("{error}; see echo-alex --help"));
        let mut arguments = Self { config: None, task: Task::Serve };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next().map_err(usage)? {
            match argument {
                Short('c') | Long("config") => {
                    arguments.config = Some(parser.value().map_err(usage)?.into());
                }
                Short('t') | Long("check") => arguments.task = Task::Check,
                Long("probe") => arguments.task = Task::Probe,
                Short('h') | Long("help") => return Ok(Self { task: Task::Help, ..arguments }),
                Short('V') | Long("version") => {
                    return Ok(Self { task: Task::Version, ..arguments });
                }
                _ => return Err(usage(argument.unexpected())),
            }
        }
        Ok(arguments)
    }
}
