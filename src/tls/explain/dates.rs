//! A certificate that has expired or is not yet valid: a sentence with the date, this machine's clock
//! and the cure.

use std::time::SystemTime;

use rustls::CertificateError;

use crate::tls::certificate::{Certificate, moment};
use crate::tls::roots::Root;

/// What is wrong with the dates of a trusted CA.
pub(crate) fn root_fault(root: &Root, fault: &CertificateError) -> String {
    let Ok(Certificate { subject, not_before, not_after, .. }) =
        Certificate::parse(&root.certificate)
    else {
        return format!("a CA in {} has expired or is not yet valid: replace it", root.file);
    };
    let ca = format!("the CA {subject} in {}", root.file);
    match fault {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            not_yet_valid(&ca, not_before)
        }
        _ => expired(&ca, not_after, "put the CA that replaces it into the file"),
    }
}

/// What is wrong with the dates of `certificate`, which messages call `what`, at `now`; `cure` is for
/// an expired one.
pub(crate) fn fault(
    what: &str,
    certificate: &Certificate,
    now: SystemTime,
    cure: &str,
) -> Option<String> {
    if now < certificate.not_before {
        Some(not_yet_valid(what, certificate.not_before))
    } else if certificate.not_after < now {
        Some(expired(what, certificate.not_after, cure))
    } else {
        None
    }
}

fn expired(what: &str, date: SystemTime, cure: &str) -> String {
    format!("{what} expired on {}; {}, else {cure}", moment(date), clock())
}

fn not_yet_valid(what: &str, date: SystemTime) -> String {
    format!("{what} is not valid before {}; {}, else wait", moment(date), clock())
}

fn clock() -> String {
    format!(
        "this machine's clock says {} (a Raspberry Pi has no clock chip): set the clock if it is \
         wrong",
        moment(SystemTime::now())
    )
}
