//! From PEM files to what rustls needs: certificates and keys, the order of cipher suites, and
//! errors that name the file, the cause and the cure.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use log::warn;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::Ticketer;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, InconsistentKeys, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::config;
use crate::exit::{Exit, Failure};
use crate::os::file_set::is_unsettled;
use crate::os::files;
use crate::tls::certificate::{Chain, fingerprint};
use crate::tls::handshake::{Offer, Resolver, ServerConfig, Witness};
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::{Refusal, Root, Roots};
use crate::tls::verification;

/// Files above this size are not what they should be, in bytes.
const PEM_MAX: u64 = 1024 * 1024;

/// Loads what a listener's settings name, and warns of what cannot work.
pub fn server_config(settings: &config::Tls) -> Result<ServerConfig, Failure> {
    let (chain, key) = match &settings.identity {
        Some(identity) => {
            let (chain, key) = load_identity(identity)?;
            let file = identity.certificate.display().to_string();
            warn_of(verification::doubts_about_server(&chain, &file));
            (chain, key)
        }
        None => temporary_identity()?,
    };
    let failed = |error| identity_failure(settings.identity.as_ref(), &error);
    let versions: &[&SupportedProtocolVersion] =
        if settings.only_tls13 { &[&rustls::version::TLS13] } else { rustls::DEFAULT_VERSIONS };
    let provider = provider(has_aes());
    let key = CertifiedKey::from_der(chain, key, &provider).map_err(failed)?;
    let witness = Arc::new(Witness::new(Offer::of_server(&provider, versions, &*key.key)));
    let verifier = match &settings.client_ca {
        Some(client_ca) => load_client_ca(client_ca, &witness)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Resolver { key: key.into(), witness: witness.clone() }));
    // Most clients put AES first, whatever this machine does well.
    config.ignore_client_order = !has_aes();
    config.ticketer = Ticketer::new().map_err(failed)?;
    Ok(ServerConfig { rustls: config.into(), witness })
}

/// A certificate chain and its key.
pub(crate) fn load_identity(
    identity: &config::Identity,
) -> Result<(Chain, PrivateKeyDer<'static>), Failure> {
    let chain = load_certificates(&identity.certificate)?;
    let key = load_key(&identity.key)?;
    Ok((chain, key))
}

/// The certificates in a PEM file; at least one.
pub fn load_certificates(path: &Path) -> Result<Chain, Failure> {
    let pem = read("certificate", path)?;
    let certificates = rustls_pemfile::certs(&mut pem.as_slice())
        .collect::<Result<Chain, _>>()
        .map_err(|error| damaged(path, &error))?;
    if certificates.is_empty() {
        let hint = swapped(&pem, "PRIVATE KEY", "a key");
        return Err(Failure::config(format!(
            "{}: there is no certificate (-----BEGIN CERTIFICATE-----) in it{hint}",
            path.display()
        )));
    }
    Ok(certificates)
}

/// The private key in a PEM file: PKCS#8, PKCS#1 or SEC1.
pub fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let pem = read("key", path)?;
    if contains(&pem, "ENCRYPTED") {
        return Err(Failure::config(format!(
            "{0}: the key is encrypted, and there is nobody to ask for its passphrase at start; \
             take the passphrase off: openssl pkey -in {0} -out plain.key",
            path.display()
        )));
    }
    let key =
        rustls_pemfile::private_key(&mut pem.as_slice()).map_err(|error| damaged(path, &error))?;
    let Some(key) = key else {
        let hint = swapped(&pem, "CERTIFICATE", "a certificate");
        return Err(Failure::config(format!(
            "{}: there is no private key (-----BEGIN PRIVATE KEY-----) in it{hint}",
            path.display()
        )));
    };
    if fs::metadata(path).is_ok_and(|file| file.mode() & 0o004 != 0) {
        warn!("{0}: everybody on this machine can read the key: chmod o-rwx {0}", path.display());
    }
    Ok(key)
}

/// The CAs in a PEM file.
pub(crate) fn load_roots(path: &Path) -> Result<Vec<Root>, Failure> {
    let file: Arc<str> = path.display().to_string().into();
    load_certificates(path)?
        .into_iter()
        .map(|it| Root::new(it, file.clone()).map_err(|error| unusable(path, &error)))
        .collect()
}

fn load_client_ca(
    client_ca: &config::ClientCa,
    witness: &Arc<Witness>,
) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let path = &client_ca.file;
    let roots = load_roots(path)?;
    warn_of(verification::doubts_about_authorities(&roots));
    warn_of_an_old_clock(path);
    Ok(Arc::new(ClientVerifier {
        subjects: roots.iter().map(Root::subject).collect(),
        roots: Roots::for_clients(roots),
        required: client_ca.required,
        provider: provider(has_aes()),
        witness: witness.clone(),
    }))
}

