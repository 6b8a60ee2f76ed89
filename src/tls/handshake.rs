//! The TLS configuration of a listener, and a record of its last handshake, which explains a failure:
//! rustls reports that a handshake failed, and neither what each side offered nor which CA is at fault.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ProtocolVersion, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};

use crate::tls::expiry::Expiry;
use crate::tls::names;

/// The most of what a peer offers that is named.
const NAMED_MAX: usize = 8;

/// What a TLS listener gives to each of its sessions.
///
/// Each listener has its own session cache and ticket keys. If two shared them, a session without a
/// client certificate could be resumed at a listener that requires one.
///
/// A client that resumes a session does not show its certificate again. The first verification counts
/// as long as the client resumes within the lifetime of each ticket (12 h), even if a CA expires in the
/// meantime; a reload ends that.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// rustls's configuration.
    pub rustls: Arc<rustls::ServerConfig>,
    /// Explains a handshake that failed.
    pub record: Arc<VerificationRecord>,
    /// When its certificates expire.
    pub expiries: Arc<[Expiry]>,
}

impl ServerConfig {
    /// Says that the sessions carry `protocol` (ALPN, RFC 7301): a client that offers others alone is
    /// refused.
    pub fn carry(&mut self, protocol: &str) {
        Arc::make_mut(&mut self.rustls).alpn_protocols = vec![protocol.into()];
    }
}

/// Its handshakes are not recorded.
impl From<rustls::ServerConfig> for ServerConfig {
    fn from(config: rustls::ServerConfig) -> Self {
        let ours = Offer::of_client(config.crypto_provider());
        Self {
            rustls: config.into(),
            record: VerificationRecord::new(ours).into(),
            expiries: [].into(),
        }
    }
}

/// What one side offers or accepts. As text it is a list of names, such as those of RFC 8446.
#[derive(Clone, Debug)]
pub struct Offer {
    versions: Vec<ProtocolVersion>,
    /// The cipher suites in order of preference.
    pub suites: List,
    /// The key exchange groups.
    pub groups: List,
    /// The signature schemes.
    pub schemes: List,
}

impl Offer {
    /// A client's offer: all that `provider` has.
    pub fn of_client(provider: &CryptoProvider) -> Self {
        let of = |version| provider.cipher_suites.iter().any(|it| it.version().version == version);
        let mut versions = vec![ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];
        versions.retain(|version| of(*version));
        Self::new(provider, versions, |_| true)
    }

    /// What a server with these versions and this key accepts.
    pub fn of_server(
        provider: &CryptoProvider,
        versions: &[&SupportedProtocolVersion],
        key: &dyn SigningKey,
    ) -> Self {
        let mut versions: Vec<_> = versions.iter().map(|it| it.version).collect();
        versions.sort_by_key(|version| u16::from(*version));
        Self::new(provider, versions, |schemes| key.choose_scheme(schemes).is_some())
    }

    fn new(
        provider: &CryptoProvider,
        versions: Vec<ProtocolVersion>,
        signs: impl Fn(&[SignatureScheme]) -> bool,
    ) -> Self {
        let is_usable = |suite: &&SupportedCipherSuite| {
            versions.contains(&suite.version().version)
                && match suite {
                    SupportedCipherSuite::Tls12(suite) => signs(suite.sign),
                    // These suites do not depend on the key.
                    SupportedCipherSuite::Tls13(_) => true,
                }
        };
        let suites = provider.cipher_suites.iter().filter(is_usable);
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        Self {
            suites: List::new(suites.map(|it| it.suite().into()), names::suite),
            groups: List::new(provider.kx_groups.iter().map(|it| it.name().into()), names::group),
            schemes: List::new(
                schemes.into_iter().filter(|it| signs(&[*it])).map(Into::into),
                names::scheme,
            ),
            versions,
        }
    }

    /// "TLS 1.2 and 1.3", or one of them.
    pub fn versions(&self) -> String {
        let names = self.versions.iter().map(|version| match *version {
            ProtocolVersion::TLSv1_3 => "1.3",
            _ => "1.2",
        });
        format!("TLS {}", names.collect::<Vec<_>>().join(" and "))
    }
}

