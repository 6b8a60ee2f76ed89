//! The temporary identity: a self-signed certificate for listeners that name none. It lasts as long as
//! the process, also across reloads. Clients can verify it by its fingerprint alone.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use log::warn;
use rustls::pki_types::PrivateKeyDer;

use crate::exit::{Exit, Failure};
use crate::tls::certificate::{Chain, fingerprint};

/// The certificate and its key, as DER.
type Made = (Vec<u8>, Vec<u8>);

/// The temporary identity; the first call makes it.
pub(super) fn identity() -> Result<(Chain, PrivateKeyDer<'static>), Failure> {
    static IDENTITY: OnceLock<Result<Made, rcgen::Error>> = OnceLock::new();

    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failure, format!("cannot make a temporary identity: {error}"))
    };
    let (certificate, key) = IDENTITY.get_or_init(make).as_ref().map_err(|error| failed(error))?;
    let key = PrivateKeyDer::try_from(key.clone()).map_err(|error| failed(&error))?;
    Ok((vec![certificate.clone().into()], key))
}

/// Logs the fingerprint by which clients can verify the temporary identity.
pub(super) fn announce() -> Result<(), Failure> {
    let (chain, _) = identity()?;
    for certificate in &chain {
        warn!(
            "TLS with a temporary self-signed certificate, SHA-256 fingerprint {}; \
             name a certificate and key for a lasting one",
            fingerprint(certificate)
        );
    }
    Ok(())
}

fn make() -> Result<Made, rcgen::Error> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let names = [
        host.to_string(),
        format!("{host}.local"),
        "localhost".into(),
        "127.0.0.1".into(),
        "::1".into(),
    ];
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "echo-alex, temporary");
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + 365 * DAY).into();
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}
