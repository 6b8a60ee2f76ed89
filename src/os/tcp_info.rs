//! What the kernel knows of one TCP connection (`struct tcp_info`, tcp(7)), by `sock_diag(7)`.
//!
//! `getsockopt(TCP_INFO)` has no safe wrapper. The same structure comes through netlink(7), of any connection
//! in the network namespace. Only the first question may wait, for the kernel to load a module (`tcp_diag`);
//! [`is_available`] is asked in advance for that.
//!
//! Sources: `linux/sock_diag.h`, `linux/inet_diag.h`, `linux/tcp.h`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use log::debug;
use rustix::net::{AddressFamily, netlink::SOCK_DIAG};
use serde::{Deserialize, Serialize};

use super::netlink::{
    self, ALL, Attributes, HEADER, NLMSG_DONE, ONE, ask, code, message_type, number, text,
};
use crate::exit::plain;

/// The type of a question and its answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;

const IPPROTO_TCP: u8 = 6;

/// The attributes that are asked for, and read.
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CONG: u16 = 4;

/// The state of a listening socket, which the kernel finds where the connection is gone.
const TCP_LISTEN: u8 = 10;

/// A bit of `tcpi_options`.
const OPTION_TIMESTAMPS: u8 = 1;

/// The fixed part of an answer, `struct inet_diag_msg`.
const ANSWER: usize = 72;

/// What the kernel knows of a connection. What it does not know, or is too old to say, is `None`.
///
/// Lengths of segments are without the options that each segment has, such as time stamps (12 bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpInfo {
    /// The smoothed round trip time, in microseconds.
    pub rtt_us: u32,
    /// Its mean deviation, in microseconds.
    pub rtt_variance_us: u32,
    /// The least round trip time of late (`tcp_min_rtt_wlen`, tcp(7)), in microseconds.
    pub min_rtt_us: Option<u32>,
    /// Segments that were sent again.
    pub retransmits: u32,
    /// Segments that arrived before one that precedes them.
    pub out_of_order: Option<u32>,
    /// By how many segments others may overtake one before it counts as lost.
    pub reordering: u32,
    /// Each segment has time stamps (RFC 7323).
    #[serde(default)]
    pub timestamps: bool,
    /// The longest segment that is sent, in bytes.
    pub send_mss: u32,
    /// The longest segment that came, as the kernel estimates it, in bytes.
    pub receive_mss: u32,
    /// The longest segment that the peer was told to send, in bytes.
    pub advertised_mss: u32,
    /// The MTU of the path, in bytes.
    pub path_mtu: u32,
    /// The congestion control, such as "cubic".
    pub congestion_control: Option<String>,
    /// The congestion window, in segments.
    pub congestion_window: u32,
    /// Bytes that the peer has acknowledged.
    pub bytes_acked: Option<u64>,
    /// Bytes that came from the peer.
    pub bytes_received: Option<u64>,
    /// The latest rate at which the peer acknowledged bytes, in bytes per second.
    pub delivery_rate: Option<u64>,
}

/// Whether the kernel tells about its connections. It is asked once; if it does not, a line at `debug` says
/// why.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| match probe() {
        Ok(()) => true,
        Err(error) => {
            debug!("the kernel tells nothing about connections (sock_diag): {}", plain(&error));
            false
        }
    })
}

