//! `both` with the daemon at the other end: plain, TLS, mutual TLS, and networks that change a connection.

mod util;

use std::io::Write;
use std::process::Output;
use std::sync::Arc;

use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};
use util::client::{client, end, port, server, stderr, untrusted_server};
use util::network::{FAR, Faults, Network};
use util::report::{both, differences, explanation, json_of};
use util::{Daemon, TlsClient, connect_tls, outcome, tool};

/// A plain listener and a report listener at the far end of a network.
fn far_daemon(network: &Network) -> Daemon {
    let config = format!(
        "[[listener]]\nname = \"plain\"\nlisten = \"{FAR}:5000\"\n\
         [[listener]]\nname = \"report\"\nlisten = \"{FAR}:5007\"\nservice = \"report\"\n"
    );
    let folder = tempfile::tempdir().unwrap();
    Daemon::start_through(folder, &config, &network.script_for_far())
}

/// Compares the two ends of the network.
fn across(network: &Network) -> Value {
    let mut command = network.near(client().get_program());
    let output = command.args(["both", "--json", "-q", "-c3", FAR]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    json_of(&output)
}

/// Whether there is an nft that can change the near end of the network.
fn nft(network: &Network, rules: &str) -> bool {
    if tool("nft").is_none() {
        return false;
    }
    let outcome = network.near("nft").arg(rules).output().unwrap();
    if !outcome.status.success() {
        eprintln!("skipped: nft: {}", stderr(&outcome));
    }
    outcome.status.success()
}

/// A chain of nftables with one rule.
fn chain(kind: &str, hook: &str, rule: &str) -> String {
    format!(
        "add table ip t; add chain ip t {hook} {{ type {kind} hook {hook} priority 100; }}; \
             add rule ip t {hook} {rule}"
    )
}

#[test]
fn a_clear_network_shows_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { there: 5000, back: 5000, ..Faults::default() };
    let Some(network) = Network::between_namespaces(folder.path(), 1, faults) else { return };
    let _daemon = far_daemon(&network);
    let report = across(&network);
    // A busy machine may delay a message in one direction.
    let differences: Vec<&str> =
        differences(&report).into_iter().filter(|what| *what != "time").collect();
    assert_eq!(differences, [""; 0], "{report:#}");
    for way in ["to_server", "back"] {
        let least = report["time"][way]["least_ms"].as_f64().unwrap();
        assert!(least >= 5.0, "{report:#}");
    }
}

#[test]
fn a_nat_is_found_by_the_port_and_by_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::between_namespaces(folder.path(), 1, Faults::default());
    let Some(network) = network else { return };
    let _daemon = far_daemon(&network);
    let rule = "ip protocol tcp masquerade to :61000-61009";
    if !nft(&network, &chain("nat", "postrouting", rule)) {
        return;
    }
    let report = across(&network);
    let why = explanation(&report, "client's address");
    assert!(why.starts_with("the server saw your port as 6100"), "{why}");
    assert!(why.ends_with(": there is a NAT or a proxy in between"), "{why}");

    outcome(network.far("ip").args(["route", "add", "192.0.2.9", "dev", "far"]));
    assert!(nft(
        &network,
        "flush chain ip t postrouting; add rule ip t postrouting snat to 192.0.2.9"
    ));
    let report = across(&network);
    let why = explanation(&report, "client's address");
    assert!(why.starts_with("the server saw your address as 192.0.2.9:"), "{why}");
    assert_eq!(differences(&report)[0], "client's address");
}

#[test]
fn an_mss_that_was_rewritten_is_found_in_each_direction() {
    let folder = tempfile::tempdir().unwrap();
    for (hook, mss, what) in
        [("output", 1200, "MSS of the client"), ("input", 1300, "MSS of the server")]
    {
        let network = Network::between_namespaces(folder.path(), 1, Faults::default());
        let Some(network) = network else { return };
        let _daemon = far_daemon(&network);
        let rule = format!("tcp flags & syn == syn tcp option maxseg size set {mss}");
        if !nft(&network, &chain("filter", hook, &rule)) {
            return;
        }
        let report = across(&network);
        let words = format!("MSS 1460 was sent, {mss} came: something in between rewrites it");
        assert_eq!(explanation(&report, what), words);
        let others = differences(&report).into_iter().filter(|it| *it != what && *it != "time");
        assert_eq!(others.count(), 0, "{report:#}");
    }
}

#[test]
fn a_delay_in_one_direction_is_found_in_that_direction() {
    let folder = tempfile::tempdir().unwrap();
    for (there, back) in [(60_000, 0), (0, 60_000)] {
        let faults = Faults { there, back, ..Faults::default() };
        let Some(network) = Network::between_namespaces(folder.path(), 1, faults) else { return };
        let _daemon = far_daemon(&network);
        let report = across(&network);
        let time = &report["time"];
        let least = |way: &str| time[way]["least_ms"].as_f64().unwrap();
        let (slow, fast) = if there > 0 { ("to_server", "back") } else { ("back", "to_server") };
        assert!(least(slow) >= 60.0 && least(fast) < least(slow) / 2.0, "{time}");
        let way = if there > 0 { "to the server" } else { "back" };
        let why = explanation(&report, "time");
        let words =
            format!("of the round trip are on the way {way}, as far as both clocks are right");
        assert!(why.contains(&words), "{why}");
    }
}

