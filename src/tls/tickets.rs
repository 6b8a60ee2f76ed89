//! The keys of session tickets that several daemons share, from a file. Without a file, each listener has keys of
//! its own (rustls's `Ticketer`), and nothing here is used.
//!
//! # No session crosses a border of trust
//!
//! A session is resumed only where a full handshake would have given both sides the same trust:
//!
//! - The keys of a listener are derived from the file's key, the name of the listener and a hash of its [`Rules`],
//!   so that a ticket of other rules is not opened, in this daemon, in another one, and after a reload.
//! - A ticket says which certificate the server had shown. Under another one, it is opened only if that
//!   certificate is for the name that the client had verified (SNI): two machines with the same key file may have
//!   different names. A temporary identity has no name that is worth anything.
//! - A session with a client's certificate is not resumed once a certificate of its chain or a CA that was valid
//!   then has expired. rustls itself does not look at the dates again.
//!
//! # A ticket ends
//!
//! It is opened for [`TICKET_LIFE`], and not once its key has ended. Each resumption gives a new ticket, so that a
//! chain of sessions can be longer, but never crosses a border.
//!
//! # Without a key there is no ticket
//!
//! Nothing here fails a handshake. What cannot be sealed is not sent, and what cannot be opened is a full
//! handshake.
//!
//! # The form of a ticket
//!
//! ```text
//! id of the key (16)  nonce (12)  sealed: end (8), SHA-256 of the certificate (32), what rustls gave  tag (16)
//! ```
//!
//! ChaCha20-Poly1305 with a random nonce; the id is authenticated. It is derived, as the key is, and tells nothing
//! about the file.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ParsedCertificate, ProducesTickets};

use crate::exit::{Exit, Failure};
use crate::tls::certificate::validity;

pub mod dates;
pub mod file;
mod key;
mod rules;
mod session;
mod watch;

use dates::{KEY_LIFE, TICKET_LIFE, Use, usable};
use file::KeyFile;
use key::TicketKey;
pub use rules::Rules;
use session::Session;
use watch::Watch;

/// The longest ticket that is made or opened, in bytes. One with a client's certificate chain is mostly that.
const TICKET_MAX: usize = 16 * 1024;

/// The bytes before what rustls gave: when the ticket ends, and the server's certificate.
const HEAD: usize = 8 + 32;

/// The keys of a file, for all listeners.
#[derive(Debug)]
pub struct TicketKeys {
    file: KeyFile,
    watch: Arc<Watch>,
}

impl TicketKeys {
    /// Reads the file at `path`, and logs a warning if the key that seals is not used now.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let file = KeyFile::load(path)?;
        let watch = Watch::new(path, file.sealing().made);
        watch.state(now());
        Ok(Self { file, watch: watch.into() })
    }

    /// When the key that seals ends.
    pub fn end(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.file.sealing().made) + KEY_LIFE
    }

    /// The tickets of a listener that has these `rules` and shows `certificate`, which is `lasting` unless it is
    /// that of a temporary identity.
    pub(super) fn of_listener(
        &self,
        rules: &Rules<'_>,
        certificate: &CertificateDer<'static>,
        lasting: bool,
    ) -> Result<Arc<dyn ProducesTickets>, Failure> {
        Ok(Arc::new(self.tickets(rules, certificate, lasting)?))
    }

    fn tickets(
        &self,
        rules: &Rules<'_>,
        certificate: &CertificateDer<'static>,
        lasting: bool,
    ) -> Result<Tickets, Failure> {
        let hash = rules.hash();
        let keys = self.file.keys.iter().map(|key| TicketKey::derive(key, &hash));
        let keys = keys.collect::<Option<Vec<_>>>().ok_or_else(|| {
            Failure::new(Exit::Failure, "cannot derive the keys of session tickets")
        })?;
        Ok(Tickets {
            sealing: KeyFile::sealing_of(keys.len()),
            keys,
            watch: self.watch.clone(),
            fingerprint: sha256(certificate),
            certificate: certificate.clone(),
            lasting,
            asks: rules.asks_for_certificates(),
            authorities: rules.authorities.iter().map(|root| root.validity().clone()).collect(),
        })
    }
}

/// The tickets of one listener.
struct Tickets {
    /// All keys of the file, and the place of the one that seals.
    keys: Vec<TicketKey>,
    sealing: usize,
    watch: Arc<Watch>,
    /// The server's certificate, its SHA-256, and whether it is more than a temporary one.
    certificate: CertificateDer<'static>,
    fingerprint: [u8; 32],
    lasting: bool,
    /// Whether clients are asked for certificates, and the validity of the CAs that may have signed them.
    asks: bool,
    authorities: Vec<RangeInclusive<u64>>,
}

impl Tickets {
    fn seal_at(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.keys.get(self.sealing)?;
        if self.watch.state(now) != Use::Good {
            return None;
        }
        let session = Session::read(plain)?;
        let end = self.end(&session, now)?.min(key.made + KEY_LIFE.as_secs());
        let head = [&end.to_be_bytes()[..], &self.fingerprint].concat();
        key.seal(&head, plain).filter(|ticket| ticket.len() <= TICKET_MAX)
    }

    /// When a ticket for `session` ends, apart from its key; `None` if none may be given.
    fn end(&self, session: &Session<'_>, now: u64) -> Option<u64> {
        let end = now + TICKET_LIFE.as_secs();
        if session.chain.is_empty() {
            return Some(end);
        }
        // The CA that signed is one of those that are valid now, since the chain was verified, or resumed within the
        // validity of all that were valid then.
        let authorities = self.authorities.iter().filter(|it| it.contains(&now)).cloned().map(Some);
        let chain = session.chain.iter().map(|certificate| validity(certificate));
        authorities.chain(chain).try_fold(end, |end, validity| Some(end.min(*validity?.end())))
    }

    fn open_at(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let key = self.keys.iter().find(|key| key.is_of(ticket))?;
        if usable(key.made, now) != Use::Good {
            return None;
        }
        let mut opened = key.open(ticket)?;
        let (head, plain) = opened.split_at_checked(HEAD)?;
        let (end, fingerprint) = head.split_first_chunk()?;
        let session = Session::read(plain)?;
        let has_ended = u64::from_be_bytes(*end) <= now;
        let is_ours = fingerprint == self.fingerprint || self.has_name(&session);
        // The keys are those of listeners with the same rules; this is a second lock on that door.
        let is_unasked = !session.chain.is_empty() && !self.asks;
        if has_ended || !is_ours || is_unasked {
            return None;
        }
        opened.drain(..HEAD);
        Some(opened)
    }

    /// Whether the server's certificate is for the name by which the client had verified another one.
    fn has_name(&self, session: &Session<'_>) -> bool {
        let is_for = |name: &str| {
            let name = ServerName::try_from(name).ok()?;
            let certificate = ParsedCertificate::try_from(&self.certificate).ok()?;
            verify_server_name(&certificate, &name).ok()
        };
        self.lasting && session.name.is_some_and(|name| is_for(name).is_some())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let end = self.keys.get(self.sealing).map_or(0, |key| key.made + KEY_LIFE.as_secs());
        let left = end.saturating_sub(now()).min(TICKET_LIFE.as_secs());
        left.try_into().unwrap_or(0)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal_at(plain, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open_at(ticket, now())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} keys)", self.keys.len())
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
