//! `explain` with servers of other projects: its messages and their order are those that openssl(1) reports,
//! and tshark(1) decrypts its captures.

mod util;

use std::any::Any;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionread;
use serde_json::Value;
use util::client::end;
use util::explain::{TLS_OPTIONS, decrypted, details, explain, explaining, json, messages, tshark};
use util::{Authority, Daemon, ReservedPort, Running, TLS, emulated, outcome, tool, wait_until};

/// A server of the project.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    EchoAlex,
    OpenSsl,
    GnuTls,
    Go,
    Node,
}

/// How it is set up.
#[derive(Clone, Copy)]
enum Setup {
    /// As it is by default.
    Usual,
    /// It requires a client certificate.
    Mutual,
    /// It accepts no other group than P-384, so a client that begins with X25519 has to try again.
    Retry,
}

/// The server in Go. Its arguments are its address and its setup.
const GO: &str = r#"
package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	pair := must(tls.LoadX509KeyPair("alex.crt", "alex.key"))
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	switch os.Args[2] {
	case "mutual":
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(must(os.ReadFile("signing.pem")))
		config.ClientAuth = tls.RequireAndVerifyClientCert
	case "retry":
		config.CurvePreferences = []tls.CurveID{tls.CurveP384}
	}
	listener := must(tls.Listen("tcp", os.Args[1], config))
	for {
		session := must(listener.Accept())
		go func() {
			io.Copy(session, session)
			session.Close()
		}()
	}
}
"#;

/// The server in Node. Its arguments are its port and its setup.
const NODE: &str = r#"
const [tls, fs, [port, setup]] = [require("tls"), require("fs"), process.argv.slice(1)];
const options = { cert: fs.readFileSync("alex.crt"), key: fs.readFileSync("alex.key") };
if (setup == "mutual") {
    Object.assign(options, { ca: fs.readFileSync("signing.pem"), requestCert: true });
}
if (setup == "retry") {
    options.ecdhCurve = "P-384";
}
const server = tls.createServer(options, session => {
    session.on("error", () => {});
    session.pipe(session);
});
server.listen(port, "127.0.0.1");
"#;

/// A server at work, in a folder with certificates.
struct Server {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    _held: Box<dyn Any>,
}

