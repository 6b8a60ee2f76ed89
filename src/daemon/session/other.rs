//! The steps of sessions whose service is not the echo. They are no part of its straight path.
//!
//! # An answer that is owed comes first
//!
//! A service may owe more than one answer to what came in one read: requests that were pipelined, or an
//! answer of many pieces. It gives one piece at a time, while the outbox is empty, and nothing is read
//! before all of them are out. So the rule of backpressure holds for it, and a peer that has ended its
//! side still gets them.
//!
//! # A turn at a time
//!
//! A service may want a turn that no event announces. It is one more deadline of the session, as long as the
//! outbox is empty: a peer that does not read gets nothing new.

use std::mem;

use super::state::State;
use super::{Session, Step, Turn};
use crate::daemon::service::next::{Connection, Next, Requester, Secured};
use crate::daemon::service::{Other, Service};
use crate::os::clock::Moment;
use crate::tls::certificate::Certificate;
use crate::tls::certificate::escape::printable;
use crate::tls::hello::{Offered, shortened};
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Bytes, Wire};
use crate::wire::transport::Transport;

impl<W: Wire> Session<W> {
    /// A step of a session that serves.
    pub(super) fn serve_other(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match self.next() {
            Next::Read if self.link.transport().peer_done() => {
                self.enter(State::Draining(CloseReason::PeerDone), now)
            }
            Next::Read => self.read(false, now, buffers),
            Next::Answer => self.answer(now, buffers),
            Next::Report => {
                let sent = self.report(None, now, buffers);
                self.follow_sent(sent, now)
            }
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
        let age = self.age(now);
        let (service, said) = (&mut self.service, &mut scratch);
        if let Service::Other(other) = service
            && handshaking
            && other.wants_hello()
            && let Some(offered) = Offered::read(bytes.of(buffers))
        {
            other.take_hello(offered);
        }
        let received = self.link.receive(bytes, buffers, move |came| {
            if let Service::Other(other) = service {
                other.receive(came, age, said);
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
            is_verified: self.link.transport().peer_certificate().is_some(),
        };
        let sent = self.send_said(buffers, |other, said| other.answer(&requester, said));
        match sent {
            Ok(0) if matches!(self.next(), Next::Answer) => Step::Later,
            sent => self.follow_sent(sent.map(drop), now),
        }
    }

    /// The step after something was sent.
    fn follow_sent(&mut self, sent: Result<(), CloseReason>, now: Moment) -> Step {
        match sent {
            Ok(()) => {
                self.since = now;
                if self.link.is_flushed() { Step::More } else { Step::Wait }
            }
            Err(reason) => self.fail(reason),
        }
    }

    /// Sends the report of its service, at the end for this `reason`.
    fn report(
        &mut self,
        reason: Option<&CloseReason>,
        now: Moment,
        buffers: &mut Buffers,
    ) -> Result<(), CloseReason> {
        let connection = Connection {
            peer: self.peer,
            local: self.link.local_address(),
            age: self.age(now),
            reason: reason.map(CloseReason::name),
            tcp: self.link.tcp_info(),
            tls: secured(self.link.transport()),
        };
        self.send_said(buffers, |other, said| other.report(&connection, said)).map(drop)
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

    /// Sends the last message of its service, if it has one, before our side ends for this `reason`.
    pub(super) fn say_goodbye(
        &mut self,
        reason: &CloseReason,
        now: Moment,
        buffers: &mut Buffers,
    ) -> Result<(), CloseReason> {
        let Service::Other(other) = &self.service else { return Ok(()) };
        if other.reports() {
            return self.report(Some(reason), now, buffers);
        }
        // The end by a peer is no news to it.
        if self.link.is_ended() || self.link.transport().peer_done() {
            return Ok(());
        }
        self.send_said(buffers, Other::say_goodbye).map(drop)
    }

    /// When its service wants a turn that no event announces, if ever.
    pub(super) fn due(&self) -> Option<Moment> {
        match &self.service {
            Service::Other(other) if self.is_idle() => self.opened.checked_add(other.due()?),
            _ => None,
        }
    }

    /// Gives its service the turn that was due.
    pub(super) fn wake(&mut self, now: Moment, buffers: &mut Buffers) -> Turn {
        if let Service::Other(other) = &mut self.service {
            other.wake();
        }
        self.go_on(Step::More, false, now, buffers)
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

    /// Whether its service sends what the daemon sees, once a second.
    pub fn is_watching(&self) -> bool {
        matches!(self.state, State::Serving) && self.service.is_watching()
    }

    fn next(&self) -> Next {
        match &self.service {
            Service::Other(other) => other.next(),
            Service::Echo => Next::Read,
        }
    }
}

/// What was agreed in the handshake of TLS, for a report and for the log.
pub(super) fn secured(transport: &Transport) -> Option<Secured> {
    let agreed = transport.agreed()?;
    let alpn = transport.application_protocol();
    let certificate = transport.peer_certificate().and_then(|der| Certificate::parse(der).ok());
    Some(Secured {
        agreed,
        alpn: alpn.map(|name| shortened(&printable(&String::from_utf8_lossy(name)))),
        client_certificate: certificate.map(|certificate| shortened(&certificate.subject)),
    })
}
