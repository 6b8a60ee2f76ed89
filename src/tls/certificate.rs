//! What a certificate says, in words: who it is, who signed it, and until when.
//!
//! Every text that leaves this file is safe to print. A certificate comes from a stranger, and its
//! names can hold anything, escape sequences of the terminal too.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, DnsName};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::exit::Failure;

/// A certificate and those that link it to a CA, in this order.
pub type Chain = Vec<CertificateDer<'static>>;

/// What a certificate says of itself. The texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, such as `CN=alex.local`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The common name in the subject, if there is one.
    pub common_name: Option<String>,
    /// The serial number: pairs of hexadecimal digits and colons.
    pub serial: String,
    /// The host names and addresses that it is for (the subject alternative names).
    pub names: Vec<String>,
    /// The moment from which it is valid.
    pub not_before: SystemTime,
    /// The moment until which it is valid.
    pub not_after: SystemTime,
    /// Kind and size of its key, such as "ECDSA P-256".
    pub key: String,
    /// It may sign other certificates.
    pub is_ca: bool,
    /// A server may show it.
    pub for_servers: bool,
    /// A client may show it.
    pub for_clients: bool,
    /// Which names it may sign for, if it is limited (the name constraints), such as "permits only
    /// home.arpa and names below it".
    pub limits: Option<String>,
    /// SHA-256 of the whole, as openssl prints it.
    pub fingerprint: String,
    /// Whose it is and who signed it, as DER: two names are the same where their bytes are.
    pub(crate) subject_der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    /// The version of X.509; only the third has names and uses in it.
    pub(crate) version: u32,
    /// Its public key, as DER (`SubjectPublicKeyInfo`).
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate; fails with what is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        // What the parser has against it is written for programmers.
        let (_, parsed) = x509_parser::parse_x509_certificate(der)
            .map_err(|_| "it is not a certificate as X.509 wants it")?;
        let is_ca = parsed.is_ca();
        let usage = parsed.extended_key_usage().ok().flatten().map(|found| found.value);
        let common_name = parsed.subject().iter_common_name().next();
        Ok(Self {
            subject: distinguished_name(parsed.subject()),
            issuer: distinguished_name(parsed.issuer()),
            common_name: common_name.and_then(|name| name.as_str().ok()).map(printable),
            serial: printable(&parsed.raw_serial_as_string().to_uppercase()),
            names: alternative_names(&parsed),
            not_before: system_time(parsed.validity().not_before),
            not_after: system_time(parsed.validity().not_after),
            key: key(parsed.public_key()),
            is_ca,
            for_servers: !is_ca && usage.is_none_or(|usage| usage.any || usage.server_auth),
            for_clients: !is_ca && usage.is_none_or(|usage| usage.any || usage.client_auth),
            limits: parsed.name_constraints().ok().flatten().and_then(|it| limits(it.value)),
            fingerprint: fingerprint(der),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            version: parsed.version().0 + 1,
            public_key: parsed.public_key().raw.to_vec(),
        })
    }

    /// Whether this is its public key, as DER (`SubjectPublicKeyInfo`).
    pub fn is_key(&self, public_key: &[u8]) -> bool {
        self.public_key == public_key
    }

    /// It says that it is signed with its own key.
    pub fn is_self_signed(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// The last day of its validity, such as "2027-11-22".
    pub fn last_day(&self) -> String {
        let moment = moment(self.not_after);
        moment.split('T').next().unwrap_or(&moment).to_string()
    }

    /// All in one line: `CN=alex.local, signed by CN=the CA, until 2027-11-22`.
    pub fn summary(&self) -> String {
        let signer = if self.is_self_signed() { "itself" } else { &self.issuer };
        format!("{}, signed by {signer}, until {}", self.subject, self.last_day())
    }
}

/// Every property, a line each.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "none".into() } else { self.names.join(", ") };
        let uses: Vec<&str> =
            [(self.is_ca, "CA"), (self.for_servers, "server"), (self.for_clients, "client")]
                .into_iter()
                .filter_map(|(is_so, word)| is_so.then_some(word))
                .collect();
        writeln!(f, "subject  {}", self.subject)?;
        writeln!(f, "issuer   {}", self.issuer)?;
        writeln!(f, "serial   {}", self.serial)?;
        writeln!(f, "names    {names}")?;
        writeln!(f, "valid    {} to {}", moment(self.not_before), moment(self.not_after))?;
        writeln!(f, "key      {}", self.key)?;
        writeln!(f, "use      {}", if uses.is_empty() { "other".into() } else { uses.join(", ") })?;
        if let Some(limits) = &self.limits {
            writeln!(f, "limits   {limits}")?;
        }
        writeln!(f, "SHA-256  {}", self.fingerprint)
    }
}

/// SHA-256 of a certificate, as openssl prints it: pairs of hexadecimal digits and colons.
pub fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// The lines that show a certificate, also one that cannot be read.
pub fn describe(der: &[u8]) -> String {
    match Certificate::parse(der) {
        Ok(certificate) => certificate.to_string(),
        Err(why) => format!("cannot be read ({why})\nSHA-256  {}\n", fingerprint(der)),
    }
}