impl Server {
    /// Starts it; `None` where its program is not installed.
    fn start(kind: Kind, setup: Setup) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("a CA of the test");
        authority.write(folder.path(), "signing.pem");
        authority.write_server(folder.path(), "alex");
        authority.write_client(folder.path(), "laptop");
        let path = folder.path().to_owned();
        if kind == Kind::EchoAlex {
            let key = match setup {
                Setup::Usual => "",
                Setup::Mutual => "client-ca = \"signing.pem\"\n",
                Setup::Retry => "groups = [\"secp384r1\"]\n",
            };
            let daemon = Daemon::start_in(folder, &format!("{TLS}{key}"), |_| {});
            let port = daemon.address("tls").port();
            return Some(Self { kind, folder: path, port, _held: Box::new(daemon) });
        }
        let port = ReservedPort::new();
        let (number, address) = (port.number.to_string(), format!("127.0.0.1:{}", port.number));
        let name = match setup {
            Setup::Usual => "usual",
            Setup::Mutual => "mutual",
            Setup::Retry => "retry",
        };
        let mut command = match kind {
            Kind::EchoAlex | Kind::OpenSsl => {
                let mut openssl = tool("openssl")?;
                openssl.args(["s_server", "-quiet", "-rev", "-CAfile", "signing.pem"]);
                openssl.args(["-cert", "alex.crt", "-key", "alex.key", "-accept", &address]);
                match setup {
                    Setup::Usual => &mut openssl,
                    Setup::Mutual => openssl.args(["-Verify", "1"]),
                    Setup::Retry => openssl.args(["-groups", "P-384"]),
                };
                openssl
            }
            Kind::GnuTls => {
                let mut gnutls = tool("gnutls-serv")?;
                gnutls.args(["--echo", "--quiet", "--port", &number]);
                gnutls.args(["--x509certfile", "alex.crt", "--x509keyfile", "alex.key"]);
                let groups = "--priority=NORMAL:-GROUP-ALL:+GROUP-SECP384R1";
                match setup {
                    Setup::Usual => &mut gnutls,
                    Setup::Mutual => {
                        gnutls.args(["--require-client-cert", "--x509cafile=signing.pem"])
                    }
                    Setup::Retry => gnutls.arg(groups),
                };
                gnutls
            }
            Kind::Go => {
                fs::write(path.join("server.go"), GO).unwrap();
                outcome(tool("go")?.current_dir(&path).args(["build", "server.go"]));
                let mut server = Command::new(path.join("server"));
                server.args([&address, name]);
                server
            }
            Kind::Node => {
                let mut node = tool("node")?;
                node.args(["--eval", NODE, "--", &number, name]);
                node
            }
        };
        command.current_dir(&path);
        let running = Running::start_server(command, &port);
        let number = port.number;
        Some(Self { kind, folder: path, port: number, _held: Box::new((folder, port, running)) })
    }

    /// The messages of the handshake that openssl's client reports.
    fn reported(&self, options: &[&str]) -> Vec<String> {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.folder).args(["s_client", "-msg", "-servername", "localhost"]);
        openssl.args(["-CAfile", "signing.pem", "-groups", "X25519:P-256:P-384"]);
        openssl.args(["-connect", &format!("127.0.0.1:{}", self.port)]).args(options);
        let mut running = Running::start(openssl);
        // It comes back behind the session tickets; a server of openssl reverses it.
        running.write(b"alex\n");
        let back = if self.kind == Kind::OpenSsl { "\nxela" } else { "\nalex" };
        let text = running.read_to(back);
        running.finish();
        let message = |line: &str| {
            let way = line.get(..1)?;
            let (_, rest) = line.split_once("TLS ")?;
            let name = if rest.contains("ChangeCipherSpec") {
                "ChangeCipherSpec"
            } else if rest.contains(", Handshake") {
                rest.rsplit_once(", ")?.1
            } else {
                return None;
            };
            [">", "<"].contains(&way).then(|| format!("{way} {name}"))
        };
        handshake(text.lines().filter_map(message).collect())
    }

    /// What `explain` finds, and the messages of the handshake; the capture can be decrypted.
    fn explained(&self, options: &[&str]) -> (Value, Vec<String>) {
        let echo: &[&str] = if self.kind == Kind::OpenSsl { &["--no-echo"] } else { &[] };
        let arguments = [&TLS_OPTIONS[..], &["--pcapng=capture"], echo, options].concat();
        let output = explain(&self.folder, self.port, &arguments);
        assert_eq!(end(&output), (0, String::new()));
        let report = json(&output);
        let mut messages = messages(&report);
        assert!(!messages.iter().any(|it| it.contains("cannot be opened")), "{report}");
        for message in &mut messages {
            // It is a ServerHello with a certain random.
            *message = message.replace("HelloRetryRequest", "ServerHello");
        }
        // openssl does not report it.
        messages.retain(|it| it != "< ChangeCipherSpec");
        self.capture_is_decrypted(options);
        (report, handshake(messages))
    }

    /// tshark shows both Finished, which are encrypted, and the echo.
    fn capture_is_decrypted(&self, options: &[&str]) {
        let file = self.folder.join("capture");
        let Some(mut tshark) = tshark(&file) else { return };
        let types = outcome(tshark.args(["-T", "fields", "-e", "tls.handshake.type"]));
        let finished = types.split([',', '\n']).filter(|kind| *kind == "20");
        assert_eq!(finished.count(), 2, "{options:?}: {types}");
        if self.kind != Kind::OpenSsl {
            let text = decrypted(&file).unwrap();
            let times = text.matches("echo-alex ping 1 echo-alex ping").count();
            assert_eq!(times, 2, "{options:?}: {text}");
        }
    }
}

/// The messages up to the last Finished.
fn handshake(mut messages: Vec<String>) -> Vec<String> {
    // In TLS 1.3, tickets are not part of it, and a server may send them before the client's Finished.
    // ChangeCipherSpec means nothing, and comes as soon as the ServerHello was read.
    if messages.iter().any(|it| it == "< EncryptedExtensions") {
        messages.retain(|it| !["< NewSessionTicket", "> ChangeCipherSpec"].contains(&&**it));
    }
    let last = messages.iter().rposition(|it| it.ends_with(" Finished")).expect("no Finished");
    messages.truncate(last + 1);
    messages
}

