//! The TLS configuration of a listener: its identity, the client CAs, the order of cipher suites.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use log::warn;
use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use crate::config;
use crate::exit::Failure;
use crate::tls::client_verifier::ClientVerifier;
use crate::tls::handshake::{Offer, Resolver, ServerConfig, VerificationRecord};
use crate::tls::provider;
use crate::tls::roots::Root;
use crate::tls::tickets::{Rules, TicketKeys};
use crate::tls::{expiry, identity, pem, temporary, warnings};

/// What a listener with TLS gives to its sessions. The keys of their tickets are made of `keys`, or its own.
pub fn of_listener(
    listener: &config::Listener,
    keys: Option<&TicketKeys>,
) -> Result<Option<ServerConfig>, Failure> {
    let config::Listener { name, tls: Some(settings), service, .. } = listener else {
        return Ok(None);
    };
    let protocol = service.protocol();
    let tickets = keys.map(|keys| SharedTickets { keys, listener: name, protocol });
    let mut config =
        server_config(settings, tickets).map_err(|failure| failure.of_listener(name))?;
    if let Some(protocol) = protocol {
        config.carry(protocol);
    }
    Ok(Some(config))
}

/// What a listener's tickets depend on, besides its TLS settings, where several daemons share their keys.
#[derive(Clone, Copy)]
pub struct SharedTickets<'a> {
    /// The keys of the file.
    pub keys: &'a TicketKeys,
    /// The name of the listener.
    pub listener: &'a str,
    /// What its sessions carry (ALPN), where that has a name.
    pub protocol: Option<&'a str>,
}

/// Loads what a listener's settings name, and logs a warning for what cannot work. Without `tickets`, sessions are
/// resumed with keys of its own.
pub fn server_config(
    settings: &config::Tls,
    tickets: Option<SharedTickets<'_>>,
) -> Result<ServerConfig, Failure> {
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
    let first = chain.first().cloned();
    let key = CertifiedKey::from_der(chain, key, &provider).map_err(failed)?;
    let record =
        Arc::new(VerificationRecord::new(Offer::of_server(&provider, &versions, &*key.key)));
    if record.ours.suites.is_empty() {
        return Err(Failure::config(
            "none of the cipher suites can be used with the key of the certificate: those of TLS 1.2 \
             have the kind of key in their name",
        ));
    }
    let roots = match &settings.client_ca {
        Some(client_ca) => pem::load_roots(&client_ca.file)?,
        None => Vec::new(),
    };
    expiries.extend(expiry::of("client-ca", roots.iter().map(|root| &root.certificate)));
    let shared = match (tickets, first) {
        (Some(SharedTickets { keys, listener, protocol }), Some(certificate)) => {
            let rules = Rules { listener, protocol, settings, authorities: &roots };
            Some(keys.of_listener(&rules, &certificate, settings.identity.is_some())?)
        }
        _ => None,
    };
    let verifier = match &settings.client_ca {
        Some(client_ca) => client_verifier(client_ca, roots, &record),
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
    if let Some(tickets) = shared {
        config.ticketer = tickets;
        // One rule for all sessions: a cache would look neither at dates nor at the end of a key.
        config.session_storage = Arc::new(NoServerSessionStorage {});
    } else {
        config.ticketer = Ticketer::new().map_err(failed)?;
    }
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
