//! The CAs that a certificate chain may end at, each only within its validity.
//!
//! rustls takes a CA's name and key from its certificate and ignores its dates, so an expired CA would
//! be trusted for ever. Here a verifier is made of the CAs that are valid now. The first verification
//! after that set has changed makes a new one. So the clock decides at each handshake, and the clock of
//! a Raspberry Pi may be set while the daemon runs.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DistinguishedName, Error, RootCertStore};

use crate::tls::certificate;
use crate::tls::provider::{has_aes, provider};

/// A CA that is trusted.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// The file that it comes from, for messages.
    pub file: Arc<str>,
    anchor: TrustAnchor<'static>,
    /// Its validity in seconds since 1970, both ends included (RFC 5280 §4.1.2.5).
    validity: RangeInclusive<u64>,
}

impl Root {
    /// The CA with this certificate, which was read from `file`; fails if it cannot be parsed.
    pub fn new(certificate: CertificateDer<'static>, file: Arc<str>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        store.add(certificate.clone())?;
        let unreadable = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let anchor = store.roots.pop().ok_or_else(unreadable)?;
        let validity = certificate::validity(&certificate).ok_or_else(unreadable)?;
        Ok(Self { certificate, file, anchor, validity })
    }

    /// Its validity in seconds since 1970, both ends included.
    pub(super) fn validity(&self) -> &RangeInclusive<u64> {
        &self.validity
    }

    /// What is wrong with its dates at `now`, which is in seconds since 1970.
    pub fn fault_at(&self, now: u64) -> Option<CertificateError> {
        let time = since_1970(now);
        let (not_before, not_after) = (*self.validity.start(), *self.validity.end());
        if now < not_before {
            let not_before = since_1970(not_before);
            Some(CertificateError::NotValidYetContext { time, not_before })
        } else if not_after < now {
            let not_after = since_1970(not_after);
            Some(CertificateError::ExpiredContext { time, not_after })
        } else {
            None
        }
    }

    /// Its name as it is sent to clients.
    pub fn subject(&self) -> DistinguishedName {
        DistinguishedName::in_sequence(&self.anchor.subject)
    }

    /// Whether this is its name, as DER.
    pub fn has_name(&self, name: &[u8]) -> bool {
        // The anchor has the name without its DER header.
        self.subject().as_ref() == name
    }

    /// Whether it has the name and the key of `other`: both then verify the same certificates.
    pub fn is_same_signer(&self, other: &Self) -> bool {
        self.anchor == other.anchor
    }
}

fn since_1970(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

/// Why a chain is refused.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// rustls refuses it for this.
    Chain(Error),
    /// It is valid, but the CA that it ends at has expired or is not yet valid.
    RootDates(Box<Root>, CertificateError),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Chain(error) => error,
            Refusal::RootDates(_, error) => error.into(),
        }
    }
}

/// The CAs that are trusted, and the verifier `V` made of those that are valid now.
pub struct Roots<V: ?Sized> {
    all: Arc<[Root]>,
    make: Make<V>,
    current: Mutex<Current<V>>,
}

type Make<V> = fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError>;

/// A verifier, and when it may be used.
struct Current<V: ?Sized> {
    /// In seconds since 1970.
    during: RangeInclusive<u64>,
    /// Made of the CAs that are valid then; `None` if there are none.
    verifier: Option<Arc<V>>,
}

impl Roots<WebPkiServerVerifier> {
    /// To verify servers.
    pub fn for_servers(all: Vec<Root>) -> Self {
        Self::new(all, |store| {
            WebPkiServerVerifier::builder_with_provider(store, provider(has_aes())).build()
        })
    }
}

impl Roots<dyn ClientCertVerifier> {
    /// To verify clients.
    pub fn for_clients(all: Vec<Root>) -> Self {
        Self::new(all, |store| {
            WebPkiClientVerifier::builder_with_provider(store, provider(has_aes())).build()
        })
    }
}

impl<V: ?Sized> fmt::Debug for Roots<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.all.len())
    }
}

impl<V: ?Sized> Roots<V> {
    /// `make` gives the verifier for a set of CAs.
    fn new(all: Vec<Root>, make: Make<V>) -> Self {
        // Empty: no time is in it.
        let never = RangeInclusive::new(1, 0);
        let current = Mutex::new(Current { during: never, verifier: None });
        Self { all: all.into(), make, current }
    }

    /// All CAs, also those that have expired or are not yet valid.
    pub fn all(&self) -> &Arc<[Root]> {
        &self.all
    }

