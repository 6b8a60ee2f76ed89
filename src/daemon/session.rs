//! One connection's life: read, open, **serve**, seal, flush, close.
//!
//! ```text
//! Handshaking ──▶ Serving ──▶ Draining ──▶ Finishing ──▶ Lingering ──▶ Closed, with a CloseReason
//!  handshake-      idle- or    write-       write-        linger-
//!  timeout         write-      timeout      timeout       timeout
//!                  timeout
//! ```
//!
//! Behind a proxy, there are two states in front of these: `expect` has them.
//!
//! # Progress is tried at once
//!
//! Readiness is edge-triggered: an event reports a change once. So whatever may put bytes into the
//! outbox also tries to write them, and an event always asks a session for the same thing:
//! [`Session::advance`], as far as it goes.
//!
//! # A read that stops early is resumed
//!
//! A read that stops because the kernel had no more (a short count, or `WouldBlock`) waits for the next
//! event. One that stops because the turn is over returns [`Turn::Again`], and the event loop resumes it.
//! One that stops because the outbox is not empty is resumed when the outbox empties, and then goes on
//! to `WouldBlock`, because its event has passed.
//!
//! # A short count ends reading, except for a FIN and urgent data
//!
//! New bytes make a new event, so after a short count no second read is needed to see `WouldBlock`. A
//! FIN that came *with* the last bytes makes no second event, and in front of an urgent byte a read
//! stops short of what is there (RFC 6093 §3). Their events say so, and then the session reads to the
//! end (`to_the_end`).
//!
//! # Backpressure
//!
//! A session whose outbox is not empty is not read from. That is the whole rule, and the bound on what
//! a peer that does not read can cost: one read's worth, [`READ_SIZE`](crate::wire::buffers::READ_SIZE);
//! with TLS the record that it completed, 16 KiB, and the overhead of all its records.
//!
//! # The usual message takes a straight path
//!
//! It arrives in one short read, leaves in one write, and changes nothing but the time. The code around
//! the two system calls is inlined into the event loop. Everything else is in functions that are marked
//! `#[cold]`. benches/counts holds the path to a number of instructions.
//!
//! # No byte is lost without a count
//!
//! A byte that a service has sent is in the kernel's send buffer, in the outbox, or counted as `unsent`
//! in the log line of the session.

mod end;
mod expect;
mod other;
mod proxied;
mod state;
mod summary;

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Timeouts;
use crate::daemon::service::{Service, Volume};
use crate::os::clock::Moment;
use crate::os::tcp_info::TcpInfo;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Bytes, Link, Reading, Wire};
use crate::wire::transport::{Agreed, Transport};
use proxied::Proxied;
use state::{State, Timer};

/// How many steps a session may make, beyond the first, before the others have their turn; most of
/// them are reads.
const STEPS_A_TURN: usize = 6;

/// The outcome of one step of a turn.
#[derive(Clone, Copy)]
enum Step {
    /// What came was answered, and the kernel had no more of it.
    Answered,
    /// There may be more to do.
    More,
    /// There is more to do, but not in this turn.
    Later,
    /// There is nothing more to do until the next event.
    Wait,
    /// The peer is known, and limits are to be checked before anything is served.
    Named,
    /// The session is over.
    Closed,
}

/// What a session waits for after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// An event; nothing has changed, except that its deadline may be later.
    Unchanged,
    /// An event.
    Wait,
    /// Another turn, after the others have had theirs.
    Again,
    /// Another turn, in another iteration of the event loop.
    Later,
    /// The check of limits on its peer, whom its header has named: [`Session::admit`] or [`Session::refuse`].
    Admission,
    /// To be reaped; [`Session::reason`] says why.
    Closed,
}

/// One accepted connection.
pub struct Session<W> {
    link: Link<W>,
    state: State,
    /// When the state's timeout began: with the state, or with the last byte that moved, where bytes
    /// show that the peer is alive (serving, draining, finishing).
    since: Moment,
    opened: Moment,
    /// Plaintext bytes that came from the peer.
    received: u64,
    /// Where it came from: what limits count, and the log shows.
    peer: SocketAddr,
    service: Service,
    /// The proxy that it came through, if its listener is for proxies.
    proxied: Option<Box<Proxied>>,
}

impl<W: Wire> Session<W> {
    /// A session over `wire`, at `now`.
    pub fn new(
        wire: W,
        peer: SocketAddr,
        transport: Transport,
        service: Service,
        now: Moment,
    ) -> Self {
        let state = if transport.is_handshaking() { State::Handshaking } else { State::Serving };
        let link = Link::new(wire, transport);
        Self { link, state, since: now, opened: now, received: 0, peer, service, proxied: None }
    }

    /// Goes as far as the kernel and a turn allow. `to_the_end`: the event said that the peer has
    /// closed or sent urgent data, or this turn follows no event.
    #[inline(always)]
    pub fn advance(&mut self, to_the_end: bool, now: Moment, buffers: &mut Buffers) -> Turn {
        if to_the_end || !self.is_idle() {
            return if self.is_closed() {
                Turn::Unchanged
            } else {
                self.go_on(Step::More, to_the_end, now, buffers)
            };
        }
        match self.read(false, now, buffers) {
            Step::Answered => Turn::Unchanged,
            step => self.go_on(step, to_the_end, now, buffers),
        }
    }

