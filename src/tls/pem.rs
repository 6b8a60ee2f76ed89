//! Reads certificates and keys from PEM files. Each error names the file, the cause and the cure.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::Error;
use rustls::pki_types::PrivateKeyDer;

use crate::exit::Failure;
use crate::os::files;
use crate::tls::certificate::Chain;
use crate::tls::explain::reason;
use crate::tls::roots::Root;

/// The largest PEM file that is read, in bytes.
const PEM_MAX: u64 = 1024 * 1024;

/// Reads the certificates in a PEM file; at least one.
pub fn load_certificates(path: &Path) -> Result<Chain, Failure> {
    let pem = files::read_named("certificate", path, PEM_MAX)?;
    let certificates = rustls_pemfile::certs(&mut pem.as_slice())
        .collect::<Result<Chain, _>>()
        .map_err(|error| damaged(path, &error))?;
    if certificates.is_empty() {
        let hint = swapped(&pem, "PRIVATE KEY", "a key");
        return Err(Failure::config(format!(
            "{}: there is no certificate (-----BEGIN CERTIFICATE-----) in it{hint}",
            path.display()
        )));
    }
    Ok(certificates)
}

/// Reads the private key in a PEM file: PKCS#8, PKCS#1 or SEC1.
pub fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let file = files::read_secret("key", path, PEM_MAX)?;
    let pem = &file.bytes;
    if contains(pem, "ENCRYPTED") {
        return Err(Failure::config(format!(
            "{0}: the key is encrypted, and nobody can enter its passphrase when the daemon \
             starts; remove the passphrase: openssl pkey -in {0} -out plain.key",
            path.display()
        )));
    }
    let key =
        rustls_pemfile::private_key(&mut pem.as_slice()).map_err(|error| damaged(path, &error))?;
    let Some(key) = key else {
        let hint = swapped(pem, "CERTIFICATE", "a certificate");
        return Err(Failure::config(format!(
            "{}: there is no private key (-----BEGIN PRIVATE KEY-----) in it{hint}",
            path.display()
        )));
    };
    file.warn_if_public("key", path);
    Ok(key)
}

/// Reads the CAs in a PEM file.
pub(super) fn load_roots(path: &Path) -> Result<Vec<Root>, Failure> {
    let file: Arc<str> = path.display().to_string().into();
    load_certificates(path)?
        .into_iter()
        .map(|it| Root::new(it, file.clone()).map_err(|error| unusable(path, &error)))
        .collect()
}

/// A hint for a file that holds what belongs in another one.
fn swapped(pem: &[u8], text: &str, what: &str) -> String {
    if contains(pem, text) {
        format!("; it holds {what}: are the two swapped?")
    } else {
        String::new()
    }
}

fn contains(pem: &[u8], text: &str) -> bool {
    pem.windows(text.len()).any(|window| window == text.as_bytes())
}

fn damaged(path: &Path, error: &dyn Display) -> Failure {
    Failure::config(format!("{}: damaged: {error}", path.display()))
}

/// The failure for a file whose certificate rustls does not accept.
pub(super) fn unusable(path: &Path, error: &Error) -> Failure {
    let why = match error {
        Error::InvalidCertificate(error) => reason::of(error),
        _ => "it cannot be read",
    };
    Failure::config(format!("{}: not a usable certificate: {why}", path.display()))
}