/// A daemon with an echo listener and a report listener, both with these lines about TLS.
fn reporting(tls: &str) -> Daemon {
    let listener = |name: &str, service: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nservice = \"{service}\"\n{tls}"
        )
    };
    let config = listener("plain", "echo") + &listener("report", "report");
    Daemon::start_in(util::folder_with_certificates(), &config, |_| {})
}

const IDENTITY: &str = "[listener.tls]\ncertificate = \"alex.crt\"\nkey = \"alex.key\"\n";

/// Compares with the listeners of this daemon, the report's through a port of its own if one is given.
fn compared(daemon: &Daemon, through: Option<&str>, options: &[&str]) -> Output {
    let own = port(daemon.address("report"));
    let ca = daemon.path("signing.pem");
    let (certificate, key) = (daemon.path("laptop.crt"), daemon.path("laptop.key"));
    let files = [&ca, &certificate, &key].map(|path| path.to_str().unwrap());
    let options: Vec<&str> = options
        .iter()
        .map(|option| match *option {
            "CA" => files[0],
            "CERT" => files[1],
            "KEY" => files[2],
            option => option,
        })
        .collect();
    both(daemon, through.unwrap_or(&own), &options)
}

#[test]
fn the_daemon_and_the_client_agree_on_a_connection_that_nothing_changes() {
    let plain = ["--json"];
    let tls = ["--json", "--tls", "--ca", "CA", "--name", "localhost", "--alpn", "echo/1"];
    let old = [&tls[..], &["--tls-version", "1.2"]].concat();
    let mutual = [&tls[..], &["--cert", "CERT", "--key", "KEY"]].concat();
    let required = format!("{IDENTITY}client-ca = \"signing.pem\"\n");
    for (options, lines) in
        [(&plain[..], ""), (&tls, IDENTITY), (&old, IDENTITY), (&mutual, required.as_str())]
    {
        let daemon = reporting(lines);
        let output = compared(&daemon, None, options);
        assert!(output.status.success(), "{}", stderr(&output));
        let report = json_of(&output);
        let differences: Vec<&str> =
            differences(&report).into_iter().filter(|what| *what != "time").collect();
        assert_eq!(differences, [""; 0], "{report:#}");
        let (client, server) = (&report["client"], &report["server"]);
        for key in ["client_address", "server_address", "bytes", "tls"] {
            assert_eq!(client[key], server[key], "{report:#}");
        }
        assert_eq!(client["bytes"], 192);
        assert_eq!(client["tls"].is_null(), lines.is_empty(), "{report:#}");
        if !lines.is_empty() {
            assert_eq!(client["tls"]["client_hello_sha256"].as_str().unwrap().len(), 64);
            assert_eq!(client["tls"]["alpn_offered"], json!(["echo/1"]));
            assert_eq!(client["tls"]["sni"], "localhost");
            let subject = &client["tls"]["client_certificate"];
            assert_eq!(subject == "CN=laptop", options.len() == mutual.len(), "{report:#}");
        }
        // The kernel of both ends is the same, and tells both or none.
        assert_eq!(client["tcp"].is_null(), server["tcp"].is_null(), "{report:#}");
        assert_eq!(report["time"]["messages"], 3, "{report:#}");
    }
}

/// Something that ends TLS and begins a session of its own with the daemon's report listener: its port.
fn tls_proxy(daemon: &Daemon) -> String {
    let (theirs, ours) = (Arc::new(untrusted_server()), TlsClient::default());
    let (config, target) = (ours.config(daemon.folder.path()), daemon.address("report"));
    server(move |stream| {
        let connection = ServerConnection::new(theirs).unwrap();
        let mut client = StreamOwned::new(connection, stream);
        let mut server = connect_tls(&config, target);
        std::io::copy(&mut client, &mut server).unwrap();
        server.conn.send_close_notify();
        let report = util::read_to_end(&mut server);
        client.write_all(&report).unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
    })
}

#[test]
fn tls_that_ends_in_between_is_found_by_the_client_hello() {
    let daemon = reporting(IDENTITY);
    let proxy = tls_proxy(&daemon);
    let output = compared(&daemon, Some(&proxy), &["--json", "--tls", "--insecure"]);
    let (code, said) = end(&output);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("what was sent arrived changed: ClientHello"), "{said}");
    let report = json_of(&output);
    let why = explanation(&report, "ClientHello");
    assert!(why.starts_with("the ClientHello arrived changed: something in between ends TLS"));
    assert!(differences(&report).contains(&"client's address"));
    assert!(differences(&report).contains(&"server's address"));
}
