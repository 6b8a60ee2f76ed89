//! Limits and timeouts: the defaults, and the rules between them.

use std::time::Duration;

use toml::Spanned;

use super::file::LimitsTable;
use super::problem::Problem;
use super::settings::{DatagramLimits, Limits, Timeouts};
use super::value::{Count, Timeout};

/// The limits on the daemon as a whole, where the file has none.
pub(super) const DEFAULT_LIMITS: Limits =
    Limits { sessions: Some(1024), sessions_per_address: Some(256) };

/// The limits on datagrams, where the file has none. A ping of 1000 a second passes.
const DEFAULT_DATAGRAMS: DatagramLimits =
    DatagramLimits { per_second: 10_000, per_second_per_address: 2000 };

/// The timeouts, where the file has none.
pub(super) const DEFAULT_TIMEOUTS: Timeouts = Timeouts {
    handshake: Some(Duration::from_secs(10)),
    idle: Some(Duration::from_secs(60 * 60)),
    write: Some(Duration::from_secs(30)),
    linger: Some(Duration::from_secs(2)),
};

/// The limits of `table`, or those of `default` for keys that it leaves out.
pub(super) fn limits(table: &LimitsTable, default: &Limits) -> Result<Limits, Problem> {
    Ok(Limits {
        sessions: at_least_one(table.max_sessions.as_ref())?.or(default.sessions),
        sessions_per_address: at_least_one(table.max_sessions_per_address.as_ref())?
            .or(default.sessions_per_address),
    })
}

pub(super) fn datagrams(table: &LimitsTable) -> Result<DatagramLimits, Problem> {
    let default = DEFAULT_DATAGRAMS;
    let per_address = at_least_one(table.datagrams_per_second_per_address.as_ref())?;
    Ok(DatagramLimits {
        per_second: at_least_one(table.datagrams_per_second.as_ref())?
            .unwrap_or(default.per_second),
        per_second_per_address: per_address.unwrap_or(default.per_second_per_address),
    })
}

fn at_least_one(limit: Option<&Spanned<Count>>) -> Result<Option<usize>, Problem> {
    match limit {
        Some(limit) if limit.get_ref().0 == 0 => Err(Problem::new(
            limit.span(),
            "a limit of 0 would refuse everything: remove the listener instead",
        )),
        limit => Ok(limit.map(|limit| limit.get_ref().0)),
    }
}

/// The timeouts of `table`, or those of `default` for keys that it leaves out.
pub(super) fn timeouts(table: &LimitsTable, default: &Timeouts) -> Result<Timeouts, Problem> {
    Ok(Timeouts {
        handshake: never_off(table.handshake_timeout.as_ref(), default.handshake)?,
        idle: or(table.idle_timeout.as_ref(), default.idle),
        write: or(table.write_timeout.as_ref(), default.write),
        linger: never_off(table.linger_timeout.as_ref(), default.linger)?,
    })
}

/// A timeout, which may be off, or `default` where the key is left out.
pub(super) fn or(
    timeout: Option<&Spanned<Timeout>>,
    default: Option<Duration>,
) -> Option<Duration> {
    timeout.map_or(default, |timeout| timeout.get_ref().0)
}

/// A timeout that must not be off: without it, a peer could keep a session open for ever
/// without an echoed byte.
fn never_off(
    timeout: Option<&Spanned<Timeout>>,
    default: Option<Duration>,
) -> Result<Option<Duration>, Problem> {
    match timeout {
        Some(timeout) if timeout.get_ref().0.is_none() => Err(Problem::new(
            timeout.span(),
            "this timeout cannot be switched off: a peer could keep a session open for ever",
        )),
        timeout => Ok(or(timeout, default)),
    }
}

/// Whether the limits of a listener agree with those of the daemon.
pub(super) fn check_limits(table: &LimitsTable, daemon: &Limits) -> Result<(), Problem> {
    let stops = "the daemon stops as a whole";
    let counts = "datagrams are counted for the daemon as a whole";
    let (per_second, per_address) =
        (&table.datagrams_per_second, &table.datagrams_per_second_per_address);
    for (key, place, why) in [
        ("drain-delay", table.drain_delay.as_ref().map(Spanned::span), stops),
        ("drain-timeout", table.drain_timeout.as_ref().map(Spanned::span), stops),
        ("datagrams-per-second", per_second.as_ref().map(Spanned::span), counts),
        ("datagrams-per-second-per-address", per_address.as_ref().map(Spanned::span), counts),
    ] {
        if let Some(place) = place {
            return Err(Problem::new(place, format!("{key} belongs to [limits]: {why}")));
        }
    }
    match (&table.max_sessions, daemon.sessions) {
        (Some(own), Some(most)) if own.get_ref().0 > most => Err(Problem::new(
            own.span(),
            format!("this limit can never be reached: max-sessions in [limits] is {most}"),
        )),
        _ => Ok(()),
    }
}
