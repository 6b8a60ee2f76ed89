//! Behind `HAProxy`: each version of the PROXY protocol, TLS through it and at it, its checks, and the configuration in
//! docs/operation.md.

mod util;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use util::documents::read;
use util::{
    Daemon, ReservedPort, Running, TlsClient, assert_echo, connect, connect_tls, echo_all,
    echo_all_tls, field, folder_with_certificates, noise, tool, wait_until,
};

/// Listeners for a proxy on this machine: an echo, one with TLS, and a report.
const LISTENERS: &str = r#"
[log]
level = "debug"

[[listener]]
name = "plain"
listen = "127.0.0.1:0"
proxy-protocol = { from = ["127.0.0.0/8"] }

[[listener]]
name = "tls"
listen = "127.0.0.1:0"
proxy-protocol = { from = ["127.0.0.0/8"] }
[listener.tls]
certificate = "alex.crt"
key = "alex.key"

[[listener]]
name = "report"
service = "report"
listen = "127.0.0.1:0"
proxy-protocol = { from = ["127.0.0.0/8"] }
"#;

const DEFAULTS: &str =
    "defaults\n mode tcp\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n";

fn daemon() -> Daemon {
    Daemon::start_in(folder_with_certificates(), LISTENERS, |_| {})
}

/// `HAProxy` with this configuration, in the daemon's folder, when it listens on `port`.
fn start(mut haproxy: Command, daemon: &Daemon, config: &str, port: &ReservedPort) -> Running {
    let file = daemon.path("haproxy.cfg");
    fs::write(&file, config).unwrap();
    haproxy.arg("-db").arg("-f").arg(file).current_dir(daemon.folder.path());
    Running::start_server(haproxy, port)
}

fn address(port: &ReservedPort) -> SocketAddr {
    ([127, 0, 0, 1], port.number).into()
}

/// The line of the session with the client at this address: that its proxy is another one is asserted.
fn line_of(daemon: &Daemon, client: SocketAddr) -> String {
    let line = daemon.session_line(client);
    assert_ne!(field(&line, "proxy"), client.to_string(), "{line}");
    line
}

#[test]
fn both_versions_name_the_client_and_no_byte_is_lost() {
    let Some(haproxy) = tool("haproxy") else { return };
    let daemon = daemon();
    let (plain, tls) = (daemon.address("plain"), daemon.address("tls"));
    let ports = [(); 4].map(|()| ReservedPort::new());
    let [v1, v2, v1_tls, v2_tls] = ports.each_ref().map(|port| port.number);
    let config = format!(
        "{DEFAULTS}\
         listen v1\n bind 127.0.0.1:{v1}\n server alex {plain} send-proxy\n\
         listen v2\n bind 127.0.0.1:{v2}\n server alex {plain} send-proxy-v2\n\
         listen v1-tls\n bind 127.0.0.1:{v1_tls}\n server alex {tls} send-proxy\n\
         listen v2-tls\n bind 127.0.0.1:{v2_tls}\n server alex {tls} send-proxy-v2 proxy-v2-options crc32c\n"
    );
    let _haproxy = start(haproxy, &daemon, &config, &ports[3]);
    let bytes = noise(1 << 20, 1);
    for port in &ports[..2] {
        let stream = connect(address(port));
        assert!(echo_all(&stream, &bytes) == bytes, "the echo differs");
        let line = line_of(&daemon, stream.local_addr().unwrap());
        assert_eq!(field(&line, "in"), bytes.len().to_string(), "{line}");
        assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    }
    let config = TlsClient::default().config(daemon.folder.path());
    for port in &ports[2..] {
        let mut stream = connect_tls(&config, address(port));
        assert!(echo_all_tls(&mut stream, &bytes) == bytes, "the echo differs");
        let client = stream.sock.local_addr().unwrap();
        drop(stream);
        let line = line_of(&daemon, client);
        assert_eq!(field(&line, "tls"), "1.3", "{line}");
    }
    assert!(!daemon.seen().iter().any(|line| line.contains("proxy-header")));
}

#[test]
fn its_checks_are_echoed_and_leave_a_line_at_debug_alone() {
    let Some(haproxy) = tool("haproxy") else { return };
    let daemon = daemon();
    let (plain, tls) = (daemon.address("plain"), daemon.address("tls"));
    let ports = [(); 3].map(|()| ReservedPort::new());
    let [v1, v2, v2_tls] = ports.each_ref().map(|port| port.number);
    let check = "check inter 100ms check-send-proxy";
    let config = format!(
        "{DEFAULTS}\
         listen v1\n bind 127.0.0.1:{v1}\n server alex {plain} send-proxy {check}\n\
         listen v2\n bind 127.0.0.1:{v2}\n option tcp-check\n tcp-check send hello\n tcp-check expect string hello\n \
         server alex {plain} send-proxy-v2 {check}\n\
         listen v2-tls\n bind 127.0.0.1:{v2_tls}\n \
         server alex {tls} send-proxy-v2 {check} check-ssl verify none\n"
    );
    let mut haproxy = start(haproxy, &daemon, &config, &ports[2]);
    // The second is echoed, or HAProxy would close the port.
    wait_until("ten checks", || {
        let line = daemon.statistics();
        line.contains("health-checks=")
            && field(&line, "health-checks").parse::<u32>().unwrap() >= 10
    });
    for port in &ports[..2] {
        assert_echo(&mut connect(address(port)), b"it is up");
    }
    haproxy.child.kill().unwrap();
    // All ends of checks are at debug; those of clients, and of checks by version 1, which has no LOCAL, are not.
    wait_until("all have ended", || field(&daemon.statistics(), "sessions") == "0");
    let lines = daemon.seen();
    let ends = lines.iter().filter(|line| line.contains(" session "));
    let (of_clients, of_checks): (Vec<&String>, Vec<_>) =
        ends.partition(|line| line.contains(" proxy="));
    assert!(
        of_checks.len() >= 10 && of_checks.iter().all(|line| line.contains(" DEBUG ")),
        "{lines:#?}"
    );
    assert!(of_clients.len() >= 2, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("proxy-header")), "{lines:#?}");
}

