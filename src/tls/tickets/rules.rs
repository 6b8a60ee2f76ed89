//! What a listener asks of its clients, as a hash: listeners with the same hash may resume each other's sessions.

use ring::digest::{Context, SHA256};

use crate::config;
use crate::tls::roots::Root;

/// What decides which sessions a listener may resume.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Its name.
    pub listener: &'a str,
    /// What its sessions carry (ALPN), where that has a name.
    pub protocol: Option<&'a str>,
    /// Its settings. The processor, which decides the order of cipher suites, is not among them: machines of
    /// different models share a key file.
    pub settings: &'a config::Tls,
    /// The CAs of clients.
    pub authorities: &'a [Root],
}

impl Rules<'_> {
    /// Whether clients are asked for certificates.
    pub(super) fn asks_for_certificates(&self) -> bool {
        self.settings.client_ca.is_some()
    }

    /// A hash of all of them. The order of the CAs makes no difference, nor does where they are read from.
    pub(super) fn hash(&self) -> [u8; 32] {
        // Every field is named here, so that a new one is not forgotten.
        let config::Tls { identity: _, client_ca, only_tls13, cipher_suites, groups } =
            self.settings;
        let mut hash = Hash(Context::new(&SHA256));
        hash.add(self.listener.as_bytes());
        hash.add(self.protocol.unwrap_or_default().as_bytes());
        hash.add(match client_ca {
            None => b"no client certificate",
            Some(it) if it.required => b"client certificate required",
            Some(_) => b"client certificate optional",
        });
        let mut authorities: Vec<&[u8]> =
            self.authorities.iter().map(|root| root.certificate.as_ref()).collect();
        authorities.sort_unstable();
        authorities.dedup();
        hash.add_each(authorities.into_iter());
        hash.add(&[u8::from(*only_tls13), u8::from(cipher_suites.is_some())]);
        let suites = cipher_suites.iter().flatten().map(|suite| suite.number().to_be_bytes());
        hash.add(&suites.flatten().collect::<Vec<u8>>());
        let groups = groups.iter().flat_map(|group| group.number().to_be_bytes());
        hash.add(&groups.collect::<Vec<u8>>());
        hash.0.finish().as_ref().try_into().unwrap_or_default()
    }
}

/// A hash of fields, each with its length.
struct Hash(Context);

impl Hash {
    fn add(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    fn add_each<'a>(&mut self, fields: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.0.update(&(fields.len() as u64).to_be_bytes());
        fields.for_each(|field| self.add(field));
    }
}
