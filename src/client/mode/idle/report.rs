//! What was found out about silent sessions, as text and as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::session::Outcome;
use crate::client::context::Client;
use crate::exit::Failure;

/// What `idle --json` prints.
#[derive(Serialize)]
pub(super) struct Report {
    mode: &'static str,
    host: String,
    address: String,
    tls: bool,
    max_s: f64,
    /// The longest silence that a session survived.
    alive_s: f64,
    /// The shortest silence after which a session was dead.
    dead_s: Option<f64>,
    ended: Option<&'static str>,
    direction: Option<&'static str>,
    sessions: Vec<Tried>,
    #[serde(skip)]
    outcome: Option<Outcome>,
}

/// One session.
#[derive(Serialize)]
struct Tried {
    silent_s: f64,
    outcome: &'static str,
}

impl Report {
    pub(super) fn new(
        outcomes: &[(Duration, Outcome)],
        alive: Duration,
        dead: Option<(Duration, Outcome)>,
        max: Duration,
        address: SocketAddr,
    ) -> Self {
        let tried = |(silence, outcome): &(Duration, Outcome)| Tried {
            silent_s: silence.as_secs_f64(),
            outcome: outcome.name(),
        };
        let outcome = dead.as_ref().map(|(_, outcome)| outcome.clone());
        Self {
            mode: "idle",
            host: String::new(),
            address: address.to_string(),
            tls: false,
            max_s: max.as_secs_f64(),
            alive_s: alive.as_secs_f64(),
            dead_s: dead.map(|(time, _)| time.as_secs_f64()),
            ended: outcome.as_ref().map(Outcome::name),
            direction: outcome.as_ref().map(Outcome::direction),
            sessions: outcomes.iter().map(tried).collect(),
            outcome,
        }
    }
}

/// Prints the report.
pub(super) fn print(client: &mut Client, mut report: Report) -> Result<(), Failure> {
    if client.options.json {
        report.host.clone_from(&client.options.host);
        report.tls = client.options.tls.is_some();
        return client.print_json(&report);
    }
    let alive = report.alive_s;
    let line = match (report.dead_s, &report.outcome) {
        (Some(dead), Some(outcome)) if outcome.is_seen() => {
            format!("a silent session lives {dead:.1} s: {outcome}")
        }
        (Some(dead), Some(outcome)) => {
            format!("a silent session lives between {alive:.1} s and {dead:.1} s: {outcome}")
        }
        _ if alive >= report.max_s => format!("a silent session lives {alive:.1} s or longer"),
        _ => format!("a silent session lives {alive:.1} s or longer; the search did not end"),
    };
    client.print(&line);
    Ok(())
}
