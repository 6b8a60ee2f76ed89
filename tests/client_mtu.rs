//! `mtu`: networks that limit the length of packets, say so, say nothing, or lie about it.

mod util;

use std::collections::HashMap;
use std::net::UdpSocket;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use util::client::{Client, client, end, port, run, stderr};
use util::router::{FAR, NEAR, Router};
use util::udp::{Echo, echo};
use util::{Daemon, tool};

/// A router, with an echo on its far host.
fn router(mtu: &str) -> Option<(Router, Echo)> {
    tool("python3")?;
    let router = Router::new(mtu)?;
    let echo = Echo::start(router.far("python3"), "::", 5000);
    Some((router, echo))
}

/// What the near host finds out, and the exit code.
fn found(router: &Router, address: &str) -> (Value, i32) {
    let mut command = router.near(client().get_program().to_str().unwrap());
    let output = command.args(["mtu", "--json", "-q", address]).output().unwrap();
    report(&output)
}

fn report(output: &Output) -> (Value, i32) {
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", stderr(output)));
    (report, output.status.code().unwrap())
}

#[test]
fn what_a_router_says_is_what_arrives() {
    let Some((router, _echo)) = router("1400") else { return };
    for (address, headers) in FAR.into_iter().zip([28, 48]) {
        let (report, code) = found(&router, address);
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(report["limit"], "path", "{report:#}");
        assert_eq!(report["packet_bytes"], 1400);
        assert_eq!(report["datagram_bytes"], 1400 - headers);
        assert_eq!(report["lost_packet_bytes"], 1401);
        assert_eq!(report["path_mtu"], 1400);
        assert_eq!(
            (report["interface"].as_str(), &report["interface_mtu"]),
            (Some("n0"), &1500.into())
        );
        assert_eq!(report["explanation"], "the path says 1400, and 1400 arrives");
    }
}

#[test]
fn the_daemon_is_the_echo_that_it_needs() {
    let Some(router) = Router::new("1400") else { return };
    let config = "[[listener]]\nname = \"udp\"\nlisten = 5000\ntransport = \"udp\"\n\
                  allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let _daemon = Daemon::start_through(folder, config, &router.script_for_far());
    for address in FAR {
        let (report, code) = found(&router, address);
        assert_eq!((code, &report["packet_bytes"]), (0, &1400.into()), "{report:#}");
    }
}

#[test]
fn a_path_that_limits_nothing_passes_what_the_interface_sends() {
    let Some((router, _echo)) = router("1500") else { return };
    for address in FAR {
        let (report, code) = found(&router, address);
        assert_eq!((code, &report["packet_bytes"]), (0, &1500.into()), "{report:#}");
        assert_eq!((&report["limit"], &report["path_mtu"]), (&"interface".into(), &Value::Null));
        assert_eq!(report["explanation"], "1500 arrives, as much as n0 sends");
    }
}

#[test]
fn a_router_that_drops_and_says_nothing_is_a_black_hole() {
    let Some((router, _echo)) = router("1380") else { return };
    if !router.rule("output", "icmp type destination-unreachable drop")
        || !router.rule("output", "icmpv6 type packet-too-big drop")
    {
        return;
    }
    for address in FAR {
        let (report, code) = found(&router, address);
        assert_eq!((code, &report["packet_bytes"]), (1, &1380.into()), "{report:#}");
        assert_eq!((&report["limit"], &report["path_mtu"]), (&"black-hole".into(), &Value::Null));
        let words =
            "nothing larger than 1380 arrives, and no ICMP message reports it: a black hole";
        assert_eq!(report["explanation"], words);
    }
}

#[test]
fn a_black_hole_behind_a_router_that_speaks_is_found() {
    let Some((router, _echo)) = router("1420") else { return };
    if !router.rule("forward", "meta length > 1380 drop") {
        return;
    }
    // The route says what a router would have said.
    for address in FAR {
        router.limit_there(address, "1420");
        let (report, code) = found(&router, address);
        assert_eq!((code, &report["packet_bytes"]), (1, &1380.into()), "{report:#}");
        assert_eq!((&report["limit"], &report["path_mtu"]), (&"black-hole".into(), &1420.into()));
        let words = "the path says 1420, but nothing larger than 1380 arrives: a black hole";
        assert_eq!(report["explanation"], words);
    }
}

