//! Echo and discard over UDP: who gets an answer, from which address, how fast, and that no loop lasts.

mod util;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use echo_alex::testing::probe::{Header, Verdict, verify};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use util::udp::{refused_of, statistics, wait_for_refusal};
use util::{Daemon, PATIENCE, PLAIN, Running, WEB, assert_echo, field, noise, tool};

/// A UDP listener on a port that the kernel chooses.
const UDP: &str = "
[[listener]]
name = \"udp\"
listen = \"127.0.0.1:0\"
transport = \"udp\"
";

/// A socket of the test, which waits for answers with patience.
fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends `bytes` to `to`, which must come back from there.
fn assert_datagram(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    socket.send_to(bytes, to).unwrap();
    let mut back = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut back).unwrap();
    assert_eq!(from, to);
    assert!(back[..length] == *bytes, "{length} bytes of {} came back", bytes.len());
}

#[test]
fn a_datagram_of_any_size_comes_back_as_it_was() {
    let daemon = Daemon::start(UDP);
    let (address, socket) = (daemon.address("udp"), socket("127.0.0.1:0"));
    let sizes = [0, 1, 64, 1472, 1473, 9000, 65_507];
    for size in sizes {
        assert_datagram(&socket, address, &noise(size, size as u64));
    }
    assert_eq!(refused_of(&daemon, sizes.len() as u64), 0);
    let bytes: usize = sizes.iter().sum();
    assert_eq!(field(&statistics(&daemon), "echoed"), bytes.to_string());
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let daemon = Daemon::start(&UDP.replace("\"127.0.0.1:0\"", "0"));
    let port = daemon.address("udp").port();
    for address in ["127.0.0.1", "127.0.0.5", "::1"] {
        let own = if address == "::1" { "[::]:0" } else { "0.0.0.0:0" };
        if address == "::1" && UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped: this machine has no IPv6");
            continue;
        }
        let to = SocketAddr::new(address.parse().unwrap(), port);
        assert_datagram(&socket(own), to, address.as_bytes());
    }
}

#[test]
fn nc_and_socat_get_their_bytes_back() {
    let daemon = Daemon::start(UDP);
    let address = daemon.address("udp");
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    for (name, arguments) in [
        ("nc", vec!["-u".to_owned(), ip, port]),
        ("socat", vec!["-".to_owned(), format!("UDP:{address}")]),
    ] {
        let Some(mut command) = tool(name) else { continue };
        command.args(arguments);
        let mut program = Running::start(command);
        for line in ["one\n", "two\n"] {
            program.write(line.as_bytes());
            assert_eq!(program.read(line.len()), line.as_bytes(), "{name}");
        }
    }
}

#[test]
fn report_counts_the_probes_of_each_run_and_echoes_the_rest() {
    let daemon = Daemon::start(&format!("{UDP}service = \"report\"\n"));
    let (to, sockets) = (daemon.address("udp"), [socket("127.0.0.1:0"), socket("127.0.0.1:0")]);
    for number in 1..=20 {
        for (socket, token) in [(&sockets[0], 1), (&sockets[0], 2), (&sockets[1], 1)] {
            let sent = Header { token, sequence: 100 - number, sent: 5, received: 0 };
            let (mut datagram, mut back) = (Vec::new(), [0; 200]);
            sent.write(150, &mut datagram);
            socket.send_to(&datagram, to).unwrap();
            let length = socket.recv(&mut back).unwrap();
            let came = verify(&back[..length], token);
            assert_eq!(came, Verdict::Whole(Header { received: number, ..sent }));
        }
        assert_datagram(&sockets[0], to, &noise(150, number));
    }
    assert_eq!(refused_of(&daemon, 80), 0);
}

