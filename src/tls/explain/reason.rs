//! Why rustls does not accept a certificate, in a few words without any name of the certificate.

use std::time::{Duration, SystemTime};

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::tls::certificate::moment;

/// What is wrong with a certificate, as the end of a sentence: "it has expired".
pub(crate) fn of(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::BadEncoding | CertificateError::InvalidOcspResponse => "it is damaged",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not yet valid"
        }
        CertificateError::UnknownIssuer => "it is not signed by a CA that is trusted here",
        CertificateError::BadSignature => "its signature was not made with its issuer's key",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its signature algorithm is weak or not supported (SHA-1 is one)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is for another purpose"
        }
        CertificateError::Revoked => "it is revoked",
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is not known here"
        }
        // webpki has errors that rustls has no type for: their names are all that is known of them.
        CertificateError::Other(other) => match other.to_string().as_str() {
            "CaUsedAsEndEntity" => "it is a CA's, and not for a server or client",
            "EndEntityUsedAsCa" => "its issuer is not a CA",
            "NameConstraintViolation" => "a CA of its chain may not sign for its names",
            "PathLenConstraintViolated" => {
                "a CA of its chain has more CAs below it than it allows (path length)"
            }
            "UnsupportedCriticalExtension" => "it has a critical extension that is not known here",
            "UnsupportedCertVersion" => "it is not of X.509 version 3",
            "MaximumPathDepthExceeded"
            | "MaximumPathBuildCallsExceeded"
            | "MaximumSignatureChecksExceeded"
            | "MaximumNameConstraintComparisonsExceeded" => "its chain is too long",
            _ => "one of its fields breaks the rules of X.509",
        },
        _ => "it cannot be verified",
    }
}

/// Why the peer's certificate is refused, for the log. No text from the certificate is in it: a
/// stranger chooses that text.
pub(crate) fn of_peer(error: &CertificateError) -> String {
    let time =
        |time: &UnixTime| moment(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    match error {
        CertificateError::UnknownIssuer => {
            "the peer's certificate is not signed by a CA that is trusted here".into()
        }
        CertificateError::ExpiredContext { time: now, not_after } => format!(
            "the peer's certificate, or one of its chain, expired on {}; this machine's clock \
             says {}",
            time(not_after),
            time(now)
        ),
        CertificateError::NotValidYetContext { time: now, not_before } => format!(
            "the peer's certificate, or one of its chain, is not valid before {}; this machine's \
             clock says {}",
            time(not_before),
            time(now)
        ),
        CertificateError::BadSignature => {
            "a signature in the peer's certificate chain or handshake is invalid: has another CA \
             of the same name signed the certificate?"
                .into()
        }
        other => format!("the peer's certificate is refused: {}", of(other)),
    }
}
