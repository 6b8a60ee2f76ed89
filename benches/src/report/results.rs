//! The results of a comparison, as they are written to report.json.

use serde::Serialize;

use crate::servers::Transport;
use crate::stats::Spread;

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    /// The congestion control, and whether this was a network of its own.
    pub(crate) network: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// What is missing, and why.
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
    pub(crate) transport: Transport,
    pub(crate) unit: &'static str,
    pub(crate) servers: Vec<Cost>,
}

/// What one workload cost one server.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) server: &'static str,
    /// Its cost divided by that of the reference in the same round.
    pub(crate) ratio: Option<Spread>,
    pub(crate) cost_ns: Option<Spread>,
    pub(crate) server_busy: Option<Spread>,
    pub(crate) load_busy: Option<Spread>,
    pub(crate) resumed: Option<Spread>,
    /// One for each round, `None` if the run failed.
    pub(crate) runs: Vec<Option<Figure>>,
}

impl Cost {
    /// The cost of `server` from its `runs`, beside those of the `reference`.
    pub(crate) fn new(
        server: &'static str,
        runs: Vec<Option<Figure>>,
        reference: &[Option<Figure>],
    ) -> Self {
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

/// What one run measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figure {
    /// The server's processor time for one unit, in nanoseconds.
    pub(crate) cost_ns: f64,
    /// Units per second.
    pub(crate) rate: f64,
    /// The share of its core that the server used.
    pub(crate) server_busy: f64,
    /// The share of its core that the load used. Near 1, the load limited the rate.
    pub(crate) load_busy: f64,
    /// The share of the handshakes that resumed a session.
    pub(crate) resumed: Option<f64>,
    /// From sending a message to receiving its echo.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// Growth of a server's resident anonymous memory, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) server: &'static str,
    pub(crate) transport: Transport,
    /// For one idle session, from many of them.
    pub(crate) idle_session: Option<f64>,
    /// In all, after they have ended.
    pub(crate) left: Option<u64>,
    /// In all, for three peers that write 30 MB each and read nothing.
    pub(crate) stalled: Option<u64>,
}

/// What is measured of echo-alex alone.
#[derive(Debug, Serialize)]
pub(crate) struct Alone {
    /// From its start to READY=1, in milliseconds.
    pub(crate) ready_ms: Option<Spread>,
    /// System calls of a daemon with idle sessions, in so many seconds.
    pub(crate) idle_calls: Option<usize>,
    pub(crate) idle_seconds: u64,
}
