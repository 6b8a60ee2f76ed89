//! Whether certificates are good for what they are meant for, and if not, why: in a sentence with a
//! cure.
//!
//! What rustls and webpki have to say is written for programmers, and is never printed.

use std::time::{Duration, SystemTime};

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, ExtendedKeyPurpose, InconsistentKeys, OtherError};

use crate::tls::certificate::{Certificate, Chain, moment, printable};
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::{Refusal, Root, Roots};

mod path;

use path::{End, Link, Path};

/// The most names of one certificate in a sentence.
const NAMES_MAX: usize = 8;

/// What a certificate is to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A server that is called so.
    Server(&'a str),
    /// A client.
    Client,
}

/// Checks `chain` as a peer would that trusts `roots`, which came from the file `ca`; fails with a
/// sentence that says what to do.
pub fn verify(chain: &Chain, roots: &Chain, ca: &str, purpose: Purpose) -> Result<(), String> {
    let Some((leaf, links)) = chain.split_first() else { return Err("no certificate".into()) };
    let roots: Vec<Root> = roots
        .iter()
        .map(|root| Root::new(root.clone(), ca.into()))
        .collect::<Result<_, Error>>()
        .map_err(|error| match error {
            Error::InvalidCertificate(error) => {
                format!("{ca}: not a certificate that can be used: {}", in_words(&error))
            }
            _ => format!("{ca}: not a certificate that can be used"),
        })?;
    let now = UnixTime::now();
    let (verified, name) = match purpose {
        Purpose::Server(name) => {
            // A wildcard stands for any name in its place.
            let server = ServerName::try_from(name.replace('*', "any"))
                .map_err(|_| format!("{name:?} is neither a host name nor an address"))?;
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
    verified.map_err(|refusal| explain(&refusal, chain, &roots, ca, name))
}

/// Checks that `key` is the key of the first certificate in `chain`.
pub fn verify_key(chain: &Chain, key: PrivateKeyDer<'static>) -> Result<(), String> {
    match CertifiedKey::from_der(chain.clone(), key, &provider(has_aes())) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err("the key is another certificate's: find the right one, or make both anew".into())
        }
        Err(Error::InvalidCertificate(error)) => {
            Err(format!("not a certificate that can be used: {}", in_words(&error)))
        }
        Err(error) => Err(printable(&error.to_string())),
    }
}

/// What keeps clients from accepting `chain`, which was read from `file`, as a server's: a sentence
/// with a cure for each fault that can be seen without them.
pub fn doubts_about_server(chain: &Chain, file: &str) -> Vec<String> {
    let chain: Vec<_> = chain.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let now = SystemTime::now();
    let dates = chain.iter().filter_map(|it| {
        let who = format!("the certificate of {}", it.subject);
        dates_fault(&who, it.not_before, it.not_after, now, "renew it: clients refuse it")
    });
    let use_of_it = chain.first().filter(|it| !it.for_servers).map(|leaf| {
        if leaf.is_ca {
            format!("{}; most clients refuse it", ca_as_leaf(leaf))
        } else {
            format!("{}; clients refuse it", wrong_purpose(leaf))
        }
    });
    dates.chain(use_of_it).map(|doubt| format!("{file}: {doubt}")).collect()
}

/// Which of `roots` cannot vouch for clients: a sentence with a cure for each.
pub fn doubts_about_authorities(roots: &[Root]) -> Vec<String> {
    let now = UnixTime::now().as_secs();
    let doubt = |root: &Root| {
        let certificate = Certificate::parse(&root.certificate).ok()?;
        if !certificate.is_ca && !certificate.is_self_signed() {
            return Some(format!(
                "{}: {} is not a CA's certificate, so it cannot have signed any: name the file of the \
                 CA that signed the clients' certificates",
                root.file, certificate.subject
            ));
        }
        let fault = root.fault_at(now)?;
        // What a CA with the same name and key signed is good as long as one of the two is.
        let stands_in = |other: &Root| other.is_same_signer(root) && other.fault_at(now).is_none();
        let stays = !roots.iter().any(stands_in);
        stays.then(|| format!("{}; clients that it signed are refused", out_of_date(root, &fault)))
    };
    roots.iter().filter_map(doubt).collect()
}

/// What is wrong with the dates of a CA that is trusted, in a sentence with a cure.
pub fn out_of_date(root: &Root, fault: &CertificateError) -> String {
    let Ok(Certificate { subject, not_before, not_after, .. }) =
        Certificate::parse(&root.certificate)
    else {
        return format!("a CA in {} is out of date: exchange it", root.file);
    };
    let who = format!("the CA {subject} in {}", root.file);
    let cure = "put the CA that has taken its place into the file";
    match fault {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            early(&who, not_before)
        }
        _ => expired(&who, not_after, cure),
    }
}

