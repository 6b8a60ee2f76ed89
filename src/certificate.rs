//! What a certificate says, in words: who it is, who signed it, until when, and why it is refused.
//!
//! Every text that leaves this file is safe to print. A certificate comes from a stranger, and its
//! names can hold anything, escape sequences of the terminal too.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::exit::Failure;
use crate::roots::{Refusal, Root};
use crate::tls::{self, Chain, fingerprint, has_aes, provider};

/// What a certificate says of itself. The texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, such as `CN=alex.local`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The common name in the subject, if there is one.
    pub common_name: Option<String>,
    /// The serial number: pairs of hexadecimal digits and colons.
    pub serial: String,
    /// The host names and addresses that it is for (the subject alternative names).
    pub names: Vec<String>,
    /// The moment from which it is valid.
    pub not_before: SystemTime,
    /// The moment until which it is valid.
    pub not_after: SystemTime,
    /// Kind and size of its key, such as "ECDSA P-256".
    pub key: String,
    /// It may sign other certificates.
    pub is_ca: bool,
    /// A server may show it.
    pub for_servers: bool,
    /// A client may show it.
    pub for_clients: bool,
    /// Which names it may sign for, if it is limited (the name constraints), such as "permits only
    /// home.arpa and names below it".
    pub limits: Option<String>,
    /// SHA-256 of the whole, as openssl prints it.
    pub fingerprint: String,
    /// Whose it is and who signed it, as DER: two names are the same where their bytes are.
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    /// The version of X.509; only the third has names and uses in it.
    version: u32,
    /// Its public key, as DER (`SubjectPublicKeyInfo`).
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate; fails with what is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(der).map_err(|e| printable(&e.to_string()))?;
        let is_ca = parsed.is_ca();
        let usage = parsed.extended_key_usage().ok().flatten().map(|found| found.value);
        let common_name = parsed.subject().iter_common_name().next();
        Ok(Self {
            subject: distinguished_name(parsed.subject()),
            issuer: distinguished_name(parsed.issuer()),
            common_name: common_name.and_then(|name| name.as_str().ok()).map(printable),
            serial: printable(&parsed.raw_serial_as_string().to_uppercase()),
            names: alternative_names(&parsed),
            not_before: system_time(parsed.validity().not_before),
            not_after: system_time(parsed.validity().not_after),
            key: key(parsed.public_key()),
            is_ca,
            for_servers: !is_ca && usage.is_none_or(|usage| usage.any || usage.server_auth),
            for_clients: !is_ca && usage.is_none_or(|usage| usage.any || usage.client_auth),
            limits: parsed.name_constraints().ok().flatten().and_then(|it| limits(it.value)),
            fingerprint: fingerprint(der),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            version: parsed.version().0 + 1,
            public_key: parsed.public_key().raw.to_vec(),
        })
    }

    /// Whether this is its public key, as DER (`SubjectPublicKeyInfo`).
    pub fn is_key(&self, public_key: &[u8]) -> bool {
        self.public_key == public_key
    }

    /// It says that it is signed with its own key.
    pub fn is_self_signed(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// The last day of its validity, such as "2027-11-22".
    pub fn last_day(&self) -> String {
        let moment = moment(self.not_after);
        moment.split('T').next().unwrap_or(&moment).to_string()
    }

    /// All in one line: `CN=alex.local, signed by CN=the CA, until 2027-11-22`.
    pub fn summary(&self) -> String {
        let signer = if self.is_self_signed() { "itself" } else { &self.issuer };
        format!("{}, signed by {signer}, until {}", self.subject, self.last_day())
    }
}

/// Every property, a line each.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "none".into() } else { self.names.join(", ") };
        let uses: Vec<&str> =
            [(self.is_ca, "CA"), (self.for_servers, "server"), (self.for_clients, "client")]
                .into_iter()
                .filter_map(|(is_so, word)| is_so.then_some(word))
                .collect();
        writeln!(f, "subject  {}", self.subject)?;
        writeln!(f, "issuer   {}", self.issuer)?;
        writeln!(f, "serial   {}", self.serial)?;
        writeln!(f, "names    {names}")?;
        writeln!(f, "valid    {} to {}", moment(self.not_before), moment(self.not_after))?;
        writeln!(f, "key      {}", self.key)?;
        writeln!(f, "use      {}", if uses.is_empty() { "other".into() } else { uses.join(", ") })?;
        if let Some(limits) = &self.limits {
            writeln!(f, "limits   {limits}")?;
        }
        writeln!(f, "SHA-256  {}", self.fingerprint)
    }
}

