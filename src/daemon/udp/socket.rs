//! A UDP socket that receives a datagram with the address that it was sent to, and answers from there.
//!
//! A socket that is bound to all addresses would otherwise answer from the address that the routing table
//! prefers, and a peer ignores an answer from an address that it did not ask.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::net::UdpSocket;
use nix::cmsg_space;
use nix::libc::{
    IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO, cmsghdr, in_addr, in_pktinfo, in6_addr,
    in6_pktinfo,
};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike,
    recvmsg, sendmmsg, sendto, setsockopt, sockopt,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, Socket};

/// A UDP socket, non-blocking.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    is_ipv6: bool,
    /// It is bound to one address, which every datagram was sent to and every answer comes from.
    is_bound: bool,
}

/// A datagram that came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// How many bytes of the buffer it has.
    pub length: usize,
    /// The buffer was too short for it.
    pub is_cut: bool,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Where it was sent to; `None` if more machines than this one may have it.
    pub own: Option<Own>,
}

/// An address of this machine that a datagram was sent to, and that its answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The one that the socket is bound to.
    Bound,
    /// The routing table chooses the interface of the answer, as for TCP.
    V4(Ipv4Addr),
    /// With the interface, where the address is one of an interface; otherwise 0.
    V6(Ipv6Addr, u32),
}

/// What system calls read from and write to besides the datagram.
#[derive(Debug)]
pub struct Messages {
    received: Control,
    ipv4: MultiHeaders<SockaddrIn>,
    ipv6: MultiHeaders<SockaddrIn6>,
}

/// Sets what a socket needs before a datagram comes, that is before it is bound: the address that the datagram
/// was sent to, and fragments allowed on the way of the answer (`IP_MTU_DISCOVER`, ip(7)).
pub fn prepare(socket: &Socket) -> io::Result<()> {
    if socket.domain()? == Domain::IPV6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?;
    }
    // It would come before that address, and a service manager may have asked for it.
    Ok(setsockopt(socket, sockopt::ReceiveTimestamp, &false)?)
}

impl DatagramSocket {
    /// A socket that is prepared, bound to `address` and non-blocking.
    pub fn new(socket: Socket, address: SocketAddr) -> Self {
        let (is_ipv6, ip) = (address.is_ipv6(), address.ip());
        let is_bound = !ip.is_unspecified() && !ip.is_multicast();
        Self { socket: UdpSocket::from_std(socket.into()), is_ipv6, is_bound }
    }

    /// What the event loop waits for.
    pub fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    /// Receives a datagram into `buffer`.
    pub fn receive(&self, buffer: &mut [u8], messages: &mut Messages) -> io::Result<Arrival> {
        let fd = self.socket.as_raw_fd();
        let control = (!self.is_bound).then_some(&mut messages.received);
        if self.is_ipv6 {
            receive::<SockaddrIn6>(fd, buffer, control, Control::ipv6)
        } else {
            receive::<SockaddrIn>(fd, buffer, control, Control::ipv4)
        }
    }

    /// Sends `bytes` from the address `own`.
    ///
    /// It is `sendmmsg` with one message, because `sendmsg` of nix allocates memory each time.
    pub fn send(
        &self,
        bytes: &[u8],
        own: Own,
        peer: SocketAddr,
        messages: &mut Messages,
    ) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        let slices = [[IoSlice::new(bytes)]];
        let flags = MsgFlags::empty();
        match (peer, own) {
            (SocketAddr::V4(peer), Own::Bound) => {
                sendto(fd, bytes, &SockaddrIn::from(peer), flags)?;
            }
            (SocketAddr::V6(peer), Own::Bound) => {
                sendto(fd, bytes, &SockaddrIn6::from(peer), flags)?;
            }
            (SocketAddr::V4(peer), Own::V4(own)) => {
                let own = in_addr { s_addr: u32::from_ne_bytes(own.octets()) };
                let from = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: own, ipi_addr: own };
                let (to, from) = ([Some(peer.into())], [ControlMessage::Ipv4PacketInfo(&from)]);
                sendmmsg(fd, &mut messages.ipv4, &slices, to, from, flags)?;
            }
            (SocketAddr::V6(peer), Own::V6(own, interface)) => {
                let own = in6_addr { s6_addr: own.octets() };
                let from = in6_pktinfo { ipi6_addr: own, ipi6_ifindex: interface };
                let (to, from) = ([Some(peer.into())], [ControlMessage::Ipv6PacketInfo(&from)]);
                sendmmsg(fd, &mut messages.ipv6, &slices, to, from, flags)?;
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            received: Control([0; CONTROL_MAX]),
            ipv4: MultiHeaders::preallocate(1, Some(cmsg_space!(in_pktinfo))),
            ipv6: MultiHeaders::preallocate(1, Some(cmsg_space!(in6_pktinfo))),
        }
    }
}

