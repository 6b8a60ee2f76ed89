//! Verifies certificates as a peer would, outside a handshake.

use std::fmt;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::tls::certificate::Chain;
use crate::tls::certificate::escape::printable;
use crate::tls::explain::{explain, reason};
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::{Root, Roots};

/// What a certificate is to be verified for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A server of this name.
    Server(&'a str),
    /// A client.
    Client,
}

/// Why a certificate or its key is not accepted. As text it is a sentence that says what to do.
#[derive(Debug)]
pub enum NotAccepted {
    /// There is no certificate in the chain.
    NoCertificate,
    /// The file of the CA has a certificate that rustls does not take as a CA.
    UnusableCa {
        /// The file.
        file: String,
        /// What rustls reports.
        error: Error,
    },
    /// This is neither a host name nor an address.
    NotAName(String),
    /// The chain does not pass; explained here.
    Refused(String),
    /// The key belongs to another certificate.
    OtherKey,
    /// rustls cannot use the certificate or the key.
    Unusable(Error),
}

impl fmt::Display for NotAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no certificate"),
            Self::UnusableCa { file, error: Error::InvalidCertificate(error) } => {
                write!(f, "{file}: not a usable certificate: {}", reason::of(error))
            }
            Self::UnusableCa { file, .. } => write!(f, "{file}: not a usable certificate"),
            Self::NotAName(name) => write!(f, "{name:?} is neither a host name nor an address"),
            Self::Refused(sentence) => f.write_str(sentence),
            Self::OtherKey => f.write_str(
                "the key belongs to another certificate: find the right one, or make a new pair",
            ),
            Self::Unusable(Error::InvalidCertificate(error)) => {
                write!(f, "not a usable certificate: {}", reason::of(error))
            }
            Self::Unusable(error) => f.write_str(&printable(&error.to_string())),
        }
    }
}

impl std::error::Error for NotAccepted {}

/// Verifies `chain` as a peer would that trusts `roots`, which came from the file `ca`.
pub fn verify(chain: &Chain, roots: &Chain, ca: &str, purpose: Purpose) -> Result<(), NotAccepted> {
    let Some((leaf, links)) = chain.split_first() else { return Err(NotAccepted::NoCertificate) };
    let roots: Vec<Root> = roots
        .iter()
        .map(|root| Root::new(root.clone(), ca.into()))
        .collect::<Result<_, Error>>()
        .map_err(|error| NotAccepted::UnusableCa { file: ca.into(), error })?;
    let now = UnixTime::now();
    let (verified, name) = match purpose {
        Purpose::Server(name) => {
            // A wildcard matches any label in its place.
            let server = ServerName::try_from(name.replace('*', "any"))
                .map_err(|_| NotAccepted::NotAName(name.into()))?;
            let verified = Roots::for_servers(roots.clone()).verify(now, |verifier| {
                verifier.verify_server_cert(leaf, links, &server, &[], now).map(drop)
            });
            (verified, name)
        }
        Purpose::Client => {
            let verified = Roots::for_clients(roots.clone())
                .verify(now, |verifier| verifier.verify_client_cert(leaf, links, now).map(drop));
            (verified, "")
        }
    };
    verified.map_err(|refusal| NotAccepted::Refused(explain(&refusal, chain, &roots, ca, name)))
}

/// Checks that `key` is the key of the first certificate in `chain`.
pub fn verify_key(chain: &Chain, key: PrivateKeyDer<'static>) -> Result<(), NotAccepted> {
    match CertifiedKey::from_der(chain.clone(), key, &provider(has_aes())) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(NotAccepted::OtherKey),
        Err(error) => Err(NotAccepted::Unusable(error)),
    }
}
