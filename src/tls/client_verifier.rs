//! Verifies the certificates that clients show: rustls's verifier, limited to CAs that have not expired.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::tls::explain::dates;
use crate::tls::handshake::VerificationRecord;
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::{Refusal, Root, Roots};

/// A listener's verifier of client certificates.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    roots: Roots<dyn ClientCertVerifier>,
    /// Sent to clients, which choose a certificate by it. Expired CAs are included: the client then
    /// shows its certificate, and the refusal can name the reason.
    subjects: Vec<DistinguishedName>,
    required: bool,
    provider: Arc<CryptoProvider>,
    record: Arc<VerificationRecord>,
}

impl ClientVerifier {
    /// Accepts what one of `roots` has signed. With `required`, a client without a certificate is
    /// refused.
    pub(super) fn new(roots: Vec<Root>, required: bool, record: Arc<VerificationRecord>) -> Self {
        Self {
            subjects: roots.iter().map(Root::subject).collect(),
            roots: Roots::for_clients(roots),
            required,
            provider: provider(has_aes()),
            record,
        }
    }
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
                if let Refusal::RootDates(root, fault) = &refusal {
                    self.record.set_ca_fault(dates::root_fault(root, fault));
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
