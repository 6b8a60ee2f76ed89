//! A transcript as a capture file (draft-ietf-opsawg-pcapng): the bytes with headers of TCP and IP that
//! are made for them, and the secrets of TLS, so that Wireshark shows what was said.
//!
//! The kernel's packets are not known here. Where they began and ended, and their acknowledgements, are
//! made up; bytes, order, addresses, ports and times are real.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::keys::Secrets;
use crate::client::tap::{Direction, Event, Transcript};

/// The most bytes in a packet.
const SEGMENT: usize = 1400;

/// Packets begin with the header of IP (`LINKTYPE_RAW`).
const LINK_TYPE: u16 = 101;

/// The type of the secrets: lines as in SSLKEYLOGFILE.
const TLS_KEY_LOG: u32 = 0x544C_534B;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// The file.
pub fn file(transcript: &Transcript, secrets: &Secrets) -> Vec<u8> {
    let mut file = Vec::new();
    let mut header = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
    header.extend([1, 0, 0, 0]);
    header.extend(u64::MAX.to_le_bytes());
    block(&mut file, 0x0A0D_0D0A, &header);
    let mut interface = LINK_TYPE.to_le_bytes().to_vec();
    interface.extend([0; 6]);
    block(&mut file, 1, &interface);
    if !secrets.lines().is_empty() {
        let lines = secrets.lines().as_bytes();
        let mut content = TLS_KEY_LOG.to_le_bytes().to_vec();
        content.extend(length(lines.len()).to_le_bytes());
        content.extend(lines);
        block(&mut file, 10, &content);
    }
    if let Some(mut wire) = Wire::of(transcript) {
        for (time, event) in &transcript.events {
            wire.event(*time, event);
        }
        for (time, packet) in wire.packets {
            add_packet(&mut file, transcript.began + time, &packet);
        }
    }
    file
}

/// A block: its type, its length, its content, and its length again.
fn block(file: &mut Vec<u8>, kind: u32, content: &[u8]) {
    let padded = content.len().next_multiple_of(4);
    let whole = length(padded + 12).to_le_bytes();
    file.extend(kind.to_le_bytes());
    file.extend(whole);
    file.extend(content);
    file.resize(file.len() + padded - content.len(), 0);
    file.extend(whole);
}

fn add_packet(file: &mut Vec<u8>, time: SystemTime, packet: &[u8]) {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let microseconds = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX).to_be_bytes();
    let (high, low) = microseconds.split_at(4);
    let mut content = vec![0; 4];
    content.extend(high.iter().rev());
    content.extend(low.iter().rev());
    let size = length(packet.len()).to_le_bytes();
    content.extend(size);
    content.extend(size);
    content.extend(packet);
    block(file, 6, &content);
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The two ends of a connection, and the packets between them.
struct Wire {
    client: SocketAddr,
    server: SocketAddr,
    /// The next sequence number of the client and of the server.
    next: [u32; 2],
    packets: Vec<(Duration, Vec<u8>)>,
}

impl Wire {
    /// The ends of the connection that was established, if one was.
    fn of(transcript: &Transcript) -> Option<Self> {
        transcript.events.iter().find_map(|(_, event)| match event {
            Event::Connected { address, from: Some(from) } => {
                let (client, server) = (*from, *address);
                Some(Self { client, server, next: [1000, 2000], packets: Vec::new() })
            }
            _ => None,
        })
    }

    fn event(&mut self, time: Duration, event: &Event) {
        match event {
            Event::Attempt(address) if *address == self.server => {
                self.send(time, Direction::Sent, SYN, &[]);
            }
            Event::Connected { .. } => {
                self.send(time, Direction::Received, SYN | ACK, &[]);
                self.send(time, Direction::Sent, ACK, &[]);
            }
            Event::Bytes(direction, bytes) => {
                for segment in bytes.chunks(SEGMENT) {
                    self.send(time, *direction, PSH | ACK, segment);
                }
            }
            Event::Fin(direction) => {
                self.send(time, *direction, FIN | ACK, &[]);
                let other = match direction {
                    Direction::Sent => Direction::Received,
                    Direction::Received => Direction::Sent,
                };
                self.send(time, other, ACK, &[]);
            }
            Event::Broken(_) => self.send(time, Direction::Received, RST | ACK, &[]),
            _ => {}
        }
    }

    fn send(&mut self, time: Duration, direction: Direction, flags: u8, bytes: &[u8]) {
        let [client, server] = self.next;
        let (from, to, sequence, acknowledged) = match direction {
            Direction::Sent => (self.client, self.server, client, server),
            Direction::Received => (self.server, self.client, server, client),
        };
        let acknowledged = if flags & ACK == 0 { 0 } else { acknowledged };
        let mut segment = Vec::with_capacity(20 + bytes.len());
        segment.extend(from.port().to_be_bytes());
        segment.extend(to.port().to_be_bytes());
        segment.extend(sequence.to_be_bytes());
        segment.extend(acknowledged.to_be_bytes());
        // Five words of header, the flags, the window, no checksum yet, no urgent pointer.
        segment.extend([0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        segment.extend(bytes);
        let packet = packet(from.ip(), to.ip(), segment);
        self.packets.push((time, packet));
        let moved = length(bytes.len()) + u32::from(flags & (SYN | FIN) != 0);
        let [client, server] = &mut self.next;
        let next = if direction == Direction::Sent { client } else { server };
        *next = next.wrapping_add(moved);
    }
}

/// A packet of IP with a segment of TCP.
fn packet(from: IpAddr, to: IpAddr, mut segment: Vec<u8>) -> Vec<u8> {
    let size = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let ends = (from.to_canonical(), to.to_canonical());
    let (addresses, mut packet) = if let (IpAddr::V4(from), IpAddr::V4(to)) = ends {
        let addresses = [from.octets(), to.octets()].concat();
        let mut header = vec![0x45, 0];
        header.extend((20 + size).to_be_bytes());
        // Not to be fragmented; 64 hops; TCP; no checksum yet.
        header.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        header.extend(&addresses);
        let sum = checksum(&header).to_be_bytes();
        header.splice(10..12, sum);
        (addresses, header)
    } else {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let addresses = [octets(from), octets(to)].concat();
        let mut header = vec![0x60, 0, 0, 0];
        header.extend(size.to_be_bytes());
        header.extend([6, 64]);
        header.extend(&addresses);
        (addresses, header)
    };
    let [high, low] = size.to_be_bytes();
    let pseudo = [&addresses[..], &[0, 6, high, low], &segment].concat();
    let sum = checksum(&pseudo).to_be_bytes();
    segment.splice(16..18, sum);
    packet.extend(segment);
    packet
}

/// The checksum of IP and TCP (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_rfc_1071() {
        // The example in its section 3, whose sum is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]), !0xDDF2);
    }

    #[test]
    fn blocks_have_their_length_at_both_ends_and_are_padded() {
        let mut file = Vec::new();
        block(&mut file, 10, &[1, 2, 3, 4, 5]);
        assert_eq!(file.len(), 20);
        assert_eq!((file[4], file[16], file[13]), (20, 20, 0));
    }
}
