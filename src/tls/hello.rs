//! The `ClientHello` as it came: its bytes, and what it says of the client.

use super::names;
use super::reader::Reader;
use crate::tls::certificate::escape::printable;

/// The content type of records with handshake messages, and the type of the first of these (RFC 8446 §5.1, §4).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// The most of a list that is kept of an offer.
const LISTED: usize = 32;

/// The most characters that are kept of a name, as many as that of a server can have, and of a protocol.
const NAME: usize = 255;
const PROTOCOL: usize = 64;

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

/// What a server saw of a client in its `ClientHello`. The texts are safe to print and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The name of the server that the client asked for.
    pub sni: Option<String>,
    /// The application protocols that it offered.
    pub alpn: Vec<String>,
    /// The signature schemes that it offered.
    pub schemes: Vec<String>,
    /// SHA-256 of the message, with its header of four bytes and without those of records, in hexadecimal digits.
    pub sha256: String,
}

impl Offered {
    /// What the `ClientHello` says with which `wire` begins, in records; `None` until all of it is there.
    pub fn read(wire: &[u8]) -> Option<Self> {
        let message = first_message(wire)?;
        let hello = ClientHello::read(message.get(4..)?)?;
        let alpn = hello.find(16).and_then(protocols).unwrap_or_default();
        let schemes = hello.numbers(13).unwrap_or_default();
        let schemes = schemes.into_iter().map(|number| names::name_of(number, names::scheme));
        Some(Self {
            sni: hello.find(0).and_then(server_name).map(|name| shortened(&name)),
            alpn: alpn.iter().take(LISTED).map(|name| first(PROTOCOL, name)).collect(),
            schemes: schemes.take(LISTED).collect(),
            sha256: sha256(&message),
        })
    }
}

/// The `ClientHello` with which `wire` begins, without the headers of the records.
pub fn first_message(wire: &[u8]) -> Option<Vec<u8>> {
    let mut records = Reader(wire);
    let mut message = Vec::new();
    loop {
        if let Some(&[kind, high, middle, low]) = message.first_chunk() {
            let whole = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
            if kind != CLIENT_HELLO {
                return None;
            }
            if message.len() >= whole {
                message.truncate(whole);
                return Some(message);
            }
        }
        if records.u8()? != HANDSHAKE {
            return None;
        }
        records.u16()?;
        message.extend_from_slice(records.vector(2)?.0);
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.concat()
}

/// As much of a name as is kept.
pub fn shortened(name: &str) -> String {
    first(NAME, name)
}

/// The first `most` characters.
fn first(most: usize, text: &str) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - bytes..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, content)].concat()
    }

    /// A `ClientHello` with these extensions.
    fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[7; 32], &vector(1, &[]), &vector(2, &[0x13, 1]), &[1, 0]];
        let body = [&fixed.concat()[..], &vector(2, &extensions.concat())].concat();
        [&[CLIENT_HELLO][..], &vector(3, &body)].concat()
    }

    /// In records of this length.
    fn in_records(message: &[u8], length: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &vector(2, part)].concat();
        message.chunks(length).flat_map(record).collect()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat()))
    }

    #[test]
    fn an_offer_is_read_from_records_of_any_length_as_soon_as_it_is_whole() {
        let alpn = extension(16, &vector(2, &[vector(1, b"h2"), vector(1, b"\x1b[2J")].concat()));
        let schemes = extension(13, &vector(2, &[8, 4, 0x1A, 0x1A]));
        let message = message(&[sni(b"alex.local"), alpn, schemes]);
        for length in [1, 7, 1 << 14] {
            let mut wire = in_records(&message, length);
            for cut in 0..wire.len() {
                assert_eq!(Offered::read(&wire[..cut]), None, "{cut} of {length}");
            }
            wire.extend(in_records(b"what follows", 100));
            let offered = Offered::read(&wire).unwrap();
            assert_eq!(offered.sni.as_deref(), Some("alex.local"));
            assert_eq!(offered.alpn, ["h2", "\\u{1b}[2J"]);
            assert_eq!(offered.schemes, ["RSA_PSS_SHA256", "GREASE"]);
            assert_eq!(offered.sha256, sha256(&message), "records of {length}");
        }
    }

    #[test]
    fn what_is_kept_of_an_offer_is_bounded() {
        let protocols = vec![vector(1, &[b'"'; 255]); 200].concat();
        let schemes = extension(13, &vector(2, &[4; 400]));
        let name = sni(&[b'a'; 10_000]);
        let hello = message(&[name, extension(16, &vector(2, &protocols)), schemes]);
        let offered = Offered::read(&in_records(&hello, 1 << 14)).unwrap();
        assert_eq!(offered.sni.map(|name| name.len()), Some(NAME));
        assert_eq!((offered.alpn.len(), offered.schemes.len()), (LISTED, LISTED));
        assert!(offered.alpn.iter().all(|name| name.len() == PROTOCOL));
    }

    #[test]
    fn what_is_no_client_hello_is_nothing() {
        let hello = message(&[]);
        assert!(Offered::read(&in_records(&hello, 100)).is_some());
        let of_another_kind = [&[2][..], &hello[1..]].concat();
        let in_alerts = [&[21][..], &in_records(&hello, 100)[1..]].concat();
        let too_short = in_records(&[CLIENT_HELLO, 0, 0, 2, 3, 3], 100);
        for wire in [&in_records(&of_another_kind, 100), &in_alerts, &too_short, &vec![22; 100]] {
            assert_eq!(Offered::read(wire), None);
        }
    }

    #[test]
    fn the_hash_is_that_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }
}
