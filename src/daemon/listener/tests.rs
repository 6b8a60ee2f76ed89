//! Sockets on loopback, without a loop that serves them.

use std::io::ErrorKind;
use std::net::TcpStream;

use super::*;
use crate::config::{Config, Source};

/// The settings of a listener called "alex", with these lines in its table.
fn settings(lines: &str) -> config::Listener {
    let text = format!("[[listener]]\nname = \"alex\"\n{lines}\n");
    Config::parse(&text, &Source::BuiltIn).unwrap().listeners.remove(0)
}

/// A listener on a port of 127.0.0.1 that the system chooses.
fn anywhere() -> config::Listener {
    settings("listen = \"127.0.0.1:0\"")
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn nothing_outgoing() -> Outgoing<'static> {
    Outgoing::new(Vec::new())
}

/// What `settings` come to, without anything from before.
fn plan(settings: config::Listener) -> Plan {
    Plan::new(settings, &mut Vec::new(), &mut Vec::new()).unwrap()
}

/// The sockets of `settings`, at work for the listener with the key 1.
fn at_work(settings: config::Listener) -> Vec<ListenSocket> {
    let mut plan = plan(settings);
    plan.bind(&nothing_outgoing()).unwrap();
    plan.listen().unwrap();
    plan.fresh.into_iter().map(|fresh| fresh.serve(1)).collect()
}

fn shared(socket: &TcpListener) -> bool {
    SockRef::from(socket).reuse_port().unwrap()
}

/// A socket as the service manager hands it over, called `name`.
fn handed(name: &str, shared: bool) -> Handed {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_port(shared).unwrap();
    socket.bind(&address("127.0.0.1:0").into()).unwrap();
    socket.listen(1).unwrap();
    Handed { name: name.into(), socket: socket.into() }
}

#[test]
fn what_was_bound_and_listens_takes_connections_and_hands_on_what_an_echo_needs() {
    let sockets = at_work(anywhere());
    let [socket] = sockets.as_slice() else { panic!("{sockets:?}") };
    assert_eq!(socket.listener, 1);
    assert_eq!(socket.address, socket.socket.local_addr().unwrap());
    let _peer = TcpStream::connect(socket.address).unwrap();
    let options = SockRef::from(&socket.socket);
    assert!(options.tcp_nodelay().unwrap() && options.out_of_band_inline().unwrap());
    assert!(!options.reuse_port().unwrap() && socket.is_ours());
}

#[test]
fn all_addresses_of_a_listener_get_the_port_that_the_system_chose_for_the_first() {
    let addresses = [address("127.0.0.1:0"), address("127.0.0.2:0")];
    let endpoint = Endpoint::Address(addresses[0]);
    let bound = bind_all(endpoint, &addresses, false, &nothing_outgoing()).unwrap();
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
    use rustix::io::Errno;
    let (port, one) = (Endpoint::Port(5000), Endpoint::Address(address("[::1]:5000")));
    let (v4, v6) = (address("0.0.0.0:5000"), address("[::]:5000"));
    for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
        let error = errno.into();
        assert!(is_not_there(port, v6, &error));
        assert!(!is_not_there(port, v4, &error));
        assert!(!is_not_there(one, v6, &error));
    }
    assert!(!is_not_there(port, v6, &Errno::ADDRINUSE.into()));

    // No machine has an address for documentation (RFC 3849): `bind` fails as it does without IPv6.
    let addresses = [address("127.0.0.1:0"), address("[2001:db8::1]:0")];
    let bound = bind_all(port, &addresses, false, &nothing_outgoing()).unwrap();
    assert!(bound.len() == 1 && bound[0].address.is_ipv4(), "{bound:?}");
    let (at, _) = bind_all(one, &addresses, false, &nothing_outgoing()).unwrap_err();
    assert_eq!(at, addresses[1]);
}

#[test]
fn sockets_that_go_share_their_port_until_their_successors_listen() {
    let old = at_work(anywhere()).remove(0);
    let port = old.address.port();
    let narrow = settings(&format!("listen = \"127.0.0.1:{port}\""));
    let endpoint = narrow.endpoints[0];
    let bind = |outgoing: &Outgoing<'_>| bind_all(endpoint, &[old.address], false, outgoing);

    let (at, error) = bind(&nothing_outgoing()).unwrap_err();
    assert_eq!((at, error.kind()), (old.address, ErrorKind::AddrInUse));

    let outgoing = Outgoing::new(vec![AtWork { key: 7, owner: "alex", socket: &old }]);
    assert!(outgoing.has_port(port) && !outgoing.has_port(port ^ 1));
    let fresh = bind(&outgoing).unwrap().remove(0);
    assert!(shared(&old.socket) && fresh.socket.reuse_port().unwrap());
    fresh.listen(false).unwrap();
    drop(outgoing);
    // From here on both are closed to others again.
    assert!(!shared(&old.socket) && !fresh.socket.reuse_port().unwrap());
}

#[test]
fn a_port_is_shared_if_the_configuration_says_so() {
    // The file cannot say so of a port that the system chooses; the sockets do not mind.
    let sharing = config::Listener { reuse_port: true, ..anywhere() };
    let socket = at_work(sharing).remove(0);
    assert!(shared(&socket.socket));
    assert!(socket.cannot_follow(false) && !socket.cannot_follow(true));
    let socket = at_work(anywhere()).remove(0);
    assert!(socket.cannot_follow(true) && !socket.cannot_follow(false));
}

