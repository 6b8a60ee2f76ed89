//! UDP listeners of a machine with several interfaces and addresses, and of one behind a router.

mod util;

use std::process::Command;

use util::capture::{Capture, Packet};
use util::router::{FAR, NEAR, Router, TO_FAR, TO_NEAR};
use util::udp::{Echo, refused_of, wait_for_refusal};
use util::{Daemon, Running, outcome, tool, wait_until};

/// A UDP listener on all addresses.
const UDP: &str = "[[listener]]\nname = \"udp\"\nlisten = 5000\ntransport = \"udp\"\n";

/// The networks of all hosts, for a listener.
const ALLOW: &str = "allow = [\"192.0.2.0/30\", \"192.0.2.4/30\", \"2001:db8::/32\"]\n";

/// What the interfaces of the router have besides its addresses: both have the same link-local one.
const MORE: [(&str, [&str; 4]); 2] = [
    ("r0", ["198.51.100.1/24", "198.51.100.2/24", "2001:db8:1::5/64", "fe80::1/64"]),
    ("r1", ["203.0.113.1/24", "203.0.113.2/24", "2001:db8:2::5/64", "fe80::1/64"]),
];

fn start(config: &str, script: &str) -> Daemon {
    Daemon::start_through(tempfile::tempdir().unwrap(), config, script)
}

/// Gives an interface an address that can be used at once, or such a one with its peer.
fn add_address(mut ip: Command, address: &str, interface: &str) {
    ip.args(["address", "add"]).args(address.split(' ')).args(["dev", interface]);
    outcome(if address.contains(':') { ip.arg("nodad") } else { &mut ip });
}

/// The number of an interface of the router, by which a configuration names it.
fn number(router: &Router, interface: &str) -> String {
    let line = outcome(router.between("ip").args(["-o", "link", "show", interface]));
    line.split(':').next().unwrap().to_owned()
}

/// An address and a port as one word.
fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// nc on a host, which takes answers from that address and port alone.
fn nc(mut nc: Command, address: &str, port: u16) -> Running {
    nc.args(["-u", address, &port.to_string()]);
    Running::start(nc)
}

/// The same with socat.
fn socat(mut socat: Command, address: &str, port: u16) -> Running {
    let family = if address.contains(':') { 6 } else { 4 };
    socat.args(["-".to_owned(), format!("UDP{family}:{}", endpoint(address, port))]);
    Running::start(socat)
}

/// Sends a line, which must come back.
fn assert_line(client: &mut Running, line: &str) {
    client.write(line.as_bytes());
    assert_eq!(client.read(line.len()), line.as_bytes());
}

/// Sends random bytes to each of some addresses, ports and lengths, and prints for each answer whose bytes they are and
/// where it comes from, until the last has an answer.
const ASK: &str = "
import os, socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
near = socket.socket(family, socket.SOCK_DGRAM)
near.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
near.settimeout(30)
sent, last = {}, sys.argv[-1]
for one in sys.argv[1:]:
    address, port, length = one.split('/')
    datagram = os.urandom(int(length))
    sent[datagram] = one
    near.sendto(datagram, socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM)[0][4])
while True:
    datagram, peer = near.recvfrom(65536)
    print(sent[datagram], 'from', peer[0])
    if sent[datagram] == last:
        break
";

/// What that prints.
fn ask(router: &Router, asked: &[String]) -> Vec<String> {
    let answers = outcome(router.near("python3").args(["-c", ASK]).args(asked));
    answers.lines().map(str::to_owned).collect()
}

/// Sends a datagram with this source through the router, as if the near host had sent it.
const FORGE: &str = "
import socket, struct, sys
source, source_port, to, port = sys.argv[1:]
forged = b'forged'
udp = struct.pack('!HHHH', int(source_port), int(port), 8 + len(forged), 0)
ip = struct.pack('!BBHHHBBH', 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0)
ip += socket.inet_aton(source) + socket.inet_aton(to)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(ip + udp + forged, (to, 0))
";

/// Sends it to the far host.
fn forge(router: &Router, source: &str, source_port: &str) {
    outcome(router.between("python3").args(["-c", FORGE, source, source_port, FAR[0], "5000"]));
}

