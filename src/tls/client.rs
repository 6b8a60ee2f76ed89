//! The TLS configuration of a client: verifies the server's certificate, and records what was wrong
//! with it for the user.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::config::Identity;
use crate::exit::{Exit, Failure};
use crate::tls::certificate;
use crate::tls::choice::{Choice, Sni};
use crate::tls::key_log::KeyLog;
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::{Refusal, Root, Roots};
use crate::tls::sessions::SessionStore;
use crate::tls::{explain, identity, pem};

/// The source of the CAs of [`Trust::System`], for messages.
const SYSTEM: &str = "the system's list of CAs (name another with --ca FILE)";

/// What a TLS client needs for each of its sessions.
pub type ClientConfig = Arc<rustls::ClientConfig>;

/// How a client verifies the server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By a chain to one of these CAs, and the name.
    Authorities(Vec<PathBuf>),
    /// By a chain to one of the CAs that this system trusts, and the name.
    System,
    /// By the SHA-256 of its certificate, with colons.
    Fingerprint(String),
    /// Not at all.
    Anything,
}

/// What a client needs for a handshake.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to verify the server.
    pub trust: Trust,
    /// What to show if the server asks for a certificate.
    pub identity: Option<Identity>,
    /// Whether a session may resume an earlier one.
    pub resumes: bool,
    /// Where sessions are kept to be resumed, if it is not the place that rustls has.
    pub sessions: Option<Arc<SessionStore>>,
    /// What to offer.
    pub choice: Choice,
    /// The name in the certificate, if it is not the one that rustls is given for a connection.
    pub name: Option<ServerName<'static>>,
    /// Where the secrets go.
    pub key_log: Option<Arc<KeyLog>>,
}

impl Settings {
    /// Verifies by `trust`, offers everything, and resumes nothing.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            identity: None,
            resumes: false,
            sessions: None,
            choice: Choice::default(),
            name: None,
            key_log: None,
        }
    }
}

/// What was seen of the server's certificate.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The chain that it sent, its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
    /// The CAs that it was verified with.
    pub roots: Arc<[Root]>,
    /// The server asked for a certificate, and the client has none.
    pub asked_for_certificate: bool,
    /// The scheme of the server's signature in the handshake.
    pub scheme: Option<u16>,
}

/// What was seen of the last certificate that was verified.
#[derive(Clone, Debug, Default)]
pub struct VerificationRecord(Arc<Mutex<Seen>>);

impl Seen {
    /// Why the certificate was refused, if it was: a sentence that says what to do. `name` is the name
    /// that the server should have.
    pub fn refusal(&self, trust: &Trust, name: &str) -> Option<String> {
        let refusal = self.refusal.as_ref()?;
        if let (Trust::Fingerprint(expected), Some(first)) = (trust, self.chain.first()) {
            let fingerprint = certificate::fingerprint(first);
            return Some(format!(
                "the server shows another certificate than the one that was asked for: its \
                 SHA-256 fingerprint is {fingerprint}, not {expected}; ask the operator of the \
                 server which is right"
            ));
        }
        let authorities = match trust {
            Trust::Authorities(files) => {
                let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
                names.join(" or ")
            }
            _ => SYSTEM.into(),
        };
        Some(explain::explain(refusal, &self.chain, &self.roots, &authorities, name))
    }
}

impl Seen {
    /// Why the server is trusted that should have this name: a sentence for each link of the chain.
    pub fn trust(&self, trust: &Trust, name: &str) -> Vec<String> {
        match trust {
            Trust::Authorities(_) | Trust::System => {
                explain::trusted::links(&self.chain, &self.roots, name)
            }
            Trust::Fingerprint(fingerprint) => {
                vec![format!(
                    "its SHA-256 fingerprint is the one that was asked for, {fingerprint}"
                )]
            }
            Trust::Anything => vec!["it is NOT VERIFIED: anyone can have answered".into()],
        }
    }
}

