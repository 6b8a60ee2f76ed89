//! The cipher suite and the key exchange group of a session: by default, and where the operator or the client
//! asks for others.

mod util;

use std::io::Read;
use std::net::Shutdown;
use std::sync::Arc;

use echo_alex::testing::{ClientSettings, Trust, client_config};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{AlertDescription, CipherSuite, ClientConfig, Error, HandshakeKind, NamedGroup};
use util::client::{end, run};
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

// Key exchange groups.

const HYBRID_ALONE: &str = "groups = [\"X25519MLKEM768\"]\n";

/// Groups of the programs, by their names.
fn groups(names: &[NamedGroup]) -> Vec<&'static dyn SupportedKxGroup> {
    let settings = ClientSettings::new(Trust::Anything);
    let ours = client_config(&settings).unwrap().0.crypto_provider().kx_groups.clone();
    let of_name = |name: &NamedGroup| *ours.iter().find(|group| group.name() == *name).unwrap();
    names.iter().map(of_name).collect()
}

/// A client with these groups, and a share for the first.
fn client_of(daemon: &Daemon, groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<ClientConfig> {
    TlsClient { groups: Some(groups), ..TlsClient::default() }.config(daemon.folder.path())
}

/// The key exchange of a session: the group, and whether it took a `HelloRetryRequest`.
fn key_exchange(daemon: &Daemon, names: &[NamedGroup]) -> (NamedGroup, bool) {
    let stream = one_session(daemon, &client_of(daemon, groups(names)));
    let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
    let retried = stream.conn.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest);
    (group, retried)
}

#[test]
fn the_client_chooses_the_group() {
    use NamedGroup as G;
    let daemon = plain_and_tls();
    let hybrid_first = [G::X25519MLKEM768, G::X25519];
    assert_eq!(key_exchange(&daemon, &hybrid_first), (G::X25519MLKEM768, false));
    let hybrid_later = [G::X25519, G::X25519MLKEM768];
    assert_eq!(key_exchange(&daemon, &hybrid_later), (G::X25519, false));
    assert_eq!(key_exchange(&daemon, &[G::secp384r1]), (G::secp384r1, false));
}

#[test]
fn a_listener_of_the_hybrid_group_alone_asks_for_it_where_another_share_came() {
    use NamedGroup as G;
    let daemon = tls_with(HYBRID_ALONE);
    let hybrid_later = [G::X25519, G::X25519MLKEM768];
    assert_eq!(key_exchange(&daemon, &hybrid_later), (G::X25519MLKEM768, true));

    let (alert, line) = refused(&daemon, &client_of(&daemon, groups(&[G::X25519])));
    assert_eq!(alert, AlertDescription::HandshakeFailure);
    let words =
        "no key exchange group in common: the peer offers X25519; we accept X25519MLKEM768\"";
    assert!(line.contains(words), "{line}");

    // The group belongs to TLS 1.3.
    let tls12 = TlsClient { only: Some(&rustls::version::TLS12), ..TlsClient::default() };
    let (alert, _) = refused(&daemon, &tls12.config(daemon.folder.path()));
    assert_eq!(alert, AlertDescription::ProtocolVersion);
}

#[test]
fn the_client_program_does_a_hybrid_key_exchange_with_a_daemon_that_wants_it() {
    let daemon = tls_with(HYBRID_ALONE);
    let ca = daemon.path("signing.pem");
    let port = daemon.address("tls").port().to_string();
    let arguments = ["--tls", "--ca", ca.to_str().unwrap(), "localhost", &port];
    let output = run(&arguments, b"hello\n");
    assert_eq!((end(&output).0, &output.stdout[..]), (0, &b"hello\n"[..]), "{}", end(&output).1);
    daemon.wait_for_line(|line| line.contains(" tls=1.3 ") && line.contains("reason=peer-done"));
}

/// A group with the name of the hybrid one, whose share is these bytes.
#[derive(Debug)]
struct Share(&'static [u8]);

impl SupportedKxGroup for Share {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Share(self.0)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl ActiveKeyExchange for Share {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, Error> {
        unreachable!("the daemon refuses the share")
    }

    fn pub_key(&self) -> &[u8] {
        self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

#[test]
fn a_share_that_is_no_key_is_refused_and_the_next_client_is_served() {
    static SHORT: Share = Share(&[0; 1184]);
    static LONG: Share = Share(&[0; 1184 + 32 + 1]);
    static NO_KEY: Share = Share(&[0xff; 1184 + 32]);
    let daemon = plain_and_tls();
    for share in [&SHORT, &LONG, &NO_KEY] {
        let (alert, line) = refused(&daemon, &client_of(&daemon, vec![share]));
        assert_eq!(alert, AlertDescription::IllegalParameter, "{line}");
        assert_eq!(field(&line, "reason"), "tls-peer", "{line}");
    }
    let hybrid = [NamedGroup::X25519MLKEM768];
    assert_eq!(key_exchange(&daemon, &hybrid), (NamedGroup::X25519MLKEM768, false));
}
