//! The comparison. In each round the servers take turns, so that noise of the machine affects all of
//! them.

mod bench;
mod daemon;
mod workloads;

use std::time::Duration;

use crate::clients::Dialler;
use crate::identity::{Identity, KeyType};
use crate::report::{Cost, Figure, Measured, Memory, Report};
use crate::servers::{self, Kind, Programs, Transport};
use crate::subject::Subject;
use crate::{Result, machine, memory};
use workloads::Workload;

/// Idle sessions whose memory is measured. With so many, a page more or less does not matter.
const IDLE_PLAIN: usize = 10_000;
const IDLE_TLS: usize = 5_000;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// Workloads whose name starts with this.
    pub(crate) only: Option<String>,
    /// The names of servers; the references take part in any case. Empty: all that are installed.
    pub(crate) servers: Vec<String>,
    /// Fewer servers, sessions and starts.
    pub(crate) quick: bool,
}

/// Runs the comparison.
pub(crate) fn run(plan: &Plan, programs: &Programs, network: &str) -> Result<Report> {
    let mut remarks = Vec::new();
    if !machine::split()? {
        remarks.push("one core: the load takes time from the server".to_owned());
    }
    let folder = tempfile::tempdir()?;
    let ecdsa = Identity::make(folder.path(), KeyType::Ecdsa)?;
    let rsa = Identity::make(folder.path(), KeyType::Rsa)?;
    let kinds = choose(plan, &mut remarks)?;
    let mut report = Report {
        machine: machine::description(),
        network: network.to_owned(),
        rounds: plan.rounds,
        seconds: plan.time.as_secs_f64(),
        remarks,
        workloads: Vec::new(),
        memory: Vec::new(),
        alone: None,
    };
    let wanted = |name: &str| plan.only.as_ref().is_none_or(|only| name.starts_with(only.as_str()));
    for workload in workloads::ALL.iter().filter(|workload| wanted(workload.name)) {
        if workload.sessions() + 100 > machine::descriptors() {
            report.remarks.push(format!("no {}: too few descriptors", workload.name));
            continue;
        }
        let identity = if workload.key == KeyType::Rsa { &rsa } else { &ecdsa };
        let subjects: Vec<Subject> = kinds
            .iter()
            .filter(|kind| {
                kind.transport == workload.transport && (workload.extras || !kind.is_extra())
            })
            .map(|kind| Subject { kind: *kind, programs, identity })
            .collect();
        let measured = measure(plan, workload, &subjects, &mut report.remarks);
        report.workloads.push(measured);
    }
    if wanted("memory") {
        let has_sessions = |kind: &&Kind| match kind.transport {
            Transport::Plain => !kind.is_extra(),
            Transport::Tls => true,
            Transport::Udp => false,
        };
        for kind in kinds.iter().filter(has_sessions) {
            eprint!("memory {} {}", kind.transport.name(), kind.name);
            let subject = Subject { kind: *kind, programs, identity: &ecdsa };
            let measured = measure_memory(subject, plan.quick, &mut report.remarks);
            eprintln!(": {measured:?}");
            report.memory.push(measured);
        }
    }
    if wanted("alone") && kinds.iter().any(|kind| kind.is_daemon()) {
        report.alone = Some(daemon::alone(plan.quick, programs, &mut report.remarks)?);
    }
    Ok(report)
}

/// The servers that take part, and a remark for each that cannot.
fn choose(plan: &Plan, remarks: &mut Vec<String>) -> Result<Vec<Kind>> {
    if let Some(name) =
        plan.servers.iter().find(|name| servers::ALL.iter().all(|kind| kind.name != **name))
    {
        let names: Vec<&str> = servers::ALL.iter().map(|kind| kind.name).collect();
        return Err(format!("no server {name}; there are {}", names.join(", ")).into());
    }
    Ok(servers::ALL
        .into_iter()
        .filter(|kind| {
            plan.servers.is_empty()
                || plan.servers.iter().any(|name| name == kind.name)
                || kind.name == kind.transport.reference()
        })
        .filter(|kind| !(plan.quick && kind.is_extra()))
        .filter(|kind| {
            let installed = kind.is_installed();
            if !installed {
                remarks.push(format!("no {}: not installed", kind.name));
            }
            installed
        })
        .collect())
}

/// Runs one workload with each server, round after round.
fn measure(
    plan: &Plan,
    workload: &Workload,
    subjects: &[Subject],
    remarks: &mut Vec<String>,
) -> Measured {
    let mut runs: Vec<Vec<Option<Figure>>> = vec![Vec::new(); subjects.len()];
    for round in 1..=plan.rounds {
        eprint!("{} {round}/{}:", workload.name, plan.rounds);
        for (subject, runs) in subjects.iter().zip(&mut runs) {
            let kind = subject.kind;
            match workload.run(*subject, plan.time) {
                Ok(figure) => {
                    eprint!(" {} {:.0} ns", kind.name, figure.cost_ns);
                    runs.push(Some(figure));
                }
                Err(error) => {
                    eprint!(" {} failed", kind.name);
                    remarks
                        .push(format!("{}, {}, round {round}: {error}", workload.name, kind.name));
                    runs.push(None);
                }
            }
        }
        eprintln!();
    }
    let reference = workload.transport.reference();
    let reference = subjects.iter().position(|subject| subject.kind.name == reference);
    let reference = reference.map(|at| runs[at].clone()).unwrap_or_default();
    let costs = subjects.iter().zip(runs);
    let servers =
        costs.map(|(subject, runs)| Cost::new(subject.kind.name, runs, &reference)).collect();
    Measured {
        name: workload.name,
        title: workload.title,
        transport: workload.transport,
        unit: workload.unit().name(),
        servers,
    }
}

/// Measures the memory of idle sessions and of stalled readers, each with a new server.
fn measure_memory(subject: Subject, quick: bool, remarks: &mut Vec<String>) -> Memory {
    let kind = subject.kind;
    let count = if kind.transport == Transport::Tls { IDLE_TLS } else { IDLE_PLAIN };
    let count = if quick { count / 10 } else { count };
    let mut note = |what: &str, error: Box<dyn std::error::Error>| {
        remarks.push(format!("memory, {what}, {}: {error}", kind.name));
    };
    let idle = memory::idle(subject, count, Dialler::sessions)
        .map_err(|error| note("idle sessions", error))
        .ok();
    let stalled = memory::stalled(subject).map_err(|error| note("stalled readers", error)).ok();
    Memory {
        server: kind.name,
        transport: kind.transport,
        idle_session: idle.map(|(session, _)| session),
        left: idle.map(|(_, left)| left),
        stalled,
    }
}