/// `text` with everything escaped that a terminal acts on or does not show: control characters,
/// line separators, overrides of the writing direction, characters without width. The backslash is
/// escaped too, so that what is shown can be told from what was escaped.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        let acts = letter.is_control()
            || matches!(letter,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if acts {
            safe.extend(letter.escape_unicode());
        } else if letter == '\\' {
            safe.push_str("\\\\");
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// Whether `name` is a host name or an address that a certificate can be made for.
pub fn is_host(name: &str) -> bool {
    check_host(name).is_ok()
}

/// Checks that a certificate can be made for the host name or address `name`; fails with a sentence
/// that says what to do.
///
/// A name without a dot at its end is the "preferred name syntax" that RFC 5280, section 4.2.1.6,
/// asks for.
pub fn check_host(name: &str) -> Result<(), Failure> {
    let is_address = |name: &str| name.parse::<IpAddr>().is_ok();
    let is_name = |name: &str| DnsName::try_from(name).is_ok();
    let wildcard = name.strip_prefix("*.");
    Err(Failure::usage(match (name.strip_suffix('.'), wildcard) {
        (Some(fqdn), _) if !fqdn.is_empty() => {
            format!("{name:?}: a name in a certificate has no dot at its end: write {fqdn}")
        }
        (_, Some(parent)) if is_address(parent) => format!(
            "{name:?}: a wildcard stands for a label of a host name, and {parent} is an address: \
             give each address by itself"
        ),
        // rustls, OpenSSL and browsers take it for a domain in which anybody can have a name.
        (_, Some(parent)) if is_name(parent) && !parent.contains('.') => format!(
            "{name:?}: clients refuse a wildcard with fewer than two labels behind it: give each \
             name by itself, such as alex.{parent}"
        ),
        _ if is_address(name) || is_name(wildcard.unwrap_or(name)) => return Ok(()),
        _ => format!(
            "{name:?} is neither a host name (letters, digits, hyphens, dots) nor an address"
        ),
    }))
}

/// From when until when a certificate is valid, in seconds since 1970; nothing for one that cannot
/// be parsed.
pub fn validity(der: &[u8]) -> Option<RangeInclusive<u64>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    let validity = parsed.validity();
    Some(seconds(validity.not_before)..=seconds(validity.not_after))
}

/// A moment as RFC 3339 writes it, in UTC.
pub fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The name constraints of a CA in words (RFC 5280, section 4.2.1.10); `None` where there are none.
fn limits(constraints: &NameConstraints) -> Option<String> {
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

/// A name as RFC 4514 writes it, but in the order in which it stands in the certificate.
fn distinguished_name(name: &X509Name) -> String {
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

/// Without this, a common name of "alex, O=Bank" would read as two parts.
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

fn alternative_names(certificate: &X509Certificate) -> Vec<String> {
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

/// How many bits a mask leaves of an address; `None` where these are not the first ones.
fn prefix_length(mask: IpAddr) -> Option<u32> {
    let (first, all) = match mask {
        IpAddr::V4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        IpAddr::V6(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
    };
    (first == all).then_some(first)
}

/// Dates before 1970 become 1970, which is as long ago as anything here.
fn seconds(time: ASN1Time) -> u64 {
    time.timestamp().try_into().unwrap_or(0)
}

fn system_time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds(time))
}

fn key(info: &SubjectPublicKeyInfo) -> String {
    let algorithm = &info.algorithm;
    if algorithm.algorithm == OID_SIG_ED25519 {
        return "Ed25519".into();
    }
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let curve = match curve {
            Some(curve) if curve == OID_EC_P256 => "P-256",
            Some(curve) if curve == OID_NIST_EC_P384 => "P-384",
            Some(curve) if curve == OID_NIST_EC_P521 => "P-521",
            _ => "on another curve",
        };
        return format!("ECDSA {curve}");
    }
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {} bits", key.key_size()),
        _ => format!("of another kind ({})", algorithm.algorithm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_printed() {
        assert_eq!(printable("\u{1b}[2Jalex\n\u{7f}\u{9b}"), "\\u{1b}[2Jalex\\u{a}\\u{7f}\\u{9b}");
        assert_eq!(printable("\u{202e}lacol.xela\u{2066}"), "\\u{202e}lacol.xela\\u{2066}");
        assert_eq!(printable("a\u{200b}b\u{2028}\u{feff}\u{e0041}"), {
            "a\\u{200b}b\\u{2028}\\u{feff}\\u{e0041}"
        });
        assert_eq!(printable("\\u{1b}"), "\\\\u{1b}", "what was escaped can be told");
        assert_eq!(printable("Jörg's Pi, 日本"), "Jörg's Pi, 日本");
    }

    #[test]
    fn a_common_name_cannot_pose_as_two_parts() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "alex, O=Bank");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Studio");
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let certificate = Certificate::parse(made.der()).unwrap();
        assert_eq!(certificate.subject, "CN=alex\\, O\\=Bank, O=Studio");
        assert_eq!(certificate.common_name.as_deref(), Some("alex, O=Bank"));
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        for good in ["alex", "alex.local", "*.home.arpa", "192.168.1.16", "::1"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a b", "alex..local", "-alex", "al\nex", "bücher.local", "*", ".", "*."] {
            assert!(!is_host(bad), "{bad}");
        }
        for bad in ["alex.local.", "*.home.arpa.", "*.local", "*.10.0.0.1", "*.::1"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn rubbish_is_described_and_not_a_panic() {
        for rubbish in [&b""[..], &[0x30; 300]] {
            let words = "cannot be read (it is not a certificate as X.509 wants it)\n";
            assert!(describe(rubbish).starts_with(words), "{}", describe(rubbish));
        }
    }
}
