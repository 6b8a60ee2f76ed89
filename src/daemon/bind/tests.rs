//! Sockets on loopback, without an event loop that serves them.

use std::io::ErrorKind;
use std::net::TcpStream;

use super::*;

const ALONE: SocketOptions = SocketOptions { transport: Transport::Tcp, reuse_port: false };
const SHARED: SocketOptions = SocketOptions { transport: Transport::Tcp, reuse_port: true };

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn no_outgoing() -> Outgoing<'static> {
    Outgoing::new([])
}

/// A socket on a port of 127.0.0.1 that the system chooses, bound for the listener with the key 1.
fn listening(options: SocketOptions) -> ListenSocket {
    let address = address("127.0.0.1:0");
    let mut bound =
        bind_all(Endpoint::Address(address), &[address], options, &no_outgoing()).unwrap();
    let bound = bound.remove(0);
    bound.listen(options).unwrap();
    bound.serve(1)
}

/// A socket as the service manager hands it over.
fn handed_over(options: SocketOptions) -> ListenSocket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_port(options.reuse_port).unwrap();
    socket.bind(&address("127.0.0.1:0").into()).unwrap();
    socket.listen(1).unwrap();
    let bound =
        Bound::hand_over(HandedOver { name: "alex".into(), socket, transport: Transport::Tcp })
            .unwrap();
    bound.listen(ALONE).unwrap();
    bound.serve(1)
}

fn is_shared(socket: &Listening) -> bool {
    SockRef::from(socket).reuse_port().unwrap()
}

#[test]
fn a_port_is_shared_where_the_configuration_says_so() {
    let text = "[[listener]]\nname = \"alex\"\nlisten = 5000\n";
    let options = |text: &str| {
        let config = config::Config::parse(text, &config::Source::BuiltIn).unwrap();
        SocketOptions::from(&config.listeners[0])
    };
    assert_eq!(options(text), ALONE);
    assert_eq!(options(&format!("{text}reuse-port = true\n")), SHARED);
}

#[test]
fn a_socket_that_listens_takes_connections_and_passes_on_what_an_echo_needs() {
    let socket = listening(ALONE);
    assert_eq!(socket.listener, 1);
    assert_eq!(
        socket.address,
        SockRef::from(&socket.socket).local_addr().unwrap().as_socket().unwrap()
    );
    let _peer = TcpStream::connect(socket.address).unwrap();
    let options = SockRef::from(&socket.socket);
    assert!(options.tcp_nodelay().unwrap() && options.out_of_band_inline().unwrap());
    assert!(!options.reuse_port().unwrap() && socket.is_ours());
}

#[test]
fn a_socket_that_is_only_bound_refuses_connections() {
    let address = address("127.0.0.1:0");
    let bound = bind_all(Endpoint::Address(address), &[address], ALONE, &no_outgoing()).unwrap();
    let address = bound[0].address;
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    bound[0].listen(ALONE).unwrap();
    let _peer = TcpStream::connect(address).unwrap();
}

#[test]
fn all_addresses_of_a_listener_get_the_port_that_the_system_chose_for_the_first() {
    let addresses = [address("127.0.0.1:0"), address("127.0.0.2:0")];
    let endpoint = Endpoint::Address(addresses[0]);
    let bound = bind_all(endpoint, &addresses, ALONE, &no_outgoing()).unwrap();
    let [first, second] = bound.as_slice() else { panic!("{bound:?}") };
    assert_ne!(first.address.port(), 0);
    assert_eq!(first.address.port(), second.address.port());
    assert_ne!(first.address, second.address);
}

#[test]
fn a_chosen_port_that_is_taken_is_chosen_again_and_another_is_not() {
    let taken = |port, kind: ErrorKind| {
        let mut tries = 0;
        let outcome = try_ports(|| {
            tries += 1;
            Err::<(), _>((SocketAddr::from(([0, 0, 0, 0], port)), kind.into()))
        });
        assert_eq!(outcome.unwrap_err().1.kind(), kind);
        tries
    };
    assert_eq!(taken(0, ErrorKind::AddrInUse), 16);
    assert_eq!(taken(5000, ErrorKind::AddrInUse), 1);
    assert_eq!(taken(0, ErrorKind::PermissionDenied), 1);

    let mut tries = 0;
    let outcome = try_ports(|| {
        tries += 1;
        let error = (address("[::]:0"), ErrorKind::AddrInUse.into());
        if tries < 3 { Err(error) } else { Ok("the third one does") }
    });
    assert_eq!((outcome.unwrap(), tries), ("the third one does", 3));
}

