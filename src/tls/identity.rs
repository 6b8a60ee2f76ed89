//! A certificate chain and its key, for either side, and the errors of the two.

use rustls::pki_types::PrivateKeyDer;
use rustls::{Error, InconsistentKeys};

use crate::config::Identity;
use crate::exit::{Exit, Failure};
use crate::os::file_set::is_unsettled;
use crate::tls::certificate::Chain;
use crate::tls::pem;

/// Reads a certificate chain and its key.
pub(super) fn load(identity: &Identity) -> Result<(Chain, PrivateKeyDer<'static>), Failure> {
    let chain = pem::load_certificates(&identity.certificate)?;
    let key = pem::load_key(&identity.key)?;
    Ok((chain, key))
}

/// The failure for a certificate and key that rustls does not accept; `None` is the temporary identity.
pub(super) fn failure(identity: Option<&Identity>, error: &Error) -> Failure {
    let Some(identity) = identity else {
        return Failure::new(Exit::Failure, format!("cannot set up TLS: {error}"));
    };
    let Identity { certificate, key } = identity;
    let is_unsettled = certificate.parent().is_some_and(is_unsettled);
    let (certificate, key) = (certificate.display(), key.display());
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) if is_unsettled => {
            Failure::config(format!(
                "{key} is not the key of {certificate}: echo-alex-certs is writing the two files, or \
                 was interrupted between the two: run echo-alex-certs verify {certificate} as the \
                 owner of the folder, which completes them"
            ))
        }
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Failure::config(format!(
            "{key} is not the key of {certificate}: compare openssl pkey -in {key} -pubout with \
             openssl x509 -in {certificate} -noout -pubkey, and make a new pair if they differ"
        )),
        Error::InvalidCertificate(_) => pem::unusable(&identity.certificate, error),
        _ => Failure::config(format!(
            "{key}: not a usable key ({error}): use an RSA key of 2048 to 4096 bits, an ECDSA key \
             on P-256 or P-384, or an Ed25519 key"
        )),
    }
}
