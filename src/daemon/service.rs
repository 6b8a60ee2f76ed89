//! What a listener does with plaintext. A service does no I/O, knows nothing of TLS or of the event
//! loop, and its state is bounded; the session gives it what came, and sends what it answers.
//!
//! # A service never waits
//!
//! It answers at once. One that has bytes to send without being asked says so ([`Service::speaks`]); the
//! session asks for the next of them whenever all that went before is out, so backpressure holds here
//! too.

mod chargen;

use std::fmt;
use std::ops::AddAssign;

use chargen::Chargen;

use crate::config;

/// The service of one session.
#[derive(Debug)]
pub enum Service {
    /// What came goes back (RFC 862).
    Echo,
    /// What came is thrown away (RFC 863).
    Discard,
    /// Characters are sent for as long as the peer takes them; what came is thrown away (RFC 864).
    Chargen(Chargen),
}

/// How many bytes of plaintext went through services, by what these did with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Came, and went back unless a session ended before.
    pub echoed: u64,
    /// Came to `discard`.
    pub discarded: u64,
    /// Were made by `chargen`.
    pub generated: u64,
}

impl Service {
    /// The service that the configuration names, for a session that begins.
    pub fn new(service: config::Service) -> Self {
        match service {
            config::Service::Echo => Self::Echo,
            config::Service::Discard => Self::Discard,
            config::Service::Chargen => Self::Chargen(Chargen::default()),
        }
    }

    /// The answer to the plaintext that `came`.
    #[inline(always)]
    pub fn answer<'a>(&self, came: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Echo => came,
            Self::Discard | Self::Chargen(_) => &[],
        }
    }

    /// Whether it sends bytes without being asked.
    pub fn speaks(&self) -> bool {
        matches!(self, Self::Chargen(_))
    }

    /// The next bytes to send without being asked; none where it does not speak.
    pub fn speak(&mut self) -> &'static [u8] {
        match self {
            Self::Echo | Self::Discard => &[],
            Self::Chargen(chargen) => chargen.next_piece(),
        }
    }

    /// How many bytes it has sent, of a session where so many were `received`.
    pub fn sent(&self, received: u64) -> u64 {
        match self {
            Self::Echo => received,
            Self::Discard => 0,
            Self::Chargen(chargen) => chargen.sent(),
        }
    }

    /// What it has done, in a session where so many bytes were `received`.
    pub fn volume(&self, received: u64) -> Volume {
        let none = Volume::default();
        match self {
            Self::Echo => Volume { echoed: received, ..none },
            Self::Discard => Volume { discarded: received, ..none },
            Self::Chargen(chargen) => Volume { generated: chargen.sent(), ..none },
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
    /// `key=value`; what no service has done is left out, but for the echo.
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