/// The report of a connection to this report listener behind `HAProxy`.
fn report(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("{}", bytes.escape_ascii()))
}

/// A file with the certificate of the daemon and its key, as `HAProxy` wants it.
fn write_pem(folder: &Path) {
    let part = |name: &str| fs::read(folder.join(name)).unwrap();
    let pem = [part("alex.crt"), part("alex.key")].concat();
    fs::write(folder.join("both.pem"), pem).unwrap();
}

#[test]
fn a_report_shows_what_haproxy_says_of_a_connection() {
    let Some(haproxy) = tool("haproxy") else { return };
    let daemon = daemon();
    write_pem(daemon.folder.path());
    let report_at = daemon.address("report");
    let ports = [(); 2].map(|()| ReservedPort::new());
    let [v1, v2] = ports.each_ref().map(|port| port.number);
    let config = format!(
        "{DEFAULTS}\
         listen v1\n bind 127.0.0.1:{v1}\n server alex {report_at} send-proxy\n\
         listen v2\n bind 127.0.0.1:{v2} ssl crt both.pem\n unique-id-format id-%ci\n \
         server alex {report_at} send-proxy-v2 \
         proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,unique-id,crc32c\n"
    );
    let _haproxy = start(haproxy, &daemon, &config, &ports[1]);
    let stream = connect(address(&ports[0]));
    let told = report(&echo_all(&stream, b"hello"));
    assert_eq!(told["peer"]["port"], stream.local_addr().unwrap().port());
    assert_eq!(told["proxy"]["version"], 1);
    assert_eq!(told["proxy"]["destination"]["port"], v1);

    let mut stream =
        connect_tls(&TlsClient::default().config(daemon.folder.path()), address(&ports[1]));
    stream.write_all(b"hello").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    // HAProxy 2.6 ends without close_notify.
    let mut line = Vec::new();
    BufReader::new(&mut stream).read_until(b'\n', &mut line).unwrap();
    let told = report(&line);
    let proxy = &told["proxy"];
    assert_eq!(told["peer"]["port"], stream.sock.local_addr().unwrap().port());
    assert_eq!((&proxy["version"], &proxy["command"]), (&2.into(), &"PROXY".into()), "{told:#}");
    assert_eq!(proxy["destination"]["port"], v2);
    assert_eq!(proxy["unique_id"], "id-127.0.0.1");
    assert_eq!(proxy["authority"], "localhost");
    let ssl = &proxy["ssl"];
    assert_eq!((&ssl["used"], &ssl["version"]), (&true.into(), &"TLSv1.3".into()), "{told:#}");
    assert!(ssl["cipher"].as_str().unwrap().starts_with("TLS_"), "{told:#}");
    assert_eq!((&ssl["client_certificate"], &ssl["verified"]), (&false.into(), &false.into()));
    assert_eq!((&told["tls"], &told["received"]["bytes"]), (&Value::Null, &5.into()));
}

#[test]
fn the_configuration_in_the_document_works() {
    let Some(haproxy) = tool("haproxy") else { return };
    let daemon = daemon();
    let text = read("docs/operation.md");
    let (_, config) = text.split_once("```haproxy\n").unwrap();
    let (config, _) = config.split_once("```").unwrap();
    let ports = [(); 2].map(|()| ReservedPort::new());
    let mut config = config.to_owned();
    for (number, name, port) in [("5000", "plain", &ports[0]), ("5001", "tls", &ports[1])] {
        let bind = format!("bind :{number}");
        assert!(config.contains(&bind), "{config}");
        config = config.replace(&bind, &format!("bind 127.0.0.1:{}", port.number));
        for pi in ["192.168.1.11", "192.168.1.12"] {
            let server = format!("{pi}:{number}");
            assert!(config.contains(&server), "{config}");
            config = config.replace(&server, &daemon.address(name).to_string());
        }
    }
    let _haproxy = start(haproxy, &daemon, &config, &ports[1]);
    let mut stream: TcpStream = connect(address(&ports[0]));
    assert_echo(&mut stream, b"plain");
    let client = stream.local_addr().unwrap();
    stream.flush().unwrap();
    drop(stream);
    line_of(&daemon, client);
    let mut tls =
        connect_tls(&TlsClient::default().config(daemon.folder.path()), address(&ports[1]));
    assert_echo(&mut tls, b"with TLS");
    wait_until("a check", || daemon.statistics().contains("health-checks="));
}
