//! Compares echo-alex with other echo servers, and counts what it does. `benches/run` and
//! `benches/counts` build what this needs, and start it.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;

mod machine;
mod identity;
mod servers;
mod clients;
mod workloads;
mod stats;
mod compare;
mod report;
mod chart;
mod counts;
mod arm;

/// What a person who runs this wants to read is all that is ever done with an error here.
pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Usage: benches/run [OPTIONS]
  --rounds N        Each server so many times for each workload (6)
  --seconds S       How long each time (2)
  --only PREFIX     Workloads whose name begins so: plain, tls/stream, memory, alone
  --servers A,B     These, and what they are compared with
  --quick           2 rounds of 0.5 s, of the daemon and the peers in peers/
  --chart FILE      Draw one, as SVG
Usage: benches/counts [--all] [--arm]
  --all             The peers too, which have no bounds
  --arm             What only an emulated Raspberry Pi tells, instead
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut plan = compare::Plan {
        rounds: 6,
        time: Duration::from_secs(2),
        only: None,
        servers: Vec::new(),
        quick: false,
    };
    let mut options = counts::Options { all: false, arm: false };
    let (mut task, mut chart) = (None, None);
    let mut root = PathBuf::from(".");
    let mut network = String::from("unknown");
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("rounds") => plan.rounds = parser.value()?.parse()?,
            Long("seconds") => plan.time = Duration::from_secs_f64(parser.value()?.parse()?),
            Long("only") => plan.only = Some(parser.value()?.string()?),
            Long("servers") => {
                plan.servers = parser.value()?.string()?.split(',').map(str::to_owned).collect();
            }
            Long("quick") => {
                (plan.quick, plan.rounds, plan.time) = (true, 2, Duration::from_millis(500));
            }
            Long("chart") => chart = Some(PathBuf::from(parser.value()?)),
            Long("all") => options.all = true,
            Long("arm") => options.arm = true,
            // From the scripts.
            Long("root") => root = parser.value()?.into(),
            Long("network") => network = parser.value()?.string()?,
            Value(value) if task.is_none() => task = Some(value.string()?),
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            argument => return Err(argument.unexpected().into()),
        }
    }
    let programs = servers::Programs {
        product: root.join("target/release"),
        peers: root.join("benches/target/peers"),
    };
    match task.as_deref() {
        Some("compare") => {
            let report = compare::run(&plan, &programs, &network)?;
            let folder = root.join("target/benches");
            fs::create_dir_all(&folder)?;
            let text = report::markdown(&report);
            fs::write(folder.join("report.md"), &text)?;
            fs::write(folder.join("report.json"), serde_json::to_string_pretty(&report)?)?;
            if let Some(path) = chart {
                chart::draw(&report, &path)?;
            }
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Some("counts") => counts::run(options, &programs, &root),
        _ => Err(HELP.into()),
    }
}
