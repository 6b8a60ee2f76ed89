//! The host names and addresses that a certificate can be made for.

use std::net::IpAddr;

use rustls::pki_types::DnsName;

use crate::exit::Failure;

/// Whether a certificate can be made for the host name or address `name`.
pub fn is_host(name: &str) -> bool {
    check_host(name).is_ok()
}

/// Checks that a certificate can be made for the host name or address `name`.
///
/// RFC 5280, section 4.2.1.6, asks for the "preferred name syntax", which has no dot at the end.
pub fn check_host(name: &str) -> Result<(), Failure> {
    let is_address = |name: &str| name.parse::<IpAddr>().is_ok();
    let is_name = |name: &str| DnsName::try_from(name).is_ok();
    let wildcard = name.strip_prefix("*.");
    Err(Failure::usage(match (name.strip_suffix('.'), wildcard) {
        (Some(fqdn), _) if !fqdn.is_empty() => {
            format!("{name:?}: a name in a certificate has no dot at its end: write {fqdn}")
        }
        (_, Some(parent)) if is_address(parent) => format!(
            "{name:?}: a wildcard stands for a label of a host name, and {parent} is an address: \
             give each address separately"
        ),
        // rustls, OpenSSL and browsers refuse it: anybody can have a name in such a domain.
        (_, Some(parent)) if is_name(parent) && !parent.contains('.') => format!(
            "{name:?}: clients refuse a wildcard with fewer than two labels after it: give each \
             name separately, such as alex.{parent}"
        ),
        _ if is_address(name) || is_name(wildcard.unwrap_or(name)) => return Ok(()),
        _ => format!(
            "{name:?} is neither a host name (letters, digits, hyphens, dots) nor an address"
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_host_names_wildcards_and_addresses() {
        for good in ["alex", "alex.local", "*.home.arpa", "192.168.1.16", "::1"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a b", "alex..local", "-alex", "al\nex", "bücher.local", "*", ".", "*."] {
            assert!(!is_host(bad), "{bad}");
        }
        for bad in ["alex.local.", "*.home.arpa.", "*.local", "*.10.0.0.1", "*.::1"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
