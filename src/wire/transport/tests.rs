//! Both sides of a session, without a socket: what the one seals, the other opens.

use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::config;
use crate::tls::{client, server};

const NAME: &str = "alex.local";

/// What may be held back between two reads, in bytes: the number of docs/design.md, not a constant of the
/// code.
const MOST_HELD: usize = 96 * 1024;

/// A server and a client that trusts it, for one TLS version.
type Pair = (ServerConfig, Arc<ClientConfig>);

fn pair(version: &'static rustls::SupportedProtocolVersion) -> Pair {
    static IDENTITY: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (certificate, key) = IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec![NAME.into()]).unwrap();
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.clone().into()],
            PrivateKeyDer::try_from(key.clone()).unwrap(),
        )
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone().into()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server.into(), Arc::new(client))
}

/// One side, with buffers of its own and what it has read.
struct End {
    transport: Transport,
    wire: Vec<u8>,
    plain: Vec<u8>,
    sealed: Scratch,
    read: Vec<u8>,
    /// Sends back what it reads.
    echoes: bool,
}

impl End {
    fn new(transport: Transport, echoes: bool) -> Self {
        Self {
            transport,
            wire: vec![0; MOST_HELD + 64 * 1024],
            plain: Vec::new(),
            sealed: Scratch::default(),
            read: Vec::new(),
            echoes,
        }
    }

    /// Takes bytes of the wire, gives those that answer them.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, CloseReason> {
        let held = self.transport.restore(&mut self.wire);
        self.wire[held..held + bytes.len()].copy_from_slice(bytes);
        self.sealed.clear();
        let wire = &mut self.wire[..held + bytes.len()];
        let came = self.transport.open(wire, &mut self.plain, &mut self.sealed)?;
        self.read.extend_from_slice(came);
        let echo = if self.echoes { came } else { &[] };
        Ok(self.transport.seal(echo, &mut self.sealed)?.to_vec())
    }

    fn write(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.sealed.clear();
        self.transport.seal(bytes, &mut self.sealed).unwrap().to_vec()
    }

    fn finish(&mut self) -> Vec<u8> {
        self.sealed.clear();
        self.transport.finish(&mut self.sealed).unwrap();
        self.sealed.filled().to_vec()
    }
}

fn tls(version: &'static rustls::SupportedProtocolVersion) -> (End, End) {
    let (server, client) = pair(version);
    let name = ServerName::try_from(NAME).unwrap();
    (
        End::new(Transport::tls_client(client, name).unwrap(), false),
        End::new(Transport::tls_server(server).unwrap(), true),
    )
}

/// Sends `bytes` to the server in pieces of these sizes (and then whole), its answers back to the
/// client likewise, and so on until neither has anything to say.
fn exchange(
    client: &mut End,
    server: &mut End,
    bytes: Vec<u8>,
    pieces: &mut impl Iterator<Item = usize>,
) {
    let (mut to_server, mut to_client) = (bytes, Vec::new());
    while !to_server.is_empty() || !to_client.is_empty() {
        to_client.extend(take_in_pieces(server, &std::mem::take(&mut to_server), pieces));
        to_server.extend(take_in_pieces(client, &std::mem::take(&mut to_client), pieces));
    }
}

fn take_in_pieces(
    side: &mut End,
    bytes: &[u8],
    pieces: &mut impl Iterator<Item = usize>,
) -> Vec<u8> {
    let mut answers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) =
            rest.split_at(pieces.next().unwrap_or(usize::MAX).clamp(1, rest.len().min(64 * 1024)));
        answers.extend(side.take(piece).unwrap());
        rest = behind;
    }
    answers
}

fn shake_hands(client: &mut End, server: &mut End, pieces: &mut impl Iterator<Item = usize>) {
    let hello = client.take(&[]).unwrap();
    exchange(client, server, hello, pieces);
    assert!(!client.transport.is_handshaking() && !server.transport.is_handshaking());
}

