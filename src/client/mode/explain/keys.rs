//! The keys of a TLS session, from the secrets that the client has logged, to open copies of its records
//! (RFC 8446 §5 and §7, RFC 5246 §6).

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use crate::client::tap::Direction;

/// The secrets of the sessions, as lines in the format of SSLKEYLOGFILE.
#[derive(Clone, Debug, Default)]
pub struct Secrets(String);

impl Secrets {
    /// The secrets in `lines`.
    pub fn new(lines: String) -> Self {
        Self(lines)
    }

    /// The lines.
    pub fn lines(&self) -> &str {
        &self.0
    }

    /// The secret with this label of the session whose `ClientHello` had this random.
    pub fn find(&self, label: &str, client_random: &[u8]) -> Option<Vec<u8>> {
        let mut lines = self.0.lines().map(|line| line.split(' '));
        let secret = lines.find_map(|mut words| {
            let is_it = words.next()? == label && bytes_of(words.next()?)? == client_random;
            words.next().filter(|_| is_it)
        })?;
        bytes_of(secret)
    }
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The algorithms of a cipher suite.
#[derive(Clone, Copy)]
struct Suite {
    aead: &'static aead::Algorithm,
    hkdf: hkdf::Algorithm,
    hmac: hmac::Algorithm,
}

impl Suite {
    /// All that rustls has with ring.
    fn of(number: u16) -> Option<Self> {
        let aead = match number {
            0x1301 | 0xC02B | 0xC02F => &aead::AES_128_GCM,
            0x1302 | 0xC02C | 0xC030 => &aead::AES_256_GCM,
            0x1303 | 0xCCA8 | 0xCCA9 => &aead::CHACHA20_POLY1305,
            _ => return None,
        };
        let (hkdf, hmac) = match number {
            0x1302 | 0xC02C | 0xC030 => (hkdf::HKDF_SHA384, hmac::HMAC_SHA384),
            _ => (hkdf::HKDF_SHA256, hmac::HMAC_SHA256),
        };
        Some(Self { aead, hkdf, hmac })
    }

    /// The part of the nonce that TLS 1.2 derives: all of it for `ChaCha20` (RFC 7905 §2), the salt for
    /// AES-GCM (RFC 5288 §3).
    fn fixed_nonce(self) -> usize {
        if *self.aead == aead::CHACHA20_POLY1305 { aead::NONCE_LEN } else { 4 }
    }
}

/// Opens the records of one direction.
pub struct Opener {
    suite: Suite,
    key: LessSafeKey,
    /// The static part of the nonce.
    nonce: Vec<u8>,
    sequence: u64,
    /// The secret that the next keys are derived from; TLS 1.2 has none.
    secret: Option<Vec<u8>>,
}

/// What a sealed record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The content type.
    pub kind: u8,
    /// The plaintext, without padding.
    pub content: Vec<u8>,
}

impl Opener {
    /// For TLS 1.3, from a traffic secret.
    pub fn of_secret(suite: u16, secret: &[u8]) -> Option<Self> {
        let suite = Suite::of(suite)?;
        let key = expand(suite, secret, b"key", suite.aead.key_len())?;
        let nonce = expand(suite, secret, b"iv", aead::NONCE_LEN)?;
        Self::new(suite, &key, nonce, Some(secret.to_vec()))
    }

    /// For TLS 1.2, from the master secret.
    pub fn of_master(
        suite: u16,
        direction: Direction,
        master: &[u8],
        client_random: &[u8],
        server_random: &[u8],
    ) -> Option<Self> {
        let suite = Suite::of(suite)?;
        let (key, nonce) = (suite.aead.key_len(), suite.fixed_nonce());
        let seed = [b"key expansion", server_random, client_random].concat();
        let block = prf(suite, master, &seed, 2 * (key + nonce));
        let (keys, nonces) = block.split_at_checked(2 * key)?;
        // The client's part comes first.
        let part = |all: &[u8], length: usize| match direction {
            Direction::Sent => all.get(..length).map(<[u8]>::to_vec),
            Direction::Received => all.get(length..2 * length).map(<[u8]>::to_vec),
        };
        Self::new(suite, &part(keys, key)?, part(nonces, nonce)?, None)
    }

