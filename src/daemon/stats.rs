//! Counters and gauges, and the snapshot of all of them, from which the log and `systemctl status` are
//! rendered.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::daemon::admission::Refusal;
use crate::daemon::handshakes::Handshakes;
use crate::daemon::histogram::{Histogram, SESSION_BOUNDS};
use crate::daemon::service::Volume;
use crate::daemon::udp::refusal::Datagrams;
use crate::os::units::bytes;
use crate::tls::expiry::Expiry;
use crate::wire::close::CloseReason;

/// The pairs of a log line.
pub type Pairs = Vec<(&'static str, String)>;

/// What has happened on one listener, or on all of them, since the start.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Connections that became sessions.
    pub accepted: u64,
    /// Of these, those that a proxy opened for itself, to check whether the daemon is there.
    pub health_checks: u64,
    /// Connections that were closed at once, by the key that does not allow them, in the order of
    /// [`Refusal::ALL`].
    refused: [u64; Refusal::ALL.len()],
    /// Datagrams of a UDP listener.
    pub datagrams: Datagrams,
    /// Plaintext of the sessions that have ended, and of datagrams.
    pub volume: Volume,
    /// How long the sessions lasted that have ended.
    pub durations: Histogram,
    /// Sessions that have ended, by reason, in the order of [`CloseReason::NAMES`].
    ended: [u64; CloseReason::NAMES.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: 0,
            health_checks: 0,
            refused: Default::default(),
            datagrams: Datagrams::default(),
            volume: Volume::default(),
            durations: Histogram::new(SESSION_BOUNDS),
            ended: [0; CloseReason::NAMES.len()],
        }
    }
}

impl Counters {
    /// Counts a connection that was refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        for (limit, count) in Refusal::ALL.iter().zip(&mut self.refused) {
            *count += u64::from(*limit == refusal);
        }
    }

    /// Connections that were refused, by the key that does not allow them.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().map(|limit| limit.key()).zip(self.refused)
    }

    /// Sessions that have ended, by reason, in the order of [`CloseReason::NAMES`].
    pub fn ended(&self) -> &[u64] {
        &self.ended
    }

    /// Counts a session's end, what its service has done, and how long it lasted.
    pub fn end(&mut self, reason: &CloseReason, volume: Volume, duration: Duration) {
        self.volume += volume;
        self.durations.count(duration);
        for (name, count) in CloseReason::NAMES.iter().zip(&mut self.ended) {
            *count += u64::from(*name == reason.name());
        }
    }

    /// Connections and datagrams that were refused.
    pub fn all_refused(&self) -> u64 {
        self.refused().chain(self.datagrams.refused()).map(|(_, count)| count).sum()
    }

    /// For the log, with a key for each reason that sessions have ended for.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { accepted, health_checks, datagrams, volume, ended, .. } = self;
        let first = [("accepted", *accepted), ("refused", self.all_refused())];
        let datagrams = Some(datagrams.received).filter(|count| *count > 0);
        let datagrams = datagrams.map(|count| ("datagrams", count));
        let ended = CloseReason::NAMES.iter().copied().zip(*ended).filter(|(_, count)| *count > 0);
        let checks = Some(*health_checks).filter(|count| *count > 0);
        let checks = checks.map(|count| ("health-checks", count));
        first.into_iter().chain(checks).chain(datagrams).chain(volume.pairs()).chain(ended)
    }

    /// Adds what another has counted, for the log: not the durations.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.health_checks += other.health_checks;
        for (count, more) in self.refused.iter_mut().zip(&other.refused) {
            *count += more;
        }
        self.datagrams.add(&other.datagrams);
        self.volume += other.volume;
        for (count, more) in self.ended.iter_mut().zip(&other.ended) {
            *count += more;
        }
    }
}

/// The numbers of the daemon's status, which are cheap to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The present sessions.
    pub sessions: usize,
    /// Of these, the TLS sessions.
    pub tls: usize,
    /// Bytes that were echoed since the start.
    pub echoed: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, tls, echoed } = *self;
        let plural = if sessions == 1 { "" } else { "s" };
        write!(f, "{sessions} session{plural} ({tls} TLS), {} echoed", bytes(echoed))
    }
}

/// All counters and gauges at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Since the start.
    pub uptime: Duration,
    /// The present sessions, and the bytes echoed.
    pub totals: Totals,
    /// Of the sessions, those in a TLS handshake.
    pub handshaking: usize,
    /// Log lines that could not be written.
    pub log_lines_lost: u64,
    /// The present listeners.
    pub listeners: Vec<ListenerSnapshot>,
    /// Those that reloads have removed.
    pub past: Vec<ListenerSnapshot>,
    /// The TLS handshakes that succeeded.
    pub handshakes: Handshakes,
    /// Reloads of the configuration.
    pub reloads: Reloads,
    /// When the key ends that seals session tickets, if several daemons share such keys.
    pub ticket_keys_end: Option<SystemTime>,
    /// When the daemon was started.
    pub started: SystemTime,
    /// Whether new connections are welcome.
    pub is_ready: bool,
    /// The descriptors that are open, and the soft limit on them, where the system says so.
    pub descriptors: Option<(usize, u64)>,
}

/// Reloads, by their outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reloads {
    /// Those that changed what is served.
    pub done: u64,
    /// Those that changed nothing.
    pub failed: u64,
}

