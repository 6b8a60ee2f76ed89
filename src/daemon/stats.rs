//! Counters and gauges, and the snapshot of all of them, from which the log and `systemctl status` are
//! rendered.

use std::fmt;
use std::time::Duration;

use crate::daemon::service::Volume;
use crate::os::units::bytes;
use crate::wire::close::CloseReason;

/// What has happened on one listener, or on all of them, since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections that became sessions.
    pub accepted: u64,
    /// Connections that were closed at once, because of a limit.
    pub refused: u64,
    /// Plaintext of the sessions that have ended.
    pub volume: Volume,
    /// Sessions that have ended, by reason, in the order of [`CloseReason::NAMES`].
    ended: [u64; CloseReason::NAMES.len()],
}

impl Counters {
    /// Counts a session's end, and what its service has done.
    pub fn end(&mut self, reason: &CloseReason, volume: Volume) {
        self.volume += volume;
        for (name, count) in CloseReason::NAMES.iter().zip(&mut self.ended) {
            *count += u64::from(*name == reason.name());
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.volume += other.volume;
        for (count, more) in self.ended.iter_mut().zip(&other.ended) {
            *count += more;
        }
    }
}

impl fmt::Display for Counters {
    /// `key=value`, with a key for each reason that sessions have ended for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, volume, ended } = self;
        write!(f, "accepted={accepted} refused={refused} {volume}")?;
        for (reason, count) in CloseReason::NAMES.iter().zip(ended).filter(|(_, count)| **count > 0)
        {
            write!(f, " {reason}={count}")?;
        }
        Ok(())
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
    /// The counters of all listeners, including those that were removed.
    pub counters: Counters,
    /// Log lines that could not be written.
    pub log_lines_lost: u64,
    /// The present listeners.
    pub listeners: Vec<ListenerSnapshot>,
}

/// A listener at one moment.
#[derive(Clone, Debug)]
pub struct ListenerSnapshot {
    /// Its name.
    pub name: String,
    /// The sessions that it has.
    pub sessions: usize,
    /// What has happened on it.
    pub counters: Counters,
}

impl Snapshot {
    /// The lines of the log: one for the daemon, and one for each listener.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let Self { uptime, totals, handshaking, counters, log_lines_lost, listeners } = self;
        let Totals { sessions, tls, .. } = totals;
        let all = format!(
            "statistics uptime={}s sessions={sessions} tls={tls} handshaking={handshaking} {counters} \
             log-lines-lost={log_lines_lost}",
            uptime.as_secs(),
        );
        let each = listeners.iter().map(|ListenerSnapshot { name, sessions, counters }| {
            format!("statistics listener={name} sessions={sessions} {counters}")
        });
        std::iter::once(all).chain(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut one = Counters { accepted: 2, refused: 1, ..Counters::default() };
        one.end(&CloseReason::PeerDone, echoed(6));
        one.end(&CloseReason::PeerReset, echoed(4));
        let mut all = one.clone();
        all.add(&one);
        assert_eq!(all.to_string(), "accepted=4 refused=2 echoed=20 peer-done=2 peer-reset=2");
        all.end(&CloseReason::PeerDone, Volume { discarded: 5, generated: 7, ..echoed(0) });
        let text =
            "accepted=4 refused=2 echoed=20 discarded=5 generated=7 peer-done=3 peer-reset=2";
        assert_eq!(all.to_string(), text);
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
            Reason::NotTls,
            Reason::HandshakeAbandoned,
            Reason::HandshakeTimeout,
            Reason::CertificateRefused(text()),
            Reason::TlsPeer(text()),
            Reason::BadRequest(text()),
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
                counters.end(reason, Volume::default());
            }
        }
        let counted =
            CloseReason::NAMES.iter().zip(1..).map(|(name, times)| format!(" {name}={times}"));
        let counted: String = counted.collect();
        assert_eq!(counters.to_string(), format!("accepted=0 refused=0 echoed=0{counted}"));
    }
}
