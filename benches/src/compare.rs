//! The comparison: every server in turn, round after round, so that a noisy moment of the machine
//! meets all of them.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clients::{Dialler, Handshake};
use crate::identity::{self, Identity};
use crate::servers::{self, Kind, Programs, Server};
use crate::stats::Spread;
use crate::workloads::{self, Figure, Workload};
use crate::{Result, machine};

/// Idle sessions whose memory is looked at. Many, so that a page more or less is nothing.
const IDLE_PLAIN: usize = 10_000;
const IDLE_TLS: usize = 5_000;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// What the name of a workload begins with.
    pub(crate) only: Option<String>,
    /// Names of servers; the references are there in any case. Empty: all that are installed.
    pub(crate) servers: Vec<String>,
    /// Less of everything.
    pub(crate) quick: bool,
}

/// All that was found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    /// The congestion control, and whether this was a network of its own.
    pub(crate) network: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// Why this may be less than it should.
    pub(crate) remarks: Vec<String>,
    pub(crate) workloads: Vec<Measured>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) alone: Option<Alone>,
}

/// One workload, and what it cost each server.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) tls: bool,
    pub(crate) unit: &'static str,
    pub(crate) servers: Vec<Cost>,
}

/// What one workload cost one server.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) server: &'static str,
    /// To the reference of the same round.
    pub(crate) ratio: Option<Spread>,
    pub(crate) cost_ns: Option<Spread>,
    pub(crate) server_busy: Option<Spread>,
    pub(crate) load_busy: Option<Spread>,
    pub(crate) resumed: Option<Spread>,
    /// One a round, `None` where the run failed.
    pub(crate) runs: Vec<Option<Figure>>,
}

/// Growth of a server's resident anonymous memory, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) server: &'static str,
    pub(crate) tls: bool,
    /// For each of many sessions that rest.
    pub(crate) idle_session: Option<f64>,
    /// In all, after they have gone.
    pub(crate) left: Option<u64>,
    /// In all, for three peers that write 30 MB each and read nothing.
    pub(crate) stalled: Option<u64>,
}

/// What is measured of echo-alex alone.
#[derive(Debug, Serialize)]
pub(crate) struct Alone {
    /// From its start to READY=1, in milliseconds.
    pub(crate) ready_ms: Option<Spread>,
    /// System calls of a daemon with sessions that rest.
    pub(crate) idle_calls: Option<usize>,
    pub(crate) idle_seconds: u64,
}

