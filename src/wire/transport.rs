//! Wire bytes to plaintext and back: the one place where plain TCP and TLS differ. It does no I/O; the
//! daemon and the client share it.
//!
//! # The contract
//!
//! - [`Transport::open`] takes wire bytes and returns plaintext. What the protocol itself has to send
//!   (handshake, alerts, key updates) it puts into `sealed`, which it clears first, also where it fails:
//!   send that first, then act on the error.
//! - [`Transport::seal`] takes plaintext and returns wire bytes, `sealed` included, in order.
//! - Between calls, a TLS transport holds nothing but the beginning of an incomplete record.
//!   [`Transport::restore`] puts that in front of the next read.
//! - Plain bytes are not copied: `open` and `seal` return what they were given.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use crate::tls::handshake::ServerConfig;
use crate::tls::names;
use crate::wire::buffers::Scratch;
use crate::wire::close::CloseReason;
use crate::wire::records::{Tls, Write};

/// What a session's plaintext travels in.
pub enum Transport {
    /// Nothing: the wire carries the plaintext itself.
    Plain,
    /// Records of TLS 1.2 (RFC 5246) or 1.3 (RFC 8446).
    Tls(Box<Tls>),
}

/// What was agreed in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The cipher suite by its IANA name, without the prefix `TLS_`.
    pub cipher_suite: &'static str,
    /// The keys come from an earlier session.
    pub resumed: bool,
    /// The key exchange group; a session that TLS 1.2 resumes has none.
    pub group: Option<&'static str>,
    /// The server asked for another key share first (`HelloRetryRequest`).
    pub retried: bool,
}

impl Transport {
    /// The server's side of a TLS session.
    pub fn tls_server(config: ServerConfig) -> Result<Self, CloseReason> {
        Ok(Self::Tls(Box::new(Tls::server(config)?)))
    }

    /// The client's side of a TLS session with the server called `name`.
    pub fn tls_client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, CloseReason> {
        Ok(Self::Tls(Box::new(Tls::client(config, name)?)))
    }

    /// Puts the held bytes at the front of `wire` and returns how many they are; the next bytes belong
    /// behind them.
    pub fn restore(&self, wire: &mut [u8]) -> usize {
        match self {
            Self::Plain => 0,
            Self::Tls(tls) => {
                wire[..tls.held.len()].copy_from_slice(&tls.held);
                tls.held.len()
            }
        }
    }

    /// Takes bytes of the wire, with what `restore` put before them, and gives the plaintext.
    #[inline]
    pub fn open<'a>(
        &mut self,
        wire: &'a mut [u8],
        plain: &'a mut Vec<u8>,
        sealed: &mut Scratch,
    ) -> Result<&'a [u8], CloseReason> {
        match self {
            Self::Plain => Ok(wire),
            Self::Tls(tls) => {
                tls.open(wire, plain, sealed)?;
                Ok(plain)
            }
        }
    }

    /// Gives the wire form of `plaintext`, behind what `sealed` already holds.
    #[inline]
    pub fn seal<'a>(
        &mut self,
        plaintext: &'a [u8],
        sealed: &'a mut Scratch,
    ) -> Result<&'a [u8], CloseReason> {
        match self {
            Self::Plain => Ok(plaintext),
            Self::Tls(tls) => tls.seal(plaintext, sealed),
        }
    }

    /// Adds `close_notify` to `sealed` for TLS, and nothing for plain TCP, where the FIN is the end.
    pub fn finish(&mut self, sealed: &mut Scratch) -> Result<(), CloseReason> {
        match self {
            Self::Plain => Ok(()),
            Self::Tls(tls) => tls.write(Write::CloseNotify, sealed),
        }
    }

    /// Whether the peer has sent `close_notify`.
    #[inline]
    pub fn peer_done(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => tls.peer_done,
        }
    }

    /// Whether there is a handshake and it is not over.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => tls.common().is_handshaking(),
        }
    }

    /// The reason for the end of a session whose peer sent a FIN without `close_notify`.
    pub fn end_of_wire(&self) -> CloseReason {
        match self {
            Self::Plain => CloseReason::PeerDone,
            Self::Tls(_) if self.is_handshaking() => CloseReason::HandshakeAbandoned,
            Self::Tls(_) => CloseReason::PeerTruncated,
        }
    }

    /// The outcome of the handshake, once it is over; `None` for plain TCP.
    pub fn agreed(&self) -> Option<Agreed> {
        let Self::Tls(tls) = self else { return None };
        let common = tls.common();
        let suite = common.negotiated_cipher_suite()?.suite().as_str()?;
        Some(Agreed {
            version: match common.protocol_version()? {
                ProtocolVersion::TLSv1_3 => "1.3",
                _ => "1.2",
            },
            cipher_suite: suite.trim_start_matches("TLS13_").trim_start_matches("TLS_"),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            group: common
                .negotiated_key_exchange_group()
                .and_then(|group| names::group(group.name().into())),
            retried: common.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest),
        })
    }

    /// The server's name that the client has sent (SNI, RFC 6066 §3), on the server's side.
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain => None,
            Self::Tls(tls) => tls.server_name(),
        }
    }

    /// The certificate that the peer has shown, as DER. It was verified in the handshake.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Plain => None,
            Self::Tls(tls) => tls.common().peer_certificates()?.first().map(AsRef::as_ref),
        }
    }

    /// The application protocol that was agreed, if one was (ALPN, RFC 7301).
    pub fn application_protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain => None,
            Self::Tls(tls) => tls.common().alpn_protocol(),
        }
    }
}

#[cfg(test)]
mod tests;
