//! A certificate for the servers, which the clients trust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The type of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
}

/// A self-signed certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file, for haproxy.
    pub(crate) both: PathBuf,
}

impl Identity {
    pub(crate) fn make(folder: &Path, key_type: KeyType) -> Result<Self> {
        let (name, options): (_, &[&str]) = match key_type {
            KeyType::Ecdsa => ("ecdsa", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            KeyType::Rsa => ("rsa", &["rsa:2048"]),
        };
        let [certificate, key, both] =
            ["crt", "key", "pem"].map(|end| folder.join(format!("{name}.{end}")));
        let settings = folder.join("openssl.cnf");
        fs::write(
            &settings,
            "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n\
             [name]\nCN = localhost\n\
             [extensions]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical, CA:FALSE\n",
        )?;
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "30", "-newkey"])
            .args(options)
            .arg("-config")
            .arg(&settings)
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        fs::write(&both, [fs::read(&certificate)?, fs::read(&key)?].concat())?;
        Ok(Self { certificate, key, both })
    }
}