/// Code points of a TLS registry, of which the first few are named. Only numbers are kept, so no text
/// of a peer gets into the log.
#[derive(Clone)]
pub struct List {
    first: Vec<u16>,
    more: usize,
    name: fn(u16) -> Option<&'static str>,
}

impl List {
    /// All of `numbers`.
    fn new(numbers: impl Iterator<Item = u16>, name: fn(u16) -> Option<&'static str>) -> Self {
        Self { first: numbers.collect(), more: 0, name }
    }

    /// An empty list.
    fn empty(name: fn(u16) -> Option<&'static str>) -> Self {
        Self::new(std::iter::empty(), name)
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Replaces its entries with the first of `numbers`, without a new allocation.
    fn set(&mut self, numbers: impl ExactSizeIterator<Item = u16>) {
        self.more = numbers.len().saturating_sub(NAMED_MAX);
        self.first.clear();
        self.first.extend(numbers.take(NAMED_MAX));
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.first.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            match (self.name)(*number) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "0x{number:04X}")?,
            }
        }
        match (self.first.len(), self.more) {
            (0, _) => f.write_str("none"),
            (_, 0) => Ok(()),
            (_, more) => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What was seen of the last handshake of a listener. The listener's TLS configuration writes it, and
/// the session whose handshake fails reads it.
///
/// One thread serves all sessions, and a session explains a failure in the call that caused it. So the
/// record belongs to the session that reads it.
#[derive(Debug)]
pub struct VerificationRecord {
    /// What the listener accepts.
    pub ours: Offer,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// What the last `ClientHello` offered. Its versions are not recorded: a `ClientHello` without a
    /// version in common does not get this far.
    theirs: Offer,
    /// What is wrong with the dates of the listener's CA, in a sentence.
    ca_fault: Option<String>,
    /// The server's name in the last `ClientHello` with one.
    name: Option<Arc<str>>,
    /// The name is that of a session that has not taken it yet.
    is_new: bool,
}

impl VerificationRecord {
    /// For a listener that accepts `ours`.
    pub fn new(ours: Offer) -> Self {
        let theirs = Offer {
            versions: Vec::new(),
            suites: List::empty(names::suite),
            groups: List::empty(names::group),
            schemes: List::empty(names::scheme),
        };
        Self { ours, seen: Mutex::new(Seen { theirs, ca_fault: None, name: None, is_new: false }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, hello: &ClientHello<'_>) {
        let mut seen = self.seen();
        let name = hello.server_name();
        seen.is_new = name.is_some();
        // Most clients of a listener send the same name, and share it.
        if seen.is_new && seen.name.as_deref() != name {
            seen.name = name.map(Into::into);
        }
        let theirs = &mut seen.theirs;
        theirs.suites.set(hello.cipher_suites().iter().map(|it| (*it).into()));
        theirs.groups.set(hello.named_groups().unwrap_or_default().iter().map(|it| (*it).into()));
        theirs.schemes.set(hello.signature_schemes().iter().map(|it| (*it).into()));
    }

    /// The server's name in the `ClientHello` that was processed just now, once.
    pub fn take_name(&self) -> Option<Arc<str>> {
        let mut seen = self.seen();
        seen.name.clone().filter(|_| mem::take(&mut seen.is_new))
    }

    /// What the peer offered whose handshake has just failed.
    pub fn theirs(&self) -> Offer {
        self.seen().theirs.clone()
    }

    /// The peer's certificate is valid, but the listener's CA that signed it has expired or is not yet
    /// valid.
    pub fn set_ca_fault(&self, sentence: String) {
        self.seen().ca_fault = Some(sentence);
    }

    /// What is wrong with the listener's CA, if the handshake has just failed for that.
    pub fn take_ca_fault(&self) -> Option<String> {
        self.seen().ca_fault.take()
    }
}

/// Gives the one certificate that a listener has, and records what the client sends.
#[derive(Debug)]
pub struct Resolver {
    /// The certificate, with its key.
    pub key: Arc<CertifiedKey>,
    /// Where that is recorded.
    pub record: Arc<VerificationRecord>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.record.set(&hello);
        Some(self.key.clone())
    }
}