/// The lines that show a certificate, also one that cannot be read.
pub fn describe(der: &[u8]) -> String {
    match Certificate::parse(der) {
        Ok(certificate) => certificate.to_string(),
        Err(why) => format!("cannot be read ({why})\nSHA-256  {}\n", fingerprint(der)),
    }
}

/// `text` with everything escaped that a terminal acts on or does not show: control characters,
/// line separators, overrides of the writing direction, characters without width. The backslash is
/// escaped too, so that what is shown can be told from what was escaped.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        let acts = letter.is_control()
            || matches!(letter,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if acts {
            safe.extend(letter.escape_unicode());
        } else if letter == '\\' {
            safe.push_str("\\\\");
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// Whether `name` is a host name or an address that a certificate can be made for.
pub fn is_host(name: &str) -> bool {
    check_host(name).is_ok()
}

/// Checks that a certificate can be made for the host name or address `name`; fails with a sentence
/// that says what to do.
///
/// A name without a dot at its end is the "preferred name syntax" that RFC 5280, section 4.2.1.6,
/// asks for.
pub fn check_host(name: &str) -> Result<(), Failure> {
    let is_address = |name: &str| name.parse::<IpAddr>().is_ok();
    let is_name = |name: &str| DnsName::try_from(name).is_ok();
    let wildcard = name.strip_prefix("*.");
    Err(Failure::usage(match (name.strip_suffix('.'), wildcard) {
        (Some(fqdn), _) if !fqdn.is_empty() => {
            format!("{name:?}: a name in a certificate has no dot at its end: write {fqdn}")
        }
        (_, Some(parent)) if is_address(parent) => format!(
            "{name:?}: a wildcard stands for a label of a host name, and {parent} is an address: \
             give each address by itself"
        ),
        // rustls, OpenSSL and browsers take it for a domain in which anybody can have a name.
        (_, Some(parent)) if is_name(parent) && !parent.contains('.') => format!(
            "{name:?}: clients refuse a wildcard with fewer than two labels behind it: give each \
             name by itself, such as alex.{parent}"
        ),
        _ if is_address(name) || is_name(wildcard.unwrap_or(name)) => return Ok(()),
        _ => format!(
            "{name:?} is neither a host name (letters, digits, hyphens, dots) nor an address"
        ),
    }))
}

/// From when until when a certificate is valid, in seconds since 1970; nothing for one that cannot
/// be parsed.
pub fn validity(der: &[u8]) -> Option<RangeInclusive<u64>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    let validity = parsed.validity();
    Some(seconds(validity.not_before)..=seconds(validity.not_after))
}

/// A moment as RFC 3339 writes it, in UTC.
pub fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

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
        .map_err(|error| format!("{ca}: {}", printable(&error.to_string())))?;
    let now = UnixTime::now();
    let (verified, name) = match purpose {
        Purpose::Server(name) => {
            // A wildcard stands for any name in its place.
            let server = ServerName::try_from(name.replace('*', "any"))
                .map_err(|_| format!("{name:?} is neither a host name nor an address"))?;
            let verified = tls::server_verifier(roots.clone()).verify(now, |verifier| {
                verifier.verify_server_cert(leaf, links, &server, &[], now).map(drop)
            });
            (verified, name)
        }
        Purpose::Client => {
            let verified = tls::client_verifier(roots.clone())
                .verify(now, |verifier| verifier.verify_client_cert(leaf, links, now).map(drop));
            (verified, "")
        }
    };
    verified.map_err(|refusal| match &refusal {
        Refusal::Chain(Error::InvalidCertificate(error)) if breaks_limits(error) => {
            let roots: Vec<_> = roots.iter().map(|root| root.certificate.clone()).collect();
            beyond_limits(&parse_all(chain), &parse_all(&roots))
        }
        _ => explain(&refusal, chain, &roots, ca, name),
    })
}