    /// Lets `check` verify a chain with the CAs that are valid at `now`. If that fails, finds out
    /// whether the dates of a CA are the reason.
    pub fn verify<T>(
        &self,
        now: UnixTime,
        check: impl Fn(&V) -> Result<T, Error>,
    ) -> Result<T, Refusal> {
        let now = now.as_secs();
        let error = match self.valid_at(now).map(|verifier| check(&verifier)) {
            Some(Ok(verified)) => return Ok(verified),
            Some(Err(error)) if is_about_the_name(&error) => return Err(Refusal::Chain(error)),
            Some(Err(error)) => error,
            // No CA is valid now: the others find out what else is wrong with the chain.
            None => match self.verifier(&*self.all).map(|verifier| check(&verifier)) {
                Some(Err(error)) => error,
                Some(Ok(_)) | None => CertificateError::UnknownIssuer.into(),
            },
        };
        // One by one: of several CAs of one name, only the one that signed the chain is at fault.
        let verifies = |root: &Root| match self.verifier([root]).map(|verifier| check(&verifier)) {
            Some(Ok(_)) => true,
            Some(Err(error)) => is_about_the_name(&error),
            None => false,
        };
        let at_fault = self
            .all
            .iter()
            .filter_map(|root| Some((root, root.fault_at(now)?)))
            .filter(|(root, _)| verifies(root))
            .max_by_key(|(root, _)| *root.validity.end());
        Err(match at_fault {
            Some((root, fault)) => Refusal::RootDates(root.clone().into(), fault),
            None => Refusal::Chain(error),
        })
    }

    fn valid_at(&self, now: u64) -> Option<Arc<V>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.during.contains(&now) {
            let valid = self.all.iter().filter(|root| root.validity.contains(&now));
            *current = Current { during: self.unchanged(now), verifier: self.verifier(valid) };
        }
        current.verifier.clone()
    }

    /// The time around `now` in which the same CAs are valid.
    fn unchanged(&self, now: u64) -> RangeInclusive<u64> {
        let (mut from, mut until) = (u64::MIN, u64::MAX);
        for root in &*self.all {
            // The second in which it becomes valid, and the one in which it has expired.
            for change in [Some(*root.validity.start()), root.validity.end().checked_add(1)] {
                match change {
                    Some(change) if change <= now => from = from.max(change),
                    Some(change) => until = until.min(change - 1),
                    None => {}
                }
            }
        }
        from..=until
    }

    fn verifier<'a>(&self, roots: impl IntoIterator<Item = &'a Root>) -> Option<Arc<V>> {
        let anchors = roots.into_iter().map(|root| root.anchor.clone());
        (self.make)(Arc::new(anchors.collect())).ok()
    }
}

/// rustls checks the name last, so the chain itself is valid.
fn is_about_the_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    /// A verifier that is the number of its CAs.
    #[allow(clippy::needless_pass_by_value)] // The signature of `Make`.
    fn count(store: Arc<RootCertStore>) -> Result<Arc<usize>, VerifierBuilderError> {
        if store.is_empty() {
            Err(VerifierBuilderError::NoRootAnchors)
        } else {
            Ok(store.len().into())
        }
    }

    fn root(from: u64, until: u64) -> Root {
        let mut params = CertificateParams::default();
        let day = |day: u64| {
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(day * DAY)
        };
        (params.not_before, params.not_after) = (day(from).into(), day(until).into());
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Root::new(made.der().clone(), "file".into()).unwrap()
    }

    #[test]
    fn the_clock_decides_at_each_verification_which_cas_are_trusted() {
        let roots = Roots::new(vec![root(10, 20), root(15, 30)], count);
        let counted = |seconds: u64| {
            let seen = Cell::new(0);
            let check = |verifier: &usize| {
                seen.set(*verifier);
                Err::<(), _>(Error::General("none".into()))
            };
            let valid = roots.valid_at(seconds).map_or(0, |verifier| *verifier);
            assert!(roots.verify(since_1970(seconds), check).is_err());
            valid
        };
        // Forwards and back again, as a clock that is set.
        let expected = [
            (0, 0),
            (10 * DAY - 1, 0),
            (10 * DAY, 1),
            (15 * DAY, 2),
            (20 * DAY, 2),
            (20 * DAY + 1, 1),
            (30 * DAY, 1),
            (30 * DAY + 1, 0),
            (u64::MAX, 0),
        ];
        for (seconds, count) in expected.iter().chain(expected.iter().rev()) {
            assert_eq!(counted(*seconds), *count, "{seconds}");
        }
    }

    #[test]
    fn every_ca_of_this_system_that_rustls_accepts_is_accepted() {
        let found = rustls_native_certs::load_native_certs().certs;
        let (good, _) = RootCertStore::empty().add_parsable_certificates(found.clone());
        let taken = found.into_iter().filter_map(|it| Root::new(it, "".into()).ok());
        assert_eq!(taken.count(), good);
    }

    #[test]
    fn the_verifier_is_kept_as_long_as_the_same_cas_are_valid() {
        let roots = Roots::new(vec![root(10, 20), root(15, 30)], count);
        let first = roots.valid_at(15 * DAY).unwrap();
        assert!(Arc::ptr_eq(&first, &roots.valid_at(20 * DAY).unwrap()));
        assert!(!Arc::ptr_eq(&first, &roots.valid_at(20 * DAY + 1).unwrap()));
    }
}
