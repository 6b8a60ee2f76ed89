//! What a certificate says: its names, its issuer, its dates, its key.
//!
//! Every text that leaves this file is safe to print. A certificate comes from a stranger, and its
//! names can hold anything, also escape sequences for the terminal.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519,
};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

pub(crate) mod escape;
mod names;

use escape::printable;
use names::{alternative_names, distinguished_name, limits};

/// A certificate, followed by those that link it to a CA.
pub type Chain = Vec<CertificateDer<'static>>;

/// The contents of a certificate. The texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject, such as `CN=alex.local`.
    pub subject: String,
    /// The issuer, which signed it.
    pub issuer: String,
    /// The common name in the subject, if it has one.
    pub common_name: Option<String>,
    /// The serial number: pairs of hexadecimal digits and colons.
    pub serial: String,
    /// The host names and addresses that it is for (the subject alternative names).
    pub names: Vec<String>,
    /// The start of its validity.
    pub not_before: SystemTime,
    /// The end of its validity.
    pub not_after: SystemTime,
    /// Type and size of its key, such as "ECDSA P-256".
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
    /// SHA-256 of the certificate, as openssl prints it.
    pub fingerprint: String,
    /// Subject and issuer as DER: two names are equal if their bytes are.
    pub(crate) subject_der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    /// The version of X.509; only version 3 has names and uses.
    pub(crate) version: u32,
    /// Its public key, as DER (`SubjectPublicKeyInfo`).
    public_key: Vec<u8>,
}

/// The bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotX509;

impl fmt::Display for NotX509 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not an X.509 certificate")
    }
}

impl std::error::Error for NotX509 {}

impl Certificate {
    /// Parses a certificate.
    pub fn parse(der: &[u8]) -> Result<Self, NotX509> {
        // The parser's own errors are written for programmers.
        let (_, parsed) = parse_x509_certificate(der).map_err(|_| NotX509)?;
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

    /// A distinguished name as text, from its DER.
    pub fn name(der: &[u8]) -> Option<String> {
        let (_, name) = X509Name::from_der(der).ok()?;
        Some(distinguished_name(&name))
    }

    /// Whether this is its public key, as DER (`SubjectPublicKeyInfo`).
    pub fn is_key(&self, public_key: &[u8]) -> bool {
        self.public_key == public_key
    }

    /// Whether its subject is its issuer.
    pub fn is_self_signed(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// The last day of its validity, in UTC, such as "2027-11-22".
    pub fn last_day(&self) -> String {
        let moment = moment(self.not_after);
        moment.split('T').next().unwrap_or(&moment).to_string()
    }

    /// The whole in one line: `CN=alex.local, signed by CN=the CA, until 2027-11-22`.
    pub fn summary(&self) -> String {
        let signer = if self.is_self_signed() { "itself" } else { &self.issuer };
        format!("{}, signed by {signer}, until {}", self.subject, self.last_day())
    }
}

/// Each property on a line of its own.
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

/// The lines that show a certificate, also one that cannot be parsed.
pub fn describe(der: &[u8]) -> String {
    match Certificate::parse(der) {
        Ok(certificate) => certificate.to_string(),
        Err(why) => format!("cannot be read ({why})\nSHA-256  {}\n", fingerprint(der)),
    }
}

/// The validity of a certificate, in seconds since 1970; `None` if it cannot be parsed.
pub fn validity(der: &[u8]) -> Option<RangeInclusive<u64>> {
    let (_, parsed) = parse_x509_certificate(der).ok()?;
    let validity = parsed.validity();
    Some(seconds(validity.not_before)..=seconds(validity.not_after))
}

/// A time in the notation of RFC 3339, in UTC.
pub fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Dates before 1970 become 1970.
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
    fn separators_in_a_common_name_are_escaped() {
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
    fn bytes_that_are_no_certificate_are_described() {
        for rubbish in [&b""[..], &[0x30; 300]] {
            let words = "cannot be read (it is not an X.509 certificate)\n";
            assert!(describe(rubbish).starts_with(words), "{}", describe(rubbish));
        }
    }
}
