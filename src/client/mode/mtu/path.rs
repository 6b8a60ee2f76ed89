//! A UDP socket whose datagrams are never fragmented, and what the kernel has heard of their path.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Token};
use rustix::net::sockopt;

use crate::client::error::Error;
use crate::client::wait::Waiter;

/// The token of the socket.
const SOCKET: Token = Token(0);

/// The headers of UDP, and of IP without options or extensions, in bytes.
pub(super) const UDP: u32 = 8;
const IPV4: u32 = 20;
const IPV6: u32 = 40;

/// What the length field of IPv4 can say, and that of IPv6, which is without its header.
const LENGTH_MAX: u32 = 65_535;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Path {
    socket: UdpSocket,
    pub(super) address: SocketAddr,
}

impl Path {
    /// A socket to the first of `addresses` that has a route.
    pub(super) fn open(
        host: &str,
        addresses: &[SocketAddr],
        waiter: &Waiter,
    ) -> Result<Self, Error> {
        let mut attempts = Vec::new();
        for address in addresses {
            match Self::connect(*address, waiter) {
                Ok(path) => return Ok(path),
                Err(error) => attempts.push((*address, error)),
            }
        }
        Err(Error::Unreachable { host: host.to_owned(), attempts })
    }

    /// A socket to `address`. Packets leave with the bit "don't fragment" (DF), whatever the kernel has
    /// heard of the path; IPv6 has no other packets.
    fn connect(address: SocketAddr, waiter: &Waiter) -> io::Result<Self> {
        use sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};

        let local = match address {
            SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0; 8], 0)),
        };
        let mut socket = UdpSocket::bind(local)?;
        match address {
            SocketAddr::V4(_) => {
                sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
            }
            SocketAddr::V6(_) => {
                sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
            }
        }
        socket.connect(address)?;
        waiter.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
        Ok(Self { socket, address })
    }

    /// What the headers of a datagram take, in bytes.
    pub(super) fn headers(&self) -> u32 {
        UDP + if self.address.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// The longest packet that IP knows, in bytes.
    pub(super) fn longest(&self) -> u32 {
        if self.address.is_ipv4() { LENGTH_MAX } else { IPV6 + LENGTH_MAX }
    }

    /// The longest packet that can pass, as far as the kernel has heard: by ICMP (RFC 1191, RFC 8201), or
    /// else from its interface or its routes.
    pub(super) fn mtu(&self) -> Option<u32> {
        let mtu = match self.address {
            SocketAddr::V4(_) => sockopt::ip_mtu(&self.socket),
            SocketAddr::V6(_) => sockopt::ipv6_mtu(&self.socket),
        };
        mtu.ok()
    }

    /// Sends a datagram; whether this machine sends packets of that length.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<bool, Error> {
        // The first call may get what an ICMP message said about an earlier one.
        for _ in 0..2 {
            match self.socket.send(datagram) {
                Err(error) if is_too_long(&error) => {}
                outcome => return outcome.map(|_| true).map_err(|error| self.failed(error)),
            }
        }
        Ok(false)
    }

    /// Receives a datagram, if there is one; its length.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        loop {
            match self.socket.recv(buffer) {
                // What an ICMP message said; `mtu` has it.
                Err(error) if is_too_long(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                outcome => return outcome.map(Some).map_err(|error| self.failed(error)),
            }
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        let attempts = vec![(self.address, error)];
        Error::Unreachable { host: self.address.ip().to_string(), attempts }
    }
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}
