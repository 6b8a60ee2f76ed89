//! The interface through which packets to an address leave this machine, by rtnetlink(7).
//!
//! Sources: `linux/rtnetlink.h`, `linux/if_link.h`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::AddressFamily;

use super::netlink::{
    Attributes, HEADER, ONE, ROUTE, ask, attribute, message_type, number, question, text,
};

/// Types of questions and answers.
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

/// The attributes that are sent, or read.
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;

/// The fixed parts, `struct rtmsg` and `struct ifinfomsg`.
const ROUTE_MESSAGE: usize = 12;
const LINK_MESSAGE: usize = 16;

/// An interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Such as "eth0".
    pub name: String,
    /// The longest packet that it sends, in bytes, with the header of IP.
    pub mtu: u32,
}

impl Interface {
    /// The interface through which packets to `address` leave; `None` if the kernel does not say.
    pub fn towards(address: SocketAddr) -> Option<Self> {
        let route = answer(&route_question(address), RTM_NEWROUTE).ok()?;
        let index = Attributes(route.get(ROUTE_MESSAGE..)?)
            .find_map(|(kind, value)| (kind == RTA_OIF).then(|| number::<4>(value, 0))?)?;
        let link = answer(&link_question(index), RTM_NEWLINK).ok()?;
        Self::read(&link)
    }

    /// Reads an answer, which begins with `struct ifinfomsg`.
    fn read(link: &[u8]) -> Option<Self> {
        let (mut name, mut mtu) = (None, None);
        for (kind, value) in Attributes(link.get(LINK_MESSAGE..)?) {
            match kind {
                IFLA_IFNAME => name = text(value),
                IFLA_MTU => mtu = number(value, 0).map(u32::from_ne_bytes),
                _ => {}
            }
        }
        Some(Self { name: name?, mtu: mtu? })
    }
}

/// The answer to a question about routes and links, of this type and without the header.
fn answer(question: &[u8], kind: u16) -> io::Result<Vec<u8>> {
    let mut answer = ask(ROUTE, question)?;
    if message_type(&answer) != Some(kind) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer.split_off(HEADER.min(answer.len())))
}

/// Which way do packets to `address` take?
fn route_question(address: SocketAddr) -> Vec<u8> {
    let (family, octets) = match address.ip().to_canonical() {
        IpAddr::V4(ip) => (AddressFamily::INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AddressFamily::INET6, ip.octets().to_vec()),
    };
    // The address counts with all of its bits.
    let bits = u8::try_from(8 * octets.len()).unwrap_or_default();
    let mut body = vec![0; ROUTE_MESSAGE];
    body[..2].copy_from_slice(&[u8::try_from(family.as_raw()).unwrap_or_default(), bits]);
    body.extend(attribute(RTA_DST, &octets));
    // A link-local address is on one interface.
    if let SocketAddr::V6(address) = address
        && address.scope_id() != 0
    {
        body.extend(attribute(RTA_OIF, &address.scope_id().to_ne_bytes()));
    }
    question(RTM_GETROUTE, ONE, &body)
}

/// What is the interface with this index?
fn link_question(index: [u8; 4]) -> Vec<u8> {
    let mut body = vec![0; LINK_MESSAGE];
    body[4..8].copy_from_slice(&index);
    question(RTM_GETLINK, ONE, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_reaches_itself_through_lo() {
        let loopback = Interface::towards("127.0.0.1:7".parse().unwrap());
        // Under an emulator, or where netlink is not allowed, nothing is known.
        let Some(Interface { name, mtu }) = loopback else { return };
        assert_eq!(name, "lo");
        assert!(mtu >= 1280, "{mtu}");
    }

    #[test]
    fn an_answer_that_is_cut_short_says_nothing() {
        let mtu = attribute(IFLA_MTU, &1400_u32.to_ne_bytes());
        let whole = [vec![0; LINK_MESSAGE], attribute(IFLA_IFNAME, b"eth0\0"), mtu].concat();
        let expected = Interface { name: "eth0".into(), mtu: 1400 };
        assert_eq!(Interface::read(&whole), Some(expected));
        for length in 0..whole.len() {
            assert_eq!(Interface::read(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_question_has_the_layout_of_the_kernel() {
        let route = route_question("[fe80::1%3]:7".parse().unwrap());
        assert_eq!(route.len(), HEADER + ROUTE_MESSAGE + 20 + 8);
        assert_eq!(route[HEADER..HEADER + 2], [10, 128]);
        assert_eq!(route[48..], attribute(RTA_OIF, &3_u32.to_ne_bytes()));
        let route = route_question("192.0.2.1:7".parse().unwrap());
        assert_eq!((route.len(), &route[HEADER..HEADER + 2]), (36, &[2, 32][..]));
        assert_eq!(link_question(3_u32.to_ne_bytes())[20..24], 3_u32.to_ne_bytes());
    }
}
