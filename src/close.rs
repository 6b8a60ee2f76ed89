//! Why a session ended, and who was at fault.

use std::fmt;
use std::io;

use log::Level;

use crate::exit::plain;

/// Why a session ended. Every session that was accepted ends with one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer ended its side, got all of its echo, and we ended ours.
    PeerDone,
    /// The peer ended a TLS session without `close_notify` (RFC 8446 §6.1): perhaps cut off on
    /// the way. What came was echoed.
    PeerTruncated,
    /// The peer, or something between, reset the connection.
    PeerReset,
    /// The network gave up on the peer: no route, no answer.
    PeerLost(io::ErrorKind),
    /// What came on a TLS port was not TLS.
    NotTls,
    /// The peer ended the connection in the middle of the handshake.
    HandshakeAbandoned,
    /// The handshake was not over within `handshake-timeout`.
    HandshakeTimeout,
    /// The peer does not accept our certificate, or wants one and got none.
    CertificateRefused(Box<str>),
    /// The peer did not keep to TLS, or wants what we do not offer.
    TlsPeer(Box<str>),
    /// Nothing came for `idle-timeout`.
    IdleTimeout,
    /// The peer took none of its echo for `write-timeout`.
    WriteTimeout,
    /// The listener was taken out of the configuration.
    ListenerRemoved,
    /// The daemon is stopping.
    Stopping,
    /// TLS failed on our side.
    TlsLocal(Box<str>),
    /// The system failed us.
    Local(io::ErrorKind),
}

/// Who was at fault when a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody: this is how sessions end.
    Nobody,
    /// The peer, or the network before it.
    Peer,
    /// This machine, or this program.
    Us,
}

impl CloseReason {
    /// How many reasons there are: one counter each.
    pub const COUNT: usize = 15;

    /// The name that the log and the counters use, and its number among them.
    fn entry(&self) -> (usize, &'static str, Fault) {
        match self {
            Self::PeerDone => (0, "peer-done", Fault::Nobody),
            Self::PeerTruncated => (1, "peer-truncated", Fault::Peer),
            Self::PeerReset => (2, "peer-reset", Fault::Peer),
            Self::PeerLost(_) => (3, "peer-lost", Fault::Peer),
            Self::NotTls => (4, "not-tls", Fault::Peer),
            Self::HandshakeAbandoned => (5, "handshake-abandoned", Fault::Peer),
            Self::HandshakeTimeout => (6, "handshake-timeout", Fault::Peer),
            Self::TlsPeer(_) => (7, "tls-peer", Fault::Peer),
            Self::IdleTimeout => (8, "idle-timeout", Fault::Nobody),
            Self::WriteTimeout => (9, "write-timeout", Fault::Peer),
            Self::ListenerRemoved => (10, "listener-removed", Fault::Nobody),
            Self::Stopping => (11, "stopping", Fault::Nobody),
            Self::TlsLocal(_) => (12, "tls-local", Fault::Us),
            Self::Local(_) => (13, "local", Fault::Us),
            Self::CertificateRefused(_) => (14, "certificate-refused", Fault::Peer),
        }
    }

    /// Its place among the counters, below [`CloseReason::COUNT`].
    pub fn index(&self) -> usize {
        self.entry().0
    }

    /// Its name in the log.
    pub fn name(&self) -> &'static str {
        self.entry().1
    }

    /// Who was at fault.
    pub fn fault(&self) -> Fault {
        self.entry().2
    }

    /// The level of its log line: what peers do is news, what we do wrong is an error.
    pub fn level(&self) -> Level {
        match self.fault() {
            Fault::Nobody | Fault::Peer => Level::Info,
            Fault::Us => Level::Error,
        }
    }

    /// What a person needs beside the name, made of our own words alone.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NotTls => Some("not TLS: did the peer mean the plain port?".into()),
            Self::CertificateRefused(text) | Self::TlsPeer(text) | Self::TlsLocal(text) => {
                Some(text.to_string())
            }
            Self::PeerLost(kind) | Self::Local(kind) => Some(kind.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.detail() {
            Some(detail) => write!(f, " detail={detail:?}"),
            None => Ok(()),
        }
    }
}

impl From<io::Error> for CloseReason {
    /// What an error of a connected socket means for its session.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected => Self::PeerReset,
            kind @ (Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown) => Self::PeerLost(kind),
            kind => {
                log::debug!("socket error: {}", plain(&error));
                Self::Local(kind)
            }
        }
    }
}
