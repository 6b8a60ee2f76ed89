//! Replaces the issuer in the encoding of a certificate.

use std::fmt;

use rcgen::{KeyPair, SigningKey};
use x509_parser::asn1_rs::{Any, BitString, FromDer, Sequence, ToDer};

/// Why the issuer cannot be replaced.
#[derive(Debug)]
pub(super) enum CannotReplaceIssuer {
    Decode,
    Sign(rcgen::Error),
    Encode,
}

impl fmt::Display for CannotReplaceIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode => f.write_str("it cannot be decoded"),
            Self::Sign(error) => write!(f, "{error}"),
            Self::Encode => f.write_str("it cannot be encoded"),
        }
    }
}

/// The certificate `made`, with `issuer` (a `Name` as DER) for its issuer, and signed with `key`.
///
/// Peers compare names byte by byte. rcgen keeps a name as a map from types to values, and so loses
/// repeated types, those that share an RDN, and the types of strings.
pub(super) fn with_issuer(
    issuer: &[u8],
    made: &[u8],
    key: &KeyPair,
) -> Result<Vec<u8>, CannotReplaceIssuer> {
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
    let (algorithm, tbs) = replace().ok_or(CannotReplaceIssuer::Decode)?;
    let signature = key.sign(&tbs).map_err(CannotReplaceIssuer::Sign)?;
    BitString::new(0, &signature)
        .to_der_vec()
        .ok()
        .and_then(|signature| sequence(&[&tbs, algorithm, &signature]))
        .ok_or(CannotReplaceIssuer::Encode)
}

/// The contents of the DER element in `bytes`.
fn contents(bytes: &[u8]) -> Option<&[u8]> {
    Any::from_der(bytes).ok().map(|(_, element)| element.data)
}

/// The first DER element in `bytes`, and the rest.
fn first_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, _) = Any::from_der(bytes).ok()?;
    bytes.split_at_checked(bytes.len() - rest.len())
}

/// A SEQUENCE of these elements, as DER.
fn sequence(elements: &[&[u8]]) -> Option<Vec<u8>> {
    Sequence::new(elements.concat().into()).to_der_vec().ok()
}