fn versions() -> [&'static rustls::SupportedProtocolVersion; 2] {
    [&rustls::version::TLS12, &rustls::version::TLS13]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_bytes_comes_back_the_same(
        messages in vec(vec(any::<u8>(), 0..40_000), 0..5),
        pieces in vec(1_usize..3_000, 0..200),
        tls13 in any::<bool>(),
    ) {
        let (mut client, mut server) = tls(versions()[usize::from(tls13)]);
        let mut pieces = pieces.into_iter();
        shake_hands(&mut client, &mut server, &mut pieces);
        for message in &messages {
            let wire = client.write(message);
            exchange(&mut client, &mut server, wire, &mut pieces);
        }
        prop_assert!(server.read == messages.concat());
        prop_assert!(client.read == messages.concat());
        prop_assert!(!server.transport.peer_done());
        let wire = client.finish();
        exchange(&mut client, &mut server, wire, &mut pieces);
        prop_assert!(server.transport.peer_done());
    }

    #[test]
    fn plain_bytes_are_not_touched(bytes in vec(any::<u8>(), 0..10_000)) {
        let mut side = End::new(Transport::Plain, true);
        prop_assert_eq!(side.take(&bytes).unwrap(), bytes.clone());
        prop_assert_eq!(side.write(&bytes), bytes);
        prop_assert!(side.finish().is_empty());
    }

    #[test]
    fn garbage_never_panics_and_what_is_held_is_bounded(
        pieces in vec(vec(any::<u8>(), 1..2_000), 1..20),
        after_handshake in any::<bool>(),
        looks_like_tls in any::<bool>(),
    ) {
        let (mut client, mut server) = tls(&rustls::version::TLS13);
        if after_handshake {
            shake_hands(&mut client, &mut server, &mut std::iter::empty());
        }
        for mut piece in pieces {
            if looks_like_tls {
                let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
                piece.splice(0..0, [20 + piece[0] % 4, 3, 3, length[0], length[1]]);
            }
            if server.take(&piece).is_err() {
                break;
            }
            let Transport::Tls(tls) = &server.transport else { unreachable!() };
            prop_assert!(tls.held.len() <= MOST_HELD);
        }
    }
}

#[test]
fn an_idle_session_holds_nothing() {
    for version in versions() {
        let (mut client, mut server) = tls(version);
        shake_hands(&mut client, &mut server, &mut std::iter::repeat(7));
        let wire = client.write(b"hello");
        exchange(&mut client, &mut server, wire, &mut std::iter::repeat(3));
        let Transport::Tls(tls) = &server.transport else { unreachable!() };
        assert_eq!(tls.held.capacity(), 0);
    }
}

#[test]
fn a_handshake_message_that_does_not_end_is_held_up_to_a_bound_and_then_refused() {
    let (_, mut server) = tls(&rustls::version::TLS13);
    // A ClientHello of 65,535 bytes, in records of one byte: six bytes of the wire each.
    let message = [1, 0, 0xff, 0xff].into_iter().chain(std::iter::repeat(0));
    let wire: Vec<u8> =
        message.flat_map(|byte| [22, 3, 1, 0, 1, byte]).take(MOST_HELD + 1).collect();
    let (most, one_more) = wire.split_at(MOST_HELD);
    for piece in most.chunks(32 * 1024) {
        assert_eq!(server.take(piece).unwrap(), b"");
    }
    let Transport::Tls(tls) = &server.transport else { unreachable!() };
    assert_eq!(tls.held.len(), MOST_HELD);
    let reason = server.take(one_more).unwrap_err();
    assert_eq!(reason, CloseReason::TlsPeer("handshake message too long".into()));
}

#[test]
fn the_room_for_records_is_known_before_they_are_sealed() {
    for version in versions() {
        let (mut client, mut server) = tls(version);
        shake_hands(&mut client, &mut server, &mut std::iter::empty());
        for length in [1, 100, 16_384, 16_385, 32_768, 49_152, 81_920] {
            // What was there is not asked for again.
            client.sealed = Scratch::default();
            client.write(&vec![0; length]);
            // Where rustls has to ask for more, nothing is left. 64 bytes for each record are enough.
            let left = client.sealed.spare(0).len();
            assert!((1..=64 * (1 + length / 16_384)).contains(&left), "{length}: {left} are left");
        }
    }
}

#[test]
fn the_server_can_echo_after_the_client_said_close_notify() {
    for version in versions() {
        let (mut client, mut server) = tls(version);
        shake_hands(&mut client, &mut server, &mut std::iter::empty());
        let mut wire = client.write(b"last words");
        wire.extend(client.finish());
        let echo = server.take(&wire).unwrap();
        assert!(server.transport.peer_done());
        client.take(&echo).unwrap();
        assert_eq!(client.read, b"last words");
        let end = server.finish();
        client.take(&end).unwrap();
        assert!(client.transport.peer_done());
    }
}

#[test]
fn data_behind_the_end_of_the_handshake_is_opened_with_it() {
    let (mut client, mut server) = tls(&rustls::version::TLS13);
    let hello = client.take(&[]).unwrap();
    let answer = server.take(&hello).unwrap();
    let mut finished = client.take(&answer).unwrap();
    assert!(server.transport.is_handshaking());
    finished.extend(client.write(b"at once"));
    server.take(&finished).unwrap();
    assert_eq!(server.read, b"at once");
}

