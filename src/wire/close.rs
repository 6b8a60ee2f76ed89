//! Why a session ended, and who was at fault.

use std::fmt;
use std::io;

use log::Level;

use crate::exit::plain;

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

/// Declares the reasons, each with its name in the log and whose fault it is. The list of names, and so
/// the number of counters, follows from this table: a reason cannot be added and not counted.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident$(($detail:ty))? = $name:literal, $fault:ident;)*) => {
        /// Why a session ended. Every session that was accepted ends with one of these.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum CloseReason {
            $($(#[$doc])* $reason$(($detail))?,)*
        }

        impl CloseReason {
            /// The names of all reasons, in the order of the log's manual.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name in the log and among the counters.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$reason { .. } => $name,)*
                }
            }

            /// Who was at fault.
            pub fn fault(&self) -> Fault {
                match self {
                    $(Self::$reason { .. } => Fault::$fault,)*
                }
            }
        }
    };
}

reasons! {
    /// The peer ended its side, got all of its echo, and we ended ours.
    PeerDone = "peer-done", Nobody;
    /// The peer ended a TLS session without `close_notify` (RFC 8446 §6.1): perhaps cut off on
    /// the way. What came was echoed.
    PeerTruncated = "peer-truncated", Peer;
    /// The peer, or something between, reset the connection.
    PeerReset = "peer-reset", Peer;
    /// The network gave up on the peer: no route, no answer.
    PeerLost(io::ErrorKind) = "peer-lost", Peer;
    /// What came on a TLS port was not TLS.
    NotTls = "not-tls", Peer;
    /// The peer ended the connection in the middle of the handshake.
    HandshakeAbandoned = "handshake-abandoned", Peer;
    /// The handshake was not over within `handshake-timeout`.
    HandshakeTimeout = "handshake-timeout", Peer;
    /// The peer does not accept our certificate, or wants one and got none.
    CertificateRefused(Box<str>) = "certificate-refused", Peer;
    /// The peer did not keep to TLS, or wants what we do not offer.
    TlsPeer(Box<str>) = "tls-peer", Peer;
    /// Nothing came for `idle-timeout`.
    IdleTimeout = "idle-timeout", Nobody;
    /// The peer took none of its echo for `write-timeout`.
    WriteTimeout = "write-timeout", Peer;
    /// The listener was taken out of the configuration.
    ListenerRemoved = "listener-removed", Nobody;
    /// The daemon is stopping.
    Stopping = "stopping", Nobody;
    /// TLS failed on our side.
    TlsLocal(Box<str>) = "tls-local", Us;
    /// The system failed us.
    Local(io::ErrorKind) = "local", Us;
}

impl CloseReason {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_a_pair_with_a_detail_where_its_name_is_not_enough() {
        let of = |reason: CloseReason| reason.to_string();
        assert_eq!(of(CloseReason::PeerDone), "peer-done");
        let not_tls = r#"not-tls detail="not TLS: did the peer mean the plain port?""#;
        assert_eq!(of(CloseReason::NotTls), not_tls);
        assert_eq!(
            of(CloseReason::TlsPeer("no \"1.1\"".into())),
            r#"tls-peer detail="no \"1.1\"""#
        );
        let refused = CloseReason::CertificateRefused("unknown CA".into());
        assert_eq!(of(refused), r#"certificate-refused detail="unknown CA""#);
        assert_eq!(of(CloseReason::TlsLocal("no".into())), r#"tls-local detail="no""#);
        let lost = CloseReason::PeerLost(io::ErrorKind::HostUnreachable);
        assert_eq!(of(lost), r#"peer-lost detail="host unreachable""#);
        let local = CloseReason::Local(io::ErrorKind::OutOfMemory);
        assert_eq!(of(local), r#"local detail="out of memory""#);
    }

    #[test]
    fn an_error_of_a_socket_is_the_peers_the_networks_or_ours() {
        use io::ErrorKind as Kind;
        let reset =
            [Kind::ConnectionReset, Kind::ConnectionAborted, Kind::BrokenPipe, Kind::NotConnected];
        for kind in reset {
            assert_eq!(CloseReason::from(io::Error::from(kind)), CloseReason::PeerReset);
        }
        let lost =
            [Kind::TimedOut, Kind::HostUnreachable, Kind::NetworkUnreachable, Kind::NetworkDown];
        for kind in lost {
            let reason = CloseReason::from(io::Error::from(kind));
            assert_eq!((reason.level(), &reason), (Level::Info, &CloseReason::PeerLost(kind)));
        }
        let reason = CloseReason::from(io::Error::from(Kind::OutOfMemory));
        assert_eq!(reason, CloseReason::Local(Kind::OutOfMemory));
        assert_eq!((reason.fault(), reason.level()), (Fault::Us, Level::Error));
    }
}