#[test]
fn discard_counts_and_answers_nothing() {
    let daemon = Daemon::start(&format!("{UDP}service = \"discard\"\n"));
    let socket = socket("127.0.0.1:0");
    for _ in 0..5 {
        socket.send_to(b"the same", daemon.address("udp")).unwrap();
    }
    assert_eq!(refused_of(&daemon, 5), 0);
    assert_eq!(field(&statistics(&daemon), "discarded"), "40");
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_source_outside_of_the_allowed_networks_gets_no_answer() {
    let daemon = Daemon::start(&format!("{UDP}allow = [\"127.0.0.8/30\"]\n"));
    let address = daemon.address("udp");
    socket("127.0.0.1:0").send_to(b"from elsewhere", address).unwrap();
    // The first and the last address of the network are no hosts.
    socket("127.0.0.8:0").send_to(b"from the network", address).unwrap();
    socket("127.0.0.11:0").send_to(b"from its broadcast", address).unwrap();
    assert_datagram(&socket("127.0.0.9:0"), address, b"from a host");
    wait_for_refusal(&daemon, "not-allowed");
    assert_eq!(refused_of(&daemon, 4), 3);

    daemon.rewrite_config(&format!("{UDP}allow = [\"127.0.0.1\"]\n"));
    assert!(daemon.reload().ends_with(" reloaded"));
    assert_datagram(&socket("127.0.0.1:0"), address, b"allowed now");
    socket("127.0.0.9:0").send_to(b"from a host", address).unwrap();
    assert_eq!(refused_of(&daemon, 6), 4);
}

#[test]
fn a_source_on_a_port_where_we_or_others_answer_gets_no_answer() {
    let daemon = Daemon::start(UDP);
    let address = daemon.address("udp");
    let mut sent = 0;
    // The first of these needs privileges; the others may be in use.
    for port in [7, 1900, 5353, address.port()] {
        let Ok(socket) = UdpSocket::bind(("127.0.0.2", port)) else { continue };
        socket.send_to(b"hello", address).unwrap();
        sent += 1;
    }
    assert!(sent > 0);
    wait_for_refusal(&daemon, "port-of-a-service");
    assert_eq!(refused_of(&daemon, sent), sent);
}

#[test]
fn one_source_and_all_together_get_answers_at_the_configured_rates() {
    let limits = "[limits]\ndatagrams-per-second = 4\ndatagrams-per-second-per-address = 2\n";
    let daemon = Daemon::start(&format!("{limits}{UDP}"));
    let address = daemon.address("udp");
    let sources = [2, 3, 4, 5].map(|last| socket(&format!("127.0.0.{last}:0")));
    // The daemon finds all of them at the same time, or within a moment.
    daemon.signal(Signal::STOP);
    for (place, source) in sources.iter().enumerate() {
        for number in 0..25 {
            source.send_to(&noise(64, 100 * place as u64 + number), address).unwrap();
        }
    }
    daemon.signal(Signal::CONT);
    let refused = refused_of(&daemon, 100);
    assert!((90..100).contains(&refused), "{refused} were refused");
    wait_for_refusal(&daemon, "datagrams-per-second-per-address");

    daemon.rewrite_config(&format!("[limits]\ndatagrams-per-second = 1000000\n{UDP}"));
    assert!(daemon.reload().ends_with(" reloaded"));
    let source = socket("127.0.0.6:0");
    for number in 0..250 {
        assert_datagram(&source, address, &noise(64, 1000 + number));
    }
}

/// Begins an exchange with `address`, as a packet with the forged source of a server would, and answers like that
/// server, with what `answer` makes of a datagram. How many it answers until there is silence.
fn exchange(address: SocketAddr, answer: impl Fn(&[u8], usize) -> Vec<u8>) -> usize {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    server.send_to(&answer(b"forged", 0), address).unwrap();
    let (mut buffer, mut answered) = ([0; 2048], 0);
    while let Ok((length, from)) = server.recv_from(&mut buffer) {
        answered += 1;
        assert!(answered < 100, "the loop goes on");
        server.send_to(&answer(&buffer[..length], answered), from).unwrap();
    }
    answered
}

#[test]
fn a_loop_with_a_naive_echo_ends_after_less_than_ten_packets() {
    let daemon = Daemon::start(UDP);
    let answers = exchange(daemon.address("udp"), |bytes, _| bytes.to_vec());
    // The forged packet, our answers and theirs.
    assert!(1 + 2 * answers < 10, "{answers} answers");
    assert_eq!(answers, 3);
    wait_for_refusal(&daemon, "loop");
    assert_eq!(refused_of(&daemon, 4), 1);
}

#[test]
fn a_loop_with_a_chargen_ends_after_less_than_ten_packets() {
    let ring: Vec<u8> = (b' '..=b'~').cycle().take(1000).collect();
    let daemon = Daemon::start(UDP);
    let answers = exchange(daemon.address("udp"), |_, count| {
        let start = count * 7 % 95;
        ring[start..start + 72].to_vec()
    });
    assert!(1 + 2 * answers < 10, "{answers} answers");
    wait_for_refusal(&daemon, "loop");
}

#[test]
fn many_packets_in_loops_at_the_same_time_all_end() {
    let daemon = Daemon::start(UDP);
    let address = daemon.address("udp");
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    echo.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    for number in 0..50_u64 {
        echo.send_to(&noise(64, number), address).unwrap();
    }
    let (mut buffer, mut answers) = ([0; 2048], 0);
    while let Ok((length, from)) = echo.recv_from(&mut buffer) {
        answers += 1;
        assert!(answers < 1000, "the loops go on");
        echo.send_to(&buffer[..length], from).unwrap();
    }
    // The source is paused when the first of them is found; two of them may share a place in the table.
    assert!(answers <= 50 * 4, "{answers} answers");
}

#[test]
fn two_of_ours_that_a_forged_packet_sets_on_each_other_fall_silent() {
    let [one, other] = ["127.0.0.1:0", "127.0.0.2:0"].map(|address| {
        let config = UDP.replace("127.0.0.1:0", address);
        Daemon::start(&format!("{config}allow = [\"127.0.0.0/8\"]\n"))
    });
    // A packet with the source address of the other: from a socket that shares its port and is gone before the
    // answer comes.
    let shared = reserved();
    let config = UDP.replace("127.0.0.1:0", &shared.to_string()) + "reuse-port = true\n";
    other.rewrite_config(&config);
    assert!(other.reload().ends_with(" reloaded"));
    one.signal(Signal::STOP);
    let forger = sharing(shared);
    forger.send_to(b"forged", one.address("udp")).unwrap();
    drop(forger);
    one.signal(Signal::CONT);
    wait_for_refusal(&one, "loop");
    assert_eq!(refused_of(&one, 4), 1);
    assert_eq!(refused_of(&other, 3), 0);
}

/// An address of 127.0.0.1 that no UDP socket has.
fn reserved() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A socket that shares `address`.
fn sharing(address: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.into()
}

#[test]
fn a_client_that_repeats_itself_slowly_is_no_loop() {
    let daemon = Daemon::start(UDP);
    let (address, socket) = (daemon.address("udp"), socket("127.0.0.1:0"));
    for _ in 0..6 {
        assert_datagram(&socket, address, b"the same each time");
        thread::sleep(Duration::from_millis(300));
    }
    // And three times at once, from each port anew.
    for _ in 0..3 {
        let socket = self::socket("127.0.0.1:0");
        for _ in 0..3 {
            assert_datagram(&socket, address, b"the same each time");
        }
    }
    assert_eq!(refused_of(&daemon, 15), 0);
}

#[test]
fn a_reload_adds_moves_and_removes_udp_listeners() {
    let daemon = Daemon::start(PLAIN);
    let tcp = daemon.address("plain");
    // The same port, for datagrams.
    let udp = UDP.replace("127.0.0.1:0", &tcp.to_string());
    daemon.rewrite_config(&format!("{PLAIN}{udp}"));
    assert!(daemon.reload().ends_with(" reloaded"));
    let client = socket("127.0.0.1:0");
    assert_datagram(&client, tcp, b"added");
    assert_echo(&mut daemon.connect("plain"), b"still there");

    // From one address to all, and back.
    let port = tcp.port();
    for (listen, address) in [(port.to_string(), "127.0.0.3"), (format!("\"{tcp}\""), "127.0.0.1")]
    {
        let udp = udp.replace(&format!("\"{tcp}\""), &listen);
        daemon.rewrite_config(&format!("{PLAIN}{udp}"));
        assert!(daemon.reload().ends_with(" reloaded"));
        assert_datagram(&client, (address.parse::<Ipv4Addr>().unwrap(), port).into(), b"moved");
    }

    daemon.rewrite_config(PLAIN);
    assert!(daemon.reload().ends_with(" reloaded"));
    // The kernel says that nobody is there.
    client.connect(tcp).unwrap();
    client.send(b"removed").unwrap();
    assert_eq!(client.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_stop_answers_what_has_come_and_closes_the_socket() {
    let mut daemon = Daemon::start(UDP);
    let (address, client) = (daemon.address("udp"), socket("127.0.0.1:0"));
    daemon.signal(Signal::STOP);
    for number in 0..200_u64 {
        client.send_to(&number.to_be_bytes(), address).unwrap();
    }
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::CONT);
    for number in 0..200_u64 {
        let mut back = [0; 8];
        assert_eq!(client.recv(&mut back).unwrap(), 8);
        assert_eq!(back, number.to_be_bytes());
    }
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn the_metrics_have_what_was_received_and_refused() {
    let daemon = Daemon::start(&format!("{UDP}allow = [\"127.0.0.1\"]\n{WEB}"));
    let address = daemon.address("udp");
    assert_datagram(&socket("127.0.0.1:0"), address, b"hello");
    socket("127.0.0.9:0").send_to(b"hello", address).unwrap();
    refused_of(&daemon, 2);
    let mut web: TcpStream = daemon.connect("web");
    web.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    web.read_to_string(&mut text).unwrap();
    for line in [
        "echo_alex_received_datagrams_total{listener=\"udp\"} 2",
        "echo_alex_refused_datagrams_total{listener=\"udp\",reason=\"not-allowed\"} 1",
        "echo_alex_refused_datagrams_total{listener=\"udp\",reason=\"loop\"} 0",
        "echo_alex_received_bytes_total{listener=\"udp\"} 10",
        "echo_alex_sent_bytes_total{listener=\"udp\"} 5",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    // Nothing of this is about the others.
    assert!(!text.contains("datagrams_total{listener=\"web\""), "{text}");
}