/// `explain` and openssl agree on each kind of handshake with this server.
fn agrees_with_openssl(kind: Kind) {
    if emulated() && kind != Kind::EchoAlex {
        eprintln!("skipped: with one server, the emulator takes long enough");
        return;
    }
    if tool("openssl").is_none() {
        return;
    }
    let Some(server) = Server::start(kind, Setup::Usual) else { return };
    let mutual = Server::start(kind, Setup::Mutual).unwrap();
    for (version, ours) in [("-tls1_2", "--tls-version=1.2"), ("-tls1_3", "--tls-version=1.3")] {
        let (report, messages) = server.explained(&[ours]);
        assert_eq!(report["facts"]["resumed"], false);
        assert_eq!(messages, server.reported(&[version, "-sess_out", "session"]), "{version}");

        let (report, messages) = server.explained(&[ours, "--resume"]);
        assert_eq!(report["facts"]["resumed"], true, "{version}");
        let expected = server.reported(&[version, "-sess_in", "session"]);
        assert_eq!(messages, expected, "{version}, resumed");

        let (report, messages) = mutual.explained(&[ours, "--cert=laptop.crt", "--key=laptop.key"]);
        let expected = mutual.reported(&[version, "-cert", "laptop.crt", "-key", "laptop.key"]);
        assert_eq!(messages, expected, "{version}, mutual");
        assert!(messages.contains(&"> CertificateVerify".into()), "{messages:?}");
        let asked = details(&report, "CertificateRequest");
        assert!(
            asked.iter().any(|it| it.0 == "accepts the CAs" && it.1.contains("a CA of the test"))
        );
    }
    let server = Server::start(kind, Setup::Retry).unwrap();
    let (report, messages) = server.explained(&["--tls-version=1.3"]);
    assert_eq!(messages, server.reported(&["-tls1_3"]), "HelloRetryRequest");
    assert_eq!(messages.iter().filter(|it| *it == "> ClientHello").count(), 2);
    let share = ("asks for a share of", "secp384r1");
    assert!(details(&report, "HelloRetryRequest").contains(&share), "{report}");
    assert_eq!(report["facts"]["hello_retry_request"], true);
}

#[test]
fn handshakes_with_echo_alex_are_those_that_openssl_reports() {
    agrees_with_openssl(Kind::EchoAlex);
}

#[test]
fn handshakes_with_openssl_are_those_that_it_reports() {
    agrees_with_openssl(Kind::OpenSsl);
}

#[test]
fn handshakes_with_gnutls_are_those_that_openssl_reports() {
    agrees_with_openssl(Kind::GnuTls);
}

#[test]
fn handshakes_with_go_are_those_that_openssl_reports() {
    agrees_with_openssl(Kind::Go);
}

#[test]
fn handshakes_with_node_are_those_that_openssl_reports() {
    agrees_with_openssl(Kind::Node);
}

#[test]
fn a_key_update_is_shown_and_the_records_after_it_are_opened() {
    const MESSAGE: &str = "echo-alex ping 1 echo-alex ping\n";
    for (command, asks) in [("K\n", true), ("k\n", false)] {
        let Some(mut openssl) = tool("openssl") else { return };
        let folder = util::folder_with_certificates();
        let port = ReservedPort::new();
        openssl.current_dir(folder.path()).args(["s_server", "-tls1_3", "-no_ticket"]);
        openssl.args(["-cert", "alex.crt", "-key", "alex.key"]);
        openssl.args(["-accept", &format!("127.0.0.1:{}", port.number)]);
        let mut server = Running::start_server(openssl, &port);
        let mut client = explaining(folder.path(), port.number);
        client.args(TLS_OPTIONS).arg("--pcapng=capture");
        let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // What is typed at this server is sent, but for its commands: this one updates its keys.
        server.read_to(MESSAGE);
        server.write(command.as_bytes());
        // It ignores what it reads together with a command.
        let stdin = server.child.stdin.as_ref().unwrap();
        wait_until("the server has read it", || ioctl_fionread(stdin).unwrap() == 0);
        server.write(MESSAGE.as_bytes());
        let output = client.wait_with_output().unwrap();
        assert_eq!(end(&output), (0, String::new()));
        let report = json(&output);
        let messages = messages(&report);
        let updates: Vec<&str> =
            messages.iter().map(String::as_str).filter(|it| it.ends_with(" KeyUpdate")).collect();
        // An update that asks for one is answered before the next data, which is close_notify.
        let expected: &[&str] =
            if asks { &["< KeyUpdate", "> KeyUpdate"] } else { &["< KeyUpdate"] };
        assert_eq!(updates, expected, "{messages:?}");
        let update = messages.iter().position(|it| it == "< KeyUpdate").unwrap();
        for after in ["< application data", "> alert close_notify", "< alert close_notify"] {
            assert!(messages[update..].iter().any(|it| it == after), "{after}: {messages:?}");
        }
        let text = json(&output).to_string();
        assert!(!text.contains("cannot be opened"), "{text}");
        if let Some(text) = decrypted(&folder.path().join("capture")) {
            assert_eq!(text.matches(MESSAGE.trim_end()).count(), 2, "{text}");
        }
    }
}