    /// The turn after its first step.
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
                Step::Answered if !to_the_end => return Turn::Wait,
                Step::Answered | Step::More => {}
                Step::Wait => return Turn::Wait,
                Step::Later => return Turn::Later,
                Step::Named => return Turn::Admission,
                Step::Closed => return Turn::Closed,
            }
            step = if !self.link.is_flushed() {
                to_the_end = true;
                self.flush(now)
            } else if self.state.reads() {
                self.serve(now, buffers)
            } else {
                self.wind_down(now, buffers)
            };
        }
        match step {
            Step::Closed => Turn::Closed,
            Step::Later => Turn::Later,
            Step::Named => Turn::Admission,
            _ => Turn::Again,
        }
    }

    /// Sends what is in the outbox.
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

    /// A step of a session that reads: lets its service send, or reads once.
    fn serve(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match (&self.state, &self.service) {
            (State::Expecting, _) => self.expect_header(buffers),
            (State::Opening, _) => self.read_first(now, buffers),
            (State::Serving, Service::Other(_)) => self.serve_other(now, buffers),
            _ => self.read(self.is_handshaking(), now, buffers),
        }
    }

    /// Reads once and answers what came.
    #[inline(always)]
    fn read(&mut self, handshaking: bool, now: Moment, buffers: &mut Buffers) -> Step {
        match self.link.read(buffers) {
            Ok(Reading::Bytes(bytes)) => match self.service {
                Service::Echo => self.echo(bytes, handshaking, now, buffers),
                Service::Other(_) => self.receive_other(bytes, handshaking, now, buffers),
            },
            Ok(Reading::Nothing) => Step::Wait,
            Ok(Reading::Ended) => self.end_of_wire(now),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes what was read through open and seal, and sends it back.
    #[inline(always)]
    fn echo(
        &mut self,
        bytes: Bytes,
        handshaking: bool,
        now: Moment,
        buffers: &mut Buffers,
    ) -> Step {
        let count = match self.link.receive(bytes, buffers, |came| came) {
            Ok(plaintext) => plaintext.len() as u64,
            // Where TLS failed, the alert goes out, and then the session ends.
            Err(reason) => return self.enter(State::Finishing(reason), now),
        };
        self.received += count;
        buffers.echoed += count;
        if self.link.transport().peer_done() {
            return self.enter(State::Draining(CloseReason::PeerDone), now);
        }
        if !handshaking {
            self.since = now;
        } else if !self.link.transport().is_handshaking() {
            self.enter(State::Serving, now);
        }
        match (self.link.is_flushed(), bytes.is_short()) {
            (true, true) => Step::Answered,
            (true, false) => Step::More,
            (false, _) => Step::Wait,
        }
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_) | State::Refused)
    }

    /// Why it is over, once it is; none if it was refused.
    pub fn reason(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// When `expire` is due, if ever.
    pub fn deadline(&self, timeouts: &Timeouts) -> Option<Moment> {
        let timeout = self.timer().timeout(timeouts);
        let ends = timeout.and_then(|timeout| self.since.checked_add(timeout));
        ends.into_iter().chain(self.due()).min()
    }

    fn timer(&self) -> Timer {
        self.state.timer(self.link.is_flushed())
    }

    #[cold]
    fn enter(&mut self, state: State, now: Moment) -> Step {
        self.state = state;
        self.since = now;
        Step::More
    }

    /// Bytes moved.
    fn touch(&mut self, now: Moment) {
        if self.state.lives_by_bytes() {
            self.since = now;
        }
    }

    /// Whether the TLS handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking)
    }

    /// Whether all that came was answered, and all answers went out.
    #[inline]
    fn is_idle(&self) -> bool {
        matches!(self.state, State::Serving) && self.link.is_flushed()
    }

    /// How long it has been open.
    pub fn age(&self, now: Moment) -> Duration {
        now.duration_since(self.opened)
    }

    /// The outcome of its TLS handshake, just after that, and the time from accept to then.
    pub fn handshake(&self) -> Option<(Agreed, Duration)> {
        let transport = self.link.transport();
        let agreed = transport.agreed().filter(|_| !transport.is_handshaking())?;
        Some((agreed, self.age(self.since)))
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.link.transport(), Transport::Tls(_))
    }

    /// The socket, to be registered.
    pub fn wire(&mut self) -> &mut W {
        self.link.wire()
    }

    /// Where the session came from: behind a proxy, what its header says.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the kernel knows of its connection.
    pub fn tcp_info(&self) -> Option<TcpInfo> {
        self.link.tcp_info()
    }

    /// Plaintext bytes that came from the peer.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether it was a probe alone, whose end is of no interest.
    pub fn is_probe(&self) -> bool {
        let is_probe = self.service.is_probe() || self.is_health_check();
        is_probe && self.reason().is_some_and(CloseReason::is_usual)
    }

    /// What its service has done.
    pub fn volume(&self) -> Volume {
        self.service.volume(self.received)
    }

    /// Whether its service sends without a request.
    pub fn speaks(&self) -> bool {
        matches!(self.state, State::Serving) && self.service.speaks()
    }

    /// What was agreed in its TLS handshake, if that is over.
    pub fn agreed(&self) -> Option<Agreed> {
        self.link.transport().agreed()
    }

    /// Plaintext bytes that the kernel has taken. With TLS the record overhead is among the unsent bytes, so
    /// it may be a little too small while there are any.
    pub fn sent(&self) -> u64 {
        self.volume().sent.saturating_sub(self.unsent() as u64)
    }

    /// Bytes of the wire that the kernel has not taken.
    pub fn unsent(&self) -> usize {
        self.link.unsent()
    }
}

#[cfg(test)]
mod tests;