impl VerificationRecord {
    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Loads what `settings` name.
pub fn client_config(settings: &Settings) -> Result<(ClientConfig, VerificationRecord), Failure> {
    let provider = settings.choice.limit(&provider(has_aes()))?;
    let record = VerificationRecord::default();
    let rule = rule(&settings.trust)?;
    if let Rule::Chain(roots) = &rule {
        record.note(|seen| seen.roots = roots.all().clone());
    }
    let (name, algorithms) = (settings.name.clone(), provider.signature_verification_algorithms);
    let verifier = Verifier { rule, name, algorithms, record: record.clone() };
    let failed = |error: Error| Failure::new(Exit::Failure, format!("cannot set up TLS: {error}"));
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&settings.choice.versions())
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.identity {
        None => builder.with_client_cert_resolver(Arc::new(Anonymous(record.clone()))),
        Some(identity) => {
            let (chain, key) = identity::load(identity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| identity::failure(Some(identity), &error))?
        }
    };
    if !settings.resumes {
        config.resumption = Resumption::disabled();
    } else if let Some(sessions) = &settings.sessions {
        config.resumption = Resumption::store(sessions.clone());
    }
    config.enable_sni = settings.choice.sni != Sni::Omitted;
    config.alpn_protocols = settings.choice.alpn.iter().map(|it| it.clone().into_bytes()).collect();
    if let Some(key_log) = &settings.key_log {
        config.key_log = key_log.clone();
    }
    Ok((Arc::new(config), record))
}

/// The name that the server's certificate must have.
pub fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Failure::usage(format!(
            "{name:?} cannot be a name in a certificate; give the certificate's name with --name"
        ))
    })
}

fn rule(trust: &Trust) -> Result<Rule, Failure> {
    let mut roots = Vec::new();
    match trust {
        Trust::Anything => return Ok(Rule::Anything),
        Trust::Fingerprint(expected) => return Ok(Rule::Fingerprint(expected.clone())),
        Trust::Authorities(files) => {
            for file in files {
                roots.extend(pem::load_roots(file)?);
            }
        }
        Trust::System => {
            let found = rustls_native_certs::load_native_certs().certs.into_iter();
            roots.extend(found.filter_map(|it| Root::new(it, SYSTEM.into()).ok()));
            if roots.is_empty() {
                return Err(Failure::new(
                    Exit::NoInput,
                    "this system has no CA certificates (package ca-certificates); \
                     name the CA with --ca FILE",
                ));
            }
        }
    }
    Ok(Rule::Chain(Roots::for_servers(roots)))
}

/// Shows no certificate, and records that the server asked for one: TLS 1.2 has no alert for that.
#[derive(Debug)]
struct Anonymous(VerificationRecord);

impl ResolvesClientCert for Anonymous {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.note(|seen| seen.asked_for_certificate = true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

struct Verifier {
    rule: Rule,
    /// The name to verify, if it is not the one of the connection.
    name: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    record: VerificationRecord,
}

enum Rule {
    Chain(Roots<WebPkiServerVerifier>),
    Fingerprint(String),
    Anything,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let server_name = self.name.as_ref().unwrap_or(server_name);
        let verdict = match &self.rule {
            Rule::Anything => Ok(ServerCertVerified::assertion()),
            Rule::Fingerprint(expected) if certificate::fingerprint(end_entity) == *expected => {
                Ok(ServerCertVerified::assertion())
            }
            Rule::Fingerprint(_) => {
                Err(Refusal::Chain(CertificateError::ApplicationVerificationFailure.into()))
            }
            Rule::Chain(roots) => roots.verify(now, |verifier| {
                verifier.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                )
            }),
        };
        let chain = std::iter::once(end_entity).chain(intermediates);
        self.record.note(|seen| {
            seen.chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
            seen.refusal = verdict.as_ref().err().cloned();
        });
        verdict.map_err(Into::into)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.record.note(|seen| seen.scheme = Some(signature.scheme.into()));
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.record.note(|seen| seen.scheme = Some(signature.scheme.into()));
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
