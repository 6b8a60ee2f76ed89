//! What a listener does with plaintext. A service does no I/O, knows nothing of TLS or of the event
//! loop, and has bounded state. The session passes it the plaintext that was received, and sends its
//! answer.
//!
//! # A service never waits
//!
//! It answers at once. A service that sends bytes without a request reports that
//! ([`Service::speaks`]). The session asks it for the next bytes only while the outbox is empty, so the
//! rule of backpressure holds for it too.

mod chargen;

use std::fmt;
use std::ops::AddAssign;

use chargen::Chargen;

use crate::config;

/// The service of one session: 8 bytes, so that an idle session of the echo stays small.
#[derive(Debug)]
pub enum Service {
    /// Sends back what is received (RFC 862).
    Echo,
    /// One of the others, with its state.
    Other(Box<Other>),
}

/// The services besides the echo.
#[derive(Debug)]
pub enum Other {
    /// Discards what is received (RFC 863).
    Discard,
    /// Sends characters for as long as the peer takes them, and discards what is received (RFC 864).
    Chargen(Chargen),
}

/// Bytes of plaintext, by what services did with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Received by `echo`, and sent back unless a session ended before.
    pub echoed: u64,
    /// Received by `discard`.
    pub discarded: u64,
    /// Sent by `chargen`.
    pub generated: u64,
}

impl Service {
    /// The service that the configuration names, for a new session.
    pub fn new(service: config::Service) -> Self {
        let other = match service {
            config::Service::Echo => return Self::Echo,
            config::Service::Discard => Other::Discard,
            config::Service::Chargen => Other::Chargen(Chargen::default()),
        };
        Self::Other(Box::new(other))
    }

    /// The answer to the plaintext that `came`.
    #[inline(always)]
    pub fn answer<'a>(&self, came: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Echo => came,
            Self::Other(_) => &[],
        }
    }

    /// The one that speaks.
    fn chargen(&self) -> Option<&Chargen> {
        match self {
            Self::Other(other) => match &**other {
                Other::Chargen(chargen) => Some(chargen),
                Other::Discard => None,
            },
            Self::Echo => None,
        }
    }

    /// Whether it sends bytes without a request.
    pub fn speaks(&self) -> bool {
        self.chargen().is_some()
    }

    /// The next bytes to send without a request; none if it does not speak.
    pub fn speak(&mut self) -> &[u8] {
        match self {
            Self::Other(other) => match &mut **other {
                Other::Chargen(chargen) => chargen.next_piece(),
                Other::Discard => &[],
            },
            Self::Echo => &[],
        }
    }

    /// The number of bytes that it has sent in a session that `received` this many.
    pub fn sent(&self, received: u64) -> u64 {
        match self {
            Self::Echo => received,
            Self::Other(_) => self.chargen().map_or(0, Chargen::sent),
        }
    }

    /// What it has done in a session that `received` this many bytes.
    pub fn volume(&self, received: u64) -> Volume {
        let none = Volume::default();
        match (self, self.chargen()) {
            (Self::Echo, _) => Volume { echoed: received, ..none },
            (_, Some(chargen)) => Volume { generated: chargen.sent(), ..none },
            (_, None) => Volume { discarded: received, ..none },
        }
    }
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.echoed += other.echoed;
        self.discarded += other.discarded;
        self.generated += other.generated;
    }
}

impl fmt::Display for Volume {
    /// `key=value`; a count of zero is left out, except that of the echo.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { echoed, discarded, generated } = *self;
        write!(f, "echoed={echoed}")?;
        for (key, count) in [("discarded", discarded), ("generated", generated)] {
            if count > 0 {
                write!(f, " {key}={count}")?;
            }
        }
        Ok(())
    }
}
