//! What the peer of a session says, and what it must hear from the service.

mod exchange;
mod reports;
mod requests;
mod websocket;

use echo_alex::testing::{CloseReason, ServiceName};

use crate::ends::{byte_at, bytes_from};
use exchange::{End, Exchange, Items, Random};
use reports::Reports;
use requests::Requests;
use websocket::WebSocket;

/// The peer's side of a session.
pub(crate) struct Dialogue {
    /// The bytes that were said, and those that were heard.
    pub(crate) said: usize,
    pub(crate) heard: usize,
    pub(crate) service: ServiceName,
    pub(crate) is_websocket: bool,
    /// What is said to `web`.
    exchange: Option<Exchange>,
    /// What `report` has sent.
    pub(crate) reports: Reports,
}

impl Dialogue {
    /// The dialogue that the bits choose; `length` chooses what is said to `web`.
    pub(crate) fn new(bits: u8, length: usize) -> Self {
        let random = Random::new(length, bits);
        let has_end = bits & 32 != 0;
        let service = match bits >> 2 & 3 {
            1 if bits & 16 != 0 => ServiceName::Report,
            1 => ServiceName::Discard,
            2 => ServiceName::Chargen,
            3 => ServiceName::Web,
            _ => ServiceName::Echo,
        };
        let is_web = service == ServiceName::Web;
        let is_websocket = is_web && bits & 16 != 0;
        let items: Box<dyn Items> =
            if is_websocket { Box::<WebSocket>::default() } else { Box::<Requests>::default() };
        let exchange = is_web.then(|| Exchange::new(items, random, has_end));
        let asks = service == ServiceName::Report && bits & 32 != 0;
        let reports = Reports { asks, ..Reports::default() };
        Self { said: 0, heard: 0, service, is_websocket, exchange, reports }
    }

    /// The next bytes that are said.
    pub(crate) fn say(&mut self, count: usize) -> Vec<u8> {
        let bytes = match &mut self.exchange {
            Some(exchange) => exchange.say(count),
            None if self.reports.asks => Reports::say(self.said, count),
            None => bytes_from(self.said, count),
        };
        self.said += count;
        bytes
    }

    /// Compares what was heard with what must be.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        if let Some(exchange) = &mut self.exchange {
            exchange.hear(bytes);
        } else if self.service == ServiceName::Report {
            self.reports.heard.extend_from_slice(bytes);
        } else {
            for (byte, place) in bytes.iter().zip(self.heard..) {
                let expected = match self.service {
                    ServiceName::Echo => byte_at(place),
                    ServiceName::Chargen => character_at(place),
                    ServiceName::Discard | ServiceName::Web | ServiceName::Report => {
                        panic!("it has sent a byte")
                    }
                };
                assert_eq!(*byte, expected, "another byte at {place}");
            }
        }
        self.heard += bytes.len();
        if let Some(owed) = self.owed() {
            assert!(self.answered() <= owed, "it answers what was not said");
        }
    }

    /// How much must be heard when all is answered that was said, if the service answers.
    pub(crate) fn owed(&self) -> Option<usize> {
        match (&self.exchange, self.service) {
            (Some(exchange), _) => Some(exchange.owed),
            (None, ServiceName::Echo) => Some(self.said),
            (None, _) => None,
        }
    }

    /// How much of it was heard.
    pub(crate) fn answered(&self) -> usize {
        self.exchange.as_ref().map_or(self.heard, |exchange| exchange.answered)
    }

    /// Whether the session may end for `reason` by what was said.
    pub(crate) fn may_end_for(&self, reason: &CloseReason) -> bool {
        match self.end() {
            Some(End::Closed) => *reason == CloseReason::PeerDone,
            Some(End::BadRequest) => matches!(reason, CloseReason::BadRequest(_)),
            Some(End::BadFrame) => matches!(reason, CloseReason::BadFrame(_)),
            None => matches!(reason, CloseReason::PeerDone | CloseReason::PeerTruncated),
        }
    }

    /// Whether something was said that ends the session, so that nothing behind it is answered.
    pub(crate) fn is_over(&self) -> bool {
        self.end().is_some()
    }

    fn end(&self) -> Option<End> {
        self.exchange.as_ref().and_then(|exchange| exchange.end)
    }

    /// Whether the daemon has to announce that it ends the session.
    pub(crate) fn awaits_goodbye(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::awaits_goodbye)
    }
}

/// The character at a place of what `chargen` sends (RFC 864): lines of 72 characters and CR LF, each
/// beginning one character further on in the ring of 95.
fn character_at(place: usize) -> u8 {
    match (place / 74, place % 74) {
        (_, 72) => b'\r',
        (_, 73) => b'\n',
        (line, column) => b' ' + u8::try_from((line + column) % 95).expect("below 95"),
    }
}
