//! The client over UDP: against servers that lose, double, reorder, delay and damage what they echo.

mod util;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::process::{Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use echo_alex::testing::probe::set_received;
use rustix::process::Signal;
use serde_json::Value;
use util::client::{Client, client, end, port, run, start, stderr};
use util::network::{FAR, Faults, Network};
use util::udp::{serve, server};
use util::{field, noise, tool, wait};

/// A port where nothing listens.
fn closed_port() -> String {
    port(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// Runs a ping with `--json`, whose probes follow each other closely.
fn ping(arguments: &[&str], port: &str) -> Value {
    let all = [&["ping", "--udp", "--json", "-q", "-i0.01"], arguments, &["127.0.0.1", port]];
    let output = run(&all.concat(), b"");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn probes_of_any_length_come_back() {
    let port = server(|_, datagram, send| send(datagram));
    for size in ["40", "41", "1472", "9000", "65507"] {
        let report = ping(&["-c3", "-s", size], &port);
        assert_eq!((&report["received"], &report["damaged"]), (&3.into(), &0.into()), "{report}");
    }
    let output = run(&["ping", "--udp", "-c1", "-s1000", "127.0.0.1", &port], b"");
    let text = text(&output);
    assert!(text.starts_with("1000 bytes from 127.0.0.1: seq=1 time="), "{text}");
    assert!(text.contains("1 sent, 1 received, 0% loss"), "{text}");
}

#[test]
fn what_happens_to_probes_is_counted_and_has_a_line() {
    let mut held = Vec::new();
    let port = server(move |number, datagram, send| match number {
        2 => {}
        3 => (0..3).for_each(|_| send(datagram)),
        4 => held.clone_from(datagram),
        5 => {
            send(datagram);
            send(&held);
        }
        6 => {
            datagram[50] ^= 0x20;
            send(datagram);
        }
        7 => send(&datagram[..50]),
        8 => send(&[datagram.as_slice(), b"more"].concat()),
        9 => {
            send(b"");
            send(b"something else");
            send(datagram);
        }
        _ => send(datagram),
    });
    let arguments = ["ping", "--udp", "-c9", "-i0.01", "--timeout=2", "127.0.0.1", &port];
    let output = run(&arguments, b"");
    let printed = text(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!printed.contains("back after "), "{printed}");
    for line in [
        "127.0.0.1: seq=2 lost: no echo within 2 s\n",
        "64 bytes from 127.0.0.1: seq=3 duplicate\n64 bytes from 127.0.0.1: seq=3 duplicate\n",
        " out of order\n",
        "64 bytes from 127.0.0.1: seq=6 damaged\n",
        "50 bytes from 127.0.0.1: seq=7 damaged\n",
        "68 bytes from 127.0.0.1: seq=8 damaged\n",
        "\n3 damaged, 2 duplicates, 1 out of order, 2 not of this run\n",
    ] {
        assert!(printed.contains(line), "{line:?}: {printed}");
    }
}

#[test]
fn an_echo_after_the_timeout_is_late_and_not_lost() {
    let mut first: Option<(Instant, Vec<u8>)> = None;
    let port = server(move |number, datagram, send| {
        match &first {
            None if number == 1 => first = Some((Instant::now(), datagram.clone())),
            Some((came, held)) if came.elapsed() > Duration::from_millis(600) => {
                send(held);
                first = None;
            }
            _ => {}
        }
        if number > 1 {
            send(datagram);
        }
    });
    let report = ping(&["-c100", "--timeout=0.5"], &port);
    assert_eq!((&report["sent"], &report["late"]), (&100.into(), &1.into()), "{report}");
    assert_eq!((&report["lost"], &report["received"]), (&0.into(), &99.into()), "{report}");
    // It was missed all the same.
    assert_eq!(report["outage_count"], 1, "{report}");
}

#[test]
fn a_far_end_that_counts_tells_the_ways_apart() {
    let mut received = 0;
    let port = server(move |number, datagram, send| {
        // Every tenth is lost on the way there, 5 and 6 on the way back.
        if number % 10 != 0 {
            received += 1;
            assert!(set_received(datagram, |_| received));
            if number != 5 && number != 6 {
                send(datagram);
            }
        }
    });
    let report = ping(&["-c35", "--timeout=2"], &port);
    for (key, count) in [("lost", 5), ("lost_there", 3), ("lost_back", 2), ("lost_unknown", 0)] {
        assert_eq!(report[key], count, "{key}: {report}");
    }
}

#[test]
fn a_closed_port_is_said_in_words_and_costs_probes_and_no_more() {
    let number = closed_port();
    let output = run(&["ping", "--udp", "-c3", "-i0.01", "127.0.0.1", &number], b"");
    let (code, said) = end(&output);
    let words = format!("nothing listens on UDP port {number} of 127.0.0.1");
    assert!(code == 1 && said.contains(&format!("no echo came: {words}\n")), "{said}");
    let printed = text(&output);
    assert!(printed.contains(&format!("127.0.0.1: seq=3 lost: {words}\n")), "{printed}");
    assert!(printed.contains("3 sent, 0 received, 100% loss"), "{printed}");
}

#[test]
fn a_host_that_the_path_cannot_reach_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::between_namespaces(folder.path(), 1, Faults::default());
    let Some(network) = network else { return };
    let script =
        "echo 1 > /proc/sys/net/ipv4/ip_forward && ip route add unreachable 198.51.100.0/24";
    assert!(network.far("sh").args(["-c", script]).status().unwrap().success());
    let route = ["route", "add", "198.51.100.0/24", "via", FAR];
    assert!(network.near("ip").args(route).status().unwrap().success());
    let mut ping = network.near(client().get_program());
    let ping = ping.args(["ping", "--udp", "-c1", "--timeout=20", "198.51.100.1", "7"]);
    let output = ping.output().unwrap();
    let (code, said) = end(&output);
    assert!(code == 1 && said.contains(" 198.51.100.1: no route to host"), "{said}");
}

#[test]
fn a_server_that_is_started_again_ends_the_outage_and_ctrl_c_prints_the_summary() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let number = port(address);
    let mut ping = Client::start(&["ping", "--udp", "-i0.05", "127.0.0.1", &number], |command| {
        command.stdout(Stdio::piped());
    });
    let mut stdout = BufReader::new(ping.child.stdout.take().unwrap());
    let mut wait_for = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended without {words:?}");
        }
    };
    // An outage of a second has a line.
    wait_for("seq=25 lost: nothing listens on UDP port");
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || serve(&socket, |_, datagram, send| send(datagram)));
    wait_for("back after ");
    wait_for(" time=");
    ping.signal(Signal::INT);
    wait_for(" sent, ");
    wait_for("round trip min/avg/max/p99 = ");
    assert_eq!(ping.end(), 130);
}

