//! Why a datagram was not delivered, as the kernel and ICMP say.

use std::error;
use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::exit::plain;

/// Why a datagram was not delivered, as this machine or an ICMP message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The machine is there, and nothing listens on the port (ICMP port unreachable).
    NothingListens,
    /// The datagram is longer than UDP, the path or the interface takes.
    TooLong,
    /// A filter forbids it (ICMP administratively prohibited, or a filter of this machine).
    Forbidden,
    /// Another error of the system, such as "network is unreachable".
    Other(Errno),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingListens => f.write_str("nothing listens on the UDP port"),
            Self::TooLong => f.write_str("the datagram is too long for the path"),
            Self::Forbidden => f.write_str("a filter forbids the datagram"),
            Self::Other(errno) => f.write_str(&plain(&(*errno).into())),
        }
    }
}

impl error::Error for Undelivered {}

impl Undelivered {
    /// The kernel has no room for more datagrams.
    pub const NO_ROOM: Self = Self::Other(Errno::NOBUFS);
}

impl From<Errno> for Undelivered {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::CONNREFUSED => Self::NothingListens,
            Errno::MSGSIZE => Self::TooLong,
            Errno::PERM | Errno::ACCESS => Self::Forbidden,
            errno => Self::Other(errno),
        }
    }
}

impl From<io::Error> for Undelivered {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).unwrap_or(Errno::IO).into()
    }
}
