//! The cipher suites in the order that suits this machine.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// rustls's algorithms. Without processor instructions for AES, ChaCha20-Poly1305 comes first: AES is
/// then several times slower, and hard to do in constant time.
pub(crate) fn provider(has_aes: bool) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !has_aes {
        let is_aes = |name: &str| name.contains("AES");
        provider.cipher_suites.sort_by_key(|suite| suite.suite().as_str().is_some_and(is_aes));
    }
    Arc::new(provider)
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
    use super::*;

    #[test]
    fn chacha20_comes_first_without_instructions_for_aes() {
        let first = |has_aes| provider(has_aes).cipher_suites[0].suite();
        assert_eq!(first(false), rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        assert_eq!(first(true), rustls::CipherSuite::TLS13_AES_256_GCM_SHA384);
        let suites = provider(false);
        let last_chacha =
            suites.cipher_suites.iter().rposition(|s| !format!("{s:?}").contains("AES"));
        let first_aes = suites.cipher_suites.iter().position(|s| format!("{s:?}").contains("AES"));
        assert!(last_chacha < first_aes, "also in TLS 1.2");
    }
}
