//! What a client trusts: the server's certificate is verified here, and remembered, so that the
//! person who asked can be told what was wrong with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::config::Identity;
use crate::exit::{Exit, Failure};
use crate::tls::certificate;
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::{Refusal, Root, Roots};
use crate::tls::server;
use crate::tls::verification;

/// Where the CAs of [`Trust::System`] come from, for messages.
const SYSTEM: &str = "the system's list of CAs (name another with --ca FILE)";

/// What a TLS client needs for each of its sessions.
pub type ClientConfig = Arc<rustls::ClientConfig>;

/// How a client tells the right server from a wrong one.
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

/// What a client brings to a handshake.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which server is right.
    pub trust: Trust,
    /// What it shows if the server asks who it is.
    pub identity: Option<Identity>,
    /// Whether a session may build on an earlier one.
    pub resumes: bool,
}

/// What was seen of the server's certificate.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The chain that it sent, its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why it is refused, if it is.
    pub refusal: Option<Refusal>,
    /// The CAs that it was verified with.
    pub roots: Arc<[Root]>,
    /// The server asked who we are, and was told nothing.
    pub asked_in_vain: bool,
}

/// Remembers the last certificate that was verified.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

impl Seen {
    /// Why we refuse it, if we do: a sentence that says what to do. `name` is what the server
    /// should be called.
    pub fn refusal(&self, trust: &Trust, name: &str) -> Option<String> {
        let refusal = self.refusal.as_ref()?;
        if let (Trust::Fingerprint(expected), Some(first)) = (trust, self.chain.first()) {
            let fingerprint = certificate::fingerprint(first);
            return Some(format!(
                "the server shows another certificate than the one that was asked for: its \
                 SHA-256 fingerprint is {fingerprint}, not {expected}; ask whoever runs the \
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
        Some(verification::explain(refusal, &self.chain, &self.roots, &authorities, name))
    }
}

impl Witness {
    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Loads what `settings` name.
pub fn client_config(settings: &Settings) -> Result<(ClientConfig, Witness), Failure> {
    let provider = provider(has_aes());
    let witness = Witness::default();
    let rule = rule(&settings.trust)?;
    if let Rule::Chain(roots) = &rule {
        witness.note(|seen| seen.roots = roots.all().clone());
    }
    let verifier = Verifier { rule, provider: provider.clone(), witness: witness.clone() };
    let failed = |error: Error| Failure::new(Exit::Failure, format!("cannot set up TLS: {error}"));
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.identity {
        None => builder.with_client_cert_resolver(Arc::new(Anonymous(witness.clone()))),
        Some(identity) => {
            let (chain, key) = server::load_identity(identity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| server::identity_failure(Some(identity), &error))?
        }
    };
    if !settings.resumes {
        config.resumption = Resumption::disabled();
    }
    Ok((Arc::new(config), witness))
}

/// The name that the server's certificate must have.
pub fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Failure::usage(format!(
            "{name:?} cannot stand in a certificate; say with --name which name must"
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
                roots.extend(server::load_roots(file)?);
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

/// Shows no certificate, and remembers that the server asked for one: TLS 1.2 has no alert that
/// says so.
#[derive(Debug)]
struct Anonymous(Witness);

impl ResolvesClientCert for Anonymous {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.note(|seen| seen.asked_in_vain = true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    witness: Witness,
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
        self.witness.note(|seen| {
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
