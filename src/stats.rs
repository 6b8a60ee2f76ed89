//! Counters: what SIGUSR1 writes to the log, and what `systemctl status` shows.

use std::fmt;

use crate::close::CloseReason;

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
    ended: [Ended; CloseReason::COUNT],
}

/// Sessions that ended for one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    reason: &'static str,
    count: u64,
}

impl Stats {
    /// Counts a session's end, and the bytes that it echoed.
    pub fn end(&mut self, reason: &CloseReason, echoed: u64) {
        self.echoed += echoed;
        let ended = &mut self.ended[reason.index()];
        ended.reason = reason.name();
        ended.count += 1;
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.echoed += other.echoed;
        for (ended, more) in self.ended.iter_mut().zip(&other.ended) {
            if more.count > 0 {
                *ended = Ended { reason: more.reason, count: ended.count + more.count };
            }
        }
    }
}

impl fmt::Display for Stats {
    /// `key=value`, with a key for each reason that sessions have ended for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, echoed, ended } = self;
        write!(f, "accepted={accepted} refused={refused} echoed={echoed}")?;
        for Ended { reason, count } in ended.iter().filter(|ended| ended.count > 0) {
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

/// A count of bytes for people, in powers of a thousand: "4.1 MB".
pub fn bytes(count: u64) -> String {
    let mut scaled = count;
    let mut tenths = 0;
    for unit in ["bytes", "kB", "MB", "GB", "TB", "PB"] {
        if scaled < 1000 {
            return match unit {
                "bytes" => format!("{scaled} {unit}"),
                _ => format!("{scaled}.{tenths} {unit}"),
            };
        }
        tenths = scaled % 1000 / 100;
        scaled /= 1000;
    }
    format!("{scaled} EB")
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
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(u64::MAX), "18 EB");
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
}
