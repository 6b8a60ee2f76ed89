//! What a listener does with plaintext. A service does no I/O, knows nothing of TLS or of the event
//! loop, and has bounded state. The session passes it the plaintext that was received, and sends its
//! answer.
//!
//! # A service never waits
//!
//! It says what it does next ([`Next`]), and the session does it: read, send the answers that it owes,
//! send without a request, or end. The session sends while the outbox is empty, so the rule of
//! backpressure holds for every service. A service may ask for a turn at a time ([`Other::due`]).

mod chargen;
pub mod next;
mod report;
pub mod web;

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::rc::Rc;
use std::time::Duration;

use chargen::Chargen;
use next::{Connection, Next, Requester};
use report::Report;
use web::{Context, Web};

use crate::config;
use crate::os::clock::Moment;
use crate::tls::hello::Offered;
use crate::wire::proxy::Header;

/// The service of one session: 8 bytes, so that an idle session of the echo stays small.
#[derive(Debug)]
pub enum Service {
    /// Sends back what is received (RFC 862).
    Echo,
    /// One of the others, with its state.
    Other(Box<Other>),
}

/// The services besides the echo.
#[derive(Debug)]
pub enum Other {
    /// Discards what is received (RFC 863).
    Discard,
    /// Sends characters for as long as the peer takes them, and discards what is received (RFC 864).
    Chargen(Chargen),
    /// Answers requests of HTTP/1.1 (RFC 9112), and is the echo of a WebSocket (RFC 6455).
    Web(Web),
    /// Says what the daemon has seen of the connection.
    Report(Box<Report>),
}

/// Bytes of plaintext, by what services did with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Received from the peer.
    pub received: u64,
    /// Sent to the peer, unless a session ended before.
    pub sent: u64,
    /// Received by `echo`, and sent back unless a session ended before.
    pub echoed: u64,
    /// Received by `discard`.
    pub discarded: u64,
    /// Sent by `chargen`.
    pub generated: u64,
    /// Requests that `web` has answered: not bytes.
    pub requests: u64,
    /// Reports that `report` has sent: not bytes.
    pub reports: u64,
}

impl Service {
    /// The service that the configuration names, for a session that was `accepted` then; `context` is for `web`
    /// and `report`.
    pub fn new(service: config::Service, context: &Rc<Context>, accepted: Moment) -> Self {
        let other = match service {
            config::Service::Echo => return Self::Echo,
            config::Service::Discard => Other::Discard,
            config::Service::Chargen => Other::Chargen(Chargen::default()),
            config::Service::Web => Other::Web(Web::new(Rc::clone(context))),
            config::Service::Report => {
                Other::Report(Box::new(Report::new(Rc::clone(context), accepted)))
            }
        };
        Self::Other(Box::new(other))
    }

    /// Whether it sends without a request.
    pub fn speaks(&self) -> bool {
        matches!(self, Self::Other(other) if matches!(**other, Other::Chargen(_)))
    }

    /// Whether it sends what the daemon sees, once a second.
    pub fn is_watching(&self) -> bool {
        matches!(self, Self::Other(other) if matches!(&**other, Other::Web(web) if web.is_watching()))
    }

    /// Whether it has seen nothing but probes.
    pub fn is_probe(&self) -> bool {
        matches!(self, Self::Other(other) if matches!(&**other, Other::Web(web) if web.is_probe()))
    }

    /// What it has done in a session that `received` this many bytes.
    pub fn volume(&self, received: u64) -> Volume {
        let only_received = Volume { received, ..Volume::default() };
        let Self::Other(other) = self else {
            return Volume { sent: received, echoed: received, ..only_received };
        };
        match &**other {
            Other::Discard => Volume { discarded: received, ..only_received },
            Other::Chargen(chargen) => {
                let generated = chargen.sent();
                Volume { sent: generated, generated, ..only_received }
            }
            Other::Web(web) => {
                Volume { sent: web.sent(), requests: web.requests(), ..only_received }
            }
            Other::Report(report) => {
                Volume { sent: report.sent(), reports: report.reports(), ..only_received }
            }
        }
    }
}

impl Other {
    /// Whether it wants the `ClientHello`, which has not come yet.
    pub fn wants_hello(&self) -> bool {
        matches!(self, Self::Report(report) if report.wants_hello())
    }

    /// Takes the header of the PROXY protocol with which the `proxy` began the connection.
    pub fn take_header(&mut self, header: Header, proxy: SocketAddr) {
        if let Self::Report(report) = self {
            report.take_header(header, proxy);
        }
    }