    fn new(suite: Suite, key: &[u8], nonce: Vec<u8>, secret: Option<Vec<u8>>) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(suite.aead, key).ok()?);
        Some(Self { suite, key, nonce, sequence: 0, secret })
    }

    /// The opener for what follows a `KeyUpdate` (RFC 8446 §7.2).
    pub fn updated(&self) -> Option<Self> {
        let secret = self.secret.as_ref()?;
        let next = expand(self.suite, secret, b"traffic upd", secret.len())?;
        let key = expand(self.suite, &next, b"key", self.suite.aead.key_len())?;
        let nonce = expand(self.suite, &next, b"iv", aead::NONCE_LEN)?;
        Self::new(self.suite, &key, nonce, Some(next))
    }

    /// Whether it opens records of TLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.secret.is_some()
    }

    /// Opens the next record; `None` if it is not sealed with this key.
    pub fn open(&mut self, record: &[u8]) -> Option<Opened> {
        let (header, body) = record.split_first_chunk::<5>()?;
        let sequence = self.sequence.to_be_bytes();
        let opened = if self.secret.is_some() {
            let mut content = self.open_with(&self.counted()?, header, body)?;
            // The type stands behind the plaintext, before the padding (RFC 8446 §5.2).
            let end = content.iter().rposition(|byte| *byte != 0)?;
            let kind = *content.get(end)?;
            content.truncate(end);
            Opened { kind, content }
        } else {
            let explicit = aead::NONCE_LEN - self.nonce.len();
            let (sent, sealed) = body.split_at_checked(explicit)?;
            let nonce = if explicit == 0 { self.counted()? } else { [&self.nonce, sent].concat() };
            let length = sealed.len().checked_sub(self.suite.aead.tag_len())?;
            let length = u16::try_from(length).ok()?.to_be_bytes();
            let [kind, high, low, ..] = *header;
            let aad = [&sequence[..], &[kind, high, low], &length].concat();
            Opened { kind, content: self.open_with(&nonce, &aad, sealed)? }
        };
        self.sequence = self.sequence.checked_add(1)?;
        Some(opened)
    }

    /// The nonce that is the static one and the sequence number (RFC 8446 §5.3, RFC 7905 §2).
    fn counted(&self) -> Option<Vec<u8>> {
        let mut nonce = self.nonce.clone();
        let tail = nonce.last_chunk_mut::<8>()?;
        *tail = (u64::from_be_bytes(*tail) ^ self.sequence).to_be_bytes();
        Some(nonce)
    }

    fn open_with(&self, nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut copy = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(aad), &mut copy).ok()?.len();
        copy.truncate(length);
        Some(copy)
    }
}

/// How many bytes are derived.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 §7.1).
fn expand(suite: Suite, secret: &[u8], label: &[u8], length: usize) -> Option<Vec<u8>> {
    let whole = u16::try_from(length).ok()?.to_be_bytes();
    let label_length = [u8::try_from(6 + label.len()).ok()?];
    let info = [&whole[..], &label_length, b"tls13 ", label, &[0]];
    let mut bytes = vec![0; length];
    let secret = hkdf::Prk::new_less_safe(suite.hkdf, secret);
    secret.expand(&info, Length(length)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// The pseudorandom function of TLS 1.2 (RFC 5246 §5); `seed` begins with the label.
fn prf(suite: Suite, secret: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let key = hmac::Key::new(suite.hmac, secret);
    let mut bytes = Vec::new();
    let mut a = hmac::sign(&key, seed);
    while bytes.len() < length {
        bytes.extend_from_slice(hmac::sign(&key, &[a.as_ref(), seed].concat()).as_ref());
        a = hmac::sign(&key, a.as_ref());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        bytes_of(&text.replace(' ', "")).unwrap()
    }

    #[test]
    fn keys_of_tls_1_3_are_those_of_rfc_8448() {
        // RFC 8448 §3: the server's handshake traffic secret, and what is derived from it.
        let secret = hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
        let suite = Suite::of(0x1301).unwrap();
        let key = expand(suite, &secret, b"key", 16).unwrap();
        assert_eq!(key, hex("3fce516009c21727d0f2e4e86ee403bc"));
        let iv = expand(suite, &secret, b"iv", 12).unwrap();
        assert_eq!(iv, hex("5d313eb2671276ee13000b30"));
    }

    #[test]
    fn the_prf_of_tls_1_2_is_that_of_its_test_vector() {
        // P_SHA256, posted to the TLS working group on 2009-02-13.
        let seed = [b"test label".to_vec(), hex("a0ba9f936cda311827a6f796ffd5198c")].concat();
        let suite = Suite::of(0xC02B).unwrap();
        let bytes = prf(suite, &hex("9bbe436ba940f017b17652849a71db35"), &seed, 16);
        assert_eq!(bytes, hex("e3f229ba727be17b8d122620557cd453"));
    }

    #[test]
    fn a_secret_is_found_by_its_label_and_random() {
        let secrets = Secrets::new("A 01 02\nB 01 03\nA 04 05\nA zz\nA\n".into());
        assert_eq!(secrets.find("A", &[4]), Some(vec![5]));
        assert_eq!(secrets.find("B", &[1]), Some(vec![3]));
        assert_eq!(secrets.find("B", &[4]), None);
    }
}
