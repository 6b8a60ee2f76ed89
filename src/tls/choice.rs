//! What a client offers, where the user limits it: versions, cipher suites, groups, ALPN, SNI.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::DnsName;
use rustls::{ProtocolVersion, SupportedProtocolVersion};

use crate::exit::Failure;
use crate::tls::names;

/// What a client offers. The default is everything, in the order of the provider.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only this version.
    pub version: Option<Version>,
    /// Only these cipher suites, in this order, by name.
    pub suites: Vec<String>,
    /// Only these key exchange groups, in this order, by name.
    pub groups: Vec<String>,
    /// These application protocols.
    pub alpn: Vec<String>,
    /// What to send as the server's name.
    pub sni: Sni,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    V1_2,
    V1_3,
}

/// The server's name in the `ClientHello` (RFC 6066 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sni {
    /// The name that is verified, unless it is an address.
    #[default]
    OfCertificate,
    /// Another one.
    Other(String),
    /// None.
    Omitted,
}

impl Choice {
    /// `provider`, with nothing but what was chosen.
    pub(super) fn limit(&self, provider: &CryptoProvider) -> Result<Arc<CryptoProvider>, Failure> {
        let mut limited = provider.clone();
        if let Some(version) = self.version {
            limited.cipher_suites.retain(|suite| suite.version().version == version.number());
        }
        if !self.suites.is_empty() {
            let of_version = limited.clone();
            limited.cipher_suites.clear();
            for name in &self.suites {
                let found = names::find_suite(&of_version, name);
                let mut suites = of_version.cipher_suites.iter();
                let suite = suites.find(|suite| Some(suite.suite()) == found);
                let known = of_version.cipher_suites.iter().map(|it| u16::from(it.suite()));
                let suite = suite.ok_or_else(|| {
                    unknown("--cipher-suite", name, known.filter_map(names::suite))
                })?;
                limited.cipher_suites.push(*suite);
            }
        }
        if !self.groups.is_empty() {
            limited.kx_groups.clear();
            for name in &self.groups {
                let found = names::find_group(provider, name);
                let mut groups = provider.kx_groups.iter();
                let group = groups.find(|group| Some(group.name()) == found);
                let known = provider.kx_groups.iter().map(|it| u16::from(it.name()));
                let group = group
                    .ok_or_else(|| unknown("--group", name, known.filter_map(names::group)))?;
                limited.kx_groups.push(*group);
            }
        }
        Ok(limited.into())
    }

    /// The versions.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let is_chosen =
            |it: &&&SupportedProtocolVersion| self.version.is_none_or(|v| v.number() == it.version);
        rustls::DEFAULT_VERSIONS.iter().filter(is_chosen).copied().collect()
    }

    /// The name that is sent to the server called `name`; `None` if none is sent.
    pub fn sni<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match &self.sni {
            Sni::Omitted => None,
            Sni::Other(other) => Some(other),
            Sni::OfCertificate => DnsName::try_from(name).is_ok().then_some(name),
        }
    }

    /// The name that rustls is given for a connection to the server called `name`.
    pub fn name_for_rustls<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.sni {
            Sni::Other(other) => other,
            _ => name,
        }
    }
}

impl Version {
    fn number(self) -> ProtocolVersion {
        match self {
            Self::V1_2 => ProtocolVersion::TLSv1_2,
            Self::V1_3 => ProtocolVersion::TLSv1_3,
        }
    }
}

/// Whether `name` can be sent as SNI: a host name, and no address (RFC 6066 §3).
pub fn is_sni(name: &str) -> bool {
    DnsName::try_from(name).is_ok()
}

fn unknown(option: &str, name: &str, known: impl Iterator<Item = &'static str>) -> Failure {
    let known: Vec<&str> = known.collect();
    Failure::usage(format!("{option}: {name:?} is none of {}", known.join(", ")))
}
