//! The addresses of this machine's interfaces (getifaddrs(3)).

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address, with the length of its network's prefix.
    pub network: IpNet,
    /// The other end of a point-to-point link, if that is outside the network.
    pub peer: Option<IpAddr>,
}

/// All addresses, also those of interfaces that are down.
pub fn addresses() -> io::Result<Vec<Address>> {
    let interfaces = getifaddrs()?.filter_map(|interface| {
        let own = ip(&interface.address?)?;
        let network = IpNet::with_netmask(own, ip(&interface.netmask?)?).ok()?;
        // The kernel has one place for both: nix looks at the kind of the interface, but any may have a peer.
        let other = interface.destination.or(interface.broadcast).and_then(|it| ip(&it));
        Some(Address { network, peer: other.filter(|other| !network.contains(other)) })
    });
    Ok(interfaces.collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let ipv4 = address.as_sockaddr_in().map(|it| it.ip().into());
    ipv4.or_else(|| address.as_sockaddr_in6().map(|it| it.ip().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        let loopback = "127.0.0.1/8".parse().unwrap();
        assert!(addresses().unwrap().contains(&Address { network: loopback, peer: None }));
    }
}
