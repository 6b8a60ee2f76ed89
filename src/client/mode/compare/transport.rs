//! A transport of a comparison: how it is reached, and what it has shown.

use std::net::SocketAddr;
use std::time::Instant;

use super::line::{Extra, Line};
use super::record::Record;
use crate::client::error::Error;
use crate::client::facts::Facts;
use crate::client::latency::Latencies;
use crate::wire::buffers::Buffers;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Udp,
    Tcp,
    Tls,
}

impl Kind {
    /// Its name in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Its name in JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// A transport.
pub(super) struct Transport {
    pub(super) kind: Kind,
    pub(super) port: u16,
    /// The address that is used, if one could be.
    pub(super) address: Option<SocketAddr>,
    pub(super) record: Record,
    /// How long it took to connect, and the full handshakes.
    pub(super) connects: Latencies,
    pub(super) handshakes: Latencies,
    /// What was agreed in the last of them.
    pub(super) facts: Option<Facts>,
    /// Why it cannot be used, or not any more.
    pub(super) error: Option<Error>,
    /// What the line has told of the probes.
    pub(super) extra: Option<Extra>,
    /// The bytes of the load that came back while it was kept full, and how many that is in a second.
    pub(super) loaded: u64,
    pub(super) throughput: Option<u64>,
    /// `None` if it cannot be used.
    line: Option<Box<dyn Line>>,
}

impl Transport {
    /// A transport that cannot be used yet.
    pub(super) fn new(kind: Kind, port: u16, record: Record) -> Self {
        Self {
            kind,
            port,
            address: None,
            record,
            connects: Latencies::default(),
            handshakes: Latencies::default(),
            facts: None,
            error: None,
            extra: None,
            loaded: 0,
            throughput: None,
            line: None,
        }
    }

    /// From now on, probes go over `line`.
    pub(super) fn open(&mut self, line: impl Line + 'static, address: SocketAddr) {
        self.line = Some(Box::new(line));
        self.address = Some(address);
    }

    /// Whether probes can be sent.
    pub(super) fn is_open(&self) -> bool {
        self.line.is_some()
    }

    /// Sends the next probe, which was due at `due`.
    pub(super) fn send(&mut self, due: Instant, buffers: &mut Buffers) {
        let Some(line) = &mut self.line else { return };
        if let Err(error) = line.send(due, &mut self.record, buffers) {
            self.fail(error, buffers);
        }
    }

    /// Records what has come. Returns whether that was all.
    pub(super) fn turn(&mut self, buffers: &mut Buffers) -> bool {
        let Some(line) = &mut self.line else { return true };
        match line.turn(&mut self.record, buffers) {
            Ok(is_all) => is_all,
            Err(error) => {
                self.fail(error, buffers);
                true
            }
        }
    }

    /// No probe follows.
    pub(super) fn settle(&mut self) {
        if let (Some(line), None) = (&mut self.line, self.extra) {
            self.extra = Some(line.settle());
        }
    }

    /// Keeps it full if `is_on`, and receives what has come by `now`. Returns whether that was all.
    pub(super) fn load(&mut self, is_on: bool, now: Instant, buffers: &mut Buffers) -> bool {
        let Some(line) = &mut self.line else { return true };
        match line.load(is_on, now, buffers) {
            Ok((returned, is_all)) => {
                self.loaded += if is_on { returned } else { 0 };
                is_all
            }
            Err(error) => {
                self.fail(error, buffers);
                true
            }
        }
    }

    /// Whether nothing of a load is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.is_idle())
    }

    /// Until when the next echo is waited for.
    pub(super) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        self.line.as_ref()?;
        self.record.deadline(now)
    }

    /// It cannot be used any more.
    pub(super) fn fail(&mut self, error: Error, buffers: &mut Buffers) {
        self.end(buffers);
        self.error = Some(error);
    }

    /// Ends it.
    pub(super) fn end(&mut self, buffers: &mut Buffers) {
        self.settle();
        if let Some(mut line) = self.line.take() {
            line.end(buffers);
        }
    }
}
