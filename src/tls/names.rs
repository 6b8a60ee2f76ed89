//! The names of TLS's code points, as the IANA registries and RFC 8446 spell them.

use rustls::crypto::CryptoProvider;
use rustls::{
    AlertDescription, CipherSuite, HandshakeType, NamedGroup, ProtocolVersion, SignatureScheme,
};

/// The version, such as "TLS 1.3".
pub fn version(number: u16) -> Option<&'static str> {
    Some(match ProtocolVersion::from(number) {
        ProtocolVersion::SSLv3 => "SSL 3.0",
        ProtocolVersion::TLSv1_0 => "TLS 1.0",
        ProtocolVersion::TLSv1_1 => "TLS 1.1",
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => return None,
    })
}

/// The type of a handshake message, such as `ClientHello`.
pub fn message(number: u8) -> Option<&'static str> {
    HandshakeType::from(number).as_str()
}

/// The cipher suite by its IANA name, without the prefix `TLS_`.
pub fn suite(number: u16) -> Option<&'static str> {
    CipherSuite::from(number).as_str().map(without_prefix)
}

/// The key exchange group.
pub fn group(number: u16) -> Option<&'static str> {
    NamedGroup::from(number).as_str()
}

/// The signature scheme.
pub fn scheme(number: u16) -> Option<&'static str> {
    SignatureScheme::from(number).as_str()
}

/// What `name` calls this number; without a name, the number.
pub fn name_of(number: u16, name: fn(u16) -> Option<&'static str>) -> String {
    match name(number) {
        Some(name) => name.into(),
        // RFC 8701: such a number is there so that servers do not get used to a fixed list.
        None if number & 0x0F0F == 0x0A0A && number >> 8 == number & 0xFF => "GREASE".into(),
        None if number == 0x00FF => "EMPTY_RENEGOTIATION_INFO_SCSV".into(),
        None => format!("0x{number:04X}"),
    }
}

/// The alert as RFC 8446 §6 spells it, such as `handshake_failure`.
pub fn alert(number: u8) -> Option<String> {
    let name = AlertDescription::from(number).as_str()?;
    let name = words(name).join("_").to_lowercase();
    Some(name.replace("unrecognised", "unrecognized"))
}

/// The cipher suite of `provider` with this name, with or without its prefix.
pub fn find_suite(provider: &CryptoProvider, name: &str) -> Option<CipherSuite> {
    let wanted = name.to_ascii_uppercase();
    let mut suites = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite);
    suites.find(|suite| suite.as_str().map(without_prefix) == Some(without_prefix(&wanted)))
}

/// The key exchange group of `provider` with this name.
pub fn find_group(provider: &CryptoProvider, name: &str) -> Option<NamedGroup> {
    let mut groups = provider.kx_groups.iter().map(|group| group.name());
    groups.find(|group| {
        group.as_str().is_some_and(|own| {
            own.eq_ignore_ascii_case(name) || nist_name(own).eq_ignore_ascii_case(name)
        })
    })
}

/// "P-256" for "secp256r1": openssl(1) accepts both.
fn nist_name(group: &str) -> &str {
    match group {
        "secp256r1" => "P-256",
        "secp384r1" => "P-384",
        "secp521r1" => "P-521",
        other => other,
    }
}

/// rustls has "TLS13_" where IANA has "TLS_".
fn without_prefix(name: &str) -> &str {
    name.trim_start_matches("TLS13_").trim_start_matches("TLS_")
}

/// The words of a name: `UnknownPSKIdentity` has Unknown, PSK, Identity.
pub fn words(name: &str) -> Vec<&str> {
    let bytes = name.as_bytes();
    let begins = |place: usize| {
        let is_upper = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_uppercase);
        let is_lower = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_lowercase);
        is_upper(place) && (!is_upper(place - 1) || is_lower(place + 1))
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for place in (1..bytes.len()).filter(|place| begins(*place)) {
        parts.extend(name.get(start..place));
        start = place;
    }
    parts.extend(name.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::provider::provider;

    #[test]
    fn names_are_those_of_the_registries() {
        assert_eq!(suite(0x1302), Some("AES_256_GCM_SHA384"));
        assert_eq!(suite(0xC02F), Some("ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        assert_eq!(group(29), Some("X25519"));
        assert_eq!(scheme(0x0403), Some("ECDSA_NISTP256_SHA256"));
        assert_eq!(alert(40).as_deref(), Some("handshake_failure"));
        assert_eq!(alert(112).as_deref(), Some("unrecognized_name"));
        assert_eq!(alert(115).as_deref(), Some("unknown_psk_identity"));
        assert_eq!((suite(0x0A0A), group(0x0A0A), alert(200)), (None, None, None));
    }

    #[test]
    fn suites_and_groups_are_found_by_each_of_their_names() {
        let provider = provider(true);
        for name in ["AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "tls_aes_128_gcm_sha256"] {
            let found = find_suite(&provider, name);
            assert_eq!(found, Some(CipherSuite::TLS13_AES_128_GCM_SHA256), "{name}");
        }
        for name in ["secp256r1", "P-256", "p-256"] {
            assert_eq!(find_group(&provider, name), Some(NamedGroup::secp256r1), "{name}");
        }
        assert_eq!(find_suite(&provider, "RC4"), None);
        assert_eq!(find_group(&provider, ""), None);
    }
}
