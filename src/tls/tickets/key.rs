//! A key of one listener: derived from a key of the file, it seals and opens tickets.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use super::file::FileKey;

/// The length of an id.
const ID: usize = 16;

/// A key of one listener.
pub(super) struct TicketKey {
    /// In each ticket that it sealed.
    id: [u8; ID],
    key: LessSafeKey,
    /// The date of the file's key, in seconds since 1970.
    pub(super) made: u64,
}

/// For HKDF.
struct IdLength;

impl KeyType for IdLength {
    fn len(&self) -> usize {
        ID
    }
}

impl TicketKey {
    /// The key of a listener with these `rules`; `None` only if ring refuses.
    pub(super) fn derive(from: &FileKey, rules: &[u8; 32]) -> Option<Self> {
        let secret = Salt::new(HKDF_SHA256, from.name()).extract(from.secret());
        let key = [b"echo-alex session ticket key".as_slice(), rules];
        let key = UnboundKey::from(secret.expand(&key, &CHACHA20_POLY1305).ok()?);
        Some(Self { id: id(&secret, rules)?, key: LessSafeKey::new(key), made: from.made })
    }

    /// Whether it may have sealed `ticket`.
    pub(super) fn is_of(&self, ticket: &[u8]) -> bool {
        ticket.starts_with(&self.id)
    }

    /// A ticket with `head` and `plain` in it; `None` if the system gives no random numbers.
    pub(super) fn seal(&self, head: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let start = ID + NONCE_LEN;
        let length = start + head.len() + plain.len() + CHACHA20_POLY1305.tag_len();
        let mut ticket = Vec::with_capacity(length);
        for part in [&self.id, nonce.as_slice(), head, plain] {
            ticket.extend_from_slice(part);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(self.id), ticket.get_mut(start..)?)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// What is in `ticket`, if this key sealed it and nobody has changed it.
    pub(super) fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = ticket.split_first_chunk::<ID>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, Aad::from(*id), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

fn id(secret: &Prk, rules: &[u8; 32]) -> Option<[u8; ID]> {
    let mut id = [0; ID];
    let info = [b"echo-alex session ticket id".as_slice(), rules];
    secret.expand(&info, IdLength).ok()?.fill(&mut id).ok()?;
    Some(id)
}