#[test]
fn a_socket_at_work_is_kept_for_its_address_or_for_the_port_that_was_chosen_for_its_listener() {
    let socket = at_work(anywhere()).remove(0);
    let work = AtWork { key: 7, owner: "alex", socket: &socket };
    assert!(work.serves(address("127.0.0.1:0"), "alex"));
    assert!(!work.serves(address("127.0.0.1:0"), "another"));
    assert!(!work.serves(address("127.0.0.2:0"), "alex"));
    assert!(work.serves(socket.address, "another"));
    assert!(!work.serves(SocketAddr::from(([127, 0, 0, 2], socket.address.port())), "alex"));

    let mut left = vec![work];
    let kept = Plan::new(anywhere(), &mut left, &mut Vec::new()).unwrap();
    assert_eq!((kept.kept.as_slice(), left.len(), kept.fresh.len()), (&[7][..], 0, 0));
}

#[test]
fn a_socket_is_handed_over_to_the_listener_with_its_name_or_its_port() {
    let by_port = handed("another", false);
    let port = by_port.socket.local_addr().unwrap().port();
    let mut all = vec![handed("alex", true), by_port, handed("stranger", false)];
    let settings = settings(&format!("listen = \"127.0.0.1:{port}\""));
    let mut plan = Plan::new(settings, &mut Vec::new(), &mut all).unwrap();
    assert_eq!(plan.fresh.len(), 2);
    let left: Vec<_> = all.iter().map(|handed| handed.name.as_str()).collect();
    assert_eq!(left, ["stranger"]);

    // Nothing is bound beside them, and whether they are shared is the service manager's to say.
    plan.bind(&nothing_outgoing()).unwrap();
    plan.listen().unwrap();
    let sockets: Vec<ListenSocket> = plan.fresh.drain(..).map(|fresh| fresh.serve(1)).collect();
    let [by_name, by_port] = sockets.as_slice() else { panic!("{sockets:?}") };
    assert!(shared(&by_name.socket) && !shared(&by_port.socket));
    for socket in &sockets {
        assert!(SockRef::from(&socket.socket).tcp_nodelay().unwrap());
        assert!(!socket.is_ours() && !socket.cannot_follow(false) && !socket.cannot_follow(true));
    }

    // At a reload they stay, whatever the listener's address is by then.
    let mut left: Vec<_> =
        sockets.iter().map(|socket| AtWork { key: 7, owner: "alex", socket }).collect();
    assert!(!left[1].serves(by_port.address, "alex"));
    let plan = Plan::new(anywhere(), &mut left, &mut Vec::new()).unwrap();
    assert_eq!((plan.kept, plan.missing.len()), (vec![7, 7], 0));
    // Nothing is bound beside a socket that was handed over, even where no listener takes it.
    let outgoing = Outgoing::new(vec![AtWork { key: 7, owner: "alex", socket: by_port }]);
    assert!(!outgoing.has_port(port));
}

#[test]
fn a_listener_follows_its_settings() {
    let mut listener = Listener::new(&plan(anywhere()));
    assert_eq!((listener.name.as_str(), listener.kind()), ("alex", "plain"));
    assert!(matches!(listener.transport(), Ok(Transport::Plain)));
    let peer = "192.0.2.1".parse().unwrap();
    listener.admission.enter(peer);
    assert_eq!(listener.admission.check(peer), Ok(()));

    let limits = "[listener.limits]\nmax-sessions = 1\nidle-timeout = \"7s\"\n";
    let text = format!("listen = \"127.0.0.1:0\"\n[listener.tls]\n{limits}");
    listener.follow(&plan(settings(&text)));
    assert_eq!(listener.kind(), "tls");
    assert!(matches!(listener.transport(), Ok(Transport::Tls(_))));
    assert_eq!(listener.timeouts.idle, Some(std::time::Duration::from_secs(7)));
    assert!(listener.admission.check(peer).is_err());
}

#[test]
fn a_thousand_ends_have_a_line_in_an_interval_and_ten_faults_of_ours_in_any_case() {
    let mut listener = Listener::new(&plan(anywhere()));
    let now = Moment::now();
    let mut said = |fault, now| (0..1100).filter(|_| listener.is_worth_a_line(fault, now)).count();
    assert_eq!(said(Fault::Peer, now), 1000);
    assert_eq!(said(Fault::Nobody, now), 0);
    assert_eq!(said(Fault::Us, now), 10);
    assert_eq!(said(Fault::Us, now), 0);
    // The sum of the ends is still to be said; faults have an interval of their own.
    let later = now + std::time::Duration::from_secs(11);
    let again = said(Fault::Us, later);
    assert!((9..=10).contains(&again), "{again}");
}

#[test]
fn each_cause_why_a_port_cannot_be_had_has_its_cure() {
    let message = |lines: &str, kind: ErrorKind| {
        cannot_listen(&settings(lines), address("127.0.0.1:7"), &kind.into()).message
    };
    let (alone, sharing) = ("listen = 7", "listen = 7\nreuse-port = true");
    assert!(message(alone, ErrorKind::AddrInUse).ends_with("who has it: ss -ltnp 'sport = :7'"));
    assert!(message(sharing, ErrorKind::AddrInUse).contains("who has it needs reuse-port too"));
    assert!(message(sharing, ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
    assert!(message(alone, ErrorKind::AddrNotAvailable).contains("not an address of this machine"));
    let other = message(alone, ErrorKind::OutOfMemory);
    assert!(other.ends_with("cannot listen on 127.0.0.1:7: out of memory"), "{other}");
}

#[test]
fn a_listening_socket_can_be_told_from_one_that_is_only_bound() {
    let mut plan = plan(anywhere());
    plan.bind(&nothing_outgoing()).unwrap();
    let address = plan.fresh[0].address;
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    plan.listen().unwrap();
    let _peer = TcpStream::connect(address).unwrap();
}
