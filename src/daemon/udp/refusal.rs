//! Why a datagram has no answer.

use std::{fmt, io};

/// Why a datagram has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was longer than the buffer, so that its end is lost.
    Cut,
    /// It was sent to a broadcast or multicast address, so that many machines would answer.
    Group,
    /// Its source is in no network of `allow`, or is no address of one machine.
    Network,
    /// The port of its source belongs to a service that answers, or to none.
    Port,
    /// Its source was found in a loop a short time ago.
    Looping,
    /// `datagrams-per-second-per-address` is reached.
    Address,
    /// `datagrams-per-second` is reached.
    All,
    /// It is an answer of ours that comes back again and again.
    Loop,
    /// The send buffer of the socket is full.
    Full,
    /// The kernel does not send the answer.
    Unsendable,
}

impl Refusal {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 10] = [
        Self::Cut,
        Self::Group,
        Self::Network,
        Self::Port,
        Self::Looping,
        Self::Address,
        Self::All,
        Self::Loop,
        Self::Full,
        Self::Unsendable,
    ];

    /// Why the kernel did not send an answer.
    pub fn unsent(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Full,
            _ => Self::Unsendable,
        }
    }

    /// Its name in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Group => "sent-to-many",
            Self::Network => "not-allowed",
            Self::Port => "port-of-a-service",
            Self::Looping => "after-a-loop",
            Self::Address => "datagrams-per-second-per-address",
            Self::All => "datagrams-per-second",
            Self::Loop => "loop",
            Self::Full => "send-buffer-full",
            Self::Unsendable => "not-sent",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a UDP listener has received.
#[derive(Clone, Debug, Default)]
pub struct Datagrams {
    /// All datagrams.
    pub received: u64,
    /// Those without an answer, by cause, in the order of [`Refusal::ALL`].
    refused: [u64; Refusal::ALL.len()],
}

impl Datagrams {
    /// Counts a datagram that was refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        for (cause, count) in Refusal::ALL.iter().zip(&mut self.refused) {
            *count += u64::from(*cause == refusal);
        }
    }

    /// Datagrams that were refused, by cause.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().map(|cause| cause.name()).zip(self.refused)
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        for (count, more) in self.refused.iter_mut().zip(&other.refused) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_name_and_a_counter_of_its_own() {
        let mut datagrams = Datagrams::default();
        for (refusal, times) in Refusal::ALL.into_iter().zip(1..) {
            for _ in 0..times {
                datagrams.refuse(refusal);
            }
        }
        let twice = &mut datagrams.clone();
        twice.add(&datagrams);
        let counted: Vec<_> = twice.refused().collect();
        let expected: Vec<_> =
            Refusal::ALL.iter().map(Refusal::to_string).zip((2..).step_by(2)).collect();
        assert!(
            counted
                .iter()
                .map(|(name, count)| (*name, *count))
                .eq(expected.iter().map(|(name, count)| (name.as_str(), *count)))
        );
        let names: std::collections::BTreeSet<_> = counted.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
    }
}
