//! Why a certificate is refused: a sentence that names the certificate, the cause and the cure.
//!
//! The errors of rustls and webpki are written for programmers, and are never printed.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};

use crate::tls::certificate::Certificate;
use crate::tls::certificate::escape::printable;
use crate::tls::roots::{Refusal, Root};

pub(crate) mod dates;
mod path;
pub(crate) mod reason;
pub(crate) mod trusted;

use path::{End, Link, Path};

/// The most names of one certificate in a sentence.
const NAMES_MAX: usize = 8;

/// Why a certificate is refused.
///
/// `chain` is what the peer showed, `roots` are the CAs that were tried, `ca` names their files, and
/// `name` is the name that the server was expected to have.
pub(crate) fn explain(
    refusal: &Refusal,
    chain: &[CertificateDer<'_>],
    roots: &[Root],
    ca: &str,
    name: &str,
) -> String {
    let error = match refusal {
        Refusal::RootDates(root, fault) => return dates::root_fault(root, fault),
        Refusal::Chain(Error::InvalidCertificate(error)) => error,
        Refusal::Chain(_) => return "the certificate cannot be verified".into(),
    };
    let chain: Vec<Link> = chain.iter().filter_map(|der| Link::parse(der)).collect();
    let Some((first, rest)) = chain.split_first() else {
        return "the certificate cannot be read: make a new one".into();
    };
    let path = || Path::follow(first, rest, roots);
    let leaf = &first.certificate;
    let subject = &leaf.subject;
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => wrong_dates(first, rest, error),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            wrong_name(leaf, name)
        }
        _ if leaf.version < 3 => format!(
            "the certificate of {subject} is of X.509 version {}, which has no room for names \
             (openssl x509 -req makes it without -extfile): make one with echo-alex-certs server",
            leaf.version
        ),
        _ if leaf.is_ca => ca_as_leaf(leaf),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => no_root(&path(), ca),
        CertificateError::InvalidPurposeContext { required, .. } if suits(leaf, required) => {
            format!(
                "a CA in the chain of {subject} may not sign for this purpose (extended key usage): \
             sign it with another CA"
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            wrong_purpose(leaf)
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "the signature algorithm of {} is weak or not supported (SHA-1 is one): sign it again \
             with another algorithm",
            path().last().certificate.subject
        ),
        CertificateError::Revoked => format!("the certificate of {subject} is revoked: renew it"),
        CertificateError::Other(other) => webpki_error(other, leaf, rest, &path()),
        other => format!(
            "the certificate of {subject} cannot be used: {}; make a new one",
            reason::of(other)
        ),
    }
}

/// Names the certificate of a chain that has expired or is not yet valid.
fn wrong_dates(first: &Link, rest: &[Link], error: &CertificateError) -> String {
    let now = SystemTime::now();
    let since_1970 = |time: &UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    let is_it = |link: &&Link| match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            link.certificate.not_after == since_1970(not_after)
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            link.certificate.not_before == since_1970(not_before)
        }
        _ => link.certificate.not_after < link.certificate.not_before,
    };
    let Link { certificate, .. } = [first].into_iter().chain(rest).find(is_it).unwrap_or(first);
    let what = format!("the certificate of {}", certificate.subject);
    if certificate.not_after < certificate.not_before {
        return format!("{what} expires before it becomes valid: make a new one");
    }
    let fault = dates::fault(&what, certificate, now, "renew the certificate");
    fault.unwrap_or_else(|| format!("{what} was not valid a moment ago: try again"))
}

fn wrong_name(leaf: &Certificate, name: &str) -> String {
    let (subject, name) = (&leaf.subject, printable(name));
    if leaf.names.is_empty() {
        return format!(
            "the certificate of {subject} has no names, so it is not for {name}: make one that has \
             the name"
        );
    }
    format!(
        "the certificate of {subject} is not for {name}, but for {}: use one of these names, or make \
         a certificate that has the name",
        list(&leaf.names)
    )
}

/// For a server or client that shows a CA's certificate.
pub(super) fn ca_as_leaf(leaf: &Certificate) -> String {
    format!(
        "{} is a CA's certificate, which signs others and is not for a server or client: use one \
         that it has signed, make one with echo-alex-certs, or trust this one with \
         echo-alex-client --fingerprint sha256:{}",
        leaf.subject, leaf.fingerprint
    )
}

/// For a client's certificate that a server shows, and the other way around.
pub(super) fn wrong_purpose(leaf: &Certificate) -> String {
    let real = match (leaf.for_servers, leaf.for_clients) {
        (_, true) => "clients, not servers",
        (true, false) => "servers, not clients",
        (false, false) => "neither servers nor clients",
    };
    format!("the certificate of {} is for {real}: use one for this purpose", leaf.subject)
}

fn suits(leaf: &Certificate, purpose: &ExtendedKeyPurpose) -> bool {
    match purpose {
        ExtendedKeyPurpose::ServerAuth => leaf.for_servers,
        ExtendedKeyPurpose::ClientAuth => leaf.for_clients,
        ExtendedKeyPurpose::Other(_) => false,
    }
}

/// Names the certificate at which a chain ends without a CA that is trusted.
fn no_root(path: &Path, ca: &str) -> String {
    let Certificate { subject, issuer, fingerprint, .. } = &path.last().certificate;
    match path.end() {
        _ if path.last().certificate.is_self_signed() => format!(
            "{subject} is signed by itself, and it is not in {ca}: use a certificate that a CA in \
             that file has signed, or trust this one with echo-alex-client --fingerprint \
             sha256:{fingerprint}"
        ),
        End::OtherKeyInFile(file) => format!(
            "{subject} names {issuer} as its issuer, but the CA of that name in {file} has another \
             key: replace {file} with the file of the CA that signed it, or sign it again"
        ),
        End::OtherKeyInChain => format!(
            "{subject} names {issuer} as its issuer, but the certificate of that name in its chain \
             has another key: put the right one there, or sign it again"
        ),
        End::UnknownIssuer | End::Root(_) => format!(
            "{subject} is signed by {issuer}, which is not in {ca}: use the file of the CA that \
             signed it, or, where that is an intermediate CA, append its certificate to this one's \
             file"
        ),
    }
}

/// For errors that rustls has no type for; webpki has a name for each, and no more.
fn webpki_error(error: &OtherError, leaf: &Certificate, rest: &[Link], path: &Path) -> String {
    let subject = &leaf.subject;
    match error.to_string().as_str() {
        "NameConstraintViolation" => {
            let ca = match path.limits() {
                Some((ca, limits)) => format!("{ca}, which {limits}"),
                None => "a CA above it: echo-alex-certs show prints the limits of each CA".into(),
            };
            format!(
                "a name of {subject} ({}) is outside the limits (name constraints) of {ca}; use a \
                 name within the limits, or another CA",
                list(&leaf.names)
            )
        }
        "EndEntityUsedAsCa" => {
            let issuer = rest.iter().map(|link| &link.certificate).find(|it| !it.is_ca);
            let issuer = issuer.map_or("one in its chain", |it| &it.subject);
            format!(
                "{issuer} is not a CA's certificate, and may not sign others: let a CA sign \
                 {subject}"
            )
        }
        _ => {
            let why = reason::of(&CertificateError::Other(error.clone()));
            format!("the certificate of {subject} cannot be used: {why}; make a new one")
        }
    }
}

/// The first of `names`, and how many more there are.
fn list(names: &[String]) -> String {
    let (shown, more) = names.split_at(names.len().min(NAMES_MAX));
    match (shown, more.len()) {
        ([], _) => "none".into(),
        (shown, 0) => shown.join(", "),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
