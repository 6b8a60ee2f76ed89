//! The cipher suites and key exchange groups that a listener can be limited to, each with its IANA name
//! and its number in TLS.

use serde::Deserialize;

/// A cipher suite. Its number is that of IANA's registry.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs, non_camel_case_types, clippy::upper_case_acronyms)] // IANA's names.
pub enum CipherSuite {
    TLS_AES_128_GCM_SHA256 = 0x1301,
    TLS_AES_256_GCM_SHA384 = 0x1302,
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xc02b,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xc02c,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca9,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xc02f,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xc030,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca8,
}

impl CipherSuite {
    /// Its number in TLS.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether it belongs to TLS 1.3. The others belong to TLS 1.2.
    pub fn is_tls13(self) -> bool {
        self.number() >> 8 == 0x13
    }
}

/// A key exchange group. Its number is that of IANA's registry.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs, non_camel_case_types)] // IANA's names.
pub enum KeyExchangeGroup {
    X25519 = 0x001d,
    X25519MLKEM768 = 0x11ec,
    secp256r1 = 0x0017,
    secp384r1 = 0x0018,
}

impl KeyExchangeGroup {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::X25519, Self::X25519MLKEM768, Self::secp256r1, Self::secp384r1];

    /// Its number in TLS.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether TLS 1.2 has it. TLS 1.3 has all of them.
    pub fn is_in_tls12(self) -> bool {
        self != Self::X25519MLKEM768
    }
}