    /// Takes what the `ClientHello` offers.
    pub fn take_hello(&mut self, offered: Offered) {
        if let Self::Report(report) = self {
            report.take_hello(offered);
        }
    }

    /// Takes the plaintext that `came` at this time after accept, and puts what it answers at once behind
    /// `said`.
    pub fn receive(&mut self, came: &[u8], age: Duration, said: &mut Vec<u8>) {
        match self {
            Self::Discard | Self::Chargen(_) => {}
            Self::Web(web) => web.receive(came, said),
            Self::Report(report) => report.receive(came, age),
        }
    }

    /// What it does next.
    pub fn next(&self) -> Next {
        match self {
            Self::Discard => Next::Read,
            Self::Chargen(_) => Next::Speak,
            Self::Web(web) => web.next(),
            Self::Report(report) => report.next(),
        }
    }

    /// When it wants a turn that no event announces, after accept.
    pub fn due(&self) -> Option<Duration> {
        match self {
            Self::Discard | Self::Chargen(_) | Self::Web(_) => None,
            Self::Report(report) => report.due(),
        }
    }

    /// The turn that was due.
    pub fn wake(&mut self) {
        if let Self::Report(report) = self {
            report.wake();
        }
    }

    /// Puts the next piece of the answer that it owes behind `said`: none if that is not there yet.
    pub fn answer(&mut self, requester: &Requester, said: &mut Vec<u8>) {
        if let Self::Web(web) = self {
            web.answer(requester, said);
        }
    }

    /// Whether it reports on its connection at the end.
    pub fn reports(&self) -> bool {
        matches!(self, Self::Report(_))
    }

    /// Appends its report on `connection` to `said`.
    pub fn report(&mut self, connection: &Connection, said: &mut Vec<u8>) {
        if let Self::Report(report) = self {
            report.report(connection, said);
        }
    }

    /// Appends to `said` the message that announces the end of the session by the daemon.
    pub fn say_goodbye(&mut self, said: &mut Vec<u8>) {
        if let Self::Web(web) = self {
            web.say_goodbye(said);
        }
    }

    /// The next bytes that it sends without a request.
    pub fn speak(&mut self) -> &[u8] {
        match self {
            Self::Chargen(chargen) => chargen.next_piece(),
            Self::Discard | Self::Web(_) | Self::Report(_) => &[],
        }
    }
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        let Self { received, sent, echoed, discarded, generated, requests, reports } = other;
        self.received += received;
        self.sent += sent;
        self.echoed += echoed;
        self.discarded += discarded;
        self.generated += generated;
        self.requests += requests;
        self.reports += reports;
    }
}

impl Volume {
    /// What services did, for the log. A count of zero is left out, except that of the echo.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { echoed, discarded, generated, requests, reports, .. } = *self;
        let others = [
            ("discarded", discarded),
            ("generated", generated),
            ("requests", requests),
            ("reports", reports),
        ];
        let others = others.into_iter().filter(|(_, count)| *count > 0);
        std::iter::once(("echoed", echoed)).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(service: config::Service, received: u64) -> Volume {
        Service::new(service, &Rc::default(), Moment::now()).volume(received)
    }

    #[test]
    fn an_echo_sends_what_it_received_and_discard_nothing() {
        let none = Volume::default();
        let echoed = Volume { received: 5, sent: 5, echoed: 5, ..none };
        assert_eq!(volume(config::Service::Echo, 5), echoed);
        let discarded = Volume { received: 5, discarded: 5, ..none };
        assert_eq!(volume(config::Service::Discard, 5), discarded);
        assert_eq!(volume(config::Service::Web, 5), Volume { received: 5, ..none });
    }

    #[test]
    fn a_report_alone_wants_the_client_hello() {
        for service in [config::Service::Discard, config::Service::Web, config::Service::Report] {
            let made = Service::new(service, &Rc::default(), Moment::now());
            let Service::Other(other) = made else { panic!("{service:?}") };
            assert_eq!(other.wants_hello(), service == config::Service::Report);
        }
    }

    #[test]
    fn volumes_add_up() {
        let of = |times: u64| Volume {
            received: 3 * times,
            sent: 4 * times,
            echoed: 5 * times,
            discarded: 6 * times,
            generated: 7 * times,
            requests: 8 * times,
            reports: 9 * times,
        };
        let mut sum = of(1);
        sum += of(1);
        assert_eq!(sum, of(2));
        let pairs: Vec<_> = sum.pairs().collect();
        assert_eq!(
            pairs,
            [
                ("echoed", 10),
                ("discarded", 12),
                ("generated", 14),
                ("requests", 16),
                ("reports", 18)
            ]
        );
    }
}
