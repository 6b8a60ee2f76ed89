//! Which sources of datagrams are answered: hosts in networks that are allowed, on ports where no service
//! answers by itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::os::addresses::addresses;

/// Ports from 1024 on where services answer whatever they receive, or much more than they receive. Those below
/// are all taken for such. Ports that kernels give to clients (from 32768 on) are not here.
const RESPONDERS: [u16; 24] = [
    1194,  // OpenVPN
    1434,  // SQL Server
    1604,  // Citrix
    1645,  // RADIUS, formerly
    1646,  // RADIUS accounting, formerly
    1701,  // L2TP
    1812,  // RADIUS
    1813,  // RADIUS accounting
    1900,  // SSDP
    2049,  // NFS
    3283,  // Apple Remote Desktop
    3389,  // RDP
    3478,  // STUN
    3702,  // WS-Discovery
    4500,  // IPsec
    5060,  // SIP
    5093,  // Sentinel
    5351,  // NAT-PMP
    5353,  // mDNS
    5355,  // LLMNR
    5683,  // CoAP
    11211, // memcached
    17185, // VxWorks
    27015, // Steam
];

/// A set of ports.
#[derive(Debug)]
pub struct Ports(Box<[u64; 1024]>);

impl Ports {
    /// The ports of services: those of others, and `own`, on which this daemon answers. A source with one of
    /// these on another machine may be a daemon with the same configuration.
    pub fn of_services(own: impl IntoIterator<Item = u16>) -> Self {
        let mut ports = Self(Box::new([0; 1024]));
        for port in (0..1024).chain(RESPONDERS).chain(own) {
            ports.0[usize::from(port) / 64] |= 1 << (port % 64);
        }
        ports
    }

    /// Whether it has this port.
    pub fn contain(&self, port: u16) -> bool {
        self.0[usize::from(port) / 64] >> (port % 64) & 1 == 1
    }
}

/// The hosts of some networks, as ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    ipv4: Vec<(u32, u32)>,
    ipv6: Vec<(u128, u128)>,
}

impl Hosts {
    /// The hosts of the networks of this machine's interfaces, and the other ends of point-to-point links.
    pub fn of_interfaces() -> io::Result<Self> {
        let networks = addresses()?.into_iter();
        let networks = networks.flat_map(|it| [Some(it.network), it.peer.map(IpNet::from)]);
        Ok(networks.flatten().collect())
    }

    /// Whether one of them has the address of `source`.
    #[inline(always)]
    pub fn contain(&self, source: SocketAddr) -> bool {
        match source.ip().to_canonical() {
            IpAddr::V4(address) => {
                let number = u32::from(address);
                self.ipv4.iter().any(|(first, last)| (*first..=*last).contains(&number))
            }
            IpAddr::V6(address) => {
                let number = u128::from(address);
                self.ipv6.iter().any(|(first, last)| (*first..=*last).contains(&number))
            }
        }
    }
}

impl FromIterator<IpNet> for Hosts {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut hosts = Self::default();
        for network in networks {
            match network {
                IpNet::V4(network) => hosts.ipv4.push(range(network)),
                IpNet::V6(network) => hosts.ipv6.push(range_v6(network)),
            }
        }
        hosts
    }
}

/// The hosts of a network: not its own address, nor that of its broadcast, where it has these (RFC 3021), and what
/// is below the multicast addresses.
fn range(network: Ipv4Net) -> (u32, u32) {
    const LAST: Ipv4Addr = Ipv4Addr::new(223, 255, 255, 255);
    let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
    let apart = u32::from(network.prefix_len() < 31);
    ((first + apart).max(1), (last - apart).min(LAST.into()))
}

fn range_v6(network: Ipv6Net) -> (u128, u128) {
    const LAST: u128 = (0xff << 120) - 1;
    (u128::from(network.network()).max(1), u128::from(network.broadcast()).min(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(networks: &[&str]) -> Hosts {
        networks.iter().map(|network| network.parse::<IpNet>().unwrap()).collect()
    }

    #[test]
    fn hosts_are_those_of_the_networks_without_groups_and_ends() {
        let hosts = hosts(&["192.0.2.0/24", "198.51.100.7/32", "203.0.113.4/31", "2001:db8::/64"]);
        for (address, is_host) in [
            ("192.0.2.1:9999", true),
            ("192.0.2.0:9999", false),
            ("192.0.2.255:9999", false),
            ("192.0.3.1:9999", false),
            ("198.51.100.7:9999", true),
            ("203.0.113.4:9999", true),
            ("203.0.113.5:9999", true),
            ("[::ffff:192.0.2.1]:9999", true),
            ("[::ffff:192.0.2.255]:9999", false),
            ("[2001:db8::1]:9999", true),
            ("[2001:db8:0:1::1]:9999", false),
        ] {
            assert_eq!(hosts.contain(address.parse().unwrap()), is_host, "{address}");
        }
    }

    #[test]
    fn no_network_has_a_group_or_an_address_of_nobody() {
        let hosts = hosts(&["0.0.0.0/0", "::/0"]);
        for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "ff00::"] {
            assert!(!hosts.contain((address.parse::<IpAddr>().unwrap(), 9999).into()), "{address}");
        }
        assert!(hosts.contain("192.0.2.1:9999".parse().unwrap()));
    }

    #[test]
    fn the_interfaces_have_loopback() {
        let hosts = Hosts::of_interfaces().unwrap();
        assert!(hosts.contain("127.0.0.9:9999".parse().unwrap()));
    }

    #[test]
    fn ports_of_services_are_the_low_ones_the_known_ones_and_our_own() {
        let ports = Ports::of_services([5000, 65_535]);
        for port in [0, 7, 19, 53, 1023, 1900, 2049, 11_211, 5000, 65_535] {
            assert!(ports.contain(port), "{port}");
        }
        for port in [1024, 4999, 5001, 32_768, 65_534] {
            assert!(!ports.contain(port), "{port}");
        }
    }
}
