//! Names: of this machine, of a CA, of a certificate and of its files.

use std::net::IpAddr;

use crate::exit::Failure;
use crate::os::addresses::addresses;
use crate::tls::certificate::escape::printable;
use crate::tls::host::is_host;

/// The longest common name, in characters (RFC 5280, `ub-common-name`).
pub(super) const COMMON_NAME_MAX: usize = 64;

/// Checks that a certificate can have `name` as its common name.
pub(super) fn check_common_name(name: &str) -> Result<(), Failure> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > COMMON_NAME_MAX || printable(name) != name {
        return Err(Failure::usage(format!(
            "{name:?} cannot be the name of a certificate: use 1 to {COMMON_NAME_MAX} visible \
             characters"
        )));
    }
    Ok(())
}

/// The host name of this machine.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The names and addresses by which the network can reach this machine, the mDNS name (`NAME.local`)
/// first.
pub(super) fn own_names() -> Vec<String> {
    let host = host_name();
    let label = host.split('.').next().unwrap_or_default();
    let mut names = vec![format!("{label}.local"), host.clone(), "localhost".into()];
    if label == "localhost" {
        names.remove(0);
    }
    names.retain(|name| is_host(name));
    // Without a network there are only names, which is not an error.
    let addresses = addresses().unwrap_or_default().into_iter().map(|it| it.network.addr());
    names.extend(addresses.filter(|it| !is_link_local(it)).map(|it| it.to_string()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Such an address needs the name of an interface.
fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The name of a CA that is given none. It has the name of this machine, so that two CAs differ.
pub(super) fn default_ca_name() -> String {
    let name = format!("echo-alex CA of {}", host_name());
    if check_common_name(&name).is_ok() { name } else { "echo-alex CA".into() }
}

/// The name for the files of a server's certificate: `alex` for `alex.local`; an address as it is.
pub(super) fn file_name_of_host(name: &str) -> String {
    if name.parse::<IpAddr>().is_ok() {
        return name.into();
    }
    let label = name.split('.').next().unwrap_or(name);
    if label == "*" { "wildcard".into() } else { label.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_valid_and_unique() {
        let names = own_names();
        assert!(names.contains(&"localhost".to_string()), "{names:?}");
        assert!(names.contains(&"127.0.0.1".to_string()), "{names:?}");
        assert!(names.iter().all(|name| is_host(name)), "{names:?}");
        let mut different = names.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
