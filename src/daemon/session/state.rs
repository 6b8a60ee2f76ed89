//! Where a session is in its life, and which timeout it is under.

use std::time::Duration;

use crate::config::Timeouts;
use crate::wire::close::CloseReason;

/// Where a session is in its life. From `Draining` on, the reason for its end is known.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// The header of the PROXY protocol has not come, or is not admitted.
    Expecting,
    /// The TLS handshake is not over.
    Handshaking,
    /// It is as serving, but the bytes behind the header of the PROXY protocol have not come.
    Opening,
    /// What comes is answered.
    Serving,
    /// Nothing more is read; what is in the outbox goes out.
    Draining(CloseReason),
    /// The `close_notify` of TLS goes out.
    Finishing(CloseReason),
    /// Our FIN is out. What the peer still sends is read and dropped, because closing a socket with
    /// unread bytes resets the connection, and a reset destroys bytes on their way to the peer.
    Lingering(CloseReason),
    /// It is over.
    Closed(CloseReason),
    /// It is over because a limit refused its peer, whom its header names: it was none that was accepted.
    Refused,
}

/// One of the timeouts.
#[derive(Clone, Copy)]
pub(super) enum Timer {
    Handshake,
    Idle,
    Write,
    Linger,
}

impl State {
    /// The timeout of this state; `is_flushed`: no byte waits in the outbox.
    pub(super) fn timer(&self, is_flushed: bool) -> Timer {
        match self {
            Self::Expecting | Self::Handshaking => Timer::Handshake,
            Self::Opening | Self::Serving if is_flushed => Timer::Idle,
            Self::Opening | Self::Serving | Self::Draining(_) | Self::Finishing(_) => Timer::Write,
            Self::Lingering(_) | Self::Closed(_) | Self::Refused => Timer::Linger,
        }
    }

    /// Whether bytes from the peer are of use.
    pub(super) fn reads(&self) -> bool {
        matches!(self, Self::Expecting | Self::Handshaking | Self::Opening | Self::Serving)
    }

    /// Whether each byte that moves begins the timeout again.
    pub(super) fn lives_by_bytes(&self) -> bool {
        !matches!(self, Self::Expecting | Self::Handshaking | Self::Lingering(_))
    }
}

impl Timer {
    /// How long it is; `None` for ever.
    pub(super) fn timeout(self, timeouts: &Timeouts) -> Option<Duration> {
        match self {
            Self::Handshake => timeouts.handshake,
            Self::Idle => timeouts.idle,
            Self::Write => timeouts.write,
            Self::Linger => timeouts.linger,
        }
    }
}