#[test]
fn answers_leave_from_the_address_and_by_the_interface_that_were_asked() {
    let Some(router) = Router::new("1500") else { return };
    if tool("nc").is_none() || tool("socat").is_none() {
        return;
    }
    let Some(mut capture) = Capture::start(|name| router.between(name)) else { return };
    let mut global = [TO_NEAR, TO_FAR].concat();
    let mut bound: Vec<String> = Vec::new();
    for (interface, addresses) in MORE {
        for address in addresses {
            add_address(router.between("ip"), address, interface);
        }
        let addresses = addresses.map(|it| it.split_once('/').unwrap().0);
        global.extend(&addresses[..3]);
        bound.push(endpoint(&format!("fe80::1%{}", number(&router, interface)), 5001));
    }
    add_address(router.near("ip"), "fe80::2/64", "n0");
    add_address(router.far("ip"), "fe80::2/64", "f0");
    bound.extend(global.iter().map(|it| endpoint(it, 5001)));
    let bound =
        format!("[[listener]]\nname = \"bound\"\nlisten = {bound:?}\ntransport = \"udp\"\n");
    let _daemon = start(&format!("{UDP}{bound}"), &router.script_for_between());

    for (interface, link_local) in [("r0", "fe80::1%n0"), ("r1", "fe80::1%f0")] {
        let host = |name| if interface == "r0" { router.near(name) } else { router.far(name) };
        // The kernel takes the interface of an answer from the address of the peer, if that is link-local too.
        let global_nc = || {
            let mut nc = host("nc");
            nc.args(["-s", if interface == "r0" { NEAR[1] } else { FAR[1] }]);
            nc
        };
        for address in global.iter().copied().chain([link_local]) {
            for port in [5000, 5001] {
                let mut clients =
                    vec![nc(host("nc"), address, port), socat(host("socat"), address, port)];
                if address == link_local {
                    clients.push(nc(global_nc(), address, port));
                }
                for mut client in clients {
                    assert_line(&mut client, "hello\n");
                    let (came, went) = (capture.next(), capture.next());
                    let asked = format!("{}.{port}", address.split('%').next().unwrap());
                    assert_eq!((&came.to, &*came.way, &*came.interface), (&asked, "In", interface));
                    let Packet { interface, from, to, .. } = came;
                    assert_eq!(went, Packet { interface, way: "Out".into(), from: to, to: from });
                }
            }
        }
    }
}

#[test]
fn a_datagram_to_a_broadcast_or_multicast_address_has_no_answer() {
    let Some(router) = Router::new("1500") else { return };
    if tool("python3").is_none() || tool("nc").is_none() {
        return;
    }
    let scope = number(&router, "r0");
    let bound = format!(
        "[[listener]]\nname = \"bound\"\ntransport = \"udp\"\n\
         listen = [\"192.0.2.3:5001\", \"224.0.0.1:5001\", \"[ff02::1%{scope}]:5001\"]\n"
    );
    let web = "[[listener]]\nname = \"web\"\nservice = \"web\"\nlisten = 5080\n\
               allow = [\"192.0.2.0/30\"]\n";
    let _daemon = start(&format!("{UDP}{bound}{web}"), &router.script_for_between());
    for (groups, own) in [
        (["192.0.2.3", "255.255.255.255", "224.0.0.1"].as_slice(), TO_NEAR[0]),
        (&["ff02::1%n0"], TO_NEAR[1]),
    ] {
        let asked = groups.iter().flat_map(|group| [5000, 5001].map(|port| (group, port)));
        let asked = asked.map(|(group, port)| format!("{group}/{port}/8"));
        let asked: Vec<_> = asked.chain([format!("{own}/5000/8")]).collect();
        assert_eq!(ask(&router, &asked), [format!("{own}/5000/8 from {own}")]);
    }
    let get = "printf 'GET /metrics HTTP/1.0\\r\\nHost: h\\r\\n\\r\\n' | nc 192.0.2.2 5080";
    let refused = |listener, count| {
        format!(
            "echo_alex_refused_datagrams_total{{listener=\"{listener}\",reason=\"sent-to-many\"}} {count}\n"
        )
    };
    wait_until("all are counted", || {
        let metrics = outcome(router.near("sh").args(["-c", get]));
        // A socket that is bound to an address gets nothing that was sent to 255.255.255.255.
        metrics.contains(&refused("udp", 4)) && metrics.contains(&refused("bound", 3))
    });
}

#[test]
fn a_host_behind_a_router_has_answers_once_allow_names_its_network() {
    let Some(router) = Router::new("1500") else { return };
    if tool("nc").is_none() {
        return;
    }
    let daemon = start(UDP, &router.script_for_far());
    let mut clients = FAR.map(|address| {
        assert_line(&mut nc(router.between("nc"), address, 5000), "hello\n");
        let mut client = nc(router.near("nc"), address, 5000);
        client.write(b"one\n");
        client
    });
    wait_for_refusal(&daemon, "not-allowed");
    assert_eq!(refused_of(&daemon, 4), 2);
    daemon.rewrite_config(&format!("{UDP}{ALLOW}"));
    assert!(daemon.reload().ends_with(" reloaded"));
    for client in &mut clients {
        assert_line(client, "two\n");
    }
}

