//! The echo over TLS: versions, keys, certificates, resumption, client certificates, and other TLS
//! implementations.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{GeneralSubtree, NameConstraints};
use rustix::process::Signal;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme, SupportedProtocolVersion,
};
use util::{
    Authority, Daemon, Running, TLS, TlsClient, TlsStream, assert_echo, connect_tls, echo_all_tls,
    end_tls, field, folder_with_certificates, noise, plain_and_tls, tool, write_identity,
};

const VERSIONS: [(&SupportedProtocolVersion, &str); 2] = [(&TLS12, "1.2"), (&TLS13, "1.3")];

/// A client with only this version.
fn only(version: &'static SupportedProtocolVersion) -> TlsClient {
    TlsClient { only: Some(version), ..TlsClient::default() }
}

/// A daemon with the TLS listener and more lines in its table.
fn tls_with(more: &str) -> Daemon {
    Daemon::start_in(folder_with_certificates(), &format!("{TLS}{more}"), |_| {})
}

/// Ends the session; returns its log line.
fn end(daemon: &Daemon, mut stream: TlsStream) -> String {
    end_tls(&mut stream);
    stream.sock.shutdown(Shutdown::Write).unwrap();
    daemon.session_line(stream.sock.local_addr().unwrap())
}

/// Does a session with one echo; returns its log line.
fn one_session(daemon: &Daemon, config: &Arc<ClientConfig>) -> String {
    let mut stream = connect_tls(config, daemon.address("tls"));
    assert_echo(&mut stream, b"anybody there?");
    end(daemon, stream)
}

/// Does a session that the daemon refuses; returns the alert that it sends, and the log line.
fn refused(daemon: &Daemon, config: &Arc<ClientConfig>) -> (AlertDescription, String) {
    let mut stream = connect_tls(config, daemon.address("tls"));
    // In TLS 1.3 the client completes the handshake before it is refused.
    let error = match stream.conn.complete_io(&mut stream.sock) {
        Ok(_) => stream.read(&mut [0; 1]).unwrap_err(),
        Err(error) => error,
    };
    let alert = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert: {error}"),
    };
    // The daemon waits for our FIN.
    stream.sock.shutdown(Shutdown::Write).unwrap();
    (alert, daemon.session_line(stream.sock.local_addr().unwrap()))
}

