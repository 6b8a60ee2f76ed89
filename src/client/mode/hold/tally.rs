//! What happened to the sessions, in numbers.

use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::error::{Awaited, Error};
use crate::client::latency::Latencies;
use crate::client::outages::Outages;
use crate::wire::close::CloseReason;

/// What happened so far.
pub(super) struct Tally {
    pub(super) start: Instant,
    /// Messages that were sent, and their bytes.
    pub(super) sent: u64,
    pub(super) bytes_sent: u64,
    /// Bytes that were sent and did not come back as they were.
    pub(super) bytes_lost: u64,
    /// Messages that were due, and for which there was no connection in time.
    pub(super) not_sent: u64,
    /// How many sessions there are, how many of them work, and how many never did.
    pub(super) sessions: usize,
    pub(super) up: usize,
    pub(super) never: usize,
    /// Ends of connections, by what ended them.
    pub(super) ends: Ends,
    pub(super) reconnects: u64,
    pub(super) full: u64,
    pub(super) resumed: u64,
    /// Handshakes in which the server did not resume the session that it was offered.
    pub(super) not_resumed: u64,
    pub(super) connects: Latencies,
    pub(super) handshakes: Latencies,
    /// How long a session was out.
    pub(super) breaks: Latencies,
    pub(super) outages: Outages,
}

/// How connections ended, or could not be made.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Ends {
    /// By the server, when everything had come back.
    #[serde(rename = "ended_clean")]
    pub(super) clean: u64,
    /// By a reset, or because the kernel gave up.
    #[serde(rename = "ended_reset")]
    pub(super) reset: u64,
    /// By the server, before everything had come back.
    #[serde(rename = "ended_early")]
    pub(super) cut_short: u64,
    /// By us: no echo came in time.
    #[serde(rename = "ended_by_timeout")]
    pub(super) timed_out: u64,
    /// By us: an echo was not what was sent.
    #[serde(rename = "ended_damaged")]
    pub(super) damaged: u64,
    /// The connection was refused.
    #[serde(rename = "connects_refused")]
    pub(super) refused: u64,
    /// It could not be made for another reason.
    #[serde(rename = "connects_failed")]
    pub(super) failed: u64,
}

impl Tally {
    pub(super) fn new(sessions: usize) -> Self {
        Self {
            start: Instant::now(),
            sent: 0,
            bytes_sent: 0,
            bytes_lost: 0,
            not_sent: 0,
            sessions,
            up: 0,
            never: sessions,
            ends: Ends::default(),
            reconnects: 0,
            full: 0,
            resumed: 0,
            not_resumed: 0,
            connects: Latencies::default(),
            handshakes: Latencies::default(),
            breaks: Latencies::default(),
            outages: Outages::new(),
        }
    }

    /// A handshake is over, after `time`.
    pub(super) fn shook_hands(&mut self, resumed: bool, offered: bool, time: Duration) {
        self.handshakes.record(time);
        self.resumed += u64::from(resumed);
        self.full += u64::from(!resumed);
        self.not_resumed += u64::from(offered && !resumed);
    }

    /// This many messages were due for too long to be sent.
    pub(super) fn not_sent(&mut self, count: u64) {
        self.not_sent += count;
        self.outages.lose(count);
    }
}

impl Ends {
    /// A connection that was open has failed.
    pub(super) fn count_end(&mut self, error: &Error) {
        let count = match error {
            Error::Difference(_) => &mut self.damaged,
            Error::TimedOut { .. } => &mut self.timed_out,
            Error::ClosedEarly { .. } | Error::Connection(CloseReason::PeerTruncated) => {
                &mut self.cut_short
            }
            _ => &mut self.reset,
        };
        *count += 1;
    }

    /// A connection could not be made.
    pub(super) fn count_failure(&mut self, error: &Error) {
        let is_refused = match error {
            Error::Unreachable { attempts, .. } => {
                attempts.iter().all(|(_, it)| it.kind() == io::ErrorKind::ConnectionRefused)
            }
            _ => false,
        };
        *(if is_refused { &mut self.refused } else { &mut self.failed }) += 1;
    }
}

/// The error of a connection that was not made within `timeout`.
pub(super) fn late(timeout: Duration) -> Error {
    Error::TimedOut { what: Awaited::Handshake, timeout }
}
