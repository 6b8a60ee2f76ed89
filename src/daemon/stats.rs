//! Counters: what SIGUSR1 writes to the log, and what `systemctl status` shows.

use std::fmt;

use crate::os::units::bytes;
use crate::wire::close::CloseReason;

/// What has happened on one listener, or on all of them, since the start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections that became sessions.
    pub accepted: u64,
    /// Connections that were closed at once, because of a limit.
    pub refused: u64,
    /// Plaintext bytes that came in, and went back unless a session ended before; those of a session
    /// count when it has ended.
    pub echoed: u64,
    /// Sessions that have ended, by reason, in the order of [`CloseReason::NAMES`].
    ended: [u64; CloseReason::NAMES.len()],
}

impl Stats {
    /// Counts a session's end, and the bytes that it echoed.
    pub fn end(&mut self, reason: &CloseReason, echoed: u64) {
        self.echoed += echoed;
        for (name, count) in CloseReason::NAMES.iter().zip(&mut self.ended) {
            *count += u64::from(*name == reason.name());
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.echoed += other.echoed;
        for (count, more) in self.ended.iter_mut().zip(&other.ended) {
            *count += more;
        }
    }
}

impl fmt::Display for Stats {
    /// `key=value`, with a key for each reason that sessions have ended for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, echoed, ended } = self;
        write!(f, "accepted={accepted} refused={refused} echoed={echoed}")?;
        for (reason, count) in CloseReason::NAMES.iter().zip(ended).filter(|(_, count)| **count > 0)
        {
            write!(f, " {reason}={count}")?;
        }
        Ok(())
    }
}

/// The live figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions there are.
    pub sessions: usize,
    /// Of these, with TLS.
    pub tls: usize,
    /// Bytes since the start.
    pub echoed: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, tls, echoed } = *self;
        let plural = if sessions == 1 { "" } else { "s" };
        write!(f, "{sessions} session{plural} ({tls} TLS), {} echoed", bytes(echoed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_a_sentence() {
        let figures = Figures { sessions: 12, tls: 3, echoed: 4_123_456 };
        assert_eq!(figures.to_string(), "12 sessions (3 TLS), 4.1 MB echoed");
        let one = Figures { sessions: 1, tls: 0, echoed: 999 };
        assert_eq!(one.to_string(), "1 session (0 TLS), 999 bytes echoed");
    }

    #[test]
    fn counters_add_up() {
        let mut one = Stats { accepted: 2, refused: 1, ..Stats::default() };
        one.end(&CloseReason::PeerDone, 6);
        one.end(&CloseReason::PeerReset, 4);
        let mut all = one.clone();
        all.add(&one);
        assert_eq!(all.to_string(), "accepted=4 refused=2 echoed=20 peer-done=2 peer-reset=2");
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
            Reason::IdleTimeout,
            Reason::WriteTimeout,
            Reason::ListenerRemoved,
            Reason::Stopping,
            Reason::TlsLocal(text()),
            Reason::Local(ErrorKind::Other),
        ];
        assert_eq!(reasons.each_ref().map(CloseReason::name), CloseReason::NAMES);
        let mut stats = Stats::default();
        for (reason, times) in reasons.iter().zip(1..) {
            for _ in 0..times {
                stats.end(reason, 0);
            }
        }
        let counted =
            CloseReason::NAMES.iter().zip(1..).map(|(name, times)| format!(" {name}={times}"));
        let counted: String = counted.collect();
        assert_eq!(stats.to_string(), format!("accepted=0 refused=0 echoed=0{counted}"));
    }
}
