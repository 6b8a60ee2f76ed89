//! The cipher suites in the order that suits this machine, or the one that the operator names.

use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;

use crate::config;
use crate::tls::mlkem::X25519MLKEM768;

/// The place of X25519MLKEM768 among the key exchange groups. A client sends a share for the first
/// group alone, so a handshake becomes longer and dearer only with a peer that prefers this one.
const AFTER_X25519: usize = 1;

/// rustls's algorithms, the cheapest cipher suite first, for a processor with or without instructions
/// for AES.
///
/// With them, AES-128-GCM comes first: it is the fastest, and the hash that goes with it, SHA-256, makes
/// a handshake cheaper than the SHA-384 of AES-256-GCM does. Without them, ChaCha20-Poly1305 comes
/// first: AES is then several times slower, and hard to do in constant time.
pub(crate) fn provider(has_aes: bool) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let cost = |suite: &SupportedCipherSuite| {
        let name = suite.suite().as_str().unwrap_or_default();
        let by_cost = if has_aes {
            ["AES_128", "AES_256", "CHACHA20"]
        } else {
            ["CHACHA20", "AES_128", "AES_256"]
        };
        by_cost.iter().position(|cipher| name.contains(cipher))
    };
    provider.cipher_suites.sort_by_key(|suite| (suite.tls13().is_none(), cost(suite)));
    provider.kx_groups.insert(AFTER_X25519, &X25519MLKEM768);
    Arc::new(provider)
}

/// The algorithms of a listener: the cipher suites that its settings name, in their order, or all, and
/// the key exchange groups.
pub(crate) fn of_listener(settings: &config::Tls) -> Arc<CryptoProvider> {
    let mut provider = provider(has_aes());
    let CryptoProvider { cipher_suites, kx_groups, .. } = Arc::make_mut(&mut provider);
    if let Some(named) = &settings.cipher_suites {
        keep(
            named,
            |name: &config::CipherSuite| name.number(),
            cipher_suites,
            |suite| suite.suite().into(),
        );
    }
    keep(
        &settings.groups,
        |name: &config::KeyExchangeGroup| name.number(),
        kx_groups,
        |group| group.name().into(),
    );
    provider
}

/// Keeps of `all` what is `named`, in that order. Both are known by their numbers in TLS.
fn keep<N, T>(
    named: &[N],
    number_of_name: impl Fn(&N) -> u16,
    all: &mut Vec<T>,
    number: impl Fn(&T) -> u16,
) {
    let place = |it: &T| named.iter().position(|name| number_of_name(name) == number(it));
    all.retain(|it| place(it).is_some());
    all.sort_by_key(place);
}

/// Whether this processor has instructions for AES. A Raspberry Pi has them since the Pi 5.
pub(crate) fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    // The auxiliary vector (getauxval(3)), not /proc/cpuinfo, which a hardened unit may hide.
    // HWCAP2_AES is bit 0 on 32-bit ARM (the kernel's arch/arm/include/uapi/asm/hwcap.h).
    #[cfg(target_arch = "arm")]
    return rustix::param::linux_hwcap().1 & 1 != 0;
    #[cfg(not(any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "arm"
    )))]
    return false;
}

#[cfg(test)]
mod tests {
    use config::CipherSuite as Named;
    use rustls::{CipherSuite, NamedGroup};

    use super::*;

    fn suites(provider: &CryptoProvider) -> Vec<CipherSuite> {
        provider.cipher_suites.iter().map(SupportedCipherSuite::suite).collect()
    }

    #[test]
    fn cipher_suites_are_ordered_by_what_they_cost_in_both_versions() {
        use CipherSuite as C;
        let with = suites(&provider(true));
        assert_eq!(
            with[..4],
            [
                C::TLS13_AES_128_GCM_SHA256,
                C::TLS13_AES_256_GCM_SHA384,
                C::TLS13_CHACHA20_POLY1305_SHA256,
                C::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ]
        );
        let without = suites(&provider(false));
        assert_eq!(
            without[..4],
            [
                C::TLS13_CHACHA20_POLY1305_SHA256,
                C::TLS13_AES_128_GCM_SHA256,
                C::TLS13_AES_256_GCM_SHA384,
                C::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            ]
        );
        assert_eq!((with.len(), without.len()), (9, 9), "none is omitted");
    }

    #[test]
    fn the_hybrid_group_comes_after_x25519() {
        let groups: Vec<_> = provider(true).kx_groups.iter().map(|group| group.name()).collect();
        let all = config::KeyExchangeGroup::ALL.map(|group| NamedGroup::from(group.number()));
        assert_eq!(groups, all);
        assert_eq!(groups[..2], [NamedGroup::X25519, NamedGroup::X25519MLKEM768]);
    }

    #[test]
    fn a_listener_has_the_suites_that_it_names_in_their_order() {
        let named = vec![
            Named::TLS_CHACHA20_POLY1305_SHA256,
            Named::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            Named::TLS_AES_128_GCM_SHA256,
        ];
        let settings = config::Tls { cipher_suites: Some(named), ..config::Tls::default() };
        assert_eq!(
            suites(&of_listener(&settings)),
            [
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                CipherSuite::TLS13_AES_128_GCM_SHA256,
            ]
        );
    }
}
