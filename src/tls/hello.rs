//! What a `ClientHello` says.

use super::reader::Reader;
use crate::tls::certificate::escape::printable;

/// The body of a `ClientHello` (RFC 8446 §4.1.2).
#[derive(Clone, Debug)]
pub struct ClientHello<'a> {
    /// The version in its fixed part, which TLS 1.3 ignores.
    pub legacy_version: u16,
    /// The session id.
    pub session: Reader<'a>,
    /// The cipher suites.
    pub suites: Vec<u16>,
    extensions: Vec<(u16, Reader<'a>)>,
}

impl<'a> ClientHello<'a> {
    /// Reads a body; `None` if it is malformed.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let legacy_version = reader.u16()?;
        reader.take(32)?;
        let session = reader.vector(1)?;
        let suites = reader.vector(2)?.numbers();
        reader.vector(1)?;
        let extensions = reader.extensions()?;
        Some(Self { legacy_version, session, suites, extensions })
    }

    /// The content of the extension with this number.
    pub fn find(&self, kind: u16) -> Option<Reader<'a>> {
        self.extensions.iter().find(|(it, _)| *it == kind).map(|(_, content)| *content)
    }

    /// The numbers of its extensions.
    pub fn kinds(&self) -> Vec<u16> {
        self.extensions.iter().map(|(kind, _)| *kind).collect()
    }

    /// The list of numbers in the extension with this number.
    pub fn numbers(&self, kind: u16) -> Option<Vec<u16>> {
        self.find(kind).and_then(|mut content| content.vector(2)).map(Reader::numbers)
    }
}

/// The name in the extension `server_name` (RFC 6066 §3), safe to print.
pub fn server_name(mut content: Reader) -> Option<String> {
    let mut list = content.vector(2)?;
    list.u8()?;
    Some(printable(&String::from_utf8_lossy(list.vector(2)?.0)))
}

/// The protocols in the extension of ALPN (RFC 7301 §3.1), safe to print.
pub fn protocols(mut content: Reader) -> Option<Vec<String>> {
    let mut list = content.vector(2)?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        protocols.push(printable(&String::from_utf8_lossy(list.vector(1)?.0)));
    }
    Some(protocols)
}
