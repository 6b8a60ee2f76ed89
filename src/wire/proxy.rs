//! The header of the PROXY protocol, versions 1 and 2 (proxy-protocol.txt of HAProxy): a proxy says whose connection
//! it passes on. It does no I/O.
//!
//! # A header is perfect, or the connection ends
//!
//! A header that is damaged may say anything, so nothing of it is believed. The crate decodes addresses and TLVs. What it
//! is lenient with is refused before: ports with a sign or leading zeros, another character than a space behind
//! `PROXY`, an end of line that is not CR LF, TLVs that do not fill the header, a wrong checksum.
//!
//! # A header is bounded
//!
//! One of version 1 has at most [`V1_MAX`] bytes, as the specification says. It says of version 2 that a header fits in
//! 536 bytes, but those with a certificate among the TLVs do not. [`V2_MAX`] is what nginx accepts.
//!
//! # Who the peer is
//!
//! For TCP, it is the source in the header. A proxy that names none (`UNKNOWN`, `AF_UNSPEC`), or one of another
//! protocol (UDP, Unix sockets), is the peer itself, as the specification recommends. So it is where it says `LOCAL`: that
//! connection is its own, to check whether the server is there. An address that such a header has is not looked at.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader, SslInfo};

use crate::tls::certificate::escape::printable;
use crate::tls::hello::shortened;

/// The longest header of version 1 in bytes, with CR LF (§2.1).
pub const V1_MAX: usize = 107;

/// The longest header of version 2 that is accepted, in bytes.
pub const V2_MAX: usize = 4096;

/// What a header of version 2 begins with (§2.2), and its length with the length of the rest.
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What a header of version 1 begins with.
const V1_SIGNATURE: &[u8] = b"PROXY ";

/// The lines of version 1 begin with one of these.
const V1_PROTOCOLS: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];

/// A header, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 1 or 2.
    pub version: u8,
    /// Whose connection it is.
    pub origin: Origin,
    /// What else is known of it.
    pub details: Details,
}

/// Whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The proxy's own, to check whether the server is there.
    Local,
    /// That of a client whose address the header does not give.
    Unnamed,
    /// That of a client.
    Client {
        /// The client's address. An IPv4-mapped one is IPv4 here.
        source: SocketAddr,
        /// The address that it connected to.
        destination: SocketAddr,
    },
}

/// What a proxy tells of a client's connection (TLVs of version 2). The texts are safe to print and have at most 255
/// characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The name of the server that the client asked for.
    pub authority: Option<String>,
    /// The proxy's name of the connection.
    pub unique_id: Option<String>,
    /// The application protocol that was agreed.
    pub alpn: Option<String>,
    /// What TLS agreed between the client and the proxy.
    pub ssl: Option<Ssl>,
}

/// What TLS agreed between the client and the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssl {
    /// Whether the client uses TLS.
    pub is_used: bool,
    /// The version by the proxy's name.
    pub version: Option<String>,
    /// The cipher suite by the proxy's name.
    pub cipher: Option<String>,
    /// Whether the client has shown a certificate, on this connection or on that which it resumes.
    pub has_certificate: bool,
    /// Whether that was verified.
    pub is_verified: bool,
    /// The common name in it.
    pub common_name: Option<String>,
}

/// Why the bytes are not a header: a fixed text.
pub type Fault = &'static str;

/// The header with which `came` begins, and its length; `None` if its end has not come.
pub fn parse(came: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let may_begin = |signature: &[u8]| came.iter().zip(signature).all(|(a, b)| a == b);
    if may_begin(V1_SIGNATURE) {
        v1(came)
    } else if may_begin(V2_SIGNATURE) {
        v2(came)
    } else {
        Err("the first bytes are not those of a PROXY header")
    }
}

/// Whether `came`, from behind a header, begins with another one: two proxies where one was expected. What they
/// would tell apart is lost, so it is not served. Line ends and words alone, which a client may send, are not enough.
pub fn is_second_header(came: &[u8]) -> bool {
    came.starts_with(V2_SIGNATURE) || V1_PROTOCOLS.iter().any(|it| came.starts_with(it))
}

/// A line of text.
fn v1(came: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let line = &came[..came.len().min(V1_MAX)];
    let end = line.iter().position(|byte| b"\r\n".contains(byte));
    match end.map(|end| &line[end..]) {
        Some([b'\r', b'\n', ..]) => {}
        None | Some([b'\r']) if came.len() < V1_MAX => return Ok(None),
        None | Some([b'\r']) => return Err("a header of version 1 with more than 107 bytes"),
        Some(_) => return Err("a header of version 1 whose line does not end with CR LF"),
    }
    let length = end.unwrap_or_default() + 2;
    let origin = v1_origin(&line[..length])?;
    Ok(Some((Header { version: 1, origin, details: Details::default() }, length)))
}