/// The records that the client sends next.
fn flight(conn: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while conn.wants_write() {
        conn.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn new_connection(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Reads once, and processes the records.
fn take(conn: &mut ClientConnection, sock: &mut TcpStream) {
    assert_ne!(conn.read_tls(sock).unwrap(), 0, "the daemon has closed");
    conn.process_new_packets().unwrap();
}

/// Does a handshake, with the client's last flight and `data` in one write.
fn handshake_with_data(config: &Arc<ClientConfig>, address: SocketAddr, data: &[u8]) -> TlsStream {
    let mut conn = new_connection(config);
    let mut sock = util::connect(address);
    while conn.is_handshaking() {
        sock.write_all(&flight(&mut conn)).unwrap();
        take(&mut conn, &mut sock);
    }
    assert!(conn.wants_write(), "the client's Finished has gone out alone");
    conn.writer().write_all(data).unwrap();
    sock.write_all(&flight(&mut conn)).unwrap();
    TlsStream::new(conn, sock)
}

#[test]
fn the_echo_is_byte_exact_in_both_versions() {
    let daemon = plain_and_tls();
    for (version, name) in VERSIONS {
        let mut stream = only(version).connect(&daemon);
        assert_echo(&mut stream, b"hi\0there");
        assert_echo(&mut stream, b"\n\0\0\r\n");
        for length in 0..=256 {
            assert_echo(&mut stream, &noise(length, 1));
        }
        let every_byte: Vec<u8> = (0..=255).collect();
        assert_echo(&mut stream, &every_byte);
        let sent = noise(10 << 20, 2);
        assert!(echo_all_tls(&mut stream, &sent) == sent);
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let line = daemon.session_line(stream.sock.local_addr().unwrap());
        assert_eq!(field(&line, "tls"), name, "{line}");
        assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    }
}

#[test]
fn data_right_after_the_handshake_is_echoed() {
    let daemon = plain_and_tls();
    let config = only(&TLS13).config(daemon.folder.path());
    let mut stream = handshake_with_data(&config, daemon.address("tls"), b"early bird");
    let mut back = [0; 10];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"early bird");
    assert_echo(&mut stream, b"and later");
    end(&daemon, stream);

    // In TLS 1.2 the client's Finished is the last one only when a session is resumed.
    let config = only(&TLS12).config(daemon.folder.path());
    one_session(&daemon, &config);
    let mut stream = handshake_with_data(&config, daemon.address("tls"), b"early bird");
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"early bird");
    assert_eq!(field(&end(&daemon, stream), "resumed"), "yes");
}

#[test]
fn a_session_that_arrives_one_byte_at_a_time_is_echoed() {
    let daemon = plain_and_tls();
    for (version, _) in VERSIONS {
        let mut conn = new_connection(&only(version).config(daemon.folder.path()));
        let mut sock = daemon.connect("tls");
        let dribble = |conn: &mut ClientConnection, sock: &mut TcpStream| {
            for byte in flight(conn) {
                sock.write_all(&[byte]).unwrap();
            }
        };
        while conn.is_handshaking() {
            dribble(&mut conn, &mut sock);
            // Once the last flight is written, there may be nothing left to wait for.
            if conn.is_handshaking() {
                take(&mut conn, &mut sock);
            }
        }
        let sent = noise(300, 3);
        conn.writer().write_all(&sent).unwrap();
        conn.send_close_notify();
        dribble(&mut conn, &mut sock);
        let mut back = Vec::new();
        TlsStream::new(conn, sock).read_to_end(&mut back).unwrap();
        assert!(back == sent, "the echo differs");
    }
}

#[test]
fn the_second_session_of_a_client_is_resumed() {
    let daemon = plain_and_tls();
    for (version, _) in VERSIONS {
        let config = only(version).config(daemon.folder.path());
        let first = one_session(&daemon, &config);
        assert_eq!(field(&first, "resumed"), "no", "{first}");
        let second = one_session(&daemon, &config);
        assert_eq!(field(&second, "resumed"), "yes", "{second}");
    }
}

#[test]
fn a_minimum_of_1_3_refuses_1_2() {
    let daemon = tls_with("min-version = \"1.3\"");
    let (alert, line) = refused(&daemon, &only(&TLS12).config(daemon.folder.path()));
    assert_eq!(alert, AlertDescription::ProtocolVersion);
    assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
    assert!(
        line.contains("the peer offers none of the versions that we accept: TLS 1.3\""),
        "{line}"
    );
    let line = one_session(&daemon, &TlsClient::default().config(daemon.folder.path()));
    assert_eq!(field(&line, "tls"), "1.3", "{line}");
}

/// Asserts that a daemon with this certificate and key echoes in both versions.
fn assert_serves(authority: &Authority, certificate: &str, key: &str) {
    let folder = tempfile::tempdir().unwrap();
    authority.write(folder.path(), "signing.pem");
    write_identity(folder.path(), "alex", certificate, key);
    let daemon = Daemon::start_in(folder, TLS, |_| {});
    for (version, _) in VERSIONS {
        one_session(&daemon, &only(version).config(daemon.folder.path()));
    }
}

#[test]
fn keys_of_ecdsa_and_ed25519_serve() {
    let authority = Authority::new("test CA");
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        let (certificate, key) = authority.sign_with("alex", ServerAuth, algorithm);
        assert_serves(&authority, &certificate, &key);
    }
}

/// The output of openssl for `input`.
fn openssl(arguments: &[&str], input: &str) -> String {
    let mut command = tool("openssl").unwrap();
    command.args(arguments);
    let mut openssl = Running::start(command);
    openssl.feed(input.as_bytes().to_vec());
    openssl.read_to("-----END ") + &openssl.read_to("\n")
}

