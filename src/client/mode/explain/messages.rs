//! What handshake messages say, as pairs of a name and a value. The texts are safe to print.

use super::records::{ServerHello, Settled};
use crate::tls::certificate::Certificate;
use crate::tls::hello::{ClientHello, protocols, server_name};
use crate::tls::names::{self, name_of};
use crate::tls::reader::Reader;

/// The most of a list that is shown.
const LISTED: usize = 12;

/// The most certificates of a chain that are shown.
const CERTIFICATES: usize = 8;

/// A name and a value.
pub type Detail = (&'static str, String);

/// What a message says; `None` where it cannot be read.
pub fn details(kind: u8, body: &[u8], settled: &Settled) -> Option<Vec<Detail>> {
    let reader = Reader(body);
    match kind {
        1 => client_hello(body),
        2 => server_hello(body),
        4 => ticket(reader, settled),
        8 => Some(extensions_of_server(&reader.clone().extensions()?)),
        11 => certificates(reader, settled),
        12 => server_key_exchange(reader),
        13 => certificate_request(reader, settled),
        15 => signature(reader),
        16 => Some(vec![("key share", bytes(reader.0.len().saturating_sub(1)))]),
        20 => Some(vec![("verify data", bytes(body.len()))]),
        22 => Some(vec![("OCSP response", bytes(body.len().saturating_sub(4)))]),
        24 => Some(vec![(
            "asks back",
            if body == [1] { "yes: the peer is to change its keys too" } else { "no" }.into(),
        )]),
        _ => Some(Vec::new()),
    }
}

fn client_hello(body: &[u8]) -> Option<Vec<Detail>> {
    let hello = ClientHello::read(body)?;
    let list = |kind: u16, name: fn(u16) -> Option<&'static str>| {
        hello.numbers(kind).map(|numbers| listed(&numbers, name))
    };
    let versions = hello.find(43).and_then(|mut it| it.vector(1)).map(Reader::numbers);
    let versions = versions.unwrap_or_else(|| vec![hello.legacy_version]);
    let mut details = vec![("versions", listed(&versions, names::version))];
    details.push(("cipher suites", listed(&hello.suites, names::suite)));
    details.extend(list(10, names::group).map(|it| ("groups", it)));
    if let Some(mut shares) = hello.find(51).and_then(|mut it| it.vector(2)) {
        details.push(("key shares", key_shares(&mut shares)?));
    }
    details.extend(list(13, names::scheme).map(|it| ("signatures", it)));
    details.push((
        "server name",
        match hello.find(0) {
            Some(content) => server_name(content)?,
            None => "not sent".into(),
        },
    ));
    details.extend(hello.find(16).and_then(alpn));
    if let Some(mut content) = hello.find(41) {
        let mut identities = content.vector(2)?;
        let mut lengths = Vec::new();
        while !identities.is_empty() {
            lengths.push(bytes(identities.vector(2)?.0.len()));
            identities.take(4)?;
        }
        details.push(("resumes with", format!("a ticket of {}", lengths.join(", "))));
    } else if let Some(content) = hello.find(35).filter(|content| !content.is_empty()) {
        details.push(("resumes with", format!("a ticket of {}", bytes(content.0.len()))));
    }
    details.push(("session id", bytes(hello.session.0.len())));
    details.push(("extensions", listed(&hello.kinds(), extension_name)));
    Some(details)
}

fn server_hello(body: &[u8]) -> Option<Vec<Detail>> {
    let hello = ServerHello::read(body)?;
    let mut details = vec![
        ("version", name_of(hello.version, names::version)),
        ("cipher suite", name_of(hello.suite, names::suite)),
    ];
    let find = |kind| hello.extensions.iter().find(|(it, _)| *it == kind).map(|(_, it)| *it);
    if let Some(mut share) = find(51) {
        let group = name_of(share.u16()?, names::group);
        if hello.is_retry {
            details.push(("asks for a share of", group));
        } else {
            details.push(("key share", format!("{group}, {}", bytes(share.vector(2)?.0.len()))));
        }
    }
    if hello.is_retry {
        details.extend(find(44).map(|it| ("cookie", bytes(it.0.len()))));
    }
    if find(41).is_some() {
        details.push(("resumes", "yes: the keys come from the earlier session's".into()));
    }
    details.extend(find(16).and_then(alpn));
    let kinds: Vec<u16> = hello.extensions.iter().map(|(kind, _)| *kind).collect();
    details.push(("extensions", listed(&kinds, extension_name)));
    Some(details)
}

fn extensions_of_server(extensions: &[(u16, Reader)]) -> Vec<Detail> {
    let mut details = Vec::new();
    for (kind, content) in extensions {
        match kind {
            16 => details.extend(alpn(*content)),
            10 => {
                let groups = content.clone().vector(2).map(Reader::numbers).unwrap_or_default();
                details.push(("groups", listed(&groups, names::group)));
            }
            _ => {}
        }
    }
    let kinds: Vec<u16> = extensions.iter().map(|(kind, _)| *kind).collect();
    details.push(("extensions", listed(&kinds, extension_name)));
    details
}

/// The certificates of a chain, its own first.
pub fn chain<'a>(body: &'a [u8], settled: &Settled) -> Option<Vec<&'a [u8]>> {
    let mut reader = Reader(body);
    if settled.is_tls13() {
        reader.vector(1)?;
    }
    let mut all = reader.vector(3)?;
    let mut chain = Vec::new();
    while !all.is_empty() {
        chain.push(all.vector(3)?.0);
        if settled.is_tls13() {
            all.vector(2)?;
        }
    }
    Some(chain)
}

