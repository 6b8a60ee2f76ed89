//! One connection's life: read, open, **echo**, seal, flush, close.
//!
//! ```text
//! Handshaking ──▶ Echoing ──▶ Draining ──▶ Finishing ──▶ Lingering ──▶ Closed, with a CloseReason
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
//! # A short count ends reading, but for a FIN and urgent data
//!
//! New bytes make a new event, so there is no second read to hear `WouldBlock` after a short count.
//! A FIN that came *with* the last bytes makes no second event, and before an urgent byte a read stops
//! short of what is there (RFC 6093 §3). Their events say so, and then we read to the end
//! (`to_the_end`).
//!
//! # Backpressure
//!
//! A session whose outbox is not empty is not read from. That is the whole rule, and the bound on
//! what a peer that does not read can cost: one read's worth, [`READ_SIZE`](crate::wire::buffers::READ_SIZE); with TLS the
//! record that it completed, 16 KiB, and the rims of all its records.
//!
//! # A usual message takes a straight line
//!
//! It comes in one short read, goes out whole, and nothing changes but the time. What is beside the
//! two system calls is inlined into the loop; what is rare is in functions of its own, which are
//! `#[cold]`. benches/counts holds it to a number of instructions.
//!
//! # No byte vanishes
//!
//! A byte that was read is in the kernel again, in the outbox, or counted as `unsent` in the line
//! that the log has for the session's end.

use std::net::SocketAddr;

use crate::config::Timeouts;
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Bytes, Link, Reading, Wire};
use crate::wire::transport::Transport;

/// How many steps a session may make, beyond the first, before the others have their turn; most of
/// them are reads.
const STEPS_A_TURN: usize = 6;

/// How many turns more a session may have for what had come before it was ended: 6 MiB, as much as
/// Linux keeps of a peer by default (tcp(7), `tcp_rmem`). Who goes on sending gets no more than that.
const LAST_TURNS: usize = 32;

/// Which of the timeouts a session is under.
#[derive(Clone, Copy)]
enum Timer {
    Handshake,
    Idle,
    Write,
    Linger,
}

/// Where a session is in its life. From `Draining` on, why it ends is known.
#[derive(Clone, Debug)]
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
    /// It is over.
    Closed(CloseReason),
}

/// What a step of a turn came to.
#[derive(Clone, Copy)]
enum Step {
    /// What came went back, and the kernel had no more of it.
    Echoed,
    /// There may be more to do.
    More,
    /// There is no more to do, for now.
    Wait,
    /// The session is over.
    Closed,
}

/// What a session wants after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// An event; nothing has changed but that its deadline may have moved back.
    Unchanged,
    /// An event.
    Wait,
    /// Another turn, after the others have had theirs.
    Again,
    /// To be dropped; [`Session::reason`] says why.
    Closed,
}

/// One accepted connection.
pub struct Session<W> {
    link: Link<W>,
    state: State,
    /// Since when the state's timeout runs: the state's beginning, and where bytes count as
    /// life (echoing, draining, finishing) the last of them.
    since: Moment,
    opened: Moment,
    /// Plaintext bytes that came from the peer.
    received: u64,
    /// The peer's FIN was read, or is not worth waiting for.
    wire_ended: bool,
    peer: SocketAddr,
}

impl<W: Wire> Session<W> {
    /// A session over `wire`, at `now`.
    pub fn new(wire: W, peer: SocketAddr, transport: Transport, now: Moment) -> Self {
        let state = if transport.is_handshaking() { State::Handshaking } else { State::Echoing };
        let link = Link::new(wire, transport);
        Self { link, state, since: now, opened: now, received: 0, wire_ended: false, peer }
    }

    /// Goes as far as the kernel and a turn allow. `to_the_end`: the event said that the peer has
    /// closed or sent urgent data, or there was none.
    #[inline(always)]
    pub fn advance(&mut self, to_the_end: bool, now: Moment, buffers: &mut Buffers) -> Turn {
        if to_the_end || !self.is_idle() {
            return if self.is_closed() {
                Turn::Unchanged
            } else {
                self.go_on(Step::More, to_the_end, now, buffers)
            };
        }
        match self.read(now, buffers) {
            Step::Echoed => Turn::Unchanged,
            step => self.go_on(step, to_the_end, now, buffers),
        }
    }

    /// The turn behind its first step.
    #[cold]
    fn go_on(
        &mut self,
        mut step: Step,
        mut to_the_end: bool,
        now: Moment,
        buffers: &mut Buffers,
    ) -> Turn {
        for _ in 0..STEPS_A_TURN {
            match step {
                Step::Echoed if !to_the_end => return Turn::Wait,
                Step::Echoed | Step::More => {}
                Step::Wait => return Turn::Wait,
                Step::Closed => return Turn::Closed,
            }
            step = if !self.link.is_flushed() {
                to_the_end = true;
                self.flush(now)
            } else if self.is_open() {
                self.read(now, buffers)
            } else {
                self.wind_down(now, buffers)
            };
        }
        match step {
            Step::Closed => Turn::Closed,
            _ => Turn::Again,
        }
    }