/// What is wrong with the dates of `who` at the moment `now`; `cure` is for one that expired.
fn dates_fault(
    who: &str,
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
    cure: &str,
) -> Option<String> {
    if now < not_before {
        Some(early(who, not_before))
    } else if not_after < now {
        Some(expired(who, not_after, cure))
    } else {
        None
    }
}

fn expired(who: &str, date: SystemTime, cure: &str) -> String {
    format!("{who} expired on {}, and {}, else {cure}", moment(date), clock())
}

fn early(who: &str, date: SystemTime) -> String {
    format!("{who} is not valid before {}, and {}, else wait", moment(date), clock())
}

fn clock() -> String {
    format!(
        "this machine's clock says {}; set it if it is wrong (a Raspberry Pi has no clock chip)",
        moment(SystemTime::now())
    )
}

fn ca_as_leaf(leaf: &Certificate) -> String {
    format!(
        "{} is a CA's certificate, which signs others and is not for a server or client: use one \
         that it has signed, make one with echo-alex-certs, or trust this one by echo-alex-client \
         --fingerprint sha256:{}",
        leaf.subject, leaf.fingerprint
    )
}

fn wrong_purpose(leaf: &Certificate) -> String {
    let real = match (leaf.for_servers, leaf.for_clients) {
        (_, true) => "clients, not servers",
        (true, false) => "servers, not clients",
        (false, false) => "neither servers nor clients",
    };
    format!("the certificate of {} is for {real}: use one for the purpose", leaf.subject)
}

/// Why a certificate is refused, in a sentence with a cure.
///
/// `chain` is what was shown, `roots` are the CAs that were tried, `ca` names their files, and
/// `name` is the server's name as it was asked for.
pub fn explain(
    refusal: &Refusal,
    chain: &[CertificateDer<'_>],
    roots: &[Root],
    ca: &str,
    name: &str,
) -> String {
    let error = match refusal {
        Refusal::OutOfDate(root, fault) => return out_of_date(root, fault),
        Refusal::Chain(Error::InvalidCertificate(error)) => error,
        Refusal::Chain(_) => return "the certificate cannot be verified".into(),
    };
    let chain: Vec<Link> = chain.iter().filter_map(|der| Link::parse(der)).collect();
    let Some((first, rest)) = chain.split_first() else {
        return "the certificate cannot be read: make it anew".into();
    };
    let path = || Path::follow(first, rest, roots);
    let leaf = &first.says;
    let subject = &leaf.subject;
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => dates(first, rest, error),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let name = printable(name);
            if leaf.names.is_empty() {
                format!(
                    "the certificate of {subject} has no names, so it is not for {name}: make one \
                     that has the name"
                )
            } else {
                format!(
                    "the certificate of {subject} is not for {name}, but for {}: use one of these \
                     names, or make a certificate that has the name",
                    list(&leaf.names)
                )
            }
        }
        _ if leaf.version < 3 => format!(
            "the certificate of {subject} is of X.509 version {}, which cannot have names in it \
             (openssl x509 -req makes it without -extfile): make one with echo-alex-certs server",
            leaf.version
        ),
        _ if leaf.is_ca => ca_as_leaf(leaf),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => unsigned(&path(), ca),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            let suits = match error {
                CertificateError::InvalidPurposeContext { required, .. } => match required {
                    ExtendedKeyPurpose::ServerAuth => leaf.for_servers,
                    ExtendedKeyPurpose::ClientAuth => leaf.for_clients,
                    ExtendedKeyPurpose::Other(_) => false,
                },
                _ => false,
            };
            if suits {
                format!(
                    "a CA in the chain of {subject} is not for this purpose (extended key usage): \
                     let another one sign it"
                )
            } else {
                wrong_purpose(leaf)
            }
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            let weak = &path().last().says.subject;
            format!(
                "{weak} is signed in a way that is weak or not known here (SHA-1 is one): sign it \
                 anew"
            )
        }
        CertificateError::Revoked => format!("the certificate of {subject} is revoked: renew it"),
        CertificateError::Other(other) => beyond_rustls(other, leaf, rest, &path()),
        other => format!(
            "the certificate of {subject} cannot be used: {}; make it anew",
            in_words(other)
        ),
    }
}