#[test]
fn neighbours_of_an_interface_that_gets_its_address_later_have_answers() {
    let Some(router) = Router::new("1500") else { return };
    if tool("nc").is_none() {
        return;
    }
    let _daemon = start(UDP, &router.script_for_between());
    // The last are the two ends of a point-to-point link.
    for (own, source, [here, there]) in [
        ("198.51.100.1", "198.51.100.2", ["198.51.100.1/24", "198.51.100.2/24"]),
        ("2001:db8:3::1", "2001:db8:3::2", ["2001:db8:3::1/64", "2001:db8:3::2/64"]),
        (
            "203.0.113.1",
            "203.0.113.9",
            ["203.0.113.1 peer 203.0.113.9", "203.0.113.9 peer 203.0.113.1"],
        ),
    ] {
        add_address(router.near("ip"), there, "n0");
        add_address(router.between("ip"), here, "r0");
        let send = format!("echo hello | nc -u -w1 -s {source} {own} 5000");
        wait_until("the neighbour has an answer", || {
            router.near("sh").args(["-c", &send]).output().unwrap().stdout == b"hello\n"
        });
    }
}

#[test]
fn datagrams_of_any_length_come_back_whole_in_fragments() {
    let Some(router) = Router::new("1500") else { return };
    if tool("python3").is_none() {
        return;
    }
    let daemon = start(&format!("{UDP}{ALLOW}"), &router.script_for_far());
    for address in FAR {
        for length in [0, 1472, 1473, 8000, 65_507] {
            let asked = format!("{address}/5000/{length}");
            assert_eq!(
                ask(&router, std::slice::from_ref(&asked)),
                [format!("{asked} from {address}")]
            );
        }
    }
    assert_eq!(refused_of(&daemon, 10), 0);
}

#[test]
fn a_forged_source_that_is_nobody_or_a_service_has_no_answer() {
    let Some(router) = Router::new("1500") else { return };
    if tool("python3").is_none() {
        return;
    }
    let daemon = start(&format!("{UDP}{ALLOW}"), &router.script_for_far());
    // Nobody; an echo; a daemon with the same configuration; a network and its broadcast address.
    for (source, port) in [
        (NEAR[0], "0"),
        (NEAR[0], "7"),
        (NEAR[0], "5000"),
        ("192.0.2.0", "6000"),
        ("192.0.2.3", "6000"),
    ] {
        forge(&router, source, port);
    }
    wait_for_refusal(&daemon, "port-of-a-service");
    assert_eq!(refused_of(&daemon, 5), 5);
    forge(&router, NEAR[0], "6000");
    assert_eq!(refused_of(&daemon, 6), 5);
}

/// Sets the daemon on the far host on port 6000 of the near host with a forged datagram: how many packets of UDP pass
/// between them until they are silent.
fn packets_of_a_loop(router: &Router) -> Option<usize> {
    for name in ["python3", "nc"] {
        tool(name)?;
    }
    let mut capture = Capture::start(|name| router.between(name))?;
    let daemon = start(&format!("{UDP}{ALLOW}"), &router.script_for_far());
    forge(router, NEAR[0], "6000");
    wait_for_refusal(&daemon, "loop");
    // The daemon was the last to receive one, so that this follows all that are part of the loop.
    assert_line(&mut nc(router.between("nc"), FAR[0], 5000), "over\n");
    let near = format!("{}.6000", NEAR[0]);
    let mut count = 0;
    loop {
        let packet = capture.next();
        if packet.from != near && packet.to != near {
            return Some(count);
        }
        count += usize::from(packet.interface == "r1");
    }
}

#[test]
fn a_loop_between_two_of_ours_ends_after_less_than_ten_packets() {
    let Some(router) = Router::new("1500") else { return };
    let config = format!("{UDP}{ALLOW}").replace("5000", "6000");
    let _other = start(&config, &router.script_for_near());
    let Some(packets) = packets_of_a_loop(&router) else { return };
    assert!(packets < 10, "{packets}");
}

#[test]
fn a_loop_with_a_naive_echo_ends_after_less_than_ten_packets() {
    let Some(router) = Router::new("1500") else { return };
    if tool("python3").is_none() {
        return;
    }
    let _echo = Echo::start(router.near("python3"), NEAR[0], 6000);
    let Some(packets) = packets_of_a_loop(&router) else { return };
    assert!(packets < 10, "{packets}");
}

#[test]
fn a_loop_with_a_chargen_ends_after_less_than_ten_packets() {
    let Some(router) = Router::new("1500") else { return };
    if tool("python3").is_none() {
        return;
    }
    let _chargen = Echo::chargen(router.near("python3"), NEAR[0], 6000);
    // A pause of more than 200 ms, as on a busy machine, begins the count again: nine packets leave no room for one.
    let mut counts = Vec::new();
    while counts.len() < 3 && counts.last().is_none_or(|packets| *packets >= 10) {
        let Some(packets) = packets_of_a_loop(&router) else { return };
        counts.push(packets);
    }
    assert!(counts.last().is_some_and(|packets| *packets < 10), "{counts:?}");
}
