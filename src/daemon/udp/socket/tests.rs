//! Sockets on loopback.

use std::net::UdpSocket as StdSocket;

use socket2::{SockRef, Type};

use super::*;

/// A socket of ours that is bound to this address, and where it is.
fn bound(address: &str) -> (DatagramSocket, SocketAddr) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
    prepare(&socket).unwrap();
    socket.bind(&address.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (DatagramSocket::new(socket, address), address)
}

/// Sends `bytes` from a new socket to `to`, and gives that socket.
fn sent(bytes: &[u8], to: SocketAddr) -> StdSocket {
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = StdSocket::bind(any).unwrap();
    socket.send_to(bytes, to).unwrap();
    socket
}

/// Receives a datagram, answers it, and gives its length and the port that it came from.
fn echo(socket: &DatagramSocket) -> (usize, u16) {
    if socket.is_ipv6() { echo_of::<V6>(socket) } else { echo_of::<V4>(socket) }
}

fn echo_of<F: Family>(socket: &DatagramSocket) -> (usize, u16) {
    let (mut buffer, mut control) = ([0; 100], Control::default());
    let Arrival::<F> { length, is_cut, peer, is_for_one } =
        socket.receive(&mut buffer, &mut control).unwrap();
    assert!(is_for_one && !is_cut);
    socket.answer::<F>(&buffer[..length], peer, &control).unwrap();
    let peer: SocketAddr = peer.into();
    (length, peer.port())
}

/// Receives a datagram of IPv4; its length if the buffer has all of it, and whether it is for this machine alone.
fn receive(socket: &DatagramSocket, size: usize, control: &mut Control) -> (Option<usize>, bool) {
    let arrival = socket.receive::<V4>(&mut vec![0; size], control).unwrap();
    ((!arrival.is_cut).then_some(arrival.length), arrival.is_for_one)
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    for (own, asked) in [
        ("0.0.0.0:0", "127.0.0.5"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("127.0.0.7:0", "127.0.0.7"),
        ("[::]:0", "::1"),
        ("[::1]:0", "::1"),
    ] {
        if own.starts_with('[') && StdSocket::bind("[::1]:0").is_err() {
            continue; // A machine without IPv6.
        }
        let (socket, address) = bound(own);
        let asked = SocketAddr::new(asked.parse().unwrap(), address.port());
        let peer = sent(b"hello", asked);
        assert_eq!(echo(&socket), (5, peer.local_addr().unwrap().port()));
        let mut back = [0; 100];
        assert_eq!(peer.recv_from(&mut back).unwrap(), (5, asked));
        assert_eq!(&back[..5], b"hello");
    }
}

#[test]
fn a_socket_for_both_families_answers_ipv4_too() {
    let Ok(socket) = Socket::new(Domain::IPV6, Type::DGRAM, None) else { return };
    socket.set_only_v6(false).unwrap();
    prepare(&socket).unwrap();
    let any: SocketAddr = "[::]:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let socket = DatagramSocket::new(socket, address);
    let asked = SocketAddr::from(([127, 0, 0, 5], address.port()));
    let peer = sent(b"hello", asked);
    assert_eq!(echo(&socket).0, 5);
    assert_eq!(peer.recv_from(&mut [0; 100]).unwrap(), (5, asked));
}

#[test]
fn a_datagram_that_fills_the_buffer_counts_as_cut() {
    let (socket, address) = bound("127.0.0.1:0");
    for (length, whole) in [(0, Some(0)), (9, Some(9)), (10, None), (11, None), (65_507, None)] {
        let _peer = sent(&vec![1; length], address);
        assert_eq!(receive(&socket, 10, &mut Control::default()), (whole, true));
    }
}

#[test]
fn a_datagram_for_a_group_has_no_answer() {
    let (socket, address) = bound("0.0.0.0:0");
    let group = Ipv4Addr::new(239, 255, 0, 1);
    let sender = StdSocket::bind("127.0.0.1:0").unwrap();
    let joined = SockRef::from(&socket).join_multicast_v4(&group, &Ipv4Addr::LOCALHOST);
    let sends = SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST);
    if joined.and(sends).is_err() {
        return; // No multicast on loopback, or an emulator that does not know the option.
    }
    sender.send_to(b"all of you", (group, address.port())).unwrap();
    assert_eq!(receive(&socket, 100, &mut Control::default()), (Some(10), false));
}

#[test]
fn a_datagram_to_the_broadcast_address_of_a_socket_has_no_answer() {
    let (socket, address) = bound("127.255.255.255:0");
    let sender = StdSocket::bind("127.0.0.1:0").unwrap();
    sender.set_broadcast(true).unwrap();
    sender.send_to(b"all of you", address).unwrap();
    assert_eq!(receive(&socket, 100, &mut Control::default()), (Some(10), false));
}

#[test]
fn an_address_of_an_earlier_datagram_is_not_used_again() {
    let (socket, address) = bound("0.0.0.0:0");
    let mut control = Control::default();
    let asked = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let _one = sent(b"one", asked);
    assert_eq!(receive(&socket, 100, &mut control), (Some(3), true));
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &false).unwrap();
    let _another = sent(b"another", asked);
    assert_eq!(receive(&socket, 100, &mut control), (Some(7), false));
}
