//! One session: silent for a time, and then asked for an echo.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::connection::{Connection, Received};
use crate::client::error::Error;
use crate::client::expect::Expected;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;

/// The length of a message.
pub(super) const SIZE: usize = 32;

/// The message that ends the silence.
const MESSAGE: &[u8; SIZE] = b"echo-alex idle: are you there?\r\n";

/// What became of a silent session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It still works.
    Alive,
    /// The FIN came while it was silent.
    Closed,
    /// A reset came while it was silent.
    Reset,
    /// A reset answered the message.
    Forgotten,
    /// The message was acknowledged, and its echo did not come.
    NoEcho,
    /// The message was not acknowledged.
    Unacknowledged,
}

impl Outcome {
    /// Its name in the JSON report.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Forgotten => "forgotten",
            Self::NoEcho => "no-echo",
            Self::Unacknowledged => "unacknowledged",
        }
    }

    /// Which direction has died: "up" is to the server.
    pub(super) fn direction(&self) -> &'static str {
        match self {
            Self::Alive | Self::Closed | Self::Reset => "none",
            Self::Forgotten => "both",
            Self::NoEcho => "down",
            Self::Unacknowledged => "up",
        }
    }

    /// Whether the client saw it happen, and knows the time.
    pub(super) fn is_seen(&self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Closed => "closed by the server, or by something in between that can end it in order",
            Self::Reset => "reset by the server or by something in between",
            Self::Forgotten => {
                "forgotten, by the server or by something in between: a message was answered by a reset"
            }
            Self::NoEcho => {
                "the way back has died: a message was acknowledged, and its echo did not come"
            }
            Self::Unacknowledged => {
                "the way to the server has died, or both ways: a message was not acknowledged"
            }
        })
    }
}

/// A session.
pub(super) struct Session {
    connection: Connection,
    since: Instant,
    planned: Duration,
    timeout: Duration,
    state: State,
}

enum State {
    Silent,
    /// The message was sent at this moment.
    Asked(Instant, Expected),
    Over,
}

impl Session {
    /// A session whose silence begins now.
    pub(super) fn new(connection: Connection, planned: Duration, timeout: Duration) -> Self {
        let since = Instant::now();
        Self { connection, since, planned, timeout, state: State::Silent }
    }

    /// How long it is to be silent.
    pub(super) fn planned(&self) -> Duration {
        self.planned
    }

    /// How long it was silent: at most as long as planned.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        (now - self.since).min(self.planned)
    }

    /// When it needs its next turn, without an event; `None` if it is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Silent => Some(self.since + self.planned),
            State::Asked(asked, _) => Some(*asked + self.timeout),
            State::Over => None,
        }
    }

    /// Reads what has arrived, and asks for the echo when the silence is over. Returns what became of the
    /// session once that is known.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        buffers: &mut Buffers,
    ) -> Result<Option<Outcome>, Error> {
        let outcome = match self.step(now, buffers) {
            Ok(outcome) => outcome,
            Err(Error::Connection(CloseReason::PeerReset | CloseReason::PeerLost(_))) => {
                Some(if self.is_asked() { Outcome::Forgotten } else { Outcome::Reset })
            }
            Err(error) => return Err(error),
        };
        if outcome.is_some() {
            self.state = State::Over;
        }
        Ok(outcome)
    }

    fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked(..))
    }

    fn step(&mut self, now: Instant, buffers: &mut Buffers) -> Result<Option<Outcome>, Error> {
        if matches!(self.state, State::Over) {
            return Ok(None);
        }
        loop {
            match self.connection.read(buffers)? {
                Received::Nothing => break,
                Received::End(_) if self.is_asked() => return Ok(Some(Outcome::Forgotten)),
                Received::End(_) => return Ok(Some(Outcome::Closed)),
                Received::Bytes(bytes) => match &mut self.state {
                    State::Asked(_, expected) => expected.received(bytes)?,
                    _ => Expected::default().received(bytes)?,
                },
            }
        }
        self.connection.flush()?;
        match &self.state {
            State::Asked(_, expected) if expected.missing() == 0 => Ok(Some(Outcome::Alive)),
            State::Asked(asked, _) if now >= *asked + self.timeout => {
                let is_acknowledged = self
                    .connection
                    .local_address()
                    .is_some_and(|local| unacknowledged(local, self.connection.address) == Some(0));
                let no_echo = Outcome::NoEcho;
                Ok(Some(if is_acknowledged { no_echo } else { Outcome::Unacknowledged }))
            }
            State::Silent if now >= self.since + self.planned => {
                let mut expected = Expected::default();
                expected.sent(MESSAGE);
                self.state = State::Asked(now, expected);
                self.connection.send(MESSAGE, buffers)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Closes the connection.
    pub(super) fn goodbye(&mut self, buffers: &mut Buffers) {
        self.connection.goodbye(buffers);
    }
}

/// How many bytes of a connection of this machine were sent and not acknowledged. The kernel has a table
/// of its connections (proc(5)).
fn unacknowledged(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let table = if local.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    find(&fs::read_to_string(table).ok()?, local.port(), remote.port())
}

/// The queue of the connection between these ports in the kernel's table.
fn find(table: &str, local: u16, remote: u16) -> Option<u64> {
    let port = |field: &str| u16::from_str_radix(field.rsplit_once(':')?.1, 16).ok();
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (from, to) = (port(fields.next()?), port(fields.next()?));
        let (unsent, _) = fields.nth(1)?.split_once(':')?;
        (from == Some(local) && to == Some(remote)).then(|| u64::from_str_radix(unsent, 16).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_a_connection_is_found_by_its_ports() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n   \
                     0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n   \
                     1: 0100007F:C350 0100007F:1388 01 00000020:00000000 01:00000014 00000002\n";
        assert_eq!(find(table, 0xc350, 0x1388), Some(32));
        assert_eq!(find(table, 0xc350, 1), None);
    }
}
