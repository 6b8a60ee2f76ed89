//! What the two sides agreed on in a TLS handshake, for one line and for JSON.

use std::fmt;

use serde::Serialize;

use super::connection::Connection;
use crate::tls::certificate::escape::printable;
use crate::tls::names;

/// What was agreed in a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// Its IANA name, without `TLS_`.
    pub cipher_suite: &'static str,
    /// The key exchange group.
    pub group: Option<&'static str>,
    /// The scheme of the server's signature; none where a session is resumed.
    pub signature: Option<&'static str>,
    /// The application protocol.
    pub alpn: Option<String>,
    /// The server's name as it was sent.
    pub sni: Option<String>,
    /// The keys come from an earlier session.
    pub resumed: bool,
    /// The server asked for another key share first.
    pub hello_retry_request: bool,
}

impl Facts {
    /// The facts of a connection after its handshake; none for plain. `signature` is the scheme that was
    /// seen, and `sni` the name that was sent.
    pub fn new(connection: &Connection, signature: Option<u16>, sni: Option<&str>) -> Option<Self> {
        let agreed = connection.agreed()?;
        let alpn = connection.application_protocol();
        Some(Self {
            version: agreed.version,
            cipher_suite: agreed.cipher_suite,
            group: agreed.group,
            signature: signature.filter(|_| !agreed.resumed).and_then(names::scheme),
            alpn: alpn.map(|name| printable(&String::from_utf8_lossy(name))),
            sni: sni.map(ToOwned::to_owned),
            resumed: agreed.resumed,
            hello_retry_request: agreed.retried,
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS {}, {}", self.version, self.cipher_suite)?;
        if let Some(group) = self.group {
            write!(f, ", {group}")?;
        }
        if let Some(signature) = self.signature {
            write!(f, ", signed with {signature}")?;
        }
        match &self.alpn {
            Some(name) => write!(f, ", ALPN {name}")?,
            None => f.write_str(", no ALPN")?,
        }
        match &self.sni {
            Some(name) => write!(f, ", SNI {name}")?,
            None => f.write_str(", no SNI")?,
        }
        f.write_str(match (self.resumed, self.hello_retry_request) {
            (true, _) => ", resumed",
            (false, true) => ", full handshake after HelloRetryRequest",
            (false, false) => ", full handshake",
        })
    }
}
