//! The names in a certificate as text: subject and issuer, alternative names, name constraints. Each
//! text is safe to print.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::X509Name;

use crate::tls::certificate::escape::printable;

/// The name constraints of a CA in words (RFC 5280, section 4.2.1.10); `None` if it has none.
pub(super) fn limits(constraints: &NameConstraints) -> Option<String> {
    let list = |subtrees: &[GeneralSubtree]| {
        let subtrees: Vec<String> = subtrees.iter().map(|it| subtree(&it.base)).collect();
        subtrees.join(", ")
    };
    let permitted = constraints.permitted_subtrees.as_deref().map(list);
    let excluded = constraints.excluded_subtrees.as_deref().map(list);
    match (permitted, excluded) {
        (Some(permitted), Some(excluded)) => {
            Some(format!("permits only {permitted}, and excludes {excluded}"))
        }
        (Some(permitted), None) => Some(format!("permits only {permitted}")),
        (None, Some(excluded)) => Some(format!("excludes {excluded}")),
        (None, None) => None,
    }
}

/// The names that a name constraint covers.
fn subtree(base: &GeneralName) -> String {
    match base {
        GeneralName::DNSName("") => "every host name".into(),
        GeneralName::DNSName(name) => match name.strip_prefix('.') {
            Some(parent) => format!("names below {}", printable(parent)),
            None => format!("{} and names below it", printable(name)),
        },
        GeneralName::IPAddress(bytes) => {
            let (network, mask) = bytes.split_at(bytes.len() / 2);
            match (address(network), address(mask)) {
                (Some(network), Some(mask)) => match prefix_length(mask) {
                    Some(length) => format!("{network}/{length}"),
                    None => format!("{network} with the mask {mask}"),
                },
                _ => alternative_name(&GeneralName::IPAddress(bytes)),
            }
        }
        GeneralName::DirectoryName(name) => format!("subjects below {}", distinguished_name(name)),
        other => alternative_name(other),
    }
}

/// A name in the notation of RFC 4514, but in the order of the certificate.
pub(super) fn distinguished_name(name: &X509Name) -> String {
    let parts: Vec<String> = name
        .iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type();
            let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_string(), Into::into);
            let value = match attribute.as_str() {
                Ok(text) => printable(text),
                Err(_) => printable(&String::from_utf8_lossy(attribute.as_slice())),
            };
            format!("{kind}={}", quote_separators(&value))
        })
        .collect();
    if parts.is_empty() { "(no name)".into() } else { parts.join(", ") }
}

/// Escapes separators: a common name of "alex, O=Bank" must not read as two parts.
fn quote_separators(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for letter in value.chars() {
        if matches!(letter, ',' | '+' | '"' | '<' | '>' | ';' | '=') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}

/// The subject alternative names.
pub(super) fn alternative_names(certificate: &X509Certificate) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().map(alternative_name).collect()
}

fn alternative_name(name: &GeneralName) -> String {
    match name {
        GeneralName::DNSName(name) => printable(name),
        GeneralName::IPAddress(bytes) => address(bytes)
            .map_or_else(|| format!("an address of {} bytes", bytes.len()), |it| it.to_string()),
        GeneralName::RFC822Name(mail) => format!("email:{}", printable(mail)),
        GeneralName::URI(uri) => format!("URI:{}", printable(uri)),
        _ => "a name of another kind".into(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The number of leading one bits of a mask; `None` if other bits are set too.
fn prefix_length(mask: IpAddr) -> Option<u32> {
    let (first, all) = match mask {
        IpAddr::V4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        IpAddr::V6(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
    };
    (first == all).then_some(first)
}
