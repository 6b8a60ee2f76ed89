//! When the certificates of a listener expire.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use crate::tls::certificate::Certificate;

/// A certificate that a listener uses, and the end of its validity. The texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// "server" for those of the chain, "client-ca" for the CAs of clients.
    pub purpose: &'static str,
    /// The subject, such as `CN=alex.local`.
    pub subject: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The end of its validity.
    pub not_after: SystemTime,
}

/// Those of `certificates`, each once.
pub(super) fn of<'a>(
    purpose: &'static str,
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> Vec<Expiry> {
    let mut all = Vec::new();
    for Certificate { subject, serial, not_after, .. } in
        certificates.into_iter().filter_map(|der| Certificate::parse(der).ok())
    {
        let expiry = Expiry { purpose, subject, serial, not_after };
        if !all.contains(&expiry) {
            all.push(expiry);
        }
    }
    all
}
