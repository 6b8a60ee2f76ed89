//! The steps of sessions whose service is not the echo. They are no part of its straight path.
//!
//! # An answer that is owed comes first
//!
//! A service may owe more than one answer to what came in one read: requests that were pipelined, or an
//! answer of many pieces. It gives one piece at a time, while the outbox is empty, and nothing is read
//! before all of them are out. So the rule of backpressure holds for it, and a peer that has ended its
//! side still gets them.

use std::mem;

use super::state::State;
use super::{Session, Step};
use crate::daemon::service::next::{Next, Requester};
use crate::daemon::service::{Other, Service};
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Bytes, Wire};

impl<W: Wire> Session<W> {
    /// A step of a session that serves.
    pub(super) fn serve_other(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match self.next() {
            Next::Read if self.link.transport().peer_done() => {
                self.enter(State::Draining(CloseReason::PeerDone), now)
            }
            Next::Read => self.read(false, now, buffers),
            Next::Answer => self.answer(now, buffers),
            Next::Speak => self.speak(now, buffers),
            Next::End(reason) => self.enter(State::Draining(reason), now),
        }
    }

    /// Takes what was read through open, service and seal.
    #[cold]
    pub(super) fn receive_other(
        &mut self,
        bytes: Bytes,
        handshaking: bool,
        now: Moment,
        buffers: &mut Buffers,
    ) -> Step {
        let mut scratch = mem::take(&mut buffers.answer);
        scratch.clear();
        let (service, said) = (&mut self.service, &mut scratch);
        let received = self.link.receive(bytes, buffers, move |came| {
            if let Service::Other(other) = service {
                other.receive(came, said);
            }
            &*said
        });
        let received = received.map(<[u8]>::len);
        buffers.answer = scratch;
        match received {
            Ok(count) => self.received += count as u64,
            // Where TLS failed, the alert goes out, and then the session ends.
            Err(reason) => return self.enter(State::Finishing(reason), now),
        }
        let peer_done = self.link.transport().peer_done();
        if !handshaking {
            self.since = now;
        } else if !self.link.transport().is_handshaking() {
            self.enter(State::Serving, now);
        }
        match self.next() {
            Next::Read | Next::Speak if peer_done => {
                self.enter(State::Draining(CloseReason::PeerDone), now)
            }
            Next::Read if self.link.is_flushed() && bytes.is_short() => Step::Answered,
            _ if self.link.is_flushed() => Step::More,
            _ => Step::Wait,
        }
    }

    /// Sends the next piece of an answer.
    fn answer(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        let requester = Requester {
            address: self.peer.ip().to_canonical(),
            is_verified: self.link.transport().is_peer_verified(),
        };
        let sent = self.send_said(buffers, |other, said| other.answer(&requester, said));
        match sent {
            Err(reason) => self.fail(reason),
            Ok(0) if matches!(self.next(), Next::Answer) => Step::Later,
            Ok(_) => {
                self.since = now;
                if self.link.is_flushed() { Step::More } else { Step::Wait }
            }
        }
    }

    /// Sends the next bytes of a service that speaks without a request, and reads once.
    fn speak(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        let bytes = match &mut self.service {
            Service::Other(other) => other.speak(),
            Service::Echo => &[],
        };
        if let Err(reason) = self.link.send(bytes, buffers) {
            return self.fail(reason);
        }
        self.since = now;
        if !self.link.is_flushed() {
            return Step::Wait;
        }
        match self.read(false, now, buffers) {
            Step::Wait | Step::Answered => Step::More,
            step => step,
        }
    }

    /// Announces to the peer that the daemon ends the session, if its service has a message for that.
    pub(super) fn say_goodbye(&mut self, buffers: &mut Buffers) -> Result<(), CloseReason> {
        self.send_said(buffers, Other::say_goodbye).map(drop)
    }

    /// Sends what `say` has the service append to an empty buffer. Returns its length.
    fn send_said(
        &mut self,
        buffers: &mut Buffers,
        say: impl FnOnce(&mut Other, &mut Vec<u8>),
    ) -> Result<usize, CloseReason> {
        let mut said = mem::take(&mut buffers.answer);
        said.clear();
        if let Service::Other(other) = &mut self.service {
            say(other, &mut said);
        }
        let sent = self.link.send(&said, buffers).map(|()| said.len());
        buffers.answer = said;
        sent
    }

    fn next(&self) -> Next {
        match &self.service {
            Service::Other(other) => other.next(),
            Service::Echo => Next::Read,
        }
    }
}
