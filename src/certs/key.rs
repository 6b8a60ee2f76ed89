//! Private keys: made, or read from a file.

use std::path::Path;
use std::str::FromStr;

use rcgen::KeyPair;
use ring::rand::{SecureRandom, SystemRandom};

use crate::exit::{Exit, Failure};
use crate::tls::pem::load_key;

/// The types of key that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on the curve P-256: supported by every current TLS implementation.
    Ecdsa,
    /// Ed25519: not supported by web browsers.
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
                Err(Failure::usage(format!("there is no key type {text:?}: use ecdsa or ed25519")))
            }
        }
    }
}

/// The bytes before the 32 bytes of an Ed25519 key in PKCS#8 version 1 (RFC 8410, section 7).
///
/// The key is encoded here because ring and rcgen write version 2, which includes the public key
/// (RFC 5958), and which OpenSSL 3.0 and `GnuTLS` do not read. ring reads both.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A private key.
pub struct Key(pub(super) KeyPair);

impl Key {
    /// Makes a new key.
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

    /// Reads a key from a PEM file.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let key = load_key(path).map_err(|failure| match failure.exit {
            // For the daemon, the advice is to let its group read the key; a CA's key is for its owner.
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

    /// The key as PEM. A key that was made here is PKCS#8 version 1 (RFC 5208).
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    pub(super) fn is_rsa(&self) -> bool {
        *self.0.algorithm() == rcgen::PKCS_RSA_SHA256
    }
}

/// Random bytes.
pub(super) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Failure> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, format!("cannot make the key: {error}"))
}
