//! A UDP socket that receives a datagram with the address that it was sent to, and answers from there.
//!
//! A socket that is bound to all addresses would otherwise answer from the address that the routing table
//! prefers, and a peer ignores an answer from an address that it did not ask.
//!
//! # The kernel's message about a datagram goes back with the answer
//!
//! The kernel says in a control message (cmsg(3)) which address a datagram was sent to, and takes the same message
//! as the address to answer from. It is read and changed here as bytes: nix would decode and encode it in a third
//! of the instructions of a datagram.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::net::UdpSocket;
use nix::libc::{
    IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO, cmsghdr, in_pktinfo, in6_pktinfo,
};
use nix::sys::socket::{
    MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, recvfrom, recvmsg, sendto, setsockopt, sockopt,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, MsgHdr, SockRef, Socket};

use crate::os::addresses::addresses;

/// A UDP socket, non-blocking.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    is_ipv6: bool,
    /// It is bound to an address of this machine alone, which every datagram was sent to and every answer comes from.
    is_bound: bool,
}

/// A datagram that came to a socket of the family `F`.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<F: Family> {
    /// How many bytes of the buffer it has.
    pub length: usize,
    /// It fills the buffer, so that its end may be lost.
    pub is_cut: bool,
    /// Where it came from.
    pub peer: F::Address,
    /// It was sent to an address of this machine alone; the answer comes from there.
    pub is_for_one: bool,
}

/// IPv4 or IPv6, so that what a datagram costs is compiled for each.
pub trait Family: Copy {
    /// An address and a port.
    type Address: SockaddrLike + Into<SocketAddr> + Copy;

    /// How long the control message is, in bytes.
    const CONTROL: usize;

    /// Makes of the kernel's message about a datagram the one that its answer is sent with. False if more machines
    /// than this one may have the datagram.
    fn redirect(control: &mut Control) -> bool;
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
        let (is_ipv6, is_bound) = (address.is_ipv6(), is_of_interface(address.ip()));
        Self { socket: UdpSocket::from_std(socket.into()), is_ipv6, is_bound }
    }

    /// What the event loop waits for.
    pub fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    /// Whether it is of IPv6, and not of IPv4.
    pub fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    /// Receives a datagram into `buffer`, and the kernel's message about it.
    #[inline]
    pub fn receive<F: Family>(
        &self,
        buffer: &mut [u8],
        control: &mut Control,
    ) -> io::Result<Arrival<F>> {
        let (fd, most) = (self.socket.as_raw_fd(), buffer.len());
        let (length, peer, is_for_one) = if self.is_bound {
            let (length, peer) = recvfrom(fd, buffer)?;
            (length, peer, true)
        } else {
            control.clear();
            let mut slices = [IoSliceMut::new(buffer)];
            let message = recvmsg(fd, &mut slices, Some(&mut control.0), MsgFlags::empty())?;
            let (length, peer) = (message.bytes, message.address);
            (length, peer, F::redirect(control))
        };
        let peer = peer.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Arrival { length, is_cut: length == most, peer, is_for_one })
    }

    /// Sends `bytes` to the peer of the datagram that was received last, with the same `control`.
    #[inline]
    pub fn answer<F: Family>(
        &self,
        bytes: &[u8],
        peer: F::Address,
        control: &Control,
    ) -> io::Result<()> {
        if self.is_bound {
            sendto(self.socket.as_raw_fd(), bytes, &peer, MsgFlags::empty())?;
        } else {
            let (peer, slices) = (peer.into().into(), [IoSlice::new(bytes)]);
            let message = MsgHdr::new().with_addr(&peer).with_buffers(&slices);
            SockRef::from(&self.socket)
                .sendmsg(&message.with_control(&control.0[..F::CONTROL]), 0)?;
        }
        Ok(())
    }
}

/// Whether an interface has this address. A socket may also be bound to one that many machines have: a broadcast or
/// multicast address.
fn is_of_interface(ip: IpAddr) -> bool {
    addresses().is_ok_and(|all| all.iter().any(|it| it.network.addr() == ip))
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A control message of the kernel (cmsg(3)): its length, in a word; its level and its type; what it says.
#[derive(Debug)]
pub struct Control([u8; CONTROL_MAX]);

const WORD: usize = size_of::<usize>();
const HEAD: usize = size_of::<cmsghdr>();

/// The longer message, and what aligns another one.
const CONTROL_MAX: usize = HEAD + size_of::<in6_pktinfo>() + WORD;

impl Default for Control {
    fn default() -> Self {
        Self([0; CONTROL_MAX])
    }
}

impl Control {
    /// Forgets the last message, because the kernel may say nothing.
    fn clear(&mut self) {
        self.0[..WORD].fill(0);
    }

    /// What it says, if it has this head.
    fn says<const N: usize>(&mut self, head: &[u8; HEAD]) -> Option<&mut [u8; N]> {
        let (is, says) = self.0.split_first_chunk_mut()?;
        if same(is, head) { says.first_chunk_mut() } else { None }
    }
}

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
fn same(one: &[u8; HEAD], other: &[u8; HEAD]) -> bool {
    let (one, other) = (one.as_chunks::<4>().0, other.as_chunks::<4>().0);
    let difference =
        |(one, other): (&[u8; 4], &[u8; 4])| u32::from_ne_bytes(*one) ^ u32::from_ne_bytes(*other);
    one.iter().zip(other).map(difference).fold(0, |all, it| all | it) == 0
}

/// IPv4: the interface, the address that the kernel would answer from, the address in the header (ip(7)).
#[derive(Clone, Copy, Debug)]
pub enum V4 {}

impl Family for V4 {
    type Address = SockaddrIn;

    const CONTROL: usize = HEAD + size_of::<in_pktinfo>();

    fn redirect(control: &mut Control) -> bool {
        const IS: [u8; HEAD] = head(size_of::<in_pktinfo>(), IPPROTO_IP, IP_PKTINFO);
        let Some(says) = control.says::<12>(&IS) else { return false };
        let ([interface, own, asked], []) = says.as_chunks_mut::<4>() else { return false };
        // The kernel would answer a broadcast or a multicast from another address. It says 0 for a datagram that
        // came before the socket was prepared, which a service manager may hand over.
        let address = Ipv4Addr::from(*asked);
        let is_for_one =
            *own == *asked || *own == [0; 4] && !address.is_multicast() && !address.is_broadcast();
        // The routing table chooses the interface of the answer, as for TCP.
        *interface = [0; 4];
        *own = *asked;
        is_for_one
    }
}

/// IPv6: the address in the header, the interface (ipv6(7)).
#[derive(Clone, Copy, Debug)]
pub enum V6 {}

impl Family for V6 {
    type Address = SockaddrIn6;

    const CONTROL: usize = HEAD + size_of::<in6_pktinfo>();

    fn redirect(control: &mut Control) -> bool {
        const IS: [u8; HEAD] = head(size_of::<in6_pktinfo>(), IPPROTO_IPV6, IPV6_PKTINFO);
        let Some(says) = control.says::<20>(&IS) else { return false };
        let Some((asked, interface)) = says.split_first_chunk_mut::<16>() else { return false };
        let asked = Ipv6Addr::from(*asked);
        // A link-local address is one of an interface. Otherwise the routing table chooses it, as for TCP.
        if !asked.is_unicast_link_local() {
            interface.fill(0);
        }
        !asked.to_canonical().is_multicast()
    }
}

#[cfg(test)]
mod tests;