/// Which certificate of a chain is out of date.
fn dates(first: &Link, rest: &[Link], error: &CertificateError) -> String {
    let now = SystemTime::now();
    let since_1970 = |time: &UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    let is_it = |link: &&Link| match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            link.says.not_after == since_1970(not_after)
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            link.says.not_before == since_1970(not_before)
        }
        _ => link.says.not_after < link.says.not_before,
    };
    let Link { says, .. } = [first].into_iter().chain(rest).find(is_it).unwrap_or(first);
    let who = format!("the certificate of {}", says.subject);
    if says.not_after < says.not_before {
        return format!("{who} ends before it begins to be valid: make it anew");
    }
    let fault = dates_fault(&who, says.not_before, says.not_after, now, "renew the certificate");
    fault.unwrap_or_else(|| format!("{who} was out of date a moment ago: try again"))
}

/// Where a chain breaks off before it has come to a CA that is trusted.
fn unsigned(path: &Path, ca: &str) -> String {
    let Certificate { subject, issuer, fingerprint, .. } = &path.last().says;
    match path.end() {
        _ if path.last().says.is_self_signed() => format!(
            "{subject} is signed by itself, and it is not in {ca}: use a certificate that a CA in \
             that file has signed, or trust this one by echo-alex-client --fingerprint \
             sha256:{fingerprint}"
        ),
        End::OtherKeyInFile(file) => format!(
            "{subject} names {issuer} as its signer, but the CA of that name in {file} has another \
             key: exchange {file} for the file of the CA that signed it, or sign it anew"
        ),
        End::OtherKeyInChain => format!(
            "{subject} names {issuer} as its signer, but the certificate of that name in its chain \
             has another key: put the right one there, or sign it anew"
        ),
        End::Nobody | End::Root(_) => format!(
            "{subject} is signed by {issuer}, which is not in {ca}: use the file of the CA that \
             signed it, or, where that is an intermediate CA, append its certificate to this one's \
             file"
        ),
    }
}

/// What rustls has no error for; webpki's has a name, and nothing but.
fn beyond_rustls(error: &OtherError, leaf: &Certificate, rest: &[Link], path: &Path) -> String {
    let subject = &leaf.subject;
    match error.to_string().as_str() {
        "NameConstraintViolation" => {
            let ca = match path.limits() {
                Some((ca, limits)) => format!("{ca}, which {limits}"),
                None => "a CA above it: echo-alex-certs show prints the limits of each CA".into(),
            };
            format!(
                "a name of {subject} ({}) is outside the limits (name constraints) of {ca}; take a \
                 name within the limits, or another CA",
                list(&leaf.names)
            )
        }
        "EndEntityUsedAsCa" => {
            let signer = rest.iter().map(|link| &link.says).find(|it| !it.is_ca);
            let signer = signer.map_or("one in its chain", |it| &it.subject);
            format!(
                "{signer} is not a CA's certificate, and may not sign others: let a CA sign \
                 {subject}"
            )
        }
        _ => {
            let why = in_words(&CertificateError::Other(error.clone()));
            format!("the certificate of {subject} cannot be used: {why}; make it anew")
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

/// What is wrong with a certificate, without any of its names.
pub fn in_words(error: &CertificateError) -> String {
    let words = match error {
        CertificateError::BadEncoding | CertificateError::InvalidOcspResponse => "it is damaged",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::UnknownIssuer => "it is not signed by a CA that we know",
        CertificateError::BadSignature => "another key than that of its signer has signed it",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is weak or not known here (SHA-1 is one)"
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
        CertificateError::Other(other) => match other.to_string().as_str() {
            "CaUsedAsEndEntity" => "it is a CA's, and not for a server or client",
            "EndEntityUsedAsCa" => "one that is no CA's has signed it",
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
            _ => "a field of it breaks the rules of X.509",
        },
        _ => "it cannot be verified",
    };
    words.into()
}

/// Why a client's certificate is refused, in our own words alone: the log of a server is no place
/// for what strangers write into theirs.
pub fn peers_fault(error: &CertificateError) -> String {
    let time =
        |time: &UnixTime| moment(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    match error {
        CertificateError::UnknownIssuer => {
            "the peer's certificate is not signed by a CA that we know".into()
        }
        CertificateError::ExpiredContext { time: now, not_after } => format!(
            "the peer's certificate, or one of its chain, expired on {}, and this machine's clock \
             says {}",
            time(not_after),
            time(now)
        ),
        CertificateError::NotValidYetContext { time: now, not_before } => format!(
            "the peer's certificate, or one of its chain, is not valid before {}, and this \
             machine's clock says {}",
            time(not_before),
            time(now)
        ),
        CertificateError::BadSignature => {
            "a signature in the peer's certificates or handshake is false: has another CA of the \
             same name signed them?"
                .into()
        }
        other => format!("the peer's certificate is refused: {}", in_words(other)),
    }
}
