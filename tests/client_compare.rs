//! `compare`: UDP, TCP and TLS beside each other, over good and bad networks, and where one of them is missing.

mod util;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use util::client::{Client, client, end, port, run, server_of_many, stderr};
use util::network::{FAR, Faults, Network};
use util::udp::{self, Echo};
use util::{Daemon, PATIENCE, PLAIN, ReservedPort, TLS, field, plain_and_tls, tool};

/// Compares with the daemon, and with a UDP echo at this port.
fn compared(daemon: &Daemon, udp: &str, options: &[&str]) -> Output {
    let (tcp, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let ports = ["--udp-port", udp, "--tls-port", &tls, "127.0.0.1", &tcp];
    let probes_alone = ["compare", "-q", "--insecure", "-i0.01", "--throughput=0s"];
    run(&[&probes_alone[..], options, &ports].concat(), b"")
}

/// The report, with its rows by the names of the transports.
fn report(output: &Output) -> (Value, Value, Value) {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(output)));
    let row = |name: &str| {
        let rows = report["transports"].as_array().unwrap();
        rows.iter().find(|row| row["transport"] == name).unwrap().clone()
    };
    (row("udp"), row("tcp"), row("tls"))
}

fn figure(row: &Value, pointer: &str) -> f64 {
    row.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {row:#}"))
}

#[test]
fn each_transport_has_its_row_and_all_their_handshakes() {
    let listener = "[[listener]]\nname = \"udp\"\nlisten = \"127.0.0.1:0\"\ntransport = \"udp\"\n";
    let config = format!("{PLAIN}{TLS}{listener}");
    let daemon = Daemon::start_in(util::folder_with_certificates(), &config, |_| {});
    let port = port(daemon.address("udp"));
    let output = compared(&daemon, &port, &["-c20", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (udp, tcp, tls) = report(&output);
    for row in [&udp, &tcp, &tls] {
        assert_eq!(
            (&row["sent"], &row["received"], &row["lost"]),
            (&20.into(), &20.into(), &0.into())
        );
        assert!(figure(row, "/delay/p50_ms") > 0.0 && figure(row, "/jitter_ms") > 0.0, "{row:#}");
        assert_eq!(row["error"], Value::Null);
    }
    assert!(udp["connect"].is_null() && udp["handshake"].is_null() && udp["facts"].is_null());
    assert!(figure(&tcp, "/connect/p50_ms") > 0.0 && tcp["handshake"].is_null());
    assert!(figure(&tls, "/connect/p50_ms") > 0.0 && figure(&tls, "/handshake/p50_ms") > 0.0);
    assert_eq!(tls["facts"]["resumed"], false, "each is a whole handshake");
    assert_eq!((&udp["duplicates"], &tcp["duplicates"]), (&0.into(), &Value::Null));
    // TLS 1.2 gives its ticket with the handshake.
    let old = compared(&daemon, &port, &["-c1", "--json", "--tls-version", "1.2"]);
    let (_, _, tls) = report(&old);
    assert_eq!(
        (&tls["facts"]["version"], &tls["facts"]["resumed"]),
        (&"1.2".into(), &false.into())
    );
}

#[test]
fn the_table_has_80_columns_and_what_cannot_be_reached_is_said_in_its_row() {
    let daemon = plain_and_tls();
    let free = ReservedPort::new();
    let (number, tls) = (free.number.to_string(), port(daemon.address("tls")));
    let tcp = port(daemon.address("plain"));
    // Neither the UDP port is open nor the certificate trusted.
    let ports = ["--udp-port", &number, "--tls-port", &tls, "127.0.0.1", &tcp];
    let output =
        run(&[&["compare", "-q", "-c5", "-i0.01", "--throughput=0s"], &ports[..]].concat(), b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("ms    port   sent    loss      p50"), "{text}");
    assert!(
        text.contains(&format!("    nothing listens on UDP port {number} of 127.0.0.1\n")),
        "{text}"
    );
    let row = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap();
    let cells: Vec<&str> = row("TCP").split_whitespace().collect();
    assert_eq!(cells[..4], ["TCP", &tcp, "5", "0%"], "{text}");
    assert_eq!(row("TLS").split_whitespace().count(), 2, "no figures: {text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("which is not in the system's list of CAs"), "{text}");
}

#[test]
fn a_host_without_any_of_them_is_an_error() {
    let free = ReservedPort::new();
    let number = free.number.to_string();
    let ports = ["--udp-port", &number, "--tls-port", &number, "127.0.0.1", &number];
    let output = run(&[&["compare", "-q", "-c2", "-i0.01"], &ports[..]].concat(), b"");
    let (code, said) = end(&output);
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(said.contains("nothing listens on UDP port"), "{said}");
    for row in ["UDP", "TCP", "TLS"] {
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("{row} ")));
    }
}

#[test]
fn loss_is_loss_over_udp_on_its_way_and_delay_over_tcp_and_tls() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { there: 2000, back: 2000, lose: 1000, ..Faults::default() };
    let Some(network) = Network::between_namespaces(folder.path(), 1, faults) else { return };
    let config = format!(
        "[[listener]]\nname = \"plain\"\nlisten = \"{FAR}:5000\"\n\
         [[listener]]\nname = \"tls\"\nlisten = \"{FAR}:5001\"\n[listener.tls]\n\
         [[listener]]\nname = \"udp\"\nlisten = \"{FAR}:5000\"\ntransport = \"udp\"\n\
         service = \"report\"\n"
    );
    let home = tempfile::tempdir().unwrap();
    let _daemon = Daemon::start_through(home, &config, &network.script_for_far());
    let mut command = network.near(client().get_program());
    let options = ["compare", "--json", "-q", "--insecure", "-c150", "-i0.02", "--throughput=0s"];
    let output = command.args(options).arg(FAR).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let (udp, tcp, tls) = report(&output);
    let line = network.end();
    let did = |what: &str| field(&line, what).parse::<u64>().unwrap();
    let (there, back) = (did("udp_there_lost"), did("udp_back_lost"));
    assert!(there > 0 && back > 0, "{line}");
    let count = |key: &str| udp[key].as_u64().unwrap_or_else(|| panic!("{key}: {udp:#}"));
    assert_eq!(count("lost"), there + back, "{line}\n{udp:#}");
    // The losses behind the last echo can be on either way.
    let unknown = count("lost_unknown");
    assert_eq!(count("lost_there") + count("lost_back") + unknown, there + back, "{udp:#}");
    assert!(count("lost_there") <= there && count("lost_back") <= back, "{line}\n{udp:#}");
    assert!(figure(&udp, "/delay/p50_ms") >= 4.0, "{udp:#}");
    for row in [&tcp, &tls] {
        assert_eq!((&row["sent"], &row["lost"]), (&150.into(), &0.into()), "{row:#}");
        assert!(figure(row, "/retransmits") > 0.0 && row["lost_there"].is_null(), "{row:#}");
        // The least timeout of Linux is 200 ms.
        assert!(figure(row, "/delay/max_ms") > figure(row, "/delay/p50_ms") + 4.0, "{row:#}");
    }
}

#[test]
fn each_transport_is_kept_full_by_turns_and_has_its_throughput() {
    let daemon = plain_and_tls();
    // Every fifth datagram of the load is lost, which leaves its place after a time.
    let mut number = 0;
    let udp = udp::echo(move |datagram| {
        number += u64::from(datagram.len() == 1400);
        (datagram.len() == 64 || number % 5 != 0).then_some(datagram)
    });
    let output = compared(&daemon, &udp, &["-c3", "--throughput=0.4", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (udp_row, tcp, tls) = report(&output);
    for row in [&udp_row, &tcp, &tls] {
        let least = if *row == udp_row { 5.0 * 1400.0 } else { 1e5 };
        assert!(figure(row, "/throughput_bytes_per_s") > least, "{row:#}");
        assert_eq!((&row["received"], &row["lost"]), (&3.into(), &0.into()), "{row:#}");
    }
    let output = compared(&daemon, &udp, &["-c3", "--throughput=0.4"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("\n    throughput ").count(), 3, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let output = compared(&daemon, &udp, &["-c3", "--json"]);
    let (udp, ..) = report(&output);
    assert!(udp["throughput_bytes_per_s"].is_null(), "{udp:#}");
}

#[test]
fn a_far_end_that_stops_for_a_while_shows_in_each_transport() {
    const GAP: Duration = Duration::from_secs(1);

    if tool("python3").is_none() {
        return;
    }
    let daemon = plain_and_tls();
    let mut echo = Echo::start(Command::new("python3"), "127.0.0.1", 0);
    let udp = echo.port.clone();
    let (tcp, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let ports = ["--udp-port", &udp, "--tls-port", &tls, "127.0.0.1", &tcp];
    let options = ["compare", "--json", "-q", "--insecure", "-c100", "-i0.03", "--throughput=0s"];
    let mut command = client();
    let client = command.args(options).args(ports).stdout(Stdio::piped()).spawn().unwrap();
    echo.wait_for_datagram();
    let far = [daemon.pid(), echo.process()].map(|pid| Pid::from_raw(pid.cast_signed()).unwrap());
    for (signal, time) in [(Signal::STOP, GAP), (Signal::CONT, Duration::ZERO)] {
        for process in far {
            kill_process(process, signal).unwrap();
        }
        thread::sleep(time);
    }
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success());
    let (udp, tcp, tls) = report(&output);
    for row in [&udp, &tcp, &tls] {
        assert_eq!((&row["sent"], &row["lost"]), (&100.into(), &0.into()), "{row:#}");
        // The first probe in the gap has waited for most of it.
        assert!(figure(row, "/delay/max_ms") > 900.0, "{row:#}");
        assert!(figure(row, "/delay/p50_ms") < 900.0, "{row:#}");
    }
}

#[test]
fn a_connection_that_ends_is_said_and_the_others_go_on() {
    let daemon = plain_and_tls();
    // It echoes three messages in each connection. It reads on, so that no reset overtakes an echo.
    let ending = server_of_many(|mut stream| {
        let mut message = [0; 64];
        for _ in 0..3 {
            if stream.read_exact(&mut message).is_ok() {
                let _ = stream.write_all(&message);
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let tls = port(daemon.address("tls"));
    let udp = udp::echo(Some);
    let ports = ["--udp-port", &udp, "--tls-port", &tls, "127.0.0.1", &ending];
    let options = ["compare", "--json", "-q", "--insecure", "-c10", "-i0.02", "--throughput=0s"];
    let output = run(&[&options[..], &ports].concat(), b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let (udp, tcp, tls) = report(&output);
    assert_eq!((&udp["received"], &tls["received"]), (&10.into(), &10.into()));
    assert_eq!(tcp["received"], 3, "{tcp:#}");
    let error = tcp["error"].as_str().unwrap();
    assert!(error.starts_with("the server closed the connection: of "), "{error}");
}

#[test]
fn a_wrong_echo_is_an_error() {
    let daemon = plain_and_tls();
    let wrong = server_of_many(|mut stream| {
        let _ = stream.write_all(b"Welcome!\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (tls, udp) = (port(daemon.address("tls")), udp::echo(Some));
    let ports = ["--udp-port", &udp, "--tls-port", &tls, "127.0.0.1", &wrong];
    let output = run(
        &[&["compare", "-q", "--insecure", "-c3", "-i0.01", "--throughput=0s"], &ports[..]]
            .concat(),
        b"",
    );
    let (code, said) = end(&output);
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("the echo differs at byte 0: "), "{said}");
}

#[test]
fn an_interrupted_comparison_prints_what_is_known() {
    let daemon = plain_and_tls();
    let (sender, came) = channel();
    let udp = udp::echo(move |datagram| {
        let _ = sender.send(());
        Some(datagram)
    });
    let (tcp, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let ports = ["--udp-port", &udp, "--tls-port", &tls, "127.0.0.1", &tcp];
    let options = ["compare", "-q", "--insecure", "-c1000", "-i0.05"];
    let mut comparison = Client::start(&[&options[..], &ports].concat(), |command| {
        command.stdout(Stdio::piped());
    });
    for _ in 0..3 {
        came.recv_timeout(PATIENCE).unwrap();
    }
    comparison.signal(Signal::INT);
    assert_eq!(comparison.end(), 130);
    let text = std::io::read_to_string(comparison.child.stdout.take().unwrap()).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("\nTLS ") && text.contains("\nUDP "), "{text}");
}

#[test]
fn the_page_has_the_curves_of_all_transports_and_needs_no_network() {
    let daemon = plain_and_tls();
    let file = daemon.path("compare.html");
    let port = udp::echo(Some);
    let output = compared(&daemon, &port, &["-c20", "--report", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = std::fs::read_to_string(&file).unwrap();
    assert_eq!(page.matches("<svg").count(), 2, "{page}");
    for name in ["UDP", "TCP", "TLS"] {
        assert!(page.matches(name).count() >= 3, "{name}");
    }
    let without = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!without.contains("http") && !without.contains("src=") && !without.contains("<script"));
    let folder = daemon.path("no-such-folder/x.html");
    let output = compared(&daemon, &port, &["-c1", "--report", folder.to_str().unwrap()]);
    let (code, said) = end(&output);
    assert_eq!((code, said.lines().count()), (66, 1), "{said}");
    assert!(said.contains("cannot write ") && output.stdout.is_empty(), "{said}");
}
