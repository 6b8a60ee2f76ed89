//! The cipher suite of a session: by default, and where the operator or the client asks for others.

mod util;

use std::io::Read;
use std::net::Shutdown;
use std::sync::Arc;

use rustls::{AlertDescription, CipherSuite, ClientConfig, Error, HandshakeKind};
use util::{
    Daemon, TLS, TlsClient, TlsStream, assert_echo, connect_tls, end_tls, field,
    folder_with_certificates, plain_and_tls,
};

/// A daemon with the TLS listener and more lines in its table.
fn tls_with(more: &str) -> Daemon {
    Daemon::start_in(folder_with_certificates(), &format!("{TLS}{more}"), |_| {})
}

/// A session with one echo, and its end.
fn one_session(daemon: &Daemon, config: &Arc<ClientConfig>) -> TlsStream {
    let mut stream = connect_tls(config, daemon.address("tls"));
    assert_echo(&mut stream, b"anybody there?");
    end_tls(&mut stream);
    stream.sock.shutdown(Shutdown::Write).unwrap();
    stream
}

/// The cipher suite of a session, from the log.
fn suite(daemon: &Daemon, config: &Arc<ClientConfig>) -> String {
    let stream = one_session(daemon, config);
    let line = daemon.session_line(stream.sock.local_addr().unwrap());
    field(&line, "cipher").to_owned()
}

/// A handshake that the daemon refuses: the alert, and the log line.
fn refused(daemon: &Daemon, config: &Arc<ClientConfig>) -> (AlertDescription, String) {
    let mut stream = connect_tls(config, daemon.address("tls"));
    let error = stream.read(&mut [0]).unwrap_err();
    let alert = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert: {error}"),
    };
    stream.sock.shutdown(Shutdown::Write).unwrap();
    (alert, daemon.session_line(stream.sock.local_addr().unwrap()))
}

fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(not(target_arch = "x86_64"))]
    return rustix::param::linux_hwcap().1 & 1 != 0;
}

// Cipher suites.

/// A client that puts AES-256 first, as most do.
fn default_client(daemon: &Daemon) -> Arc<ClientConfig> {
    let config = TlsClient::default().config(daemon.folder.path());
    let first = config.crypto_provider().cipher_suites[0].suite();
    assert_eq!(first, CipherSuite::TLS13_AES_256_GCM_SHA384);
    config
}

fn client_with(daemon: &Daemon, suite: CipherSuite) -> Arc<ClientConfig> {
    TlsClient { suite: Some(suite), ..TlsClient::default() }.config(daemon.folder.path())
}

#[test]
fn the_suite_is_the_cheapest_on_this_processor_whatever_the_client_prefers() {
    let daemon = plain_and_tls();
    let cheapest = if has_aes() { "AES_128_GCM_SHA256" } else { "CHACHA20_POLY1305_SHA256" };
    assert_eq!(suite(&daemon, &default_client(&daemon)), cheapest);
    let only_aes_256 = client_with(&daemon, CipherSuite::TLS13_AES_256_GCM_SHA384);
    assert_eq!(suite(&daemon, &only_aes_256), "AES_256_GCM_SHA384");
    let only_chacha20 = client_with(&daemon, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    assert_eq!(suite(&daemon, &only_chacha20), "CHACHA20_POLY1305_SHA256");
}

#[test]
fn the_operators_list_decides_which_suites_there_are_and_their_order() {
    let daemon = tls_with(
        "cipher-suites = [\"TLS_CHACHA20_POLY1305_SHA256\", \"TLS_AES_256_GCM_SHA384\"]\n",
    );
    assert_eq!(suite(&daemon, &default_client(&daemon)), "CHACHA20_POLY1305_SHA256");
    let only_aes_256 = client_with(&daemon, CipherSuite::TLS13_AES_256_GCM_SHA384);
    assert_eq!(suite(&daemon, &only_aes_256), "AES_256_GCM_SHA384");
    let only_aes_128 = client_with(&daemon, CipherSuite::TLS13_AES_128_GCM_SHA256);
    let (alert, line) = refused(&daemon, &only_aes_128);
    assert_eq!(alert, AlertDescription::HandshakeFailure);
    assert!(
        line.contains("we accept CHACHA20_POLY1305_SHA256, AES_256_GCM_SHA384\""),
        "not our list: {line}"
    );
    // The list has none for TLS 1.2.
    let only_tls12 = client_with(&daemon, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    let (alert, line) = refused(&daemon, &only_tls12);
    assert_eq!(alert, AlertDescription::ProtocolVersion);
    assert!(line.contains("none of the versions that we accept: TLS 1.3\""), "{line}");
}

#[test]
fn a_list_without_a_suite_of_tls_1_3_leaves_tls_1_2() {
    let daemon = tls_with("cipher-suites = [\"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\"]\n");
    let suite = suite(&daemon, &default_client(&daemon));
    assert_eq!(suite, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
}

#[test]
fn suites_for_another_kind_of_key_are_an_error_at_the_start() {
    let folder = folder_with_certificates();
    let file = folder.path().join("echo-alex.toml");
    let suites = "cipher-suites = [\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]\n";
    std::fs::write(&file, format!("{TLS}{suites}")).unwrap();
    let (code, _, stderr) = util::run(&["--check", "-c", file.to_str().unwrap()]);
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("none of the cipher suites can be used with the key"), "{stderr}");
}

#[test]
fn a_handshake_brings_one_ticket_and_its_session_is_resumed_again_and_again() {
    let daemon = plain_and_tls();
    let config = TlsClient::default().config(daemon.folder.path());
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let stream = one_session(&daemon, &config);
        assert_eq!(stream.conn.handshake_kind(), Some(kind));
        assert_eq!(stream.conn.tls13_tickets_received(), 1);
    }
}
