//! A certificate authority (CA) of one's own: it makes keys and signs certificates.
//!
//! What is made follows RFC 5280, to the letter where OpenSSL's `-x509_strict` looks.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, SigningKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use x509_parser::asn1_rs::{Any, BitString, FromDer, Sequence, ToDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::parse_x509_certificate;

use crate::exit::{Exit, Failure};
use crate::tls::certificate::escape::printable;
use crate::tls::certificate::{Certificate, Chain, moment};
use crate::tls::host::is_host;
use crate::tls::pem::{load_certificates, load_key};
use crate::tls::verify::{Purpose, verify};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a CA lasts, in days, where nothing is said: to replace one, every client is visited.
pub const CA_DAYS: u32 = 3650;

/// How long what it signs lasts, in days, where nothing is said.
pub const DAYS: u32 = 365;

/// The longest common name, in characters (RFC 5280, `ub-common-name`).
const COMMON_NAME_MAX: usize = 64;

/// The kinds of key that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on the curve P-256: every TLS program of today knows it.
    Ecdsa,
    /// Ed25519: not known to web browsers.
    Ed25519,
}

impl FromStr for KeyType {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "ecdsa" => Ok(Self::Ecdsa),
            "ed25519" => Ok(Self::Ed25519),
            "rsa" => Err(Failure::usage(
                "RSA keys can be signed here, not made: make one with openssl genpkey -algorithm \
                 RSA -pkeyopt rsa_keygen_bits:3072 -out certs/alex.key, then echo-alex-certs \
                 server --renew alex.local",
            )),
            _ => {
                Err(Failure::usage(format!("no such type of key: {text:?}; take ecdsa or ed25519")))
            }
        }
    }
}

/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 version 1 (RFC 8410, section 7).
///
/// The key is put together here, because ring and rcgen write version 2 with the public key in it
/// (RFC 5958), which OpenSSL 3.0 and `GnuTLS` do not read. ring reads both.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A private key.
pub struct Key(KeyPair);

impl Key {
    /// Makes a new one.
    pub fn make(kind: KeyType) -> Result<Self, Failure> {
        let made = match kind {
            KeyType::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::Ed25519 => {
                let mut key = ED25519_PKCS8.to_vec();
                key.extend(random::<32>()?);
                KeyPair::try_from(key)
            }
        };
        made.map(Self).map_err(|error| failed(&error))
    }

    /// Reads one from a PEM file.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let key = load_key(path).map_err(|failure| match failure.exit {
            // The daemon's advice, to let its group read the key, does not fit a CA's.
            Exit::NoPermission => Failure::new(
                failure.exit,
                format!(
                    "cannot read the key {}: permission denied: run this as its owner",
                    path.display()
                ),
            ),
            _ => failure,
        })?;
        KeyPair::try_from(&key).map(Self).map_err(|error| {
            Failure::config(format!(
                "{0}: not a key that can sign here ({error}); if openssl pkey -in {0} -noout \
                 -text shows RSA, ECDSA on P-256 or P-384, or Ed25519, write it as PKCS#8: openssl \
                 pkcs8 -topk8 -nocrypt -in {0} -out new.key",
                path.display()
            ))
        })
    }

    /// The key as a PEM file holds it (PKCS#8 version 1, RFC 5208, for every key that was made
    /// here).
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    fn is_rsa(&self) -> bool {
        *self.0.algorithm() == rcgen::PKCS_RSA_SHA256
    }
}

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A server with these host names and addresses, at least one.
    Server(Vec<String>),
    /// A client that is called so.
    Client(String),
}

/// A CA, ready to sign.
///
/// # What it signs is accepted
///
/// The issuer of a signed certificate is the CA's subject, byte for byte, and whatever is signed is
/// verified as a peer would before it leaves [`Authority::sign`].
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// Its subject, as DER (`Name`).
    subject: Vec<u8>,
    /// It may sign for servers, and for clients.
    may_sign: (bool, bool),
    /// What a peer trusts that accepts what is signed.
    roots: Chain,
    /// What leads from a signed certificate to a root, and has to be shown to peers.
    links: Chain,
    pem: String,
    /// Where it came from, for errors.
    source: String,
}

