//! A certificate authority (CA) of one's own: it makes keys, signs certificates, and puts both into
//! files in such a way that a key is never readable by others and no file is ever half there.
//!
//! What is made follows RFC 5280, to the letter where OpenSSL's `-x509_strict` looks.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use tempfile::NamedTempFile;

use crate::certificate::{Certificate, is_host, moment, printable};
use crate::exit::{Exit, Failure};
use crate::tls;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
        let key = tls::load_key(path).map_err(|failure| match failure.exit {
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
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    pem: String,
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
        let certificate = Certificate::parse(made.der()).map_err(|error| failed(&error))?;
        Ok(Self { issuer: Issuer::new(params, key.0), certificate, pem: made.pem() })
    }

    /// Reads one from its two files.
    pub fn load(path: &Path, key_path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let chain = tls::load_certificates(path)?;
        let damaged = |why: String| Failure::config(format!("{shown}: damaged: {why}"));
        let certificate = Certificate::parse(&chain[0]).map_err(damaged)?;
        let key = Key::load(key_path)?.0;
        if !certificate.is_ca {
            return Err(Failure::config(format!(
                "{shown}: {} is not a CA's certificate, so it cannot sign",
                certificate.subject
            )));
        }
        if !certificate.is_key(&key.subject_public_key_info()) {
            return Err(Failure::config(format!(
                "{} is not the key of {shown}: they belong to two CAs, or one of them was replaced",
                key_path.display()
            )));
        }
        let issuer =
            Issuer::from_ca_cert_der(&chain[0], key).map_err(|error| damaged(error.to_string()))?;
        let pem = fs::read_to_string(path)
            .map_err(|error| Failure::system(format_args!("cannot read {shown}"), &error))?;
        Ok(Self { issuer, certificate, pem })
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
        let signed = params.signed_by(&key.0, &self.issuer).map_err(|error| failed(&error))?;
        // Peers know the root of a chain; what leads there has to be shown to them.
        let links = if self.certificate.is_self_signed() { "" } else { &self.pem };
        let certificate = Certificate::parse(signed.der()).map_err(|error| failed(&error))?;
        Ok(Signed { certificate, pem: signed.pem() + links })
    }
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

/// Files that are to appear in a folder, all of them or none.
///
/// Each is written under a temporary name beside its place first. Only when all of them are on the
/// disk do they get their names, in the order in which they were added.
pub struct Files {
    folder: PathBuf,
    force: bool,
    written: Vec<(PathBuf, NamedTempFile)>,
}

impl Files {
    /// Nothing yet, for `folder`, which is made if it is missing. With `force`, files that are
    /// there already are replaced.
    pub fn new(folder: &Path, force: bool) -> Result<Self, Failure> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let failed =
            |e: io::Error| Failure::system(format_args!("cannot make {}", folder.display()), &e);
        if !folder.is_dir() {
            fs::create_dir_all(folder).map_err(failed)?;
            fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(failed)?;
        }
        Ok(Self { folder: folder.into(), force, written: Vec::new() })
    }

    /// Adds a file that everybody may read.
    pub fn add(&mut self, name: &str, contents: &str) -> Result<(), Failure> {
        self.write(name, contents, 0o644)
    }

    /// Adds a file that only its owner may read, from its first byte on.
    pub fn add_secret(&mut self, name: &str, contents: &str) -> Result<(), Failure> {
        self.write(name, contents, 0o600)
    }

    fn write(&mut self, name: &str, contents: &str, mode: u32) -> Result<(), Failure> {
        let path = self.folder.join(name);
        if !self.force && path.symlink_metadata().is_ok() {
            return Err(exists(&path));
        }
        let write = || {
            // Made with mode 0600; what is to be public becomes so afterwards.
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
            file.write_all(contents.as_bytes())?;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = write().map_err(|error: io::Error| cannot_write(&path, &error))?;
        self.written.push((path, file));
        Ok(())
    }

    /// Gives all of them their names.
    pub fn finish(self) -> Result<(), Failure> {
        for (path, file) in self.written {
            let persisted =
                if self.force { file.persist(&path) } else { file.persist_noclobber(&path) };
            persisted.map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => exists(&path),
                _ => cannot_write(&path, &error.error),
            })?;
        }
        // A name is on the disk when its folder is. Some file systems cannot be asked.
        let _ = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(Exit::Failure, format!("{path} is there already; --force would replace it"))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("cannot write {}", path.display()), error)
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

    #[test]
    fn files_appear_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(folder.path(), false).unwrap();
        files.add("one", "1").unwrap();
        files.add_secret("two", "2").unwrap();
        assert!(!folder.path().join("one").exists());
        drop(files);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_comes_while_ours_is_written_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(folder.path(), false).unwrap();
        files.add("one", "ours").unwrap();
        fs::write(folder.path().join("one"), "theirs").unwrap();
        let refused = files.finish().unwrap_err();
        assert!(refused.message.contains("is there already"), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join("one")).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