/// Asks for the sockets in none of the states: without connections, the answer depends on the kernel alone.
fn probe() -> io::Result<()> {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    let answer = ask(Some(SOCK_DIAG), &question(ALL, 0, nobody, nobody))?;
    match (message_type(&answer), code(&answer)) {
        (_, Some(code)) if code < 0 => Err(io::Error::from_raw_os_error(-code)),
        (Some(NLMSG_DONE), _) => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl TcpInfo {
    /// What the kernel knows of the connection of this machine between these two addresses; `None` if there is
    /// no such connection, or no answer.
    pub fn of(local: SocketAddr, peer: SocketAddr) -> Option<Self> {
        if !is_available() {
            return None;
        }
        let answer = ask(Some(SOCK_DIAG), &question(ONE, u32::MAX, local, peer)).ok()?;
        if message_type(&answer) != Some(SOCK_DIAG_BY_FAMILY) {
            return None;
        }
        Self::read(answer.get(HEADER..)?)
    }

    /// Reads an answer, which begins with `struct inet_diag_msg`.
    fn read(answer: &[u8]) -> Option<Self> {
        let (fixed, attributes) = answer.split_at_checked(ANSWER)?;
        if fixed.get(1) == Some(&TCP_LISTEN) {
            return None;
        }
        let mut info = None;
        let mut congestion_control = None;
        for (kind, value) in Attributes(attributes) {
            match kind {
                INET_DIAG_INFO => info = Self::read_struct(value),
                INET_DIAG_CONG => congestion_control = text(value),
                _ => {}
            }
        }
        Some(Self { congestion_control, ..info? })
    }

    /// Reads `struct tcp_info`, which grows at its end from one kernel to the next.
    fn read_struct(bytes: &[u8]) -> Option<Self> {
        let small = |offset| number(bytes, offset).map(u32::from_ne_bytes);
        let large = |offset| number(bytes, offset).map(u64::from_ne_bytes);
        Some(Self {
            timestamps: bytes.get(5)? & OPTION_TIMESTAMPS != 0,
            send_mss: small(16)?,
            receive_mss: small(20)?,
            path_mtu: small(60)?,
            rtt_us: small(68)?,
            rtt_variance_us: small(72)?,
            congestion_window: small(80)?,
            advertised_mss: small(84)?,
            reordering: small(88)?,
            retransmits: small(100)?,
            bytes_acked: large(120),
            bytes_received: large(128),
            min_rtt_us: small(148).filter(|time| *time != u32::MAX),
            delivery_rate: large(160),
            out_of_order: small(224),
            congestion_control: None,
        })
    }
}

/// A question about the sockets in these `states` (a bit each) and with these addresses.
fn question(flags: u16, states: u32, local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    // struct inet_diag_req_v2. The kernel knows a connection over IPv4 of an IPv6 socket by its IPv4 addresses.
    let family =
        if peer.ip().to_canonical().is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let wanted = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_CONG - 1);
    bytes.extend(u8::try_from(family.as_raw()).into_iter().chain([IPPROTO_TCP, wanted, 0]));
    bytes.extend(states.to_ne_bytes());
    // struct inet_diag_sockid, with the cookie of a socket that is known by its addresses alone.
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(octets(local));
    bytes.extend(octets(peer));
    bytes.extend(interface(local).to_ne_bytes());
    bytes.extend([0xFF; 8]);
    netlink::question(SOCK_DIAG_BY_FAMILY, flags, &bytes)
}

/// The address in 16 bytes, where IPv4 takes the first four.
fn octets(address: SocketAddr) -> [u8; 16] {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// The interface of a link-local address, by its number; 0 for others.
fn interface(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::netlink::attribute;
    use super::*;

    /// A connection to `listen`, and what the kernel knows of the side that accepted it; `None` where the
    /// kernel tells nothing.
    fn accepted(listen: &str) -> Option<(TcpStream, TcpStream, TcpInfo)> {
        if !is_available() {
            return None;
        }
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        client.write_all(&[7; 1000]).unwrap();
        server.read_exact(&mut [0; 1000]).unwrap();
        let info = TcpInfo::of(server.local_addr().unwrap(), peer);
        Some((client, server, info.expect("the connection is there")))
    }

    #[test]
    fn the_kernel_tells_of_a_connection_by_its_addresses() {
        let Some((client, _server, info)) = accepted("127.0.0.1:0") else { return };
        assert_eq!(info.bytes_received, Some(1000));
        assert!(info.rtt_us > 0 && info.path_mtu > 1000 && info.advertised_mss > 500, "{info:?}");
        assert!(info.congestion_window > 0 && info.retransmits == 0, "{info:?}");
        let used = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
        assert_eq!(info.congestion_control.as_deref(), Some(used.trim()));
        // The other side of the same connection.
        let theirs =
            TcpInfo::of(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap();
        assert_eq!(theirs.bytes_received, Some(0));
        assert_eq!(theirs.bytes_acked.map(|count| count >= 1000), Some(true), "{theirs:?}");
    }

    #[test]
    fn a_connection_over_ipv4_of_an_ipv6_socket_is_found() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        drop(listener);
        let Some((_client, server, info)) = accepted("[::]:0") else { return };
        assert!(server.peer_addr().unwrap().is_ipv6(), "it is an IPv4-mapped address");
        assert_eq!(info.bytes_received, Some(1000));
    }

    #[test]
    fn a_connection_that_is_not_there_has_no_info_and_a_listening_socket_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        // Port 0 connects nothing: the kernel finds the listening socket instead.
        assert_eq!(TcpInfo::of(local, "127.0.0.1:0".parse().unwrap()), None);
        drop(listener);
        assert_eq!(TcpInfo::of(local, "127.0.0.1:0".parse().unwrap()), None);
    }

    #[test]
    fn an_answer_that_is_cut_short_or_of_an_older_kernel_says_less() {
        let read = |attributes: &[u8]| TcpInfo::read(&[&[1; ANSWER], attributes].concat());
        // The structure of Linux 4.2, where tcpi_bytes_received is the last but two.
        let old: Vec<u8> = (0..144).collect();
        let whole =
            [attribute(INET_DIAG_CONG, b"cubic\0"), attribute(INET_DIAG_INFO, &old)].concat();
        let info = read(&whole).unwrap();
        assert_eq!(info.rtt_us, u32::from_ne_bytes([68, 69, 70, 71]));
        assert_eq!(info.congestion_control.as_deref(), Some("cubic"));
        assert!(info.bytes_received.is_some() && info.min_rtt_us.is_none());
        assert_eq!((info.delivery_rate, info.out_of_order), (None, None));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        // A length of zero would never end.
        assert_eq!(read(&[0; 100]), None);
        let unknown = attribute(INET_DIAG_INFO, &[0xFF; 240]);
        assert_eq!(read(&unknown).unwrap().min_rtt_us, None, "no round trip was measured");
    }

    #[test]
    fn a_question_has_the_layout_of_the_kernel() {
        let (local, peer) = ("[fe80::1%3]:7", "[fe80::2%3]:9");
        let bytes = question(ONE, u32::MAX, local.parse().unwrap(), peer.parse().unwrap());
        assert_eq!(bytes.len(), 72);
        assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [10, 6, 0b1010, 0]);
        assert_eq!(bytes[24..28], [0, 7, 0, 9]);
        assert_eq!((bytes[28], bytes[43], bytes[59]), (0xFE, 1, 2));
        assert_eq!(bytes[60..64], 3_u32.to_ne_bytes());
        let mapped = question(ONE, 0, "[::ffff:192.0.2.1]:7".parse().unwrap(), peer_v4());
        assert_eq!((mapped[16], &mapped[28..33]), (2, &[192, 0, 2, 1, 0][..]));
    }

    fn peer_v4() -> SocketAddr {
        "[::ffff:192.0.2.2]:9".parse().unwrap()
    }
}
