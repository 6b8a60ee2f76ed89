//! A UDP socket whose datagrams are never fragmented, and what the kernel has heard of their path.

use std::io;

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};

use crate::client::datagrams::Datagrams;
use crate::client::error::Error;
use crate::client::undelivered::Undelivered;
use crate::exit::Failure;

/// The headers of UDP, and of IP without options or extensions, in bytes.
pub(super) const UDP: u32 = 8;
const IPV4: u32 = 20;
const IPV6: u32 = 40;

/// What the length field of IPv4 can say, and that of IPv6, which is without its header.
const LENGTH_MAX: u32 = 65_535;

/// The path to a server.
pub(super) struct Path {
    datagrams: Datagrams,
}

impl Path {
    /// From now on, packets leave with the bit "don't fragment" (DF), whatever the kernel has heard of the
    /// path; IPv6 has no other packets.
    pub(super) fn new(datagrams: Datagrams) -> Result<Self, Failure> {
        let set = || -> io::Result<()> {
            if datagrams.address.is_ipv4() {
                sockopt::set_ip_mtu_discover(&datagrams, Ipv4PathMtuDiscovery::PROBE)?;
            } else {
                sockopt::set_ipv6_mtu_discover(&datagrams, Ipv6PathMtuDiscovery::PROBE)?;
            }
            Ok(())
        };
        set().map_err(|error| Failure::system("cannot forbid fragments", &error))?;
        Ok(Self { datagrams })
    }

    fn is_ipv4(&self) -> bool {
        self.datagrams.address.is_ipv4()
    }

    /// What the headers of a datagram take, in bytes.
    pub(super) fn headers(&self) -> u32 {
        UDP + if self.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// The longest packet that IP knows, in bytes.
    pub(super) fn longest(&self) -> u32 {
        if self.is_ipv4() { LENGTH_MAX } else { IPV6 + LENGTH_MAX }
    }

    /// The longest packet that can pass, as far as the kernel has heard: by ICMP (RFC 1191, RFC 8201), or
    /// else from its interface or its routes.
    pub(super) fn mtu(&self) -> Option<u32> {
        let mtu = if self.is_ipv4() {
            sockopt::ip_mtu(&self.datagrams)
        } else {
            sockopt::ipv6_mtu(&self.datagrams)
        };
        mtu.ok()
    }

    /// Sends a datagram; whether this machine sends packets of that length.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<bool, Error> {
        // The first call may get what an ICMP message said about an earlier one.
        for _ in 0..2 {
            match self.datagrams.send(datagram) {
                Err(Undelivered::TooLong) => {}
                // Without room it is lost, as on the way.
                outcome => {
                    return outcome
                        .map(|_| true)
                        .map_err(|reason| self.datagrams.undelivered(reason));
                }
            }
        }
        Ok(false)
    }

    /// Receives a datagram, if there is one.
    pub(super) fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        match self.datagrams.receive(buffer) {
            // `mtu` has what the ICMP message said. The error is taken, and what follows is next.
            Err(Undelivered::TooLong) => Ok(Some(&[])),
            outcome => outcome.map_err(|reason| self.datagrams.undelivered(reason)),
        }
    }
}