#[test]
fn what_the_path_said_wrongly_is_found_by_what_arrives() {
    let Some((router, _echo)) = router("1500") else { return };
    for address in FAR {
        router.limit_there(address, "1300");
        let (report, code) = found(&router, address);
        assert_eq!((code, &report["packet_bytes"]), (0, &1500.into()), "{report:#}");
        assert_eq!(report["path_mtu"], 1300);
        let words =
            "1500 arrives, as much as n0 sends; the path says 1300, which is wrong or out of date";
        assert_eq!(report["explanation"], words);
    }
}

#[test]
fn a_way_back_that_is_narrower_has_fragments_and_limits_nothing() {
    let Some((router, _echo)) = router("1500") else { return };
    router.limit_back("1400");
    for (near, address) in NEAR.into_iter().zip(FAR) {
        let (report, code) = found(&router, address);
        assert_eq!((code, &report["packet_bytes"]), (0, &1500.into()), "{report:#}");
        assert_eq!(report["limit"], "interface");
        let route = router.far("ip").args(["route", "get", near]).output().unwrap().stdout;
        let route = String::from_utf8(route).unwrap();
        assert!(route.contains(" mtu 1400"), "the far host has not heard of the limit: {route}");
    }
}

#[test]
fn lost_packets_are_not_taken_for_long_ones() {
    let mut seen = HashMap::new();
    let port = echo(move |datagram| {
        // The first two of each length are lost, and all that are longer than 1000 bytes.
        let count = seen.entry(datagram.len()).or_insert(0);
        *count += 1;
        (datagram.len() <= 1000 && *count > 2).then_some(datagram)
    });
    let (report, code) = report(&run(&["mtu", "--json", "-q", "127.0.0.1", &port], b""));
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        (&report["datagram_bytes"], &report["lost_packet_bytes"]),
        (&1000.into(), &1029.into())
    );
    assert_eq!(report["limit"], "black-hole");
}

#[test]
fn datagrams_that_come_back_cut_are_told_from_those_that_do_not_come_back() {
    let port = echo(|mut datagram| {
        datagram.truncate(512);
        Some(datagram)
    });
    let output = run(&["mtu", "127.0.0.1", &port], b"");
    let (code, said) = end(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(text.contains("datagram   512 bytes come back whole\n"), "{text}");
    assert!(text.ends_with("nothing larger than 540 comes back as it was sent\n"), "{text}");
    assert!(said.contains("\n541 bytes: no echo\n"), "{said}");
    let line = "echo-alex-client: packets of more than 540 bytes do not come back as they were, and \
                the path does not say so\n";
    assert!(said.ends_with(line), "{said}");
}

#[test]
fn all_that_ip_can_carry_passes_the_loopback() {
    let output = run(&["mtu", "127.0.0.1", &echo(Some)], b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.contains("datagram   65507 bytes come back whole\n"), "{text}");
    assert!(text.contains("packet     65535 bytes, with 20 for IPv4 and 8 for UDP\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn answers_that_are_none_are_ignored() {
    let port = echo(|mut datagram| {
        datagram[12] ^= 1;
        Some(datagram)
    });
    let (code, said) = end(&run(&["mtu", "--timeout=0.5", "127.0.0.1", &port], b""));
    assert_eq!(code, 4, "{said}");
    assert!(said.ends_with("echo-alex-client: no echo within 0.5 s\n"), "{said}");
}

#[test]
fn a_far_end_that_is_not_there_is_said_in_words() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = port(free.local_addr().unwrap());
    let (code, said) = end(&run(&["mtu", "-q", "--timeout=0.3", "127.0.0.1", &silent], b""));
    assert_eq!((code, said.as_str()), (4, "echo-alex-client: no echo within 0.3 s\n"));
    drop(free);
    let (code, said) = end(&run(&["mtu", "-q", "127.0.0.1", &silent], b""));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(said.contains(&format!("nothing listens on UDP port {silent} of 127.0.0.1")), "{said}");
    let (code, said) = end(&run(&["mtu", "--tls", "127.0.0.1"], b""));
    assert_eq!(code, 64, "{said}");
}

#[test]
fn an_interrupted_search_prints_what_is_known() {
    // Long datagrams are lost, so that the search takes a while.
    let port = echo(|datagram| (datagram.len() < 1000).then_some(datagram));
    let mut search = Client::start(&["mtu", "127.0.0.1", &port], |command| {
        command.stdout(Stdio::piped());
    });
    search.wait_for("65535 bytes: no echo");
    search.signal(Signal::INT);
    assert_eq!(search.end(), 130);
    let text = std::io::read_to_string(search.child.stdout.take().unwrap()).unwrap();
    assert!(text.ends_with(" arrives; the search did not end\n"), "{text}");
}