#[test]
fn rsa_keys_serve_as_pkcs8_and_as_pkcs1() {
    if tool("openssl").is_none() {
        return;
    }
    let authority = Authority::new("test CA");
    for bits in [2048, 4096] {
        let bits = format!("rsa_keygen_bits:{bits}");
        let key = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits], "");
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "not PKCS#8");
        let certificate = authority.certify(&key);
        assert_serves(&authority, &certificate, &key);
        let key = openssl(&["pkey", "-traditional"], &key);
        assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY-----"), "not PKCS#1");
        assert_serves(&authority, &certificate, &key);
    }
}

#[test]
fn ecdsa_keys_serve_as_sec1() {
    if tool("openssl").is_none() {
        return;
    }
    let authority = Authority::new("test CA");
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let (certificate, key) = authority.sign_with("alex", ServerAuth, algorithm);
        let key = openssl(&["pkey", "-traditional"], &key);
        assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----"), "not SEC1");
        assert_serves(&authority, &certificate, &key);
    }
}

#[test]
fn the_intermediate_certificate_of_a_chain_is_served_too() {
    let root = Authority::new("test root");
    let intermediate = root.intermediate("test intermediate");
    let (certificate, key) = intermediate.sign("alex", ServerAuth);
    assert_serves(&root, &format!("{certificate}{}", intermediate.pem()), &key);
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_named_in_the_log() {
    let daemon = tls_with("");
    Authority::new("another CA").write(daemon.folder.path(), "signing.pem");
    let mut stream = TlsClient::default().connect(&daemon);
    stream.write_all(b"hi").unwrap_err();
    let line = daemon.session_line(stream.sock.local_addr().unwrap());
    assert_eq!(field(&line, "reason"), "certificate-refused", "{line}");
    assert!(line.contains("the peer does not know the CA of our certificate"), "{line}");
}

/// The folder of `folder_with_certificates`, with an identity that another CA signed, and one that
/// another CA of the same name signed.
fn folder_with_strangers() -> tempfile::TempDir {
    let folder = folder_with_certificates();
    for (name, ca) in [("stranger", "another CA"), ("impostor", "test CA")] {
        let (certificate, key) = Authority::new(ca).sign(name, ClientAuth);
        write_identity(folder.path(), name, &certificate, &key);
    }
    folder
}

fn mutual_tls(auth: &str) -> String {
    format!("{TLS}client-ca = \"signing.pem\"\nclient-auth = \"{auth}\"\n")
}

/// Asserts that clients with a certificate of another CA are refused.
fn assert_strangers_are_refused(daemon: &Daemon) {
    for (version, _) in VERSIONS {
        for (name, why) in [
            (
                "stranger",
                "detail=\"the peer's certificate is not signed by a CA that is trusted here\"",
            ),
            (
                "impostor",
                "detail=\"a signature in the peer's certificate chain or handshake is invalid: ",
            ),
        ] {
            let client = TlsClient { identity: Some(name), ..only(version) };
            let (_, line) = refused(daemon, &client.config(daemon.folder.path()));
            assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
            assert!(line.contains(why), "{line}");
            assert_eq!(field(&line, "in"), "0", "{line}");
        }
    }
}

#[test]
fn required_client_certificates_admit_only_clients_with_one() {
    let daemon = Daemon::start_in(folder_with_strangers(), &mutual_tls("required"), |_| {});
    for (version, _) in VERSIONS {
        let client = TlsClient { identity: Some("laptop"), ..only(version) };
        one_session(&daemon, &client.config(daemon.folder.path()));
        let (_, line) = refused(&daemon, &only(version).config(daemon.folder.path()));
        assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
        assert!(
            line.contains("the peer sent no certificate, and client-auth is \\\"required\\\""),
            "{line}"
        );
    }
    assert_strangers_are_refused(&daemon);
}

#[test]
fn optional_client_certificates_admit_clients_without_one() {
    let daemon = Daemon::start_in(folder_with_strangers(), &mutual_tls("optional"), |_| {});
    for (version, _) in VERSIONS {
        one_session(&daemon, &only(version).config(daemon.folder.path()));
        let client = TlsClient { identity: Some("laptop"), ..only(version) };
        one_session(&daemon, &client.config(daemon.folder.path()));
    }
    assert_strangers_are_refused(&daemon);
}

#[test]
fn the_fault_of_a_clients_certificate_is_logged_without_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test CA");
    ca.write(folder.path(), "signing.pem");
    ca.write_server(folder.path(), "alex");
    let write = |name: &str, (certificate, key): (String, String)| {
        write_identity(folder.path(), name, &certificate, &key);
    };
    write("expired", ca.sign_dated("their name", ClientAuth, -9, -2));
    write("early", ca.sign_dated("their name", ClientAuth, 2, 9));
    write("server", ca.sign("their name", ServerAuth));
    let limited = ca.intermediate_changed("their CA", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    let (certificate, key) = limited.sign("their name", ClientAuth);
    write("limited", (certificate + &limited.pem(), key));
    let daemon = Daemon::start_in(folder, &mutual_tls("required"), |_| {});
    for (name, why) in [
        ("expired", "the peer's certificate, or one of its chain, expired on 2"),
        ("early", "the peer's certificate, or one of its chain, is not valid before 2"),
        ("server", "the peer's certificate is refused: it is for another purpose"),
        (
            "limited",
            "the peer's certificate is refused: a CA of its chain may not sign for its names",
        ),
    ] {
        let client = TlsClient { identity: Some(name), ..TlsClient::default() };
        let (_, line) = refused(&daemon, &client.config(daemon.folder.path()));
        assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
        assert!(line.contains(&format!("detail=\"{why}")), "{line}");
        assert!(!line.contains("their"), "{line}");
    }
}

#[test]
fn an_expired_client_ca_refuses_all_clients_and_is_logged_as_an_error() {
    let folder = folder_with_certificates();
    let expired = Authority::dated("clients' CA", -30, -2);
    expired.write(folder.path(), "clients.pem");
    expired.write_client(folder.path(), "laptop");
    let config = format!("{TLS}client-ca = \"clients.pem\"\n");
    let daemon = Daemon::start_in(folder, &config, |_| {});
    for (version, _) in VERSIONS {
        let client = TlsClient { identity: Some("laptop"), ..only(version) };
        let (alert, line) = refused(&daemon, &client.config(daemon.folder.path()));
        assert_eq!(alert, AlertDescription::CertificateExpired, "{line}");
        assert!(line.contains(" ERROR "), "{line}");
        assert_eq!(field(&line, "reason"), "tls-local", "{line}");
        let file = daemon.path("clients.pem");
        let words = format!("the CA CN=clients' CA in {} expired on ", file.display());
        assert!(line.contains(&words) && line.contains("clock says"), "{line}");
        assert_eq!(field(&line, "in"), "0", "{line}");
    }

    // A CA that was renewed with the same key replaces it.
    let renewed = expired.renewed("clients' CA", -1, 30).pem() + &expired.pem();
    std::fs::write(daemon.path("clients.pem"), renewed).unwrap();
    let line = daemon.reload();
    assert!(line.ends_with(" reloaded"), "{line}");
    for (version, _) in VERSIONS {
        let client = TlsClient { identity: Some("laptop"), ..only(version) };
        one_session(&daemon, &client.config(daemon.folder.path()));
    }
}

#[test]
fn an_error_of_the_daemon_is_logged_in_a_flood_and_causes_none() {
    const CLIENTS: usize = 14;
    let start = Instant::now();
    let folder = folder_with_certificates();
    let expired = Authority::dated("clients' CA", -30, -2);
    expired.write(folder.path(), "clients.pem");
    expired.write_client(folder.path(), "laptop");
    let daemon = Daemon::start_in(folder, &format!("{TLS}client-ca = \"clients.pem\"\n"), |_| {});
    let address = daemon.address("tls");
    // One more than the log has lines for in ten seconds.
    for _ in 0..=1000 {
        let mut stream = util::connect(address);
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let client = TlsClient { identity: Some("laptop"), ..only(&TLS12) };
    let config = client.config(daemon.folder.path());
    for _ in 0..CLIENTS {
        let mut stream = connect_tls(&config, address);
        stream.write_all(b"hi").unwrap_err();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        stream.sock.read_to_end(&mut Vec::new()).unwrap();
    }
    let in_time = start.elapsed() < Duration::from_secs(9);
    // The counters are logged after all of these.
    daemon.statistics();
    let seen = daemon.seen();
    let said = seen.iter().filter(|line| line.contains(" reason=tls-local ")).count();
    if in_time {
        assert_eq!(said, 10);
    } else {
        assert!(said >= 10, "{said}");
    }
}

#[test]
fn a_session_without_a_certificate_is_not_resumed_where_one_is_required_now() {
    for (version, _) in VERSIONS {
        let folder = folder_with_certificates();
        let daemon = Daemon::start_in(folder, &mutual_tls("optional"), |_| {});
        let config = only(version).config(daemon.folder.path());
        one_session(&daemon, &config);
        // The client offers resumption.
        let line = one_session(&daemon, &config);
        assert_eq!(field(&line, "resumed"), "yes", "{line}");

        daemon.rewrite_config(&mutual_tls("required"));
        let line = daemon.reload();
        assert!(line.ends_with(" reloaded"), "{line}");
        let (_, line) = refused(&daemon, &config);
        assert!(line.contains("the peer sent no certificate"), "{line}");
    }
}

#[test]
fn plain_bytes_on_the_tls_port_get_an_alert_and_a_line_in_the_log() {
    let daemon = plain_and_tls();
    for sent in ["GET / HTTP/1.1\r\n\r\n", "hello alex\n", "\0\0\0\0\0\0\0\0"] {
        let mut stream = daemon.connect("tls");
        stream.write_all(sent.as_bytes()).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        // An alert record of two bytes, the first of them "fatal" (RFC 8446 §6).
        assert_eq!(back.len(), 7, "{back:?}");
        assert_eq!((back[0], &back[3..6]), (21, &[0, 2, 2][..]), "{back:?}");
        stream.shutdown(Shutdown::Write).unwrap();
        let line = daemon.session_line(stream.local_addr().unwrap());
        assert_eq!(field(&line, "reason"), "not-tls", "{line}");
        assert!(!line.contains(sent.trim_end()), "{line}");
    }
}

/// Accepts any certificate; the tests check it themselves.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    /// The signature schemes that it accepts.
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// A client that accepts any certificate, but only the signature scheme `only`.
fn accepting(
    only: Option<SignatureScheme>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let all = || provider.signature_verification_algorithms.supported_schemes();
    let schemes = only.map_or_else(all, |only| vec![only]);
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider, schemes }))
        .with_no_client_auth();
    Arc::new(config)
}