/// Does all of it.
pub(crate) fn run(plan: &Plan, programs: &Programs, network: &str) -> Result<Report> {
    let mut remarks = Vec::new();
    if !machine::split()? {
        remarks.push("one core: the load takes time from the server".to_owned());
    }
    let folder = tempfile::tempdir()?;
    let ecdsa = Identity::make(folder.path(), identity::Kind::Ecdsa)?;
    let rsa = Identity::make(folder.path(), identity::Kind::Rsa)?;
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
        let identity = if workload.key == identity::Kind::Rsa { &rsa } else { &ecdsa };
        let measured = measure(plan, programs, workload, identity, &kinds, &mut report.remarks);
        report.workloads.push(measured);
    }
    if wanted("memory") {
        for kind in kinds.iter().filter(|kind| kind.tls || !kind.is_extra()) {
            eprint!("memory {} {}", if kind.tls { "tls" } else { "plain" }, kind.name);
            let memory = memory(programs, *kind, &ecdsa, plan.quick, &mut report.remarks);
            eprintln!(": {memory:?}");
            report.memory.push(memory);
        }
    }
    if wanted("alone") && kinds.iter().any(|kind| kind.is_daemon()) {
        report.alone = Some(alone(plan, programs, &mut report.remarks)?);
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
                || kind.name == Kind::reference(kind.tls)
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

fn measure(
    plan: &Plan,
    programs: &Programs,
    workload: &Workload,
    identity: &Identity,
    kinds: &[Kind],
    remarks: &mut Vec<String>,
) -> Measured {
    let kinds: Vec<Kind> = kinds
        .iter()
        .filter(|kind| kind.tls == workload.tls && (workload.extras || !kind.is_extra()))
        .copied()
        .collect();
    let mut runs: Vec<Vec<Option<Figure>>> = vec![Vec::new(); kinds.len()];
    for round in 1..=plan.rounds {
        eprint!("{} {round}/{}:", workload.name, plan.rounds);
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            let figure = kind
                .start(programs, Some(identity), &[])
                .and_then(|server| workload.run(programs, &server, identity, plan.time));
            match figure {
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
    let reference = kinds.iter().position(|kind| kind.name == Kind::reference(workload.tls));
    let reference = reference.map(|at| runs[at].clone()).unwrap_or_default();
    let servers =
        kinds.iter().zip(runs).map(|(kind, runs)| Cost::new(kind.name, runs, &reference)).collect();
    Measured {
        name: workload.name,
        title: workload.title,
        tls: workload.tls,
        unit: workload.unit().name(),
        servers,
    }
}

impl Cost {
    fn new(server: &'static str, runs: Vec<Option<Figure>>, reference: &[Option<Figure>]) -> Self {
        let ratios = runs
            .iter()
            .zip(reference)
            .filter_map(|(run, reference)| Some((*run)?.cost_ns / (*reference)?.cost_ns));
        let spread =
            |of: fn(&Figure) -> Option<f64>| Spread::of(runs.iter().flatten().filter_map(of));
        Self {
            server,
            ratio: Spread::of(ratios),
            cost_ns: spread(|figure| Some(figure.cost_ns)),
            server_busy: spread(|figure| Some(figure.server_busy)),
            load_busy: spread(|figure| Some(figure.load_busy)),
            resumed: spread(|figure| figure.resumed),
            runs,
        }
    }
}

/// Each on a server of its own.
fn memory(
    programs: &Programs,
    kind: Kind,
    identity: &Identity,
    quick: bool,
    remarks: &mut Vec<String>,
) -> Memory {
    let count = if kind.tls { IDLE_TLS } else { IDLE_PLAIN };
    let count = if quick { count / 10 } else { count };
    let mut note = |what: &str, error: Box<dyn std::error::Error>| {
        remarks.push(format!("memory, {what}, {}: {error}", kind.name));
    };
    let idle = idle_memory(programs, kind, identity, count)
        .map_err(|error| note("idle sessions", error))
        .ok();
    let stalled = stalled_memory(programs, kind, identity)
        .map_err(|error| note("stalled readers", error))
        .ok();
    Memory {
        server: kind.name,
        tls: kind.tls,
        idle_session: idle.map(|(session, _)| session),
        left: idle.map(|(_, left)| left),
        stalled,
    }
}

/// A server whose first session, which makes what is made once, has come and gone.
fn warm(programs: &Programs, kind: Kind, identity: &Identity) -> Result<(Server, Dialler)> {
    let server = kind.start(programs, Some(identity), &[])?;
    let dialler = Dialler::new(server.port, Some(identity).filter(|_| kind.tls), Handshake::Full)?;
    for session in dialler.sessions(1)? {
        session.close()?;
    }
    thread::sleep(Duration::from_millis(100));
    Ok((server, dialler))
}

/// The bytes of an idle session, and those that are left when all have gone.
pub(crate) fn idle_memory(
    programs: &Programs,
    kind: Kind,
    identity: &Identity,
    count: usize,
) -> Result<(f64, u64)> {
    let count = count.min(machine::descriptors().saturating_sub(100));
    let (server, dialler) = warm(programs, kind, identity)?;
    let before = server.memory();
    let sessions = dialler.sessions(count)?;
    let growth = server.memory().saturating_sub(before);
    for session in sessions {
        session.close()?;
    }
    thread::sleep(Duration::from_millis(500));
    Ok((growth as f64 / count as f64, server.memory().saturating_sub(before)))
}

fn stalled_memory(programs: &Programs, kind: Kind, identity: &Identity) -> Result<u64> {
    let (server, dialler) = warm(programs, kind, identity)?;
    let before = server.memory();
    let mut sessions = dialler.sessions(3)?;
    for session in &mut sessions {
        session.stall(30_000_000)?;
    }
    Ok(server.memory().saturating_sub(before))
}

fn alone(plan: &Plan, programs: &Programs, remarks: &mut Vec<String>) -> Result<Alone> {
    let (starts, idle_seconds) = if plan.quick { (5, 2) } else { (20, 10) };
    let times = (0..starts).map(|_| ready(programs)).collect::<Result<Vec<_>>>()?;
    let idle_calls = idle_calls(programs, Duration::from_secs(idle_seconds));
    if let Err(error) = &idle_calls {
        remarks.push(format!("system calls of an idle daemon: {error}"));
    }
    Ok(Alone { ready_ms: Spread::of(times), idle_calls: idle_calls.ok(), idle_seconds })
}

/// From the start of the daemon, as it is configured without a file, to READY=1; milliseconds.
fn ready(programs: &Programs) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("echo-alex.toml");
    fs::write(
        &settings,
        "[[listener]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"tls\"\nlisten = \"127.0.0.1:0\"\n[listener.tls]\n",
    )?;
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(Duration::from_secs(10)))?;
    let start = Instant::now();
    let mut command = Command::new(programs.product.join("echo-alex"));
    command.arg("-c").arg(&settings).env("NOTIFY_SOCKET", &path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = machine::spawn_server(&mut command)?;
    let mut message = [0; 512];
    let time = loop {
        match manager.recv(&mut message) {
            Ok(count) if message[..count].split(|b| *b == b'\n').any(|l| l == b"READY=1") => {
                break Ok(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok(_) => {}
            Err(error) => break Err(format!("no READY=1: {error}").into()),
        }
    };
    machine::terminate(&child);
    child.wait()?;
    time
}

/// System calls in `time` of a daemon with 100 sessions that rest.
fn idle_calls(programs: &Programs, time: Duration) -> Result<usize> {
    let calls = tempfile::NamedTempFile::new()?;
    let tracer = ["strace", "-D", "-f", "-o", &calls.path().to_string_lossy()].map(str::to_owned);
    let server = servers::ALL[0].start(programs, None, &tracer)?;
    let _sessions = Dialler::new(server.port, None, Handshake::Full)?.sessions(100)?;
    let lines = || Ok::<_, std::io::Error>(fs::read_to_string(calls.path())?.lines().count());
    // What the last session caused is over, and written down.
    thread::sleep(Duration::from_secs(1));
    let before = lines()?;
    thread::sleep(time);
    Ok(lines()? - before)
}