impl Authority {
    /// Makes a new one that is called `name` and lasts for `days`.
    pub fn make(name: &str, kind: KeyType, days: u32) -> Result<Self, Failure> {
        let key = Key::make(kind)?;
        let mut params = params(name, SystemTime::now() + DAY * days)?;
        // It signs servers and clients, and no further CA.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = params.self_signed(&key.0).map_err(|error| failed(&error))?;
        Self::new(&vec![made.der().clone()], key, format!("the CA {name}"))
    }

    /// Reads one from its two files.
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

    /// From its certificate, and those that lead from there to a root.
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
        // Without one of its own, the identifier of its key is a digest, as for what is made here.
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
            // Peers know the root of a chain.
            links: if is_self_issued(first) { Chain::new() } else { chain.clone() },
            certificate,
            source,
        })
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its certificate as a PEM file holds it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key as a PEM file holds it.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate that lasts for `days`, though never longer than the CA itself.
    ///
    /// Fails where a peer that trusts the CA would not accept it.
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
        let (may_sign, whom) = match subject {
            Subject::Server(_) => (self.may_sign.0, "servers"),
            Subject::Client(_) => (self.may_sign.1, "clients"),
        };
        if !may_sign {
            return Err(Failure::config(format!(
                "{}: {} may not sign for {whom}, since its extended key usage does not say so: \
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
            // TLS 1.2 can send a secret encrypted with an RSA key.
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
        let signed = with_issuer(&self.subject, made.der(), self.issuer.key())?;
        let mut chain: Chain = vec![signed.into()];
        chain.extend(self.links.iter().cloned());
        self.check(&chain, subject)?;
        let certificate = Certificate::parse(&chain[0]).map_err(|error| failed(&error))?;
        Ok(Signed { certificate, pem: pem(&chain) })
    }

    /// Verifies a chain as a peer would, by every name that it is for.
    fn check(&self, chain: &Chain, subject: &Subject) -> Result<(), Failure> {
        let check = |purpose| verify(chain, &self.roots, &self.source, purpose);
        match subject {
            Subject::Server(names) => names.iter().try_for_each(|it| check(Purpose::Server(it))),
            Subject::Client(_) => check(Purpose::Client),
        }
        .map_err(|why| Failure::config(format!("cannot sign with {}: {why}", self.source)))
    }
}

/// Fails where the clock stands before the day on which `certificate`, which is `what`, begins to be
/// valid: what is signed by such a clock ends too early.
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

/// The certificate `made` with `issuer`, a `Name` as DER, for its issuer, signed by `key`.
///
/// Peers compare the names byte by byte. rcgen keeps a name as a map from types to values, and thereby
/// loses those that are there twice, those that share an RDN, and types of strings.
fn with_issuer(issuer: &[u8], made: &[u8], key: &KeyPair) -> Result<Vec<u8>, Failure> {
    let replace = || {
        // RFC 5280, section 4.1: tbsCertificate, signatureAlgorithm and signatureValue; the first
        // begins with version, serialNumber, signature and issuer.
        let (tbs, rest) = first_element(contents(made)?)?;
        let (algorithm, _) = first_element(rest)?;
        let tbs = contents(tbs)?;
        let mut rest = tbs;
        for _ in ["version", "serialNumber", "signature"] {
            (_, rest) = first_element(rest)?;
        }
        let (before, _) = tbs.split_at(tbs.len() - rest.len());
        let (_, after) = first_element(rest)?;
        let tbs = sequence(&[before, issuer, after])?;
        Some((algorithm, tbs))
    };
    let (algorithm, tbs) = replace().ok_or_else(|| failed(&"its encoding is not understood"))?;
    let signature = key.sign(&tbs).map_err(|error| failed(&error))?;
    BitString::new(0, &signature)
        .to_der_vec()
        .ok()
        .and_then(|signature| sequence(&[&tbs, algorithm, &signature]))
        .ok_or_else(|| failed(&"it cannot be encoded"))
}

/// What the DER element in `bytes` holds.
fn contents(bytes: &[u8]) -> Option<&[u8]> {
    Any::from_der(bytes).ok().map(|(_, element)| element.data)
}

/// The first DER element in `bytes`, and what follows it.
fn first_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, _) = Any::from_der(bytes).ok()?;
    bytes.split_at_checked(bytes.len() - rest.len())
}