#[test]
fn plaintext_is_told_from_tls_and_answered_with_an_alert() {
    let (_, mut server) = tls(&rustls::version::TLS13);
    let mut wire = *b"GET / HTTP/1.1\r\n\r\n";
    let (mut plain, mut sealed) = (Vec::new(), Scratch::default());
    let error = server.transport.open(&mut wire, &mut plain, &mut sealed).unwrap_err();
    assert_eq!(error, CloseReason::NotTls);
    assert_eq!(sealed.filled()[0], 21, "the content type of an alert, RFC 8446 B.1");
}

#[test]
fn the_end_of_the_wire_means_what_went_before() {
    let (mut client, mut server) = tls(&rustls::version::TLS13);
    assert_eq!(Transport::Plain.end_of_wire(), CloseReason::PeerDone);
    assert_eq!(server.transport.end_of_wire(), CloseReason::HandshakeAbandoned);
    shake_hands(&mut client, &mut server, &mut std::iter::empty());
    assert_eq!(server.transport.end_of_wire(), CloseReason::PeerTruncated);
}

#[test]
fn what_was_agreed_is_known_after_the_handshake() {
    let (mut client, mut server) = tls(&rustls::version::TLS12);
    assert_eq!(server.transport.agreed(), None);
    shake_hands(&mut client, &mut server, &mut std::iter::empty());
    let agreed = server.transport.agreed().unwrap();
    assert_eq!((agreed.version, agreed.resumed, agreed.retried), ("1.2", false, false));
    assert_eq!(agreed.cipher_suite, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    assert_eq!(agreed.group, Some("X25519"));
}

#[test]
fn a_client_knows_the_certificate_of_its_server() {
    let (mut client, mut server) = tls(&rustls::version::TLS13);
    assert_eq!(client.transport.peer_certificate(), None);
    shake_hands(&mut client, &mut server, &mut std::iter::empty());
    assert!(client.transport.peer_certificate().is_some());
    assert_eq!(server.transport.peer_certificate(), None);
    assert_eq!(Transport::Plain.peer_certificate(), None);
}

#[test]
fn each_session_of_a_listener_has_the_server_name_that_its_own_client_sent() {
    let server = server::server_config(&config::Tls::default(), None).unwrap();
    let settings = client::Settings::new(client::Trust::Anything);
    let client = client::client_config(&settings).unwrap().0;
    // To an address no name is sent.
    let names = [Some("alex.local"), None, Some("alex.local"), Some("other.example")];
    let mut sessions = names.map(|name| {
        let name = ServerName::try_from(name.unwrap_or("192.0.2.1")).unwrap();
        let client = Transport::tls_client(client.clone(), name).unwrap();
        (End::new(client, false), End::new(Transport::tls_server(server.clone()).unwrap(), true))
    });
    // Each handshake goes on after the next one has begun.
    let mut flights = Vec::new();
    for (client, server) in &mut sessions {
        assert_eq!(server.transport.server_name(), None);
        let hello = client.take(&[]).unwrap();
        flights.push(server.take(&hello).unwrap());
    }
    for (((client, server), flight), name) in sessions.iter_mut().zip(flights).zip(names) {
        let finished = client.take(&flight).unwrap();
        exchange(client, server, finished, &mut std::iter::empty());
        assert_eq!(server.transport.server_name(), name);
        assert_eq!(client.transport.server_name(), None);
    }
    assert_eq!(Transport::Plain.server_name(), None);
}

#[test]
fn the_application_protocol_is_the_one_that_both_sides_name() {
    let (mut server, client) = pair(&rustls::version::TLS13);
    let mut client = Arc::unwrap_or_clone(client);
    client.alpn_protocols = vec![b"other".to_vec(), b"echo".to_vec()];
    Arc::make_mut(&mut server.rustls).alpn_protocols = vec![b"echo".to_vec()];
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = End::new(Transport::tls_client(client.into(), name).unwrap(), false);
    let mut server = End::new(Transport::tls_server(server).unwrap(), true);
    assert_eq!(client.transport.application_protocol(), None);
    shake_hands(&mut client, &mut server, &mut std::iter::empty());
    for side in [&client, &server] {
        assert_eq!(side.transport.application_protocol(), Some(&b"echo"[..]));
    }
    assert_eq!(Transport::Plain.application_protocol(), None);
}

#[test]
fn a_key_update_is_answered_with_the_next_echo() {
    let (mut client, mut server) = tls(&rustls::version::TLS13);
    shake_hands(&mut client, &mut server, &mut std::iter::empty());
    for _ in 0..3 {
        let Transport::Tls(tls) = &mut client.transport else { unreachable!() };
        tls.refresh_traffic_keys();
        let mut wire = client.take(&[]).unwrap();
        wire.extend(client.write(b"new keys"));
        exchange(&mut client, &mut server, wire, &mut std::iter::empty());
    }
    assert_eq!(client.read, b"new keysnew keysnew keys");
}