    /// Sends what waits.
    fn flush(&mut self, now: Moment) -> Step {
        match self.link.flush() {
            Ok(moved) => {
                if moved {
                    self.touch(now);
                }
                if self.link.is_flushed() { Step::More } else { Step::Wait }
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Reads once and echoes what came.
    #[inline(always)]
    fn read(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match self.link.read(buffers) {
            Ok(Reading::Bytes(bytes)) => self.receive(bytes, now, buffers),
            Ok(Reading::Nothing) => Step::Wait,
            Ok(Reading::Ended) => self.end_of_wire(now),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes what was read through open, echo and seal.
    #[inline(always)]
    fn receive(&mut self, bytes: Bytes, now: Moment, buffers: &mut Buffers) -> Step {
        // This is the echo (RFC 862): what came is what goes.
        let count = match self.link.receive(bytes, buffers, |came| came) {
            Ok(plaintext) => plaintext.len() as u64,
            // Where TLS failed, the peer is owed the alert, and then the end.
            Err(reason) => return self.enter(State::Finishing(reason), now),
        };
        self.received += count;
        buffers.passed += count;
        if self.link.transport().peer_done() {
            return self.enter(State::Draining(CloseReason::PeerDone), now);
        }
        if !self.is_handshaking() {
            self.since = now;
        } else if !self.link.transport().is_handshaking() {
            self.enter(State::Echoing, now);
        }
        match (self.link.is_flushed(), bytes.is_short()) {
            (true, true) => Step::Echoed,
            (true, false) => Step::More,
            (false, _) => Step::Wait,
        }
    }

    /// The peer's FIN was read.
    #[cold]
    fn end_of_wire(&mut self, now: Moment) -> Step {
        self.wire_ended = true;
        match self.link.transport().end_of_wire() {
            reason @ CloseReason::HandshakeAbandoned => self.fail(reason),
            reason => self.enter(State::Draining(reason), now),
        }
    }

    /// From where nothing more is echoed, a step towards the end. The outbox is empty.
    fn wind_down(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match self.state.clone() {
            State::Handshaking | State::Echoing => Step::More,
            State::Draining(reason) => match self.link.finish(buffers) {
                Ok(()) => {
                    self.enter(State::Finishing(reason), now);
                    if self.link.is_flushed() { Step::More } else { Step::Wait }
                }
                Err(reason) => self.fail(reason),
            },
            State::Finishing(reason) => {
                if self.wire_ended || self.link.end_writing().is_err() {
                    self.fail(reason)
                } else {
                    self.enter(State::Lingering(reason), now)
                }
            }
            State::Lingering(reason) => match self.link.read(buffers) {
                Ok(Reading::Nothing) => Step::Wait,
                Ok(Reading::Bytes(_)) => Step::More,
                Ok(Reading::Ended) | Err(_) => self.fail(reason),
            },
            State::Closed(_) => Step::Closed,
        }
    }

    /// Ends the session for `reason`: what has come already is echoed, then we say that no more
    /// will come, and linger.
    pub fn end(&mut self, reason: CloseReason, now: Moment, buffers: &mut Buffers) -> Turn {
        let mut turn = self.go_on(Step::More, true, now, buffers);
        for _ in 0..LAST_TURNS {
            if turn != Turn::Again {
                break;
            }
            turn = self.go_on(Step::More, true, now, buffers);
        }
        match self.state {
            State::Handshaking => self.close(reason),
            State::Echoing => {
                self.enter(State::Draining(reason), now);
                self.go_on(Step::More, true, now, buffers)
            }
            _ => turn,
        }
    }

    /// The deadline has passed: ends the session, or what is left of it.
    pub fn expire(&mut self, now: Moment, buffers: &mut Buffers) -> Turn {
        match (&self.state, self.timer()) {
            (State::Closed(_), _) => Turn::Closed,
            (State::Lingering(reason), _) => self.close(reason.clone()),
            (_, Timer::Handshake) => self.close(CloseReason::HandshakeTimeout),
            (_, Timer::Idle) => self.end(CloseReason::IdleTimeout, now, buffers),
            (_, Timer::Write | Timer::Linger) => self.close(CloseReason::WriteTimeout),
        }
    }

    /// Ends the session as it stands.
    #[cold]
    pub fn close(&mut self, reason: CloseReason) -> Turn {
        self.state = State::Closed(reason);
        Turn::Closed
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Why it is over, once it is.
    pub fn reason(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Which timeout it is under.
    fn timer(&self) -> Timer {
        match self.state {
            State::Handshaking => Timer::Handshake,
            State::Echoing if self.link.is_flushed() => Timer::Idle,
            State::Echoing | State::Draining(_) | State::Finishing(_) => Timer::Write,
            State::Lingering(_) | State::Closed(_) => Timer::Linger,
        }
    }

    /// When `expire` is due, if ever.
    pub fn deadline(&self, timeouts: &Timeouts) -> Option<Moment> {
        let timeout = match self.timer() {
            Timer::Handshake => timeouts.handshake,
            Timer::Idle => timeouts.idle,
            Timer::Write => timeouts.write,
            Timer::Linger => timeouts.linger,
        };
        self.since.checked_add(timeout?)
    }

    #[cold]
    fn enter(&mut self, state: State, now: Moment) -> Step {
        self.state = state;
        self.since = now;
        Step::More
    }

    #[cold]
    fn fail(&mut self, reason: CloseReason) -> Step {
        self.close(reason);
        Step::Closed
    }

    /// Bytes moved: counts as life where the state's timeout is for silence.
    fn touch(&mut self, now: Moment) {
        if !matches!(self.state, State::Handshaking | State::Lingering(_)) {
            self.since = now;
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Handshaking | State::Echoing)
    }

    /// Whether the TLS handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking)
    }

    /// Whether all that came went back.
    #[inline]
    fn is_idle(&self) -> bool {
        matches!(self.state, State::Echoing) && self.link.is_flushed()
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
    pub fn summary(&self, now: Moment) -> String {
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