/// The DER of a SEQUENCE of these elements.
fn sequence(elements: &[&[u8]]) -> Option<Vec<u8>> {
    Sequence::new(elements.concat().into()).to_der_vec().ok()
}

/// The identifier that a certificate gives its own key.
fn subject_key_identifier(certificate: &X509Certificate) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    })
}

/// Its subject and its issuer are the same.
fn is_self_issued(der: &[u8]) -> bool {
    parse_x509_certificate(der).is_ok_and(|(_, it)| it.subject().as_raw() == it.issuer().as_raw())
}

/// The certificates as a PEM file holds them (RFC 7468).
fn pem(chain: &Chain) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let pems = chain.iter().map(|der| Pem::new("CERTIFICATE", der.to_vec()));
    pems.map(|it| pem::encode_config(&it, config)).collect()
}

/// A certificate that was signed.
pub struct Signed {
    /// What it says.
    pub certificate: Certificate,
    /// What its file holds: the certificate, and those that link it to a root.
    pub pem: String,
}

/// What all certificates have in common.
fn params(name: &str, not_after: SystemTime) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial()?);
    // A day back: the clock of a peer may be slow, that of a Pi most of all.
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = not_after.into();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A random number of 126 bits. RFC 5280 §4.1.2.2 wants it positive, and 20 bytes at most.
fn serial() -> Result<SerialNumber, Failure> {
    let mut bytes = random::<16>()?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Failure> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, format!("cannot make the certificate: {error}"))
}

/// Whether a certificate may have `name` as its common name: fails with what is against it.
pub fn check_common_name(name: &str) -> Result<(), Failure> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > COMMON_NAME_MAX || printable(name) != name {
        return Err(Failure::usage(format!(
            "{name:?} is no name for a certificate: 1 to {COMMON_NAME_MAX} characters, and none \
             that cannot be seen"
        )));
    }
    Ok(())
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Every name and address under which this machine can be reached from its network, the name for
/// mDNS (`NAME.local`) first.
pub fn own_names() -> Vec<String> {
    let host = host_name();
    let label = host.split('.').next().unwrap_or_default();
    let mut names = vec![format!("{label}.local"), host.clone(), "localhost".into()];
    if label == "localhost" {
        names.remove(0);
    }
    names.retain(|name| is_host(name));
    // Without a network there are only names, and that is no reason to fail.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.iter().map(if_addrs::Interface::ip);
    names.extend(addresses.filter(|it| !is_link_local(it)).map(|it| it.to_string()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Such an address means something only together with an interface.
fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_positive_long_and_never_the_same() {
        let made: Vec<Vec<u8>> = (0..100).map(|_| serial().unwrap().to_bytes()).collect();
        assert!(made.iter().all(|bytes| bytes.len() == 16 && (0x40..0x80).contains(&bytes[0])));
        let mut different = made.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), made.len());
    }

    #[test]
    fn own_names_can_all_be_in_a_certificate_once() {
        let names = own_names();
        assert!(names.contains(&"localhost".to_string()), "{names:?}");
        assert!(names.contains(&"127.0.0.1".to_string()), "{names:?}");
        assert!(names.iter().all(|name| is_host(name)), "{names:?}");
        let mut different = names.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
