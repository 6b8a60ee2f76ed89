//! The transports of both ends of a session, and the bytes that are sent between them.

use std::sync::LazyLock;

use echo_alex::testing::{
    ClientSettings, ServerConfig, Tls, Transport, Trust, client_config, server_config, server_name,
};

/// The byte at a position in what an end sends. Neighbouring positions differ, so that swapped bytes are
/// noticed.
pub(crate) fn byte_at(place: usize) -> u8 {
    let [low, _, high, ..] = place.wrapping_mul(2_654_435_761).to_le_bytes();
    low ^ high
}

/// So many bytes from that position.
pub(crate) fn bytes_from(place: usize, count: usize) -> Vec<u8> {
    (place..place + count).map(byte_at).collect()
}

/// The transports of a server and a client, by two bits: plain, TLS 1.3, plain, TLS 1.2. Sessions are not
/// resumed, so that none depends on an earlier one.
pub(crate) fn ends(bits: u8) -> (Transport, Transport) {
    static CLIENT: LazyLock<std::sync::Arc<rustls::ClientConfig>> = LazyLock::new(|| {
        let trust = Trust::Anything;
        let settings = ClientSettings::new(trust);
        client_config(&settings).expect("no files are named").0
    });
    static SERVER: LazyLock<ServerConfig> = LazyLock::new(|| {
        let settings = Tls::default();
        server_config(&settings, None).expect("a temporary identity")
    });
    let server = match bits & 3 {
        1 => &SERVER,
        3 => &ONLY_TLS12,
        _ => return (Transport::Plain, Transport::Plain),
    };
    let name = server_name("localhost").expect("a name");
    (
        Transport::tls_server((*server).clone()).expect("a server"),
        Transport::tls_client(CLIENT.clone(), name).expect("a client"),
    )
}

/// A server with TLS 1.2 alone. The daemon itself always offers 1.3 too, which the client would choose.
static ONLY_TLS12: LazyLock<ServerConfig> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("an identity");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = rustls::crypto::ring::default_provider();
    let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a supported version")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key.into())
        .expect("the key of the certificate");
    config.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticket key");
    config.into()
});
