//! What a listener gives to each TLS session, and what was seen of a handshake there, so that its
//! failure can be explained: rustls tells that it failed, and not what each side had to offer, or whose
//! certificate it was about.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};

/// How many of the things that a peer offers are named.
const NAMED_MAX: usize = 8;

/// What a TLS listener gives to each of its sessions.
///
/// Each has a session cache and ticket keys of its own. A cache shared between two of them would
/// let a session that was made without a client certificate be resumed where one is required.
///
/// A session that builds on an earlier one shows no certificate again. What was shown once counts as
/// long as each session follows on the last within the life of a ticket (12 h), also where a CA
/// expires meanwhile; a reload ends that.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What rustls needs.
    pub rustls: Arc<rustls::ServerConfig>,
    /// What explains a handshake that failed.
    pub witness: Arc<Witness>,
}

/// Of its handshakes, nothing is seen.
impl From<rustls::ServerConfig> for ServerConfig {
    fn from(config: rustls::ServerConfig) -> Self {
        let ours = Offer::of_client(config.crypto_provider());
        Self { rustls: config.into(), witness: Witness::new(ours).into() }
    }
}

/// What one side offers, or takes. As text it is a list of names, such as those of RFC 8446.
#[derive(Clone, Debug)]
pub struct Offer {
    versions: Vec<ProtocolVersion>,
    /// The cipher suites, in the order in which they are preferred.
    pub suites: List,
    /// The groups for the exchange of keys.
    pub groups: List,
    /// The kinds of signature.
    pub schemes: List,
}

impl Offer {
    /// All that `provider` has: a client's offer.
    pub fn of_client(provider: &CryptoProvider) -> Self {
        let of = |version| provider.cipher_suites.iter().any(|it| it.version().version == version);
        let mut versions = vec![ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];
        versions.retain(|version| of(*version));
        Self::new(provider, versions, |_| true)
    }

    /// What a server takes that speaks these versions and has this key.
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
                    // Here the suite does not say how to sign.
                    SupportedCipherSuite::Tls13(_) => true,
                }
        };
        let suites = provider.cipher_suites.iter().filter(is_usable);
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        Self {
            suites: List::new(suites.map(|it| it.suite().into()), suite_name),
            groups: List::new(provider.kx_groups.iter().map(|it| it.name().into()), group_name),
            schemes: List::new(
                schemes.into_iter().filter(|it| signs(&[*it])).map(Into::into),
                scheme_name,
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

/// Code points of the TLS registries, of which few may be named. They are numbers, so that nothing
/// that a peer sends gets into the log as it is.
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

    /// None yet.
    fn empty(name: fn(u16) -> Option<&'static str>) -> Self {
        Self::new(std::iter::empty(), name)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The first of `numbers`; the room for them is made once.
    fn hear(&mut self, numbers: impl ExactSizeIterator<Item = u16>) {
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

/// The IANA name without the prefix `TLS_`.
fn suite_name(number: u16) -> Option<&'static str> {
    let name = CipherSuite::from(number).as_str()?;
    Some(name.trim_start_matches("TLS13_").trim_start_matches("TLS_"))
}

fn group_name(number: u16) -> Option<&'static str> {
    NamedGroup::from(number).as_str()
}

fn scheme_name(number: u16) -> Option<&'static str> {
    SignatureScheme::from(number).as_str()
}

/// Shared by a listener's TLS configuration, which sees, and its sessions, which tell.
///
/// One thread serves all sessions, and a session explains a failure in the call that caused it, so the
/// last observation belongs to the session that asks.
#[derive(Debug)]
pub struct Witness {
    /// What the listener takes.
    pub ours: Offer,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// What the last `ClientHello` had. It was of a version that we take, or it would not have come
    /// this far.
    theirs: Offer,
    /// A CA of ours that is out of date, in a sentence.
    fault_of_ours: Option<String>,
}

impl Witness {
    /// For a listener that takes this.
    pub fn new(ours: Offer) -> Self {
        let theirs = Offer {
            versions: Vec::new(),
            suites: List::empty(suite_name),
            groups: List::empty(group_name),
            schemes: List::empty(scheme_name),
        };
        Self { ours, seen: Mutex::new(Seen { theirs, fault_of_ours: None }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, hello: &ClientHello<'_>) {
        let theirs = &mut self.seen().theirs;
        theirs.suites.hear(hello.cipher_suites().iter().map(|it| (*it).into()));
        theirs.groups.hear(hello.named_groups().unwrap_or_default().iter().map(|it| (*it).into()));
        theirs.schemes.hear(hello.signature_schemes().iter().map(|it| (*it).into()));
    }

    /// What the peer offers whose handshake has just failed.
    pub fn theirs(&self) -> Offer {
        self.seen().theirs.clone()
    }

    /// The peer's certificate is good, and the CA of ours that vouches for it is out of date.
    pub fn our_ca_is_out_of_date(&self, sentence: String) {
        self.seen().fault_of_ours = Some(sentence);
    }

    /// What is wrong with our CA, if the handshake has just failed for that.
    pub fn take_fault_of_ours(&self) -> Option<String> {
        self.seen().fault_of_ours.take()
    }
}

/// Gives the one certificate that a listener has, and hears what is asked for.
#[derive(Debug)]
pub struct Resolver {
    /// The certificate, with its key.
    pub key: Arc<CertifiedKey>,
    /// Who hears.
    pub witness: Arc<Witness>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.witness.hear(&hello);
        Some(self.key.clone())
    }
}
