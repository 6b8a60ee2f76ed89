//! A certificate authority (CA) of your own: makes itself, and signs certificates.
//!
//! The certificates follow RFC 5280, and pass OpenSSL's `-x509_strict`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::parse_x509_certificate;

use crate::certs::der::with_issuer;
use crate::certs::key::{Key, KeyType, random};
use crate::certs::names::COMMON_NAME_MAX;
use crate::exit::{Exit, Failure};
use crate::tls::certificate::{Certificate, Chain, moment};
use crate::tls::pem::load_certificates;
use crate::tls::verify::{Purpose, verify};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The default validity of a CA, in days: to replace a CA, every client needs the new one.
pub const CA_DAYS: u32 = 3650;

/// The default validity of a certificate, in days.
pub const DAYS: u32 = 365;

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A server with these host names and addresses, at least one.
    Server(Vec<String>),
    /// A client of this name.
    Client(String),
}

/// A CA, ready to sign.
///
/// # Peers accept what it signs
///
/// The issuer of a signed certificate is the CA's subject, byte for byte, and [`Authority::sign`]
/// verifies what it signs as a peer would.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// Its subject, as DER (`Name`).
    subject: Vec<u8>,
    /// Whether it may sign for servers, and for clients.
    may_sign: (bool, bool),
    /// What a peer has to trust to accept what is signed.
    roots: Chain,
    /// The intermediate CAs, which a server or client has to show with its certificate.
    links: Chain,
    pem: String,
    /// Its file, for errors.
    source: String,
}

impl Authority {
    /// Makes a new CA that is called `name` and is valid for `days`.
    pub fn make(name: &str, kind: KeyType, days: u32) -> Result<Self, Failure> {
        let key = Key::make(kind)?;
        let mut params = params(name, SystemTime::now() + DAY * days)?;
        // It signs servers and clients, but no other CA.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = params.self_signed(&key.0).map_err(|error| failed(&error))?;
        Self::new(&vec![made.der().clone()], key, format!("the CA {name}"))
    }

    /// Reads a CA from its two files.
    pub fn load(path: &Path, key_path: &Path) -> Result<Self, Failure> {
        let chain = load_certificates(path)?;
        let key = Key::load(key_path)?;
        let authority = Self::new(&chain, key, path.display().to_string())?;
        if !authority.certificate.is_key(&authority.issuer.key().subject_public_key_info()) {
            return Err(Failure::config(format!(
                "{} is not the key of {}: they belong to two CAs, or one of them was replaced",
                key_path.display(),
                authority.source
            )));
        }
        Ok(authority)
    }

