//! The TLS configuration of a listener: its identity, the client CAs, the order of cipher suites.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use log::warn;
use rustls::crypto::ring::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use crate::config;
use crate::exit::Failure;
use crate::tls::client_verifier::ClientVerifier;
use crate::tls::handshake::{Offer, Resolver, ServerConfig, VerificationRecord};
use crate::tls::provider;
use crate::tls::roots::Root;
use crate::tls::{expiry, identity, pem, temporary, warnings};

/// Loads what a listener's settings name, and logs a warning for what cannot work.
pub fn server_config(settings: &config::Tls) -> Result<ServerConfig, Failure> {
    let (chain, key) = match &settings.identity {
        Some(identity) => {
            let (chain, key) = identity::load(identity)?;
            let file = identity.certificate.display().to_string();
            warn_each(warnings::about_server(&chain, &file));
            (chain, key)
        }
        None => temporary::identity()?,
    };
    let failed = |error| identity::failure(settings.identity.as_ref(), &error);
    let provider = provider::of_listener(settings);
    let mut versions = Vec::new();
    if settings.accepts_tls13() {
        versions.push(&rustls::version::TLS13);
    }
    if settings.accepts_tls12() {
        versions.push(&rustls::version::TLS12);
    }
    let mut expiries = expiry::of("server", &chain);
    let key = CertifiedKey::from_der(chain, key, &provider).map_err(failed)?;
    let record =
        Arc::new(VerificationRecord::new(Offer::of_server(&provider, &versions, &*key.key)));
    if record.ours.suites.is_empty() {
        return Err(Failure::config(
            "none of the cipher suites can be used with the key of the certificate: those of TLS 1.2 \
             have the kind of key in their name",
        ));
    }
    let verifier = match &settings.client_ca {
        Some(client_ca) => {
            let roots = pem::load_roots(&client_ca.file)?;
            expiries.extend(expiry::of("client-ca", roots.iter().map(|root| &root.certificate)));
            client_verifier(client_ca, roots, &record)
        }
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Resolver { key: key.into(), record: record.clone() }));
    // The order of our suites is what they cost here, or what the operator wants. Most clients put
    // AES-256 first, whatever it costs.
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new().map_err(failed)?;
    // A client that resumes gets another one. Two would let it open two sessions at once with them, and
    // a second ticket makes every handshake a little dearer.
    config.send_tls13_tickets = 1;
    Ok(ServerConfig { rustls: config.into(), record, expiries: expiries.into() })
}

/// Logs the fingerprint by which clients can verify the temporary identity.
pub(crate) fn announce_temporary_identity() -> Result<(), Failure> {
    temporary::announce()
}

fn client_verifier(
    client_ca: &config::ClientCa,
    roots: Vec<Root>,
    record: &Arc<VerificationRecord>,
) -> Arc<dyn ClientCertVerifier> {
    warn_each(warnings::about_client_cas(&roots));
    warn_of_slow_clock(&client_ca.file);
    Arc::new(ClientVerifier::new(roots, client_ca.required, record.clone()))
}

/// Logs what can be loaded but cannot work: at a check, at the start and at a reload. It is not an
/// error: the clock may be set later, and a client may verify the certificate by its fingerprint.
fn warn_each(warnings: Vec<String>) {
    for warning in warnings {
        warn!("{warning}");
    }
}

/// A Raspberry Pi has no clock chip. Until the network sets its clock, the clock may be earlier than
/// the start of every certificate's validity, and every client certificate is refused.
fn warn_of_slow_clock(ca: &Path) {
    let written = fs::metadata(ca).and_then(|file| file.modified());
    let now = SystemTime::now();
    if written.is_ok_and(|written| now + Duration::from_secs(1) < written) {
        warn!(
            "this machine's clock says {}, but {} is newer than that: client certificates may be \
             refused as not yet valid until the clock is set",
            humantime::format_rfc3339_seconds(now),
            ca.display()
        );
    }
}