/// What a `line` says, which ends with CR LF.
fn v1_origin(line: &[u8]) -> Result<Origin, Fault> {
    let text = &line[..line.len() - 2];
    let fields: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    if fields.get(1).is_some_and(|protocol| protocol == b"UNKNOWN") {
        return Ok(Origin::Unnamed);
    }
    // The crate takes more for a number.
    let is_number = |field: &&[u8]| {
        field.iter().all(u8::is_ascii_digit) && (field.len() == 1 || !field.starts_with(b"0"))
    };
    match fields.as_slice() {
        [_, _, _, _, ports @ ..] if ports.len() == 2 && ports.iter().all(is_number) => {
            let config = ParseConfig { allow_v2: false, ..ParseConfig::default() };
            let parsed = ProxyHeader::parse(line, config).ok();
            let header = parsed.filter(|(_, used)| *used == line.len()).map(|(header, _)| header);
            header.as_ref().and_then(client)
        }
        _ => None,
    }
    .ok_or("a header of version 1 that does not have two addresses and two ports")
}

/// A binary header.
fn v2(came: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let Some(&[version_and_command, _, high, low]) = came.get(V2_SIGNATURE.len()..V2_FIXED) else {
        return Ok(None);
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        return Err("a header of version 2 with more than 4096 bytes");
    }
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err("a header of another version, or with an unknown command"),
    };
    let Some(whole) = came.get(..length) else { return Ok(None) };
    if is_local {
        let header = Header { version: 2, origin: Origin::Local, details: Details::default() };
        return Ok(Some((header, length)));
    }
    let Ok((parsed, _)) = ProxyHeader::parse(whole, ParseConfig::default()) else {
        return Err("a header of version 2 of an unknown family, or too short for its addresses");
    };
    let Some(origin) = client(&parsed) else {
        let header = Header { version: 2, origin: Origin::Unnamed, details: Details::default() };
        return Ok(Some((header, length)));
    };
    let ssl = parsed.ssl();
    let is_whole = |ssl: &SslInfo<'_>| ssl.tlvs().all(|it| it.is_ok());
    if !parsed.tlvs().all(|it| it.is_ok()) || !ssl.as_ref().is_none_or(is_whole) {
        return Err("a header of version 2 with TLVs that are damaged or do not fill it");
    }
    if parsed.crc32c().is_some_and(|told| checksum(whole) != Some(told)) {
        return Err("a header of version 2 with a wrong checksum");
    }
    let details = Details {
        authority: parsed.authority().map(text),
        unique_id: parsed.unique_id().map(bytes),
        alpn: parsed.alpn().map(bytes),
        ssl: ssl.as_ref().map(Ssl::new),
    };
    Ok(Some((Header { version: 2, origin, details }, length)))
}

/// The addresses of a client that uses TCP.
fn client(header: &ProxyHeader<'_>) -> Option<Origin> {
    let addresses = header.proxied_address().filter(|it| it.protocol == Protocol::Stream)?;
    let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
    Some(Origin::Client {
        source: canonical(addresses.source),
        destination: canonical(addresses.destination),
    })
}

/// The CRC-32C of a header with addresses of TCP, as if the checksum in it were zero (§2.2.3).
fn checksum(whole: &[u8]) -> Option<u32> {
    const CRC32C: u8 = 3;
    let addresses = match whole.get(V2_SIGNATURE.len() + 1)? >> 4 {
        1 => 2 * (4 + 2),
        _ => 2 * (16 + 2),
    };
    let mut at = V2_FIXED + addresses;
    loop {
        let &[kind, high, low] = whole.get(at..at + 3)? else { return None };
        if kind == CRC32C {
            break;
        }
        at += 3 + usize::from(u16::from_be_bytes([high, low]));
    }
    let zeroed = at + 3..at + 7;
    let bytes = whole.iter().enumerate();
    Some(crc32c(bytes.map(|(place, byte)| if zeroed.contains(&place) { 0 } else { *byte })))
}

/// Bit by bit: a header is short, and most have no checksum (RFC 9260, Appendix A).
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 }
        })
    })
}

impl Ssl {
    fn new(told: &SslInfo<'_>) -> Self {
        let has_certificate = told.client_cert_conn() || told.client_cert_sess();
        Self {
            is_used: told.client_ssl(),
            version: told.version().map(text),
            cipher: told.cipher().map(text),
            has_certificate,
            is_verified: has_certificate && told.verify() == 0,
            common_name: told.cn().map(text),
        }
    }
}

/// A text that is safe to print and bounded.
fn text(told: &str) -> String {
    shortened(&printable(told))
}

/// The same of bytes that need not be text.
fn bytes(told: &[u8]) -> String {
    match str::from_utf8(told) {
        Ok(it) => text(it),
        Err(_) => shortened(&told.escape_ascii().to_string()),
    }
}

#[cfg(test)]
mod tests;