/// rustls's verifier of client certificates, with the CAs' dates.
#[derive(Debug)]
struct ClientVerifier {
    roots: Roots<dyn ClientCertVerifier>,
    /// Tells a client which of its certificates to show. One that is out of date is among them, so
    /// that its certificate is shown and the reason can be told.
    subjects: Vec<DistinguishedName>,
    required: bool,
    provider: Arc<CryptoProvider>,
    witness: Arc<Witness>,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.roots
            .verify(now, |verifier| verifier.verify_client_cert(end_entity, intermediates, now))
            .map_err(|refusal| {
                if let Refusal::OutOfDate(root, fault) = &refusal {
                    self.witness.our_ca_is_out_of_date(verification::out_of_date(root, fault));
                }
                refusal.into()
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Says what can be loaded and cannot work: at a check, at the start and at a reload. It is no
/// failure: the clock may be set later, and a client may know the certificate by its fingerprint.
fn warn_of(doubts: Vec<String>) {
    for doubt in doubts {
        warn!("{doubt}");
    }
}

/// A Pi has no clock chip: until the network brings the time, its clock may stand before the day
/// that certificates begin to be valid, and every client certificate is refused.
fn warn_of_an_old_clock(ca: &Path) {
    let made = fs::metadata(ca).and_then(|file| file.modified());
    let now = SystemTime::now();
    if made.is_ok_and(|made| now + Duration::from_secs(1) < made) {
        warn!(
            "this machine's clock says {}, and {} is younger than that: client certificates may \
             be refused as not yet valid until the clock is set",
            humantime::format_rfc3339_seconds(now),
            ca.display()
        );
    }
}

/// Reads a PEM file whole; where that is forbidden, says who we are and how to mend it.
fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    files::read(path, PEM_MAX).map_err(|why| {
        let failure = why.failure(format_args!("cannot read the {what} {shown}"));
        if failure.exit != Exit::NoPermission {
            return failure;
        }
        let (user, group) =
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Failure::new(
            failure.exit,
            format!(
                "{failure} for user {user} (id -nu {user}); let its group read it: \
                 chgrp {group} {shown} && chmod 640 {shown}, and look at the folders above"
            ),
        )
    })
}

/// A hint for a file that holds what belongs into another.
fn swapped(pem: &[u8], text: &str, what: &str) -> String {
    if contains(pem, text) {
        format!("; it holds {what}: are the two swapped?")
    } else {
        String::new()
    }
}

fn contains(pem: &[u8], text: &str) -> bool {
    pem.windows(text.len()).any(|window| window == text.as_bytes())
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::config(format!("{}: damaged: {error}", path.display()))
}

fn unusable(path: &Path, error: &Error) -> Failure {
    let why = match error {
        Error::InvalidCertificate(error) => verification::in_words(error),
        _ => "it cannot be read".into(),
    };
    Failure::config(format!("{}: not a certificate that can be used: {why}", path.display()))
}

/// What rustls has against a certificate and its key.
pub(crate) fn identity_failure(identity: Option<&config::Identity>, error: &Error) -> Failure {
    let Some(identity) = identity else {
        return Failure::new(Exit::Failure, format!("cannot set up TLS: {error}"));
    };
    let config::Identity { certificate, key } = identity;
    let is_unsettled = certificate.parent().is_some_and(is_unsettled);
    let (certificate, key) = (certificate.display(), key.display());
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) if is_unsettled => {
            Failure::config(format!(
                "{key} is not the key of {certificate}, since echo-alex-certs was interrupted \
                 between the two, or is at work: run echo-alex-certs verify {certificate} as the \
                 owner of the folder, which completes them"
            ))
        }
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Failure::config(format!(
            "{key} is not the key of {certificate}: compare openssl pkey -in {key} -pubout with \
             openssl x509 -in {certificate} -noout -pubkey, and make them anew if they differ"
        )),
        Error::InvalidCertificate(_) => unusable(&identity.certificate, error),
        _ => Failure::config(format!(
            "{key}: not a key that can be used ({error}): take an RSA key of 2048 to 4096 bits, an \
             ECDSA key on P-256 or P-384, or an Ed25519 key"
        )),
    }
}

/// An identity for as long as this process runs, for listeners that name none; the same one after
/// a reload. Nothing vouches for it but its fingerprint.
fn temporary_identity() -> Result<(Chain, PrivateKeyDer<'static>), Failure> {
    type Made = Result<(Vec<u8>, Vec<u8>), String>;
    static IDENTITY: OnceLock<Made> = OnceLock::new();

    let made = IDENTITY.get_or_init(|| make_temporary_identity().map_err(|e| e.to_string()));
    let (certificate, key) = made.as_ref().map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot make a temporary identity: {error}"))
    })?;
    let key = PrivateKeyDer::try_from(key.clone())
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    Ok((vec![certificate.clone().into()], key))
}

/// Tells who listens to the log how to know the temporary identity.
pub(crate) fn announce_temporary_identity() -> Result<(), Failure> {
    let (chain, _) = temporary_identity()?;
    for certificate in &chain {
        warn!(
            "TLS with a temporary self-signed certificate, SHA-256 fingerprint {}; \
             name a certificate and key for a lasting one",
            fingerprint(certificate)
        );
    }
    Ok(())
}

fn make_temporary_identity() -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let names = [
        host.to_string(),
        format!("{host}.local"),
        "localhost".into(),
        "127.0.0.1".into(),
        "::1".into(),
    ];
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "echo-alex, temporary");
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + 365 * DAY).into();
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}