/// The certificate that the client gets in a new session.
fn served_certificate(daemon: &Daemon) -> CertificateDer<'static> {
    let mut stream = connect_tls(&accepting(None, rustls::ALL_VERSIONS), daemon.address("tls"));
    assert_echo(&mut stream, b"who are you?");
    let chain = stream.conn.peer_certificates().unwrap();
    assert_eq!(chain.len(), 1);
    let certificate = chain[0].clone().into_owned();
    end(daemon, stream);
    certificate
}

#[test]
fn a_temporary_identity_has_its_fingerprint_in_the_log_and_outlives_a_reload() {
    let daemon =
        Daemon::start("[[listener]]\nname = \"tls\"\nlisten = \"127.0.0.1:0\"\n[listener.tls]\n");
    let certificate = served_certificate(&daemon);
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
    let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let fingerprint = hex.join(":");
    let warning = daemon.wait_for_line(|line| line.contains("temporary self-signed certificate"));
    assert!(warning.contains(" WARN "), "{warning}");
    assert!(warning.contains(&format!("SHA-256 fingerprint {fingerprint}")), "{warning}");

    daemon.signal(Signal::HUP);
    daemon.wait_for_line(|line| line.ends_with(" reloaded"));
    assert_eq!(served_certificate(&daemon), certificate);
}

