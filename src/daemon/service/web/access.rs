//! Access to the metrics: by network, or with a verified client certificate.
//!
//! # DNS rebinding
//!
//! An operator's browser is in a network that may read the metrics. A page of another site cannot read our
//! answers, but its owner can point the name of that site at our address, and then the page's scripts
//! request the metrics under that name. Therefore `Host` must be an address, or a local name, which cannot
//! be registered on the internet.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::daemon::service::next::Requester;

/// Top-level domains that do not exist in the internet (RFC 6761, 6762, 8375), and two that local
/// networks use.
const LOCAL_DOMAINS: [&str; 5] = ["local", "localhost", "home.arpa", "internal", "lan"];

/// Why a request is forbidden, in words for the person who made it.
pub(super) fn check(
    requester: &Requester,
    allow: &[IpNet],
    is_local_host: bool,
) -> Result<(), String> {
    let Requester { address, is_verified } = requester;
    if *is_verified {
        return Ok(());
    }
    if !allow.iter().any(|network| network.contains(address)) {
        return Err(format!(
            "metrics are for the networks in the key allow of this listener (loopback by default), and \
             for clients with a certificate that its client-ca has issued.\n\
             This request came from {address}. To allow that: allow = [\"127.0.0.0/8\", \"::1/128\", \
             \"{address}/{}\"]\n",
            if address.is_ipv4() { 32 } else { 128 }
        ));
    }
    if !is_local_host {
        return Err(
            "metrics are not shown under a name of the internet: a page of a stranger could ask \
                    for them. Use the address, or a name without a dot or in .local\n"
                .into(),
        );
    }
    Ok(())
}

/// Why a page under this `host` does not see what the daemon sees. `origins` are those in the configuration;
/// that one is "*" says nothing of the owner of this name.
pub(super) fn check_host(host: Option<&[u8]>, origins: &[String]) -> Result<(), &'static str> {
    let is_listed = |host: &[u8]| {
        let mut hosts = origins.iter().filter_map(|origin| Some(origin.split_once("://")?.1));
        hosts.any(|it| it.as_bytes().eq_ignore_ascii_case(host))
    };
    if host.is_none_or(|host| is_local(host) || is_listed(host)) {
        return Ok(());
    }
    Err(
        "What Alex sees is not shown under a name of the internet, unless the key origins of this listener \
         has it: a stranger could have pointed a name here. Use the address, or a name without a dot or in \
         .local.\n",
    )
}

/// Whether the value of `Host` is an address or a local name, with a port or without.
pub(super) fn is_local(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_below = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name.parse::<IpAddr>().is_ok() || !name.contains('.') || LOCAL_DOMAINS.into_iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_host_is_an_address_or_a_name_that_cannot_be_registered() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:5080",
            "[::1]",
            "[2001:db8::1]:5080",
            "localhost:5080",
            "alex",
            "alex.local",
            "ALEX.Local.:5080",
            "a.localhost",
            "pi.lan",
            "pi.home.arpa",
            "",
        ] {
            assert!(is_local(host.as_bytes()), "{host}");
        }
        for host in
            ["example.com", "alexlocal.com", "127.0.0.1.example.com", "alex.notlocal", "[x]", "1.2"]
        {
            assert!(!is_local(host.as_bytes()), "{host}");
        }
        assert!(!is_local(b"\xff"));
    }

    #[test]
    fn a_network_or_a_certificate_lets_in() {
        let allow: [IpNet; 2] = ["127.0.0.0/8".parse().unwrap(), "2001:db8::/64".parse().unwrap()];
        let of = |address: &str, is_verified, is_local| {
            let requester = Requester { address: address.parse().unwrap(), is_verified };
            check(&requester, &allow, is_local)
        };
        assert_eq!(of("127.3.2.1", false, true), Ok(()));
        assert_eq!(of("2001:db8::7", false, true), Ok(()));
        assert_eq!(of("192.0.2.1", true, false), Ok(()));
        let refused = of("192.0.2.1", false, true).unwrap_err();
        assert!(refused.contains("\"192.0.2.1/32\""), "{refused}");
        assert!(of("2001:db8:1::7", false, true).unwrap_err().contains("\"2001:db8:1::7/128\""));
        assert!(of("127.0.0.1", false, false).unwrap_err().contains("a name of the internet"));
    }
}
