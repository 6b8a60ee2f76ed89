//! TLS sessions of the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustix::event::PollFlags;
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::daemon::Daemon;
use super::tcp::{assert_echo, connect, wait_for};

/// A TLS session over a connection.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// How a TLS client connects.
#[derive(Clone, Default)]
pub struct TlsClient {
    /// Only this version.
    pub only: Option<&'static rustls::SupportedProtocolVersion>,
    /// Present `NAME.crt` and `NAME.key` of the folder.
    pub identity: Option<&'static str>,
    /// Only this cipher suite.
    pub suite: Option<rustls::CipherSuite>,
    /// Only these key exchange groups, with a share for the first.
    pub groups: Option<Vec<&'static dyn SupportedKxGroup>>,
}

impl TlsClient {
    /// A configuration that trusts signing.pem of `folder`. Connections that share one can resume
    /// each other's sessions.
    pub fn config(&self, folder: &Path) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(folder.join("signing.pem")).unwrap();
        roots.add(ca).unwrap();
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(only) = self.suite {
            provider.cipher_suites.retain(|suite| suite.suite() == only);
        }
        if let Some(only) = &self.groups {
            provider.kx_groups.clone_from(only);
        }
        let versions = self.only.map_or_else(|| rustls::ALL_VERSIONS.to_vec(), |only| vec![only]);
        let builder = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::pem_file_iter(folder.join(format!("{name}.crt")))
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Arc::new(config)
    }

    /// A session with the listener `tls`. The first read or write does the handshake.
    pub fn connect(&self, daemon: &Daemon) -> TlsStream {
        connect_tls(&self.config(daemon.folder.path()), daemon.address("tls"))
    }
}

/// A session over a new connection. The first read or write does the handshake.
pub fn connect_tls(config: &Arc<ClientConfig>, address: SocketAddr) -> TlsStream {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    StreamOwned::new(connection, connect(address))
}

/// A session past its handshake, and one echo.
pub fn established(daemon: &Daemon, client: &TlsClient) -> TlsStream {
    let mut stream = client.connect(daemon);
    assert_echo(&mut stream, b"hello");
    stream
}

/// Sends `bytes` over a session and reads at the same time, sends `close_notify`, and reads up to the
/// peer's: what came back. The socket stays open, and blocking.
pub fn echo_all_tls(stream: &mut TlsStream, bytes: &[u8]) -> Vec<u8> {
    let StreamOwned { conn, sock } = stream;
    sock.set_nonblocking(true).unwrap();
    let (mut unsent, mut half_closed, mut back) = (bytes, false, Vec::new());
    loop {
        if !unsent.is_empty() {
            let taken = conn.writer().write(unsent).unwrap();
            unsent = &unsent[taken..];
        } else if !half_closed {
            conn.send_close_notify();
            half_closed = true;
        }
        let interest =
            if conn.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let ready = wait_for(sock, interest);
        if ready.contains(PollFlags::OUT) {
            conn.write_tls(sock).unwrap();
        }
        if !ready.contains(PollFlags::IN) {
            continue;
        }
        conn.read_tls(sock).unwrap();
        conn.process_new_packets().unwrap();
        match conn.reader().read_to_end(&mut back) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
    sock.set_nonblocking(false).unwrap();
    back
}

/// Ends a session cleanly: `close_notify` from both sides.
pub fn end_tls(stream: &mut TlsStream) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
}

/// The TLS side of a client that has sent nothing yet, for tests that send its bytes themselves.
pub fn new_connection(daemon: &Daemon) -> ClientConnection {
    let config = TlsClient::default().config(daemon.folder.path());
    ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap()
}

/// The bytes that `connection` wants to send now.
pub fn flight(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    bytes
}