/// Checks that `key` is the key of the first certificate in `chain`.
pub fn verify_key(chain: &Chain, key: PrivateKeyDer<'static>) -> Result<(), String> {
    match CertifiedKey::from_der(chain.clone(), key, &provider(has_aes())) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err("the key is another certificate's: find the right one, or make both anew".into())
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
                "{}: {} is not a CA's certificate, and has signed nobody's: name the file of the \
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
         that it has signed",
        leaf.subject
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
    _roots: &[Root],
    ca: &str,
    name: &str,
) -> String {
    let error = match refusal {
        Refusal::OutOfDate(root, fault) => return out_of_date(root, fault),
        Refusal::Chain(Error::InvalidCertificate(error)) => error,
        Refusal::Chain(other) => return printable(&other.to_string()),
    };
    let chain = parse_all(chain);
    let Some(leaf) = chain.first() else {
        return "the certificate cannot be read: make it anew".into();
    };
    let Certificate { subject, issuer, .. } = leaf;
    let now = SystemTime::now();
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let it = chain.iter().find(|it| it.not_after < now).unwrap_or(leaf);
            let who = format!("the certificate of {}", it.subject);
            expired(&who, it.not_after, "renew the certificate")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let it = chain.iter().find(|it| now < it.not_before).unwrap_or(leaf);
            early(&format!("the certificate of {}", it.subject), it.not_before)
        }
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
                    leaf.names.join(", ")
                )
            }
        }
        _ if leaf.version < 3 => format!(
            "the certificate of {subject} is of X.509 version {}, which cannot have names in it \
             (openssl x509 -req makes it without -extfile): make one with echo-alex-certs server",
            leaf.version
        ),
        _ if leaf.is_ca => ca_as_leaf(leaf),
        CertificateError::UnknownIssuer if leaf.is_self_signed() => format!(
            "{subject} is signed by itself, and it is not in {ca}: use a certificate that a CA in \
             that file has signed, or trust this one by its fingerprint {}",
            leaf.fingerprint
        ),
        CertificateError::UnknownIssuer => format!(
            "{subject} is signed by {issuer}, which is not in {ca}: use the file of the CA that \
             signed it"
        ),
        CertificateError::BadSignature => format!(
            "{subject} names {issuer} as its signer, but the CA of that name in {ca} has another \
             key: use the file of the CA that signed it, or sign it anew"
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            wrong_purpose(leaf)
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "{subject} is signed in a way that is weak or not known here (SHA-1 is one): sign it \
             anew"
        ),
        error if breaks_limits(error) => beyond_limits(&chain, &[]),
        CertificateError::Revoked => format!("the certificate of {subject} is revoked: renew it"),
        CertificateError::BadEncoding => {
            format!("the certificate of {subject} is damaged: make it anew")
        }
        other => format!(
            "the certificate of {subject} cannot be used ({}): make it anew",
            printable(&other.to_string())
        ),
    }
}

/// Those that can be read.
fn parse_all(chain: &[CertificateDer<'_>]) -> Vec<Certificate> {
    chain.iter().filter_map(|der| Certificate::parse(der).ok()).collect()
}

/// Whether a certificate is refused for the name constraints of a CA. rustls passes on an error of
/// webpki, which is known by its text alone.
fn breaks_limits(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(_))
        && error.to_string().contains("NameConstraintViolation")
}

/// Says which CA may not sign for a name in the first certificate of `chain`.
fn beyond_limits(chain: &[Certificate], roots: &[Certificate]) -> String {
    let subject = chain.first().map_or("the certificate", |leaf| &leaf.subject);
    let limited = chain.iter().chain(roots).find_map(|ca| ca.limits.as_ref().zip(Some(ca)));
    let ca = match limited {
        Some((limits, ca)) => format!("{}, which {limits}", ca.subject),
        None => "a CA above it: echo-alex-certs show prints the limits of each CA".into(),
    };
    format!(
        "a name of {subject} is outside the limits (name constraints) of {ca}; take a name within \
         the limits, or another CA"
    )
}

/// The name constraints of a CA in words (RFC 5280, section 4.2.1.10); `None` where there are none.
fn limits(constraints: &NameConstraints) -> Option<String> {
    let list = |subtrees: &[GeneralSubtree]| {
        let subtrees: Vec<String> = subtrees.iter().map(|it| subtree(&it.base)).collect();
        subtrees.join(", ")
    };
    let permitted = constraints.permitted_subtrees.as_deref().map(list);
    let excluded = constraints.excluded_subtrees.as_deref().map(list);
    match (permitted, excluded) {
        (Some(permitted), Some(excluded)) => {
            Some(format!("permits only {permitted}, and excludes {excluded}"))
        }
        (Some(permitted), None) => Some(format!("permits only {permitted}")),
        (None, Some(excluded)) => Some(format!("excludes {excluded}")),
        (None, None) => None,
    }
}

/// The names that a name constraint covers.
fn subtree(base: &GeneralName) -> String {
    match base {
        GeneralName::DNSName("") => "every host name".into(),
        GeneralName::DNSName(name) => match name.strip_prefix('.') {
            Some(parent) => format!("names below {}", printable(parent)),
            None => format!("{} and names below it", printable(name)),
        },
        GeneralName::IPAddress(bytes) => {
            let (network, mask) = bytes.split_at(bytes.len() / 2);
            match (address(network), address(mask)) {
                (Some(network), Some(mask)) => match prefix_length(mask) {
                    Some(length) => format!("{network}/{length}"),
                    None => format!("{network} with the mask {mask}"),
                },
                _ => alternative_name(&GeneralName::IPAddress(bytes)),
            }
        }
        GeneralName::DirectoryName(name) => format!("subjects below {}", distinguished_name(name)),
        other => alternative_name(other),
    }
}