fn certificates(reader: Reader, settled: &Settled) -> Option<Vec<Detail>> {
    let chain = chain(reader.0, settled)?;
    if chain.is_empty() {
        return Some(vec![("chain", "none: the client has no certificate to show".into())]);
    }
    let summary = |der: &&[u8]| {
        let text = Certificate::parse(der).map(|it| it.summary());
        ("certificate", text.unwrap_or_else(|_| "one that cannot be parsed".into()))
    };
    let mut details: Vec<Detail> = chain.iter().take(CERTIFICATES).map(summary).collect();
    if chain.len() > CERTIFICATES {
        details.push(("chain", format!("{} certificates in all", chain.len())));
    }
    if let Some(leaf) = chain.first().and_then(|der| Certificate::parse(der).ok()) {
        let names = leaf.names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
        details.push(("names", if names.is_empty() { "none".into() } else { names }));
        details.push(("key", leaf.key));
    }
    Some(details)
}

fn server_key_exchange(mut reader: Reader) -> Option<Vec<Detail>> {
    // A named curve is the only kind that is left (RFC 8422 §5.4).
    if reader.u8()? != 3 {
        return Some(vec![("key exchange", "without a named group".into())]);
    }
    let group = name_of(reader.u16()?, names::group);
    let share = reader.vector(1)?;
    let mut details = vec![("key share", format!("{group}, {}", bytes(share.0.len())))];
    details.extend(signature(reader)?);
    Some(details)
}

fn signature(mut reader: Reader) -> Option<Vec<Detail>> {
    let scheme = name_of(reader.u16()?, names::scheme);
    let length = bytes(reader.vector(2)?.0.len());
    Some(vec![("signature", format!("{scheme}, {length}"))])
}

fn certificate_request(mut reader: Reader, settled: &Settled) -> Option<Vec<Detail>> {
    let (schemes, mut authorities) = if settled.is_tls13() {
        reader.vector(1)?;
        let extensions = reader.extensions()?;
        let find = |kind| extensions.iter().find(|(it, _)| *it == kind).map(|(_, it)| *it);
        (find(13)?.vector(2)?, find(47).and_then(|mut it| it.vector(2)))
    } else {
        reader.vector(1)?;
        (reader.vector(2)?, reader.vector(2))
    };
    let mut names_of_cas = Vec::new();
    while let Some(name) = authorities.as_mut().and_then(|it| it.vector(2)) {
        names_of_cas.push(distinguished_name(name.0));
    }
    let more = names_of_cas.len().saturating_sub(CERTIFICATES);
    names_of_cas.truncate(CERTIFICATES);
    if more > 0 {
        names_of_cas.push(format!("{more} more"));
    }
    let mut details = vec![("signatures", listed(&schemes.numbers(), names::scheme))];
    if !names_of_cas.is_empty() {
        details.push(("accepts the CAs", names_of_cas.join("; ")));
    }
    Some(details)
}

fn ticket(mut reader: Reader, settled: &Settled) -> Option<Vec<Detail>> {
    let lifetime = reader.number(4)?;
    if settled.is_tls13() {
        reader.take(4)?;
        reader.vector(1)?;
    }
    let ticket = reader.vector(2)?;
    Some(vec![("lifetime", format!("{lifetime} s")), ("ticket", bytes(ticket.0.len()))])
}

fn key_shares(shares: &mut Reader) -> Option<String> {
    let mut texts = Vec::new();
    while !shares.is_empty() {
        let group = name_of(shares.u16()?, names::group);
        texts.push(format!("{group}, {}", bytes(shares.vector(2)?.0.len())));
    }
    texts.truncate(LISTED);
    Some(if texts.is_empty() { "none".into() } else { texts.join("; ") })
}

fn alpn(content: Reader) -> Option<Detail> {
    let mut protocols = protocols(content)?;
    protocols.truncate(LISTED);
    Some(("ALPN", protocols.join(", ")))
}

fn distinguished_name(der: &[u8]) -> String {
    Certificate::name(der).unwrap_or_else(|| "a name that cannot be parsed".into())
}

fn listed(numbers: &[u16], name: fn(u16) -> Option<&'static str>) -> String {
    if numbers.is_empty() {
        return "none".into();
    }
    let mut texts: Vec<String> =
        numbers.iter().take(LISTED).map(|number| name_of(*number, name)).collect();
    if numbers.len() > LISTED {
        texts.push(format!("{} more", numbers.len() - LISTED));
    }
    texts.join(", ")
}

fn bytes(count: usize) -> String {
    format!("{count} bytes")
}

/// The name of an extension in the registry of IANA.
fn extension_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0 => "server_name",
        1 => "max_fragment_length",
        5 => "status_request",
        10 => "supported_groups",
        11 => "ec_point_formats",
        13 => "signature_algorithms",
        16 => "application_layer_protocol_negotiation",
        18 => "signed_certificate_timestamp",
        21 => "padding",
        22 => "encrypt_then_mac",
        23 => "extended_master_secret",
        27 => "compress_certificate",
        28 => "record_size_limit",
        35 => "session_ticket",
        41 => "pre_shared_key",
        42 => "early_data",
        43 => "supported_versions",
        44 => "cookie",
        45 => "psk_key_exchange_modes",
        47 => "certificate_authorities",
        49 => "post_handshake_auth",
        50 => "signature_algorithms_cert",
        51 => "key_share",
        0xFE0D => "encrypted_client_hello",
        0xFF01 => "renegotiation_info",
        _ => return None,
    })
}
