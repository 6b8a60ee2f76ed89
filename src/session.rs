//! One connection's life: read, open, **echo**, seal, flush, close.
//!
//! ```text
//! Handshaking ──▶ Echoing ──▶ Draining ──▶ Finishing ──▶ Lingering ──▶ gone, with a CloseReason
//!  handshake-      idle- or    write-       write-        linger-
//!  timeout         write-      timeout      timeout       timeout
//!                  timeout
//! ```
//!
//! # Progress is tried at once
//!
//! Readiness is edge-triggered: an event tells of a change once. So whatever may put bytes into
//! the outbox also tries to write them, and what is asked of a session is always the same thing:
//! [`Session::advance`], as far as it goes.
//!
//! # A read that stops early is picked up again
//!
//! A read that stops because the kernel had no more (a short count, or `WouldBlock`) is waited for.
//! One that stops for a cause of ours (the turn is over) says [`Turn::Again`], and the loop comes
//! back by itself. One that stops because the outbox is not empty is taken up when that empties,
//! and then goes on to `WouldBlock`, because its event has passed.
//!
//! # A short count ends reading, unless the peer has closed
//!
//! New bytes make a new event, so there is no second read to hear `WouldBlock` after a short count.
//! A FIN that came *with* the last bytes makes no second event; its event says so, and then we read
//! to the end (`to_the_end`).
//!
//! # Backpressure
//!
//! A session whose outbox is not empty is not read from. That is the whole rule, and the bound on
//! what a peer that does not read can cost: one read's worth, [`READ_SIZE`](crate::buffers::READ_SIZE) and the rims of its
//! records.
//!
//! # No byte vanishes
//!
//! A byte that was read is in the kernel again, in the outbox, or counted as `unsent` in the line
//! that the log has for the session's end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::buffers::Buffers;
use crate::close::CloseReason;
use crate::link::{Bytes, Link, Reading, Wire};
use crate::transport::Transport;

/// How many reads a session may make before the others have their turn.
const READS_A_TURN: usize = 4;

/// How long a session may stay where it is; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the TLS handshake.
    pub handshake: Option<Duration>,
    /// Without a byte either way.
    pub idle: Option<Duration>,
    /// Without the peer taking a byte, while there are some for it.
    pub write: Option<Duration>,
    /// From our FIN to the peer's.
    pub linger: Option<Duration>,
}

/// Where a session is in its life. From `Draining` on, why it ends is known.
#[derive(Debug)]
enum State {
    /// The TLS handshake is not over.
    Handshaking,
    /// What comes goes back.
    Echoing,
    /// Nothing more is read; what is in the outbox goes out.
    Draining(CloseReason),
    /// TLS has said `close_notify`, and that goes out.
    Finishing(CloseReason),
    /// Our FIN is out. What the peer still sends is read and dropped, because closing a socket
    /// with unread bytes resets the connection, and a reset destroys the echo on its way.
    Lingering(CloseReason),
}

/// A session's state by name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stage {
    Handshaking,
    Echoing,
    Draining,
    Finishing,
    Lingering,
}

/// What a session wants after a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// An event.
    Wait,
    /// Another turn, after the others have had theirs.
    Again,
    /// To be dropped.
    Closed(CloseReason),
}

/// One accepted connection.
pub struct Session<W> {
    link: Link<W>,
    state: State,
    /// Since when the state's timeout runs: the state's beginning, and where bytes count as
    /// life (echoing, draining, finishing) the last of them.
    since: Instant,
    opened: Instant,
    /// Plaintext bytes that came from the peer.
    received: u64,
    /// The peer's FIN was read, or is not worth waiting for.
    wire_ended: bool,
    peer: SocketAddr,
}

impl<W: Wire> Session<W> {
    /// A session over `wire`, at `now`.
    pub fn new(wire: W, peer: SocketAddr, transport: Transport, now: Instant) -> Self {
        let state = if transport.is_handshaking() { State::Handshaking } else { State::Echoing };
        let link = Link::new(wire, transport);
        Self { link, state, since: now, opened: now, received: 0, wire_ended: false, peer }
    }

    /// Goes as far as the kernel and a turn allow. `to_the_end`: the event said that the peer has
    /// closed, or there was none.
    pub fn advance(&mut self, to_the_end: bool, now: Instant, buffers: &mut Buffers) -> Turn {
        match self.try_advance(to_the_end, now, buffers) {
            Ok(turn) => turn,
            Err(reason) => Turn::Closed(reason),
        }
    }