#[test]
fn openssl_echoes_a_line_in_both_versions() {
    if tool("openssl").is_none() {
        return;
    }
    let daemon = Daemon::start_in(folder_with_certificates(), &mutual_tls("required"), |_| {});
    for (version, name) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let mut command = tool("openssl").unwrap();
        command.args(["s_client", "-quiet", "-verify_return_error", version, "-connect"]);
        command.arg(daemon.address("tls").to_string());
        files(&mut command, &daemon, ["-CAfile", "-cert", "-key"]);
        let mut openssl = Running::start(command);
        openssl.write(b"a line\n");
        assert_eq!(openssl.read_to("\n"), "a line\n");
        drop(openssl);
        daemon.wait_for_line(|line| {
            line.contains(" session listener=") && line.contains(&format!(" tls={name} "))
        });
    }
}

#[test]
fn gnutls_echoes_a_line_in_both_versions() {
    if tool("gnutls-cli").is_none() {
        return;
    }
    let daemon = Daemon::start_in(folder_with_certificates(), &mutual_tls("required"), |_| {});
    for name in ["1.2", "1.3"] {
        let mut command = tool("gnutls-cli").unwrap();
        let address = daemon.address("tls");
        command.arg("--port").arg(address.port().to_string());
        command.arg("--priority").arg(format!("NORMAL:-VERS-ALL:+VERS-TLS{name}"));
        files(&mut command, &daemon, ["--x509cafile", "--x509certfile", "--x509keyfile"]);
        // It prints the handshake there, and the echo to standard output.
        command.arg("--logfile").arg(daemon.path("gnutls.log"));
        command.arg(address.ip().to_string());
        let mut gnutls = Running::start(command);
        gnutls.write(b"a line\n");
        assert_eq!(gnutls.read_to("\n"), "a line\n");
        assert!(gnutls.finish().success());
        let line = daemon.wait_for_line(|line| {
            line.contains(" session listener=") && line.contains(&format!(" tls={name} "))
        });
        assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    }
}

