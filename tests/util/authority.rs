//! Certificates that are made for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};

/// A certificate authority, and the identities that it signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let params = ca(name, BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// One that is valid from and until so many days from now.
    pub fn dated(name: &str, from: i64, until: i64) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap(), from, until)
    }

    /// One with the key of this one: the same CA with new dates, if the name is the same.
    pub fn renewed(&self, name: &str, from: i64, until: i64) -> Self {
        let key = KeyPair::from_pem(&self.key_pem()).unwrap();
        Self::with_key(name, key, from, until)
    }

    fn with_key(name: &str, key: KeyPair, from: i64, until: i64) -> Self {
        let mut params = ca(name, BasicConstraints::Unconstrained);
        date(&mut params, from, until);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// An intermediate CA that this one has signed.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_changed(name, |_| {})
    }

    /// The same, valid from and until so many days from now.
    pub fn intermediate_dated(&self, name: &str, from: i64, until: i64) -> Self {
        self.intermediate_changed(name, |params| date(params, from, until))
    }

    pub fn intermediate_changed(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = ca(name, BasicConstraints::Constrained(0));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// Writes the CA's certificate to `folder`/`name`.
    pub fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(name), self.pem()).unwrap();
    }

    /// Certificate and key in PEM, for a server at localhost, or a client.
    pub fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        self.sign_with(name, usage, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn sign_with(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        algorithm: &'static SignatureAlgorithm,
    ) -> (String, String) {
        self.sign_changed(name, usage, algorithm, |_| {})
    }

    /// The same, valid from and until so many days from now.
    pub fn sign_dated(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        from: i64,
        until: i64,
    ) -> (String, String) {
        self.sign_changed(name, usage, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            date(params, from, until);
        })
    }

    /// The same, valid until that time.
    pub fn sign_until(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        until: SystemTime,
    ) -> (String, String) {
        self.sign_changed(name, usage, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_after = until.into();
        })
    }

    fn sign_changed(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let mut params = leaf(usage);
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server's certificate in PEM for a key that was made elsewhere (PEM, PKCS#8).
    pub fn certify(&self, key: &str) -> String {
        let key = KeyPair::from_pem(key).unwrap();
        leaf(ExtendedKeyUsagePurpose::ServerAuth).signed_by(&key, &self.0).unwrap().pem()
    }

    /// Writes `name`.crt and `name`.key for a server to `folder`.
    pub fn write_server(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        write_identity(folder, name, &certificate, &key);
    }

    /// Writes `name`.crt and `name`.key for a client to `folder`.
    pub fn write_client(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ClientAuth);
        write_identity(folder, name, &certificate, &key);
    }
}

fn ca(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).to_vec();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![usage];
    params
}

fn date(params: &mut CertificateParams, from: i64, until: i64) {
    params.not_before = in_days(from).into();
    params.not_after = in_days(until).into();
}

/// The time so many days from now.
pub fn in_days(days: i64) -> SystemTime {
    let time = Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60);
    if days < 0 { SystemTime::now() - time } else { SystemTime::now() + time }
}

/// Writes `name`.crt, and `name`.key with the mode that a key should have.
pub fn write_identity(folder: &Path, name: &str, certificate: &str, key: &str) {
    fs::write(folder.join(format!("{name}.crt")), certificate).unwrap();
    let path = folder.join(format!("{name}.key"));
    fs::write(&path, key).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A folder with signing.pem, alex.crt and alex.key, laptop.crt and laptop.key.
pub fn folder_with_certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("test CA");
    authority.write(folder.path(), "signing.pem");
    authority.write_server(folder.path(), "alex");
    authority.write_client(folder.path(), "laptop");
    folder
}