/// A listener at one moment.
#[derive(Clone, Debug)]
pub struct ListenerSnapshot {
    /// Its name.
    pub name: String,
    /// Whether it is for datagrams, or was.
    pub is_udp: bool,
    /// The sessions that it has.
    pub sessions: usize,
    /// What has happened on it.
    pub counters: Counters,
    /// The certificates that it uses.
    pub certificates: Vec<Expiry>,
}

impl Snapshot {
    /// The lines of the log: one for the daemon, and one for each listener.
    pub fn lines(&self) -> impl Iterator<Item = Pairs> {
        let Self { uptime, totals, handshaking, log_lines_lost, listeners, past, .. } = self;
        let Totals { sessions, tls, .. } = totals;
        let mut counters = Counters::default();
        for listener in listeners.iter().chain(past) {
            counters.add(&listener.counters);
        }
        let text = |(key, count): (_, u64)| (key, count.to_string());
        let mut all = vec![
            ("uptime", format!("{}s", uptime.as_secs())),
            ("sessions", sessions.to_string()),
            ("tls", tls.to_string()),
            ("handshaking", handshaking.to_string()),
        ];
        all.extend(counters.pairs().map(text));
        all.push(("log-lines-lost", log_lines_lost.to_string()));
        let each =
            listeners.iter().map(move |ListenerSnapshot { name, sessions, counters, .. }| {
                let first = [("listener", name.clone()), ("sessions", sessions.to_string())];
                first.into_iter().chain(counters.pairs().map(text)).collect()
            });
        std::iter::once(all).chain(each)
    }
}

#[cfg(test)]
impl Snapshot {
    /// That of a daemon without a listener.
    pub fn of_nothing() -> Self {
        Self {
            uptime: Duration::ZERO,
            totals: Totals::default(),
            handshaking: 0,
            log_lines_lost: 0,
            listeners: Vec::new(),
            past: Vec::new(),
            handshakes: Handshakes::default(),
            reloads: Reloads::default(),
            ticket_keys_end: None,
            started: SystemTime::UNIX_EPOCH,
            is_ready: true,
            descriptors: None,
        }
    }
}

#[cfg(test)]
impl ListenerSnapshot {
    /// That of a listener without a session, with a number for a name.
    pub fn of_nothing(number: usize) -> Self {
        Self {
            name: number.to_string(),
            is_udp: number == 0,
            sessions: 0,
            counters: Counters::default(),
            certificates: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(counters: &Counters) -> String {
        let pairs: Vec<_> = counters.pairs().map(|(key, count)| format!("{key}={count}")).collect();
        pairs.join(" ")
    }

    fn echoed(bytes: u64) -> Volume {
        Volume { echoed: bytes, ..Volume::default() }
    }

    #[test]
    fn totals_read_as_a_sentence() {
        let totals = Totals { sessions: 12, tls: 3, echoed: 4_123_456 };
        assert_eq!(totals.to_string(), "12 sessions (3 TLS), 4.1 MB echoed");
        let one = Totals { sessions: 1, tls: 0, echoed: 999 };
        assert_eq!(one.to_string(), "1 session (0 TLS), 999 bytes echoed");
    }

    #[test]
    fn counters_add_up() {
        let mut one = Counters { accepted: 2, ..Counters::default() };
        one.refuse(Refusal::Address);
        let second = Duration::from_secs(1);
        one.end(&CloseReason::PeerDone, echoed(6), second);
        one.end(&CloseReason::PeerReset, echoed(4), second);
        let refused: Vec<_> = one.refused().collect();
        assert_eq!(
            refused,
            [("max-sessions", 0), ("max-sessions-per-address", 1), ("proxy-protocol", 0)]
        );
        let mut all = one.clone();
        all.add(&one);
        assert_eq!(shown(&all), "accepted=4 refused=2 echoed=20 peer-done=2 peer-reset=2");
        one.health_checks = 1;
        let mut with_checks = one.clone();
        with_checks.add(&one);
        assert!(shown(&with_checks).starts_with("accepted=4 refused=2 health-checks=2 echoed="));
        all.end(&CloseReason::PeerDone, Volume { discarded: 5, generated: 7, ..echoed(0) }, second);
        let with_more =
            "accepted=4 refused=2 echoed=20 discarded=5 generated=7 peer-done=3 peer-reset=2";
        assert_eq!(shown(&all), with_more);
    }

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        use std::io::ErrorKind;

        use CloseReason as Reason;

        let text = || "why".into();
        let reasons = [
            Reason::PeerDone,
            Reason::PeerTruncated,
            Reason::PeerReset,
            Reason::PeerLost(ErrorKind::TimedOut),
            Reason::ProxyHeader("why"),
            Reason::NotTls,
            Reason::HandshakeAbandoned,
            Reason::HandshakeTimeout,
            Reason::CertificateRefused(text()),
            Reason::TlsPeer(text()),
            Reason::BadRequest(text()),
            Reason::BadFrame("why"),
            Reason::IdleTimeout,
            Reason::WriteTimeout,
            Reason::ListenerRemoved,
            Reason::Stopping,
            Reason::TlsLocal(text()),
            Reason::Local(ErrorKind::Other),
        ];
        assert_eq!(reasons.each_ref().map(CloseReason::name), CloseReason::NAMES);
        let mut counters = Counters::default();
        for (reason, times) in reasons.iter().zip(1..) {
            for _ in 0..times {
                counters.end(reason, Volume::default(), Duration::ZERO);
            }
        }
        let counted =
            CloseReason::NAMES.iter().zip(1..).map(|(name, times)| format!(" {name}={times}"));
        let counted: String = counted.collect();
        assert_eq!(shown(&counters), format!("accepted=0 refused=0 echoed=0{counted}"));
    }
}