    fn try_advance(
        &mut self,
        mut to_the_end: bool,
        now: Instant,
        buffers: &mut Buffers,
    ) -> Result<Turn, CloseReason> {
        let mut reads_left = READS_A_TURN;
        loop {
            if !self.link.is_flushed() {
                if self.link.flush()? {
                    self.touch(now);
                }
                if !self.link.is_flushed() {
                    return Ok(Turn::Wait);
                }
                to_the_end = true;
            }
            match &self.state {
                State::Handshaking | State::Echoing | State::Lingering(_) if reads_left == 0 => {
                    return Ok(Turn::Again);
                }
                State::Handshaking | State::Echoing => {
                    reads_left -= 1;
                    match self.link.read(buffers)? {
                        Reading::Nothing => return Ok(Turn::Wait),
                        Reading::Ended => self.end_of_wire(now)?,
                        Reading::Bytes(bytes) => {
                            self.receive(bytes, now, buffers);
                            let enough = bytes.is_short() && !to_the_end && self.is_open();
                            if !self.link.is_flushed() || enough {
                                return Ok(Turn::Wait);
                            }
                        }
                    }
                }
                State::Draining(reason) => {
                    let reason = reason.clone();
                    self.link.finish(buffers)?;
                    self.enter(State::Finishing(reason), now);
                    if !self.link.is_flushed() {
                        return Ok(Turn::Wait);
                    }
                }
                State::Finishing(reason) => {
                    let reason = reason.clone();
                    if self.wire_ended || self.link.end_writing().is_err() {
                        return Ok(Turn::Closed(reason));
                    }
                    self.enter(State::Lingering(reason), now);
                }
                State::Lingering(reason) => {
                    let reason = reason.clone();
                    reads_left -= 1;
                    match self.link.read(buffers) {
                        Ok(Reading::Nothing) => return Ok(Turn::Wait),
                        Ok(Reading::Bytes(_)) => {}
                        Ok(Reading::Ended) | Err(_) => return Ok(Turn::Closed(reason)),
                    }
                }
            }
        }
    }

    /// Takes what was read through open, echo and seal.
    fn receive(&mut self, bytes: Bytes, now: Instant, buffers: &mut Buffers) {
        // This is the echo (RFC 862): what came is what goes.
        match self.link.receive(bytes, buffers, |came| came) {
            Ok(opened) => {
                self.received += opened.plaintext.len() as u64;
                if opened.peer_done {
                    self.enter(State::Draining(CloseReason::PeerDone), now);
                } else if matches!(self.state, State::Handshaking) {
                    if !self.link.transport().is_handshaking() {
                        self.enter(State::Echoing, now);
                    }
                } else {
                    self.touch(now);
                }
            }
            // Where TLS failed, the peer is owed the alert, and then the end.
            Err(reason) => self.enter(State::Finishing(reason), now),
        }
    }

    /// The peer's FIN was read.
    fn end_of_wire(&mut self, now: Instant) -> Result<(), CloseReason> {
        self.wire_ended = true;
        match self.link.transport().end_of_wire() {
            reason @ CloseReason::HandshakeAbandoned => Err(reason),
            reason => {
                self.enter(State::Draining(reason), now);
                Ok(())
            }
        }
    }

    /// Ends the session for `reason`: what has come already is echoed, then we say that no more
    /// will come, and linger.
    pub fn end(&mut self, reason: CloseReason, now: Instant, buffers: &mut Buffers) -> Turn {
        match (self.advance(true, now, buffers), &self.state) {
            (Turn::Closed(reason), _) => Turn::Closed(reason),
            (_, State::Handshaking) => Turn::Closed(reason),
            (_, State::Echoing) => {
                self.enter(State::Draining(reason), now);
                self.advance(true, now, buffers)
            }
            (turn, _) => turn,
        }
    }

    /// The deadline has passed: ends the session, or what is left of it.
    pub fn expire(&mut self, now: Instant, buffers: &mut Buffers) -> Turn {
        match &self.state {
            State::Handshaking => Turn::Closed(CloseReason::HandshakeTimeout),
            State::Echoing if self.link.is_flushed() => {
                self.end(CloseReason::IdleTimeout, now, buffers)
            }
            State::Echoing | State::Draining(_) | State::Finishing(_) => {
                Turn::Closed(CloseReason::WriteTimeout)
            }
            State::Lingering(reason) => Turn::Closed(reason.clone()),
        }
    }

    /// When `expire` is due, if ever.
    pub fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let timeout = match &self.state {
            State::Handshaking => timeouts.handshake,
            State::Echoing if self.link.is_flushed() => timeouts.idle,
            State::Echoing | State::Draining(_) | State::Finishing(_) => timeouts.write,
            State::Lingering(_) => timeouts.linger,
        };
        self.since.checked_add(timeout?)
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }

    /// Bytes moved: counts as life where the state's timeout is for silence.
    fn touch(&mut self, now: Instant) {
        if !matches!(self.state, State::Handshaking | State::Lingering(_)) {
            self.since = now;
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Handshaking | State::Echoing)
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Handshaking => Stage::Handshaking,
            State::Echoing => Stage::Echoing,
            State::Draining(_) => Stage::Draining,
            State::Finishing(_) => Stage::Finishing,
            State::Lingering(_) => Stage::Lingering,
        }
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.link.transport(), Transport::Tls(_))
    }

    /// The socket, to be registered.
    pub fn wire(&mut self) -> &mut W {
        self.link.wire()
    }

    /// Where the session came from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Plaintext bytes that came from the peer.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What the log says of it at its end, as `key=value`.
    ///
    /// `in` and `out` are bytes of the echo. `unsent` are bytes of the wire that the kernel had not
    /// taken; with TLS their rims count too, so `out` may then be a little too small.
    pub fn summary(&self, now: Instant) -> String {
        let (received, unsent) = (self.received, self.link.unsent() as u64);
        let echoed = received.saturating_sub(unsent);
        let duration = now.duration_since(self.opened).as_secs_f64();
        let agreed = self.link.transport().agreed();
        let optional = [
            (unsent > 0).then(|| format!(" unsent={unsent}")),
            agreed.map(|agreed| format!(" {agreed}")),
        ];
        let optional: String = optional.into_iter().flatten().collect();
        format!("in={received} out={echoed} duration={duration:.3}s{optional}")
    }
}

#[cfg(test)]
mod tests;