/// Sends every datagram back, as the services of inetd do.
const NAIVE_ECHO: &str = "import socket, sys
far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
far.bind((sys.argv[1], 7))
print('ready', flush=True)
while True: far.sendto(*far.recvfrom(65535))";

#[test]
fn a_bad_line_is_reported_as_what_it_did() {
    for (way, seed) in [("there", 1), ("back", 2)] {
        let faults = Faults {
            there: 1000,
            back: 1000,
            extra: 20_000,
            lose: 500,
            double: 200,
            reorder: 300,
            corrupt: 100,
            only: Some(way),
        };
        let folder = tempfile::tempdir().unwrap();
        let Some(network) = Network::between_namespaces(folder.path(), seed, faults) else {
            return;
        };
        if tool("python3").is_none() {
            return;
        }
        let mut echo = network.far("python3");
        let mut echo = echo.args(["-c", NAIVE_ECHO, FAR]).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(echo.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let mut ping = network.near(client().get_program());
        ping.args(["ping", "--udp", "--json", "-q", "-c3000", "-i0.002", "-s200", "--timeout=2"]);
        let output = ping.args([FAR, "7"]).output().unwrap();
        echo.kill().unwrap();
        echo.wait().unwrap();
        let line = network.end();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let did = |what: &str| field(&line, &format!("udp_{way}_{what}")).parse::<u64>().unwrap();
        for (reported, what) in [
            ("lost", "lost"),
            ("duplicates", "duplicated"),
            ("out_of_order", "reordered"),
            ("damaged", "corrupted"),
        ] {
            assert!(did(what) > 0, "{what}: {line}");
            assert_eq!(report[reported], did(what), "{what}: {line}\n{report}");
        }
        let rest = 3000 - did("lost") - did("corrupted");
        // On a busy machine, an echo may be late.
        let came =
            ["received", "late"].map(|key| report[key].as_u64().unwrap()).iter().sum::<u64>();
        assert_eq!((&report["sent"], came), (&3000.into(), rest), "{report}");
        assert_eq!(report["foreign"], 0, "{report}");
    }
}

#[test]
fn each_line_is_a_datagram_and_its_answer_is_printed() {
    let port = server(|_, datagram, send| {
        let answer = format!("[{}]", String::from_utf8_lossy(datagram).trim_end());
        send(answer.as_bytes());
    });
    let mut child = start(&["--udp", "127.0.0.1", &port]);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for word in ["hello", "world"] {
        writeln!(stdin, "{word}").unwrap();
        let mut answer = [0; 7];
        stdout.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *format!("[{word}]").as_bytes());
    }
    drop(stdin);
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_file_comes_back_unchanged_from_a_slow_server() {
    let port = server(|_, datagram, send| {
        thread::sleep(Duration::from_millis(3));
        send(datagram);
    });
    let file = noise(3_000_000, 17);
    let output = run(&["--udp", "--verify", "127.0.0.1", &port], &file);
    let (code, said) = end(&output);
    assert!(code == 0 && output.stdout == file, "{said}");
    assert!(said.contains(" 3000000 bytes, came back as they were sent"), "{said}");
}

#[test]
fn what_is_not_answered_or_answered_wrongly_is_an_error() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = port(socket.local_addr().unwrap());
    let closed = closed_port();
    let wrong = server(|_, _, send| send(b"wrong"));
    let twice = server(|_, datagram, send| {
        send(datagram);
        send(datagram);
    });
    let unanswered = "of 1 datagrams, 0 were answered: sent 5 bytes, received 0";
    for (server, arguments, code, words) in [
        (&silent, &["--timeout=0.3"][..], 1, unanswered),
        (&silent, &["--timeout=0.3", "--verify"], 1, unanswered),
        (&closed, &["--timeout=600"], 2, "nothing listens on UDP port"),
        (&wrong, &["--verify"], 1, "a datagram came that was not sent, or came twice"),
    ] {
        let output = run(&[&["--udp"], arguments, &["127.0.0.1", server]].concat(), b"hello");
        let (is, said) = end(&output);
        assert!(is == code && said.contains(words), "{is}: {said}");
    }
    // The input does not end, so the second answer comes.
    let mut child = start(&["--udp", "--verify", "127.0.0.1", &twice]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello").unwrap();
    assert_eq!(wait(&mut child).code(), Some(1));
    drop(stdin);
}

/// Runs a bench with `--json`: its last object.
fn bench(arguments: &[&str], port: &str) -> Value {
    let all = [&["bench", "--udp", "--json", "-q"], arguments, &["127.0.0.1", port]];
    let output = run(&all.concat(), b"");
    let printed = text(&output);
    let last = printed.lines().last().unwrap_or_else(|| panic!("{output:?}"));
    serde_json::from_str(last).unwrap()
}

#[test]
fn a_bench_counts_what_is_lost_and_goes_on() {
    // Every tenth is lost, every eleventh comes twice.
    let lose = |number: u64, datagram: &mut Vec<u8>, send: &dyn Fn(&[u8])| {
        let copies = match number {
            _ if number.is_multiple_of(10) => 0,
            _ if number.is_multiple_of(11) => 2,
            _ => 1,
        };
        (0..copies).for_each(|_| send(datagram));
    };
    for pace in [&["--rate=500", "--duration=1"][..], &["--depth=40", "--duration=1"]] {
        let report = bench(&[pace, &["--size=200", "--timeout=0.5"]].concat(), &server(lose));
        let count = |key: &str| report[key].as_u64().unwrap();
        let sent = count("sent");
        assert!(sent > 100 && report["transport"] == "udp", "{report}");
        assert_eq!(count("lost"), sent / 10, "{report}");
        assert_eq!(count("messages") + count("lost") + count("late"), sent, "{report}");
        assert_eq!(count("duplicates"), sent / 11 - sent / 110, "{report}");
        assert_eq!(count("bytes_each_way"), 200 * count("messages"), "{report}");
    }
}

#[test]
fn the_sessions_of_a_bench_have_sockets_and_runs_of_their_own() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let number = port(socket.local_addr().unwrap());
    let (sender, count) = channel();
    thread::spawn(move || {
        let (mut buffer, mut peers) = ([0; 64], HashSet::new());
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if peers.insert((peer, buffer[8..16].to_vec())) {
                sender.send(peers.len()).unwrap();
            }
            let _ = socket.send_to(&buffer[..length], peer);
        }
    });
    let report = bench(&["--connections=20", "--depth=2", "--duration=0.5"], &number);
    assert_eq!((count.try_iter().last(), &report["lost"]), (Some(20), &0.into()), "{report}");
}

#[test]
fn a_bench_of_a_server_that_is_not_there_fails_in_words() {
    for (arguments, server, code, words) in [
        (&["--duration=600"][..], closed_port(), 2, "nothing listens on UDP port"),
        (
            &["--duration=0.1", "--timeout=0.1"],
            server(|_, _, _| {}),
            1,
            "no echo came: no echo within",
        ),
    ] {
        let all = [&["bench", "--udp", "-q"], arguments, &["127.0.0.1", &server]].concat();
        let (is, said) = end(&run(&all, b""));
        assert!(is == code && said.contains(words), "{is}: {said}");
    }
}
