//! `report`: says what the daemon has seen of the connection, when that ends, and every second if the peer asks.
//!
//! docs/report.md describes what it sends. It reports on the connection of its peer alone.

mod document;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use document::{Chunk, Document, Proxy, Received, Seconds, Tls};

use crate::daemon::service::next::{Connection, Next};
use crate::daemon::service::web::Context;
use crate::os::clock::Moment;
use crate::tls::hello::Offered;
use crate::wire::proxy::Header;

/// What a peer sends first if it wants a report every second.
const REQUEST: &[u8] = b"every second\n";

/// The time from one report to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most chunks that are listed, the first ones.
const CHUNKS: usize = 256;

/// The report of one session: at most 20 KB of state, and as much in what it sends at once.
#[derive(Debug)]
pub struct Report {
    /// Has the name of the listener.
    context: Rc<Context>,
    accepted: SystemTime,
    /// What came first, in the order in which it came.
    chunks: Vec<Chunk>,
    received: Received,
    /// The proxy, and the header that it has sent.
    proxy: Option<Box<(SocketAddr, Header)>>,
    /// The `ClientHello`.
    offered: Option<Offered>,
    /// How much of the request came, as long as nothing else did.
    matched: Option<usize>,
    /// A report is to be sent.
    owes: bool,
    /// When the next one is due, after accept.
    due: Option<Duration>,
    /// The number of reports, and of their bytes.
    reports: u64,
    sent: u64,
}

impl Report {
    /// A session that was `accepted` then: chunks count their times from that moment.
    pub fn new(context: Rc<Context>, accepted: Moment) -> Self {
        Self {
            context,
            accepted: accepted.by_wall_clock(),
            chunks: Vec::new(),
            received: Received::default(),
            proxy: None,
            offered: None,
            matched: Some(0),
            owes: false,
            due: None,
            reports: 0,
            sent: 0,
        }
    }

    /// Takes the header of the PROXY protocol that the `proxy` has sent.
    pub fn take_header(&mut self, header: Header, proxy: SocketAddr) {
        self.proxy = Some(Box::new((proxy, header)));
    }

    /// Whether the `ClientHello` has not come.
    pub fn wants_hello(&self) -> bool {
        self.offered.is_none()
    }

    /// Takes what the `ClientHello` offers.
    pub fn take_hello(&mut self, offered: Offered) {
        self.offered = Some(offered);
    }

    /// Takes what `came` of one read, at this time after accept.
    pub fn receive(&mut self, came: &[u8], age: Duration) {
        if came.is_empty() {
            return;
        }
        let chunk = Chunk { seconds: Seconds(age), bytes: came.len() };
        if self.chunks.len() < CHUNKS {
            self.chunks.push(chunk);
        }
        self.received.bytes += came.len() as u64;
        self.received.chunks += 1;
        self.received.first_seconds.get_or_insert(chunk.seconds);
        self.received.last_seconds = Some(chunk.seconds);
        self.match_request(came, age);
    }

    /// Looks for the request in what `came`.
    fn match_request(&mut self, came: &[u8], age: Duration) {
        let Some(rest) = self.matched.and_then(|count| REQUEST.get(count..)) else { return };
        let matches = came.iter().zip(rest).all(|(byte, expected)| byte == expected);
        self.matched = matches.then(|| REQUEST.len() - rest.len().saturating_sub(came.len()));
        if self.matched == Some(REQUEST.len()) {
            self.matched = None;
            self.owes = true;
            self.due = Some(age + INTERVAL);
        }
    }

    /// What it does next.
    pub fn next(&self) -> Next {
        if self.owes { Next::Report } else { Next::Read }
    }

    /// When it wants a turn without an event, after accept.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The turn that was due.
    pub fn wake(&mut self) {
        self.owes = true;
    }

    /// Appends the report on `connection` to `said`.
    pub fn report(&mut self, connection: &Connection, said: &mut Vec<u8>) {
        let begin = said.len();
        self.document(connection).write(said);
        self.owes = false;
        self.due = self.due.map(|_| connection.age + INTERVAL);
        self.reports += 1;
        self.sent += (said.len() - begin) as u64;
    }

    fn document<'a>(&'a self, connection: &'a Connection) -> Document<'a> {
        let Connection { peer, local, age, reason, tcp, tls } = connection;
        Document {
            r#type: "report",
            listener: &self.context.listener,
            peer: (*peer).into(),
            local: local.map(Into::into),
            accepted: humantime::format_rfc3339_micros(self.accepted).to_string(),
            seconds: Seconds(*age),
            reason: *reason,
            received: self.received,
            chunks: &self.chunks,
            chunks_left_out: self.received.chunks - self.chunks.len() as u64,
            tcp: tcp.as_ref(),
            tls: tls.as_ref().map(|tls| Tls::new(tls, self.offered.as_ref())),
            proxy: self.proxy.as_deref().map(|(proxy, header)| Proxy::new(*proxy, header)),
        }
    }

    /// The number of reports so far.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// The number of bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests;