fn receive<S: SockaddrLike + Into<SocketAddr>>(
    fd: RawFd,
    buffer: &mut [u8],
    control: Option<&mut Control>,
    own: impl FnOnce(&Control) -> Option<Own>,
) -> io::Result<Arrival> {
    let mut slices = [IoSliceMut::new(buffer)];
    let arrival = |message: RecvMsg<'_, '_, S>, own| {
        Ok(Arrival {
            length: message.bytes,
            is_cut: message.flags.contains(MsgFlags::MSG_TRUNC),
            peer: message.address.ok_or(io::ErrorKind::AddrNotAvailable)?.into(),
            own,
        })
    };
    let flags = MsgFlags::empty();
    let Some(control) = control else {
        return arrival(recvmsg(fd, &mut slices, None, flags)?, Some(Own::Bound));
    };
    control.clear();
    let mut arrival = arrival(recvmsg(fd, &mut slices, Some(&mut control.0), flags)?, None)?;
    arrival.own = own(control);
    Ok(arrival)
}

/// A control message of the kernel (cmsg(3)): its length, in a word; its level and its type; what it says.
///
/// nix would decode it too, in a quarter of the instructions of all the rest.
#[derive(Debug)]
struct Control([u8; CONTROL_MAX]);

const WORD: usize = size_of::<usize>();
const HEAD: usize = size_of::<cmsghdr>();

/// The interface, the address that the kernel would answer from, the address in the header (ip(7)).
const HEAD_V4: [u8; HEAD] = head(12, IPPROTO_IP, IP_PKTINFO);

/// The address in the header, the interface (ipv6(7)).
const HEAD_V6: [u8; HEAD] = head(20, IPPROTO_IPV6, IPV6_PKTINFO);

/// The longer of both, and what aligns another one.
const CONTROL_MAX: usize = HEAD + 20 + WORD;

/// The head of a control message that says so many bytes.
const fn head(length: usize, level: i32, kind: i32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (before, after) = head.split_at_mut(WORD);
    before.copy_from_slice(&(HEAD + length).to_ne_bytes());
    let (before, after) = after.split_at_mut(4);
    before.copy_from_slice(&level.to_ne_bytes());
    after.copy_from_slice(&kind.to_ne_bytes());
    head
}

/// Whether both heads are the same, in a few instructions.
fn is(one: &[u8; HEAD], other: &[u8; HEAD]) -> bool {
    let (one, other) = (one.as_chunks::<4>().0, other.as_chunks::<4>().0);
    let difference =
        |(one, other): (&[u8; 4], &[u8; 4])| u32::from_ne_bytes(*one) ^ u32::from_ne_bytes(*other);
    one.iter().zip(other).map(difference).fold(0, |all, it| all | it) == 0
}

impl Control {
    /// Forgets what it is, because the kernel may say nothing.
    fn clear(&mut self) {
        self.0[..WORD].fill(0);
    }

    /// Where a datagram of IPv4 was sent to.
    fn ipv4(&self) -> Option<Own> {
        let (head, rest) = self.0.split_first_chunk::<HEAD>()?;
        let (local, to): ([u8; 4], [u8; 4]) =
            (*rest[4..].first_chunk()?, *rest[8..].first_chunk()?);
        let address = Ipv4Addr::from(to);
        // The kernel would answer a broadcast from another address. It says 0 for a datagram that came before
        // the socket was prepared, which a service manager may hand over.
        let is_for_one =
            (local == to || local == [0; 4]) && !address.is_multicast() && !address.is_broadcast();
        (is(head, &HEAD_V4) && is_for_one).then_some(Own::V4(address))
    }

    /// Where a datagram of IPv6 was sent to.
    fn ipv6(&self) -> Option<Own> {
        let (head, rest) = self.0.split_first_chunk::<HEAD>()?;
        let (address, rest) = rest.split_first_chunk::<16>()?;
        let address = Ipv6Addr::from(*address);
        let interface = if address.is_unicast_link_local() {
            u32::from_ne_bytes(*rest.first_chunk()?)
        } else {
            0
        };
        let is_for_one = !address.to_canonical().is_multicast();
        (is(head, &HEAD_V6) && is_for_one).then_some(Own::V6(address, interface))
    }
}

#[cfg(test)]
mod tests;
