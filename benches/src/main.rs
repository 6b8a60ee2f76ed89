//! Compares echo-alex with other echo servers, and counts what a message and a session cost.
//! `benches/run` and `benches/counts` build what this needs, and start it.

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
mod subject;
mod memory;
mod stats;
mod report;
mod compare;
mod counts;
/// The daemon's own, for its tunables.
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/os/heap.rs"]
mod heap;
/// The product's own, for the load.
#[path = "../../src/tls/mlkem.rs"]
mod mlkem;

/// Errors are only printed here.
pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Usage: benches/run [OPTIONS]
  --rounds N        Run each workload N times with each server (6)
  --seconds S       Duration of a run (2)
  --only PREFIX     Only workloads whose name starts so: plain, tls/stream, udp, memory, alone
  --servers A,B     Only these servers, and the references
  --quick           2 rounds of 0.5 s, with the daemon and the peers in peers/
  --chart FILE      Draw a bar chart (SVG)
Usage: benches/counts [--all] [--arm]
  --all             Count the peers too, which have no bounds
  --arm             Count on an emulated Raspberry Pi instead
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
            // From benches/run, benches/counts and benches/network.
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
                report::draw(&report, &path)?;
            }
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Some("counts") => counts::run(options, &programs, &root),
        _ => Err(HELP.into()),
    }
}