#[test]
fn a_machine_without_ipv6_serves_a_port_and_not_an_ipv6_address() {
    let (port, one) = (Endpoint::Port(5000), Endpoint::Address(address("[::1]:5000")));
    let (v4, v6) = (address("0.0.0.0:5000"), address("[::]:5000"));
    for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
        let error = errno.into();
        assert!(is_absent(port, v6, &error));
        assert!(!is_absent(port, v4, &error));
        assert!(!is_absent(one, v6, &error));
    }
    assert!(!is_absent(port, v6, &Errno::ADDRINUSE.into()));

    // No machine has an address for documentation (RFC 3849): `bind` fails as it does without IPv6.
    let addresses = [address("127.0.0.1:0"), address("[2001:db8::1]:0")];
    let bound = bind_all(port, &addresses, ALONE, &no_outgoing()).unwrap();
    assert!(bound.len() == 1 && bound[0].address.is_ipv4(), "{bound:?}");
    let (at, _) = bind_all(one, &addresses, ALONE, &no_outgoing()).unwrap_err();
    assert_eq!(at, addresses[1]);
}

#[test]
fn sockets_that_go_share_their_port_until_their_successors_listen() {
    let old = listening(ALONE);
    let port = old.address.port();
    let bind = |outgoing: &Outgoing<'_>| {
        bind_all(Endpoint::Address(old.address), &[old.address], ALONE, outgoing)
    };

    let (at, error) = bind(&no_outgoing()).unwrap_err();
    assert_eq!((at, error.kind()), (old.address, ErrorKind::AddrInUse));

    let outgoing = Outgoing::new([&old]);
    assert!(
        outgoing.has_port(port, Transport::Tcp) && !outgoing.has_port(port ^ 1, Transport::Tcp)
    );
    let new = bind(&outgoing).unwrap().remove(0);
    assert!(is_shared(&old.socket) && new.socket.reuse_port().unwrap());
    new.listen(ALONE).unwrap();
    drop(outgoing);
    // From here on both are closed to others again.
    assert!(!is_shared(&old.socket) && !new.socket.reuse_port().unwrap());
}

#[test]
fn a_port_is_shared_if_the_options_say_so() {
    let socket = listening(SHARED);
    assert!(is_shared(&socket.socket));
    assert!(socket.cannot_follow(ALONE) && !socket.cannot_follow(SHARED));
    let socket = listening(ALONE);
    assert!(socket.cannot_follow(SHARED) && !socket.cannot_follow(ALONE));
}

#[test]
fn a_socket_serves_its_address_and_the_port_that_was_chosen_for_its_listener() {
    let socket = listening(ALONE);
    let serves = |at: SocketAddr, name: &str| socket.serves(at, Transport::Tcp, name, "alex");
    assert!(serves(address("127.0.0.1:0"), "alex"));
    assert!(!serves(address("127.0.0.1:0"), "another"));
    assert!(!serves(address("127.0.0.2:0"), "alex"));
    assert!(serves(socket.address, "another"));
    assert!(!serves(SocketAddr::from(([127, 0, 0, 2], socket.address.port())), "alex"));
}

#[test]
fn a_socket_that_was_handed_over_stays_as_the_service_manager_made_it() {
    for options in [ALONE, SHARED] {
        let socket = handed_over(options);
        assert_eq!(is_shared(&socket.socket), options.reuse_port);
        assert!(SockRef::from(&socket.socket).tcp_nodelay().unwrap());
        assert!(!socket.is_ours());
        assert!(!socket.cannot_follow(ALONE) && !socket.cannot_follow(SHARED));
        assert!(!socket.serves(socket.address, Transport::Tcp, "alex", "alex"));
        // Nothing is bound beside it.
        assert!(!Outgoing::new([&socket]).has_port(socket.address.port(), Transport::Tcp));
    }
}

#[test]
fn each_cause_why_a_port_cannot_be_had_has_its_cure() {
    let message = |options, kind: ErrorKind| {
        cannot_listen(&(address("127.0.0.1:7"), kind.into()), options).message
    };
    assert!(
        message(ALONE, ErrorKind::AddrInUse)
            .ends_with("which process has it: ss -ltnp 'sport = :7'")
    );
    assert!(message(SHARED, ErrorKind::AddrInUse).contains("the other process needs reuse-port"));
    assert!(message(SHARED, ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
    assert!(message(ALONE, ErrorKind::AddrNotAvailable).contains("not an address of this machine"));
    let other = message(ALONE, ErrorKind::OutOfMemory);
    assert!(other.ends_with("cannot listen on 127.0.0.1:7: out of memory"), "{other}");
}
