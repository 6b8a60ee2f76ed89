//! X25519MLKEM768, a key exchange that holds against quantum computers too (draft-ietf-tls-ecdhe-mlkem).
//!
//! It is two key exchanges at once: ML-KEM-768 (FIPS 203), from the ml-kem crate, and X25519, from ring.
//! What one of them protects stays protected if the other is broken. That matters here, because **ml-kem
//! has not been audited**.
//!
//! # Byte order
//!
//! The shares and the secret are concatenations, with ML-KEM first (and X25519 first in the name):
//!
//! | | ML-KEM-768 | X25519 |
//! | --- | --- | --- |
//! | client's share | encapsulation key, 1184 bytes | public key, 32 bytes |
//! | server's share | ciphertext, 1088 bytes | public key, 32 bytes |
//! | secret | 32 bytes | 32 bytes |
//!
//! # Cost
//!
//! The server executes 1.75 times the instructions of a full handshake with X25519 (docs/performance.md). Both
//! flights grow by more than 1 KB, and the `ClientHello` by so much that it may no longer fit into one packet.

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::{Zeroize, Zeroizing};

/// The length of an encapsulation key, in bytes.
const KEY_LEN: usize = 1184;

/// The length of a ciphertext, in bytes.
const CIPHERTEXT_LEN: usize = 1088;

/// The key exchange group.
#[derive(Debug)]
pub(crate) struct X25519MLKEM768;

impl SupportedKxGroup for X25519MLKEM768 {
    /// The client's side, first half: makes both key pairs.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let seed = random::<64>()?;
        let mlkem = DecapsulationKey::from_seed((*seed).into());
        let x25519 = X25519.start()?;
        let share = [&mlkem.encapsulation_key().to_bytes(), x25519.pub_key()].concat();
        Ok(Box::new(Started { mlkem, x25519, share }))
    }

    /// The server's side.
    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, x25519) = share.split_at_checked(KEY_LEN).ok_or(BAD_SHARE)?;
        let key = key.try_into().map_err(|_| BAD_SHARE)?;
        let key = EncapsulationKey::new(key).map_err(|_| BAD_SHARE)?;
        let x25519 = X25519.start_and_complete(x25519)?;
        let (ciphertext, secret) = key.encapsulate_deterministic(&(*random::<32>()?).into());
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [&ciphertext, &x25519.pub_key[..]].concat(),
            secret: join(secret.into(), &x25519.secret),
        })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// The client's side, until the server's share arrives. Both private keys are wiped when it is dropped.
struct Started {
    mlkem: DecapsulationKey,
    x25519: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, x25519) = share.split_at_checked(CIPHERTEXT_LEN).ok_or(BAD_SHARE)?;
        let ciphertext: &Ciphertext = ciphertext.try_into().map_err(|_| BAD_SHARE)?;
        let x25519 = self.x25519.complete(x25519)?;
        // A ciphertext that was tampered with gives another secret, not an error (FIPS 203, 6.3): the
        // handshake then fails at the first record that the secret protects.
        Ok(join(self.mlkem.decapsulate(ciphertext).into(), &x25519))
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// A share has a wrong length, or is not a key.
const BAD_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| GetRandomFailed)?;
    Ok(bytes)
}

/// The secret of both. rustls wipes it.
fn join(mut mlkem: [u8; 32], x25519: &SharedSecret) -> SharedSecret {
    let secret = [&mlkem, x25519.secret_bytes()].concat();
    mlkem.zeroize();
    SharedSecret::from(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_of(completed: Result<SharedSecret, Error>) -> Vec<u8> {
        completed.unwrap().secret_bytes().to_vec()
    }

    #[test]
    fn both_sides_agree_on_the_secret() {
        let client = X25519MLKEM768.start().unwrap();
        let server = X25519MLKEM768.start_and_complete(client.pub_key()).unwrap();
        assert_eq!((client.group(), server.group), (NamedGroup::X25519MLKEM768, client.group()));
        assert_eq!(secret_of(client.complete(&server.pub_key)), server.secret.secret_bytes());
    }

    #[test]
    fn shares_and_secret_have_mlkem_first_and_x25519_behind_it() {
        let client = X25519MLKEM768.start().unwrap();
        let (key, x25519) = client.pub_key().split_at(1184);
        assert_eq!(x25519.len(), 32);
        let key = EncapsulationKey::new(key.try_into().unwrap()).unwrap();
        let (ciphertext, secret) = key.encapsulate_deterministic(&[7; 32].into());
        let x25519 = X25519.start_and_complete(x25519).unwrap();
        let share = [&ciphertext[..], &x25519.pub_key].concat();
        assert_eq!(share.len(), 1088 + 32);
        let expected = [&secret[..], x25519.secret.secret_bytes()].concat();
        assert_eq!(secret_of(client.complete(&share)), expected);
    }

    #[test]
    fn a_share_that_is_not_one_is_the_fault_of_the_peer() {
        let bad = |completed: Result<(), Error>| assert_eq!(completed.unwrap_err(), BAD_SHARE);
        let accept = |share: &[u8]| X25519MLKEM768.start_and_complete(share).map(drop);
        let complete = |share: &[u8]| X25519MLKEM768.start().unwrap().complete(share).map(drop);
        let client = X25519MLKEM768.start().unwrap().pub_key().to_vec();
        let server = X25519MLKEM768.start_and_complete(&client).unwrap().pub_key;
        accept(&client).unwrap();
        complete(&server).unwrap();

        let with_one_more = |share: &[u8]| [share, &[0]].concat();
        bad(accept(&[]));
        bad(accept(&client[..KEY_LEN]));
        bad(accept(&client[..client.len() - 1]));
        bad(accept(&with_one_more(&client)));
        bad(accept(&server));
        bad(complete(&[]));
        bad(complete(&server[..CIPHERTEXT_LEN]));
        bad(complete(&server[..server.len() - 1]));
        bad(complete(&with_one_more(&server)));
        bad(complete(&client));

        // A key with a number that is too large (FIPS 203, 7.2), and a point of X25519 of small order.
        bad(accept(&[&[0xff; KEY_LEN][..], &client[KEY_LEN..]].concat()));
        bad(accept(&[&client[..KEY_LEN], &[0; 32]].concat()));
        bad(complete(&[&server[..CIPHERTEXT_LEN], &[0; 32]].concat()));
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let client = X25519MLKEM768.start().unwrap();
        let server = X25519MLKEM768.start_and_complete(client.pub_key()).unwrap();
        let mut share = server.pub_key;
        share[0] ^= 1;
        let secret = secret_of(client.complete(&share));
        assert_ne!(secret[..32], server.secret.secret_bytes()[..32]);
        assert_eq!(secret[32..], server.secret.secret_bytes()[32..]);
    }
}