/// A name as RFC 4514 writes it, but in the order in which it stands in the certificate.
fn distinguished_name(name: &X509Name) -> String {
    let parts: Vec<String> = name
        .iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type();
            let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_string(), Into::into);
            let value = match attribute.as_str() {
                Ok(text) => printable(text),
                Err(_) => printable(&String::from_utf8_lossy(attribute.as_slice())),
            };
            format!("{kind}={}", quote_separators(&value))
        })
        .collect();
    if parts.is_empty() { "(no name)".into() } else { parts.join(", ") }
}

/// Without this, a common name of "alex, O=Bank" would read as two parts.
fn quote_separators(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for letter in value.chars() {
        if matches!(letter, ',' | '+' | '"' | '<' | '>' | ';' | '=') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}

fn alternative_names(certificate: &X509Certificate) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().map(alternative_name).collect()
}

fn alternative_name(name: &GeneralName) -> String {
    match name {
        GeneralName::DNSName(name) => printable(name),
        GeneralName::IPAddress(bytes) => address(bytes)
            .map_or_else(|| format!("an address of {} bytes", bytes.len()), |it| it.to_string()),
        GeneralName::RFC822Name(mail) => format!("email:{}", printable(mail)),
        GeneralName::URI(uri) => format!("URI:{}", printable(uri)),
        _ => "a name of another kind".into(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// How many bits a mask leaves of an address; `None` where these are not the first ones.
fn prefix_length(mask: IpAddr) -> Option<u32> {
    let (first, all) = match mask {
        IpAddr::V4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        IpAddr::V6(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
    };
    (first == all).then_some(first)
}

/// Dates before 1970 become 1970, which is as long ago as anything here.
fn seconds(time: ASN1Time) -> u64 {
    time.timestamp().try_into().unwrap_or(0)
}

fn system_time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds(time))
}

fn key(info: &SubjectPublicKeyInfo) -> String {
    let algorithm = &info.algorithm;
    if algorithm.algorithm == OID_SIG_ED25519 {
        return "Ed25519".into();
    }
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let curve = match curve {
            Some(curve) if curve == OID_EC_P256 => "P-256",
            Some(curve) if curve == OID_NIST_EC_P384 => "P-384",
            Some(curve) if curve == OID_NIST_EC_P521 => "P-521",
            _ => "on another curve",
        };
        return format!("ECDSA {curve}");
    }
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {} bits", key.key_size()),
        _ => format!("of another kind ({})", algorithm.algorithm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_printed() {
        assert_eq!(printable("\u{1b}[2Jalex\n\u{7f}\u{9b}"), "\\u{1b}[2Jalex\\u{a}\\u{7f}\\u{9b}");
        assert_eq!(printable("\u{202e}lacol.xela\u{2066}"), "\\u{202e}lacol.xela\\u{2066}");
        assert_eq!(printable("a\u{200b}b\u{2028}\u{feff}\u{e0041}"), {
            "a\\u{200b}b\\u{2028}\\u{feff}\\u{e0041}"
        });
        assert_eq!(printable("\\u{1b}"), "\\\\u{1b}", "what was escaped can be told");
        assert_eq!(printable("Jörg's Pi, 日本"), "Jörg's Pi, 日本");
    }

    #[test]
    fn a_common_name_cannot_pose_as_two_parts() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "alex, O=Bank");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Studio");
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let certificate = Certificate::parse(made.der()).unwrap();
        assert_eq!(certificate.subject, "CN=alex\\, O\\=Bank, O=Studio");
        assert_eq!(certificate.common_name.as_deref(), Some("alex, O=Bank"));
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        for good in ["alex", "alex.local", "*.home.arpa", "192.168.1.16", "::1"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a b", "alex..local", "-alex", "al\nex", "bücher.local", "*", ".", "*."] {
            assert!(!is_host(bad), "{bad}");
        }
        for bad in ["alex.local.", "*.home.arpa.", "*.local", "*.10.0.0.1", "*.::1"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn rubbish_is_described_and_not_a_panic() {
        assert!(describe(b"").starts_with("cannot be read"));
        assert!(describe(&[0x30; 300]).starts_with("cannot be read"));
    }
}
