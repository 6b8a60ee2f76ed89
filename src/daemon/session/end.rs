//! The end of a session: drain, finish, linger, close.

use super::state::{State, Timer};
use super::{Session, Step, Turn};
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Reading, Wire};

/// How many turns a session has at its end for what had been received before: 6 MiB, as much as Linux
/// buffers for a socket by default (tcp(7), `tcp_rmem`). A peer that goes on sending gets no more.
const LAST_TURNS: usize = 32;

impl<W: Wire> Session<W> {
    /// The peer's FIN was read.
    #[cold]
    pub(super) fn end_of_wire(&mut self, now: Moment) -> Step {
        match self.link.transport().end_of_wire() {
            reason @ CloseReason::HandshakeAbandoned => self.fail(reason),
            reason => self.enter(State::Draining(reason), now),
        }
    }

    /// A step towards the end, once nothing more is answered. The outbox is empty.
    pub(super) fn wind_down(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match self.state.clone() {
            State::Expecting | State::Handshaking | State::Opening | State::Serving => Step::More,
            State::Draining(reason) => {
                let said = self.say_goodbye(&reason, now, buffers);
                match said.and_then(|()| self.link.finish(buffers)) {
                    Ok(()) => {
                        self.enter(State::Finishing(reason), now);
                        if self.link.is_flushed() { Step::More } else { Step::Wait }
                    }
                    Err(reason) => self.fail(reason),
                }
            }
            State::Finishing(reason) => {
                if self.link.is_ended() || self.link.end_writing().is_err() {
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
            State::Closed(_) | State::Refused => Step::Closed,
        }
    }

    /// Ends the session for `reason`: answers what has been received already, ends our side, and
    /// lingers.
    pub fn end(&mut self, reason: CloseReason, now: Moment, buffers: &mut Buffers) -> Turn {
        let mut turn = Turn::Wait;
        // A service that sends without a request would never stop.
        if !self.speaks() {
            turn = self.go_on(Step::More, true, now, buffers);
            for _ in 1..LAST_TURNS {
                if turn != Turn::Again {
                    break;
                }
                turn = self.go_on(Step::More, true, now, buffers);
            }
        }
        match self.state {
            State::Expecting | State::Handshaking => self.close(reason),
            State::Opening | State::Serving => {
                self.enter(State::Draining(reason), now);
                self.go_on(Step::More, true, now, buffers)
            }
            _ => turn,
        }
    }

    /// The deadline has passed: gives its service the turn that is due, or ends the session, or what is left
    /// of it.
    pub fn expire(&mut self, now: Moment, buffers: &mut Buffers) -> Turn {
        if self.due().is_some_and(|due| due <= now) {
            return self.wake(now, buffers);
        }
        match (&self.state, self.timer()) {
            (State::Closed(_) | State::Refused, _) => Turn::Closed,
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

    /// Ends the session as it stands, in a step of a turn.
    #[cold]
    pub(super) fn fail(&mut self, reason: CloseReason) -> Step {
        self.close(reason);
        Step::Closed
    }
}
