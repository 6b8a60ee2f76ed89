//! Why a session ended, and which side was at fault.

use std::io;

use log::Level;

use crate::exit::plain;

/// Which side was at fault when a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Neither: a usual end.
    Nobody,
    /// The peer, or the network on the way to it.
    Peer,
    /// This machine, or this program.
    Us,
}

/// Declares the reasons, each with its name in the log and the side at fault. The list of names and the
/// number of counters follow from this table, so every reason is counted.
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

            /// Which side was at fault.
            pub fn fault(&self) -> Fault {
                match self {
                    $(Self::$reason { .. } => Fault::$fault,)*
                }
            }
        }
    };
}

reasons! {
    /// The peer ended its side and was sent everything, and we ended ours.
    PeerDone = "peer-done", Nobody;
    /// The peer ended a TLS session without `close_notify` (RFC 8446 §6.1), so its data may have been
    /// truncated on the way. What was received was answered.
    PeerTruncated = "peer-truncated", Peer;
    /// The peer, or something between, reset the connection.
    PeerReset = "peer-reset", Peer;
    /// The kernel gave up on the peer: no route, no answer.
    PeerLost(io::ErrorKind) = "peer-lost", Peer;
    /// What came before a session was not the header of the PROXY protocol that its listener requires, or not one
    /// alone.
    ProxyHeader(&'static str) = "proxy-header", Peer;
    /// The bytes on a TLS port were not TLS.
    NotTls = "not-tls", Peer;
    /// The peer ended the connection during the TLS handshake.
    HandshakeAbandoned = "handshake-abandoned", Peer;
    /// The PROXY header and the TLS handshake took longer than `handshake-timeout`.
    HandshakeTimeout = "handshake-timeout", Peer;
    /// The peer does not accept our certificate, or requires one and got none.
    CertificateRefused(Box<str>) = "certificate-refused", Peer;
    /// The peer violated TLS, or requires what we do not offer.
    TlsPeer(Box<str>) = "tls-peer", Peer;
    /// The peer violated HTTP, or its request is one that is refused whatever it asks for.
    BadRequest(Box<str>) = "bad-request", Peer;
    /// The peer violated the protocol of WebSocket (RFC 6455).
    BadFrame(&'static str) = "bad-frame", Peer;
    /// No byte moved for `idle-timeout`.
    IdleTimeout = "idle-timeout", Nobody;
    /// The peer accepted none of the bytes in the outbox for `write-timeout`.
    WriteTimeout = "write-timeout", Peer;
    /// A reload removed the listener.
    ListenerRemoved = "listener-removed", Nobody;
    /// The daemon is stopping.
    Stopping = "stopping", Nobody;
    /// TLS failed on our side.
    TlsLocal(Box<str>) = "tls-local", Us;
    /// The system failed on our side.
    Local(io::ErrorKind) = "local", Us;
}

impl CloseReason {
    /// The level of its log line: an error if the fault is ours.
    pub fn level(&self) -> Level {
        match self.fault() {
            Fault::Nobody | Fault::Peer => Level::Info,
            Fault::Us => Level::Error,
        }
    }

    /// Whether it is what a probe may cause, which only looks whether a port is open.
    pub fn is_usual(&self) -> bool {
        self.fault() == Fault::Nobody
            || matches!(self, Self::PeerTruncated | Self::PeerReset | Self::HandshakeAbandoned)
    }

    /// More about the reason, where the name is not enough. It contains nothing that the peer sent.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NotTls => Some("not TLS: did the peer mean the plain port?".into()),
            Self::CertificateRefused(text)
            | Self::TlsPeer(text)
            | Self::TlsLocal(text)
            | Self::BadRequest(text) => Some(text.to_string()),
            Self::BadFrame(text) | Self::ProxyHeader(text) => Some((*text).to_owned()),
            Self::PeerLost(kind) | Self::Local(kind) => Some(kind.to_string()),
            _ => None,
        }
    }
}

impl From<io::Error> for CloseReason {
    /// The reason for the end of a session whose socket has this error.
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
    fn a_reason_has_a_detail_where_its_name_is_not_enough() {
        for (reason, name, detail) in [
            (CloseReason::PeerDone, "peer-done", None),
            (CloseReason::NotTls, "not-tls", Some("not TLS: did the peer mean the plain port?")),
            (CloseReason::TlsPeer("why".into()), "tls-peer", Some("why")),
            (CloseReason::CertificateRefused("why".into()), "certificate-refused", Some("why")),
            (CloseReason::TlsLocal("why".into()), "tls-local", Some("why")),
            (CloseReason::BadRequest("why".into()), "bad-request", Some("why")),
            (CloseReason::BadFrame("why"), "bad-frame", Some("why")),
            (CloseReason::ProxyHeader("why"), "proxy-header", Some("why")),
            (
                CloseReason::PeerLost(io::ErrorKind::HostUnreachable),
                "peer-lost",
                Some("host unreachable"),
            ),
            (CloseReason::Local(io::ErrorKind::OutOfMemory), "local", Some("out of memory")),
        ] {
            assert_eq!((reason.name(), reason.detail().as_deref()), (name, detail));
        }
    }

    #[test]
    fn a_probe_ends_usually_or_with_a_reset_and_a_fault_is_no_probe() {
        for usual in [
            CloseReason::PeerDone,
            CloseReason::Stopping,
            CloseReason::PeerTruncated,
            CloseReason::PeerReset,
            CloseReason::HandshakeAbandoned,
        ] {
            assert!(usual.is_usual(), "{usual:?}");
        }
        for fault in [CloseReason::NotTls, CloseReason::Local(io::ErrorKind::OutOfMemory)] {
            assert!(!fault.is_usual(), "{fault:?}");
        }
    }

    #[test]
    fn an_error_of_a_socket_tells_which_side_was_at_fault() {
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
