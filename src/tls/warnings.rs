//! What can be loaded but cannot work: sentences with a cure, for the log of a daemon.

use std::time::SystemTime;

use rustls::pki_types::UnixTime;

use crate::tls::certificate::{Certificate, Chain};
use crate::tls::explain::{ca_as_leaf, dates, wrong_purpose};
use crate::tls::roots::Root;

/// Why clients will refuse `chain`, which was read from `file`, as a server's: a sentence for each
/// fault that can be seen without them.
pub(super) fn about_server(chain: &Chain, file: &str) -> Vec<String> {
    let chain: Vec<_> = chain.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let now = SystemTime::now();
    let dates = chain.iter().filter_map(|it| {
        let what = format!("the certificate of {}", it.subject);
        dates::fault(&what, it, now, "renew it: clients refuse it")
    });
    let purpose = chain.first().filter(|it| !it.for_servers).map(|leaf| {
        if leaf.is_ca {
            format!("{}; most clients refuse it", ca_as_leaf(leaf))
        } else {
            format!("{}; clients refuse it", wrong_purpose(leaf))
        }
    });
    dates.chain(purpose).map(|fault| format!("{file}: {fault}")).collect()
}

/// Which of `roots` cannot be used to verify clients: a sentence for each.
pub(super) fn about_client_cas(roots: &[Root]) -> Vec<String> {
    let now = UnixTime::now().as_secs();
    let warning = |root: &Root| {
        let certificate = Certificate::parse(&root.certificate).ok()?;
        if !certificate.is_ca && !certificate.is_self_signed() {
            return Some(format!(
                "{}: {} is not a CA's certificate, so it cannot have signed any: name the file of the \
                 CA that signed the clients' certificates",
                root.file, certificate.subject
            ));
        }
        let fault = root.fault_at(now)?;
        // A CA with the same name and key, within its dates, verifies the same certificates.
        let replaces = |other: &Root| other.is_same_signer(root) && other.fault_at(now).is_none();
        let is_replaced = roots.iter().any(replaces);
        (!is_replaced).then(|| {
            format!("{}; clients that it signed are refused", dates::root_fault(root, &fault))
        })
    };
    roots.iter().filter_map(warning).collect()
}