    /// From its certificate, followed by those that link it to a root.
    fn new(chain: &Chain, key: Key, source: String) -> Result<Self, Failure> {
        let damaged =
            |why: &dyn std::fmt::Display| Failure::config(format!("{source}: damaged: {why}"));
        let first = chain.first().ok_or_else(|| damaged(&"no certificate"))?;
        let certificate = Certificate::parse(first).map_err(|why| damaged(&why))?;
        if !certificate.is_ca {
            return Err(Failure::config(format!(
                "{source}: {} is not a CA's certificate, so it cannot sign",
                certificate.subject
            )));
        }
        let (_, parsed) = parse_x509_certificate(first).map_err(|error| damaged(&error))?;
        if parsed.key_usage().is_ok_and(|it| it.is_some_and(|it| !it.value.key_cert_sign())) {
            return Err(Failure::config(format!(
                "{source}: {} may not sign certificates, since its key usage lacks keyCertSign: \
                 sign with another CA, or make one with echo-alex-certs ca",
                certificate.subject
            )));
        }
        let usage = parsed.extended_key_usage().ok().flatten().map(|found| found.value);
        let mut params = CertificateParams::default();
        // Without an identifier of its own, its key has a digest for one, as for a CA that is made here.
        if let Some(identifier) = subject_key_identifier(&parsed) {
            params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
        }
        let mut roots = chain.clone();
        roots.retain(|der| is_self_issued(der));
        if roots.is_empty() {
            roots.push(first.clone());
        }
        Ok(Self {
            issuer: Issuer::new(params, key.0),
            subject: parsed.subject().as_raw().to_vec(),
            may_sign: (
                usage.is_none_or(|usage| usage.any || usage.server_auth),
                usage.is_none_or(|usage| usage.any || usage.client_auth),
            ),
            roots,
            pem: pem(chain),
            // Peers have the root.
            links: if is_self_issued(first) { Chain::new() } else { chain.clone() },
            certificate,
            source,
        })
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key as PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate that is valid for `days`, but not longer than the CA itself.
    ///
    /// Fails if a peer that trusts the CA would not accept it.
    pub fn sign(&self, subject: &Subject, key: &Key, days: u32) -> Result<Signed, Failure> {
        let (now, end) = (SystemTime::now(), self.certificate.not_after);
        if end < now {
            return Err(Failure::config(format!(
                "the CA {} expired on {}, and this machine's clock says {}: make a new one with \
                 echo-alex-certs ca --force, and give its signing.pem to the clients",
                self.certificate.subject,
                moment(end),
                moment(now)
            )));
        }
        check_clock(&format!("the CA {}", self.certificate.subject), &self.certificate)?;
        let (may_sign, peers) = match subject {
            Subject::Server(_) => (self.may_sign.0, "servers"),
            Subject::Client(_) => (self.may_sign.1, "clients"),
        };
        if !may_sign {
            return Err(Failure::config(format!(
                "{}: {} may not sign for {peers}, since its extended key usage does not include it: \
                 sign with another CA, or make one with echo-alex-certs ca",
                self.source, self.certificate.subject
            )));
        }
        let name = match subject {
            Subject::Server(names) => names.iter().find(|name| name.len() <= COMMON_NAME_MAX),
            Subject::Client(name) => Some(name),
        };
        let mut params =
            params(name.map_or("echo-alex", String::as_str), end.min(now + DAY * days))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key.is_rsa() {
            // In TLS 1.2, RSA key exchange encrypts a secret with this key.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        match subject {
            Subject::Server(names) => {
                let names =
                    CertificateParams::new(names.clone()).map_err(|error| failed(&error))?;
                params.subject_alt_names = names.subject_alt_names;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Subject::Client(_) => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let made = params.signed_by(&key.0, &self.issuer).map_err(|error| failed(&error))?;
        let signed = with_issuer(&self.subject, made.der(), self.issuer.key())
            .map_err(|error| failed(&error))?;
        let mut chain: Chain = vec![signed.into()];
        chain.extend(self.links.iter().cloned());
        self.check(&chain, subject)?;
        let certificate = Certificate::parse(&chain[0]).map_err(|error| failed(&error))?;
        Ok(Signed { certificate, pem: pem(&chain) })
    }

    /// Verifies a chain as a peer would, for every name that it has.
    fn check(&self, chain: &Chain, subject: &Subject) -> Result<(), Failure> {
        let check = |purpose| verify(chain, &self.roots, &self.source, purpose);
        match subject {
            Subject::Server(names) => names.iter().try_for_each(|it| check(Purpose::Server(it))),
            Subject::Client(_) => check(Purpose::Client),
        }
        .map_err(|why| Failure::config(format!("cannot sign with {}: {why}", self.source)))
    }
}

/// Fails if the clock is earlier than the start of the validity of `certificate`, which messages call
/// `what`: what is signed with such a clock expires too early.
pub fn check_clock(what: &str, certificate: &Certificate) -> Result<(), Failure> {
    let now = SystemTime::now();
    if certificate.not_before <= now {
        return Ok(());
    }
    Err(Failure::config(format!(
        "{what} is not valid before {}, and this machine's clock says {}: set the clock (a \
         Raspberry Pi has no clock chip), then sign",
        moment(certificate.not_before),
        moment(now)
    )))
}

/// The identifier of its own key that a certificate has.
fn subject_key_identifier(certificate: &X509Certificate) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    })
}

/// Whether its subject is its issuer.
fn is_self_issued(der: &[u8]) -> bool {
    parse_x509_certificate(der).is_ok_and(|(_, it)| it.subject().as_raw() == it.issuer().as_raw())
}

/// The certificates as PEM (RFC 7468).
fn pem(chain: &Chain) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let pems = chain.iter().map(|der| Pem::new("CERTIFICATE", der.to_vec()));
    pems.map(|it| pem::encode_config(&it, config)).collect()
}

/// A signed certificate.
pub struct Signed {
    /// What it says.
    pub certificate: Certificate,
    /// The certificate and the intermediate CAs, as PEM.
    pub pem: String,
}

/// What all certificates have in common.
fn params(name: &str, not_after: SystemTime) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial()?);
    // A day back: the clock of a peer may be slow, above all that of a Raspberry Pi.
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = not_after.into();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A random number of 126 bits. RFC 5280 §4.1.2.2 requires it to be positive, and at most 20 bytes.
fn serial() -> Result<SerialNumber, Failure> {
    let mut bytes = random::<16>()?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, format!("cannot make the certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_positive_long_and_unique() {
        let made: Vec<Vec<u8>> = (0..100).map(|_| serial().unwrap().to_bytes()).collect();
        assert!(made.iter().all(|bytes| bytes.len() == 16 && (0x40..0x80).contains(&bytes[0])));
        let mut different = made.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), made.len());
    }
}