/// Adds the CA, and the laptop's certificate and key, to the arguments of a program.
fn files(command: &mut Command, daemon: &Daemon, options: [&str; 3]) {
    for (option, file) in options.iter().zip(["signing.pem", "laptop.crt", "laptop.key"]) {
        command.arg(option).arg(daemon.path(file));
    }
}

#[test]
fn a_client_that_accepts_no_signature_scheme_of_our_key_is_the_fault_of_the_peer() {
    let daemon = plain_and_tls();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        // The daemon's key is on P-256.
        let config = accepting(Some(SignatureScheme::ECDSA_NISTP384_SHA384), &[version]);
        let mut stream = connect_tls(&config, daemon.address("tls"));
        stream.write_all(b"hello").unwrap_err();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let line = daemon.session_line(stream.sock.local_addr().unwrap());
        assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
        assert!(line.contains(" INFO "), "{line}");
        let words = "it accepts ECDSA_NISTP384_SHA384; our key has ECDSA_NISTP256_SHA256\"";
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn without_a_cipher_suite_in_common_the_log_has_both_offers() {
    let daemon = plain_and_tls();
    // The daemon's key is not an RSA key.
    let suite = Some(rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    let config = TlsClient { suite, ..only(&TLS12) }.config(daemon.folder.path());
    let (alert, line) = refused(&daemon, &config);
    assert_eq!(alert, AlertDescription::HandshakeFailure);
    let words = "no cipher suite in common: the peer offers ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    assert!(line.contains(words), "{line}");
    let ours = line.split("; we accept ").nth(1).unwrap();
    assert!(ours.contains("ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"), "{line}");
    assert!(ours.contains("AES_128_GCM_SHA256") && !ours.contains("ECDHE_RSA"), "{line}");
}

#[test]
fn without_a_group_in_common_the_log_has_both_offers() {
    let daemon = plain_and_tls();
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(mut command) = tool("openssl") else { return };
        command.args(["s_client", version, "-groups", "P-521", "-connect"]);
        command.arg(daemon.address("tls").to_string()).stdin(std::process::Stdio::null());
        assert!(!command.output().unwrap().status.success());
    }
    let words = "no key exchange group in common: the peer offers secp521r1; we accept ";
    for before in 0..2 {
        let line = daemon.wait_for_nth_line(before, |line| line.contains(" reason=tls-peer "));
        assert!(line.contains(words) && line.contains("X25519"), "{line}");
    }
    // A peer with only RSA key exchange offers no groups.
    let line = line_for(&daemon, &hello(0x0303, &[0x002f], &EXTENSIONS[..8]));
    let words =
        "no key exchange group, only the cipher suites RSA_WITH_AES_128_CBC_SHA; we accept ";
    assert!(line.contains(words) && line.contains("ECDHE_ECDSA_WITH_"), "{line}");
    assert!(line.len() < 1000, "{} bytes: {line}", line.len());
}

/// A `ClientHello` of this version with these cipher suites and extensions (RFC 5246 §7.4.1.2).
fn hello(version: u16, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
    let with_length =
        |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut body = [&version.to_be_bytes()[..], &[7; 32], &[0]].concat();
    body.extend(with_length(&suites));
    body.extend([1, 0]);
    if !extensions.is_empty() {
        body.extend(with_length(extensions));
    }
    let message = [&[1, 0][..], &with_length(&body)].concat();
    [&[22, 3, 1][..], &with_length(&message)].concat()
}

/// `signature_algorithms` with ECDSA on P-256, `supported_groups` with P-256.
const EXTENSIONS: [u8; 16] = [0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];

/// Sends these bytes and reads to the end; returns the log line.
fn line_for(daemon: &Daemon, bytes: &[u8]) -> String {
    let mut stream = daemon.connect("tls");
    stream.write_all(bytes).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert_eq!((back[0], back.len()), (21, 7), "not an alert: {back:?}");
    stream.shutdown(Shutdown::Write).unwrap();
    daemon.session_line(stream.local_addr().unwrap())
}

#[test]
fn an_offer_of_unknown_code_points_is_logged_as_a_few_numbers() {
    let daemon = plain_and_tls();
    let unknown: Vec<u16> = (0x8a00..0x8a00 + 5000).collect();
    let line = line_for(&daemon, &hello(0x0303, &unknown, &EXTENSIONS));
    assert!(line.contains("the peer offers 0x8A00, 0x8A01, "), "{line}");
    assert!(line.contains(", 0x8A07 and 4992 more; we accept "), "{line}");
    assert!(!line.contains("0x8A08"), "{line}");
    // syslog accepts 1024 bytes (RFC 3164 §4.1).
    assert!(line.len() < 1000, "{} bytes: {line}", line.len());
}

#[test]
fn a_client_with_an_old_version_is_logged_as_such() {
    let daemon = plain_and_tls();
    let old = "the peer offers TLS 1.1 at most, and we accept TLS 1.2 and 1.3\"";
    let line = line_for(&daemon, &hello(0x0302, &[0x002f, 0xc009], &EXTENSIONS));
    assert!(line.contains(old), "{line}");
    let line = line_for(&daemon, &hello(0x0302, &[0x002f, 0xc009], &[]));
    assert!(line.contains("names no signature algorithms, as before TLS 1.2"), "{line}");

    let daemon = tls_with("min-version = \"1.3\"");
    let line = line_for(&daemon, &hello(0x0303, &[0xc02b], &EXTENSIONS));
    assert!(line.contains("the peer offers TLS 1.2 at most, and we accept TLS 1.3\""), "{line}");
}

#[test]
fn violations_of_the_protocol_are_logged_in_words() {
    let daemon = plain_and_tls();
    let mut stream = daemon.connect("tls");
    // A fatal alert, illegal_parameter (RFC 8446 §6).
    stream.write_all(&[21, 3, 3, 0, 2, 2, 47]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let line = daemon.session_line(stream.local_addr().unwrap());
    assert!(line.contains("detail=\"the peer sent the alert illegal_parameter\""), "{line}");

    // A message that is not expected, and a ClientHello that is too short.
    for (sent, words) in [
        ([22, 3, 1, 0, 4, 14, 0, 0, 0], "ServerHelloDone instead of ClientHello"),
        ([22, 3, 1, 0, 4, 1, 0, 0, 0], "a malformed message: "),
    ] {
        let line = line_for(&daemon, &sent);
        assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
        assert!(line.contains(words), "{line}");
        assert!(!line.contains('(') || !line.contains("Missing"), "{line}");
    }
}
