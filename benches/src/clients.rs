//! The harness's own client, for what `echo-alex-client bench` does not do: short connections, idle
//! sessions, a peer that does not read, and an exact number of messages.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
};

use crate::Result;
use crate::identity::Identity;
use crate::mlkem::X25519MLKEM768;
use crate::servers::Server;

/// Longer than any read takes, also under valgrind.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind of handshake that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handshake {
    Full,
    /// The second connection and later ones resume the session before.
    Resumed,
    /// A full one, with this cipher suite alone.
    Only(CipherSuite),
    /// A full one, with the key exchange X25519MLKEM768 alone.
    Hybrid,
}

/// How to reach a server.
#[derive(Clone)]
pub(crate) struct Dialler {
    port: u16,
    /// The port of the daemon's web listener.
    web: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection, blocking.
pub(crate) enum Session {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Dialler {
    /// TLS if there is an `identity`, which is then the only trusted one.
    pub(crate) fn new(
        server: &Server,
        identity: Option<&Identity>,
        handshake: Handshake,
    ) -> Result<Self> {
        let Server { port, web, .. } = *server;
        let Some(identity) = identity else { return Ok(Self { port, web, tls: None }) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&identity.certificate)?)?;
        let mut provider = default_provider();
        match handshake {
            Handshake::Full | Handshake::Resumed => {}
            Handshake::Only(suite) => provider.cipher_suites.retain(|one| one.suite() == suite),
            Handshake::Hybrid => provider.kx_groups = vec![&X25519MLKEM768],
        }
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match handshake {
            Handshake::Resumed => Resumption::in_memory_sessions(8),
            Handshake::Full | Handshake::Only(_) | Handshake::Hybrid => Resumption::disabled(),
        };
        Ok(Self { port, web, tls: Some(Arc::new(config)) })
    }

    pub(crate) fn dial(&self) -> Result<Session> {
        self.dial_to(self.port)
    }

    fn dial_to(&self, port: u16) -> Result<Session> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(config) = &self.tls else { return Ok(Session::Plain(stream)) };
        let name = ServerName::try_from("localhost")?;
        let connection = ClientConnection::new(Arc::clone(config), name)?;
        Ok(Session::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// `count` sessions, each of which has echoed one byte.
    pub(crate) fn sessions(&self, count: usize) -> Result<Vec<Session>> {
        (0..count)
            .map(|_| {
                let mut session = self.dial()?;
                session.echo(b"1")?;
                Ok(session)
            })
            .collect()
    }

    /// `count` sessions of the daemon's WebSocket echo, each of which has echoed a message of one byte.
    pub(crate) fn websockets(&self, count: usize) -> Result<Vec<Session>> {
        (0..count)
            .map(|_| {
                let mut session = self.dial_to(self.web)?;
                session.send(UPGRADE)?;
                session.expect(UPGRADED)?;
                // A binary message "1": of a client with the mask 0, and of the server.
                session.send(b"\x82\x81\0\0\0\x001")?;
                session.expect(b"\x82\x011")?;
                Ok(session)
            })
            .collect()
    }

    /// The daemon's metrics.
    pub(crate) fn metrics(&self) -> Result<String> {
        let mut session = self.dial_to(self.web)?;
        session.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        session.stream().read_to_string(&mut answer)?;
        let (_, metrics) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        Ok(metrics.to_owned())
    }
}

/// A request for a WebSocket, with the key of RFC 6455 §1.3, and the daemon's answer.
const UPGRADE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

impl Session {
    fn stream(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)?;
        self.stream().flush()
    }

    /// Reads as many bytes as `bytes` has, which must be the same.
    fn expect(&mut self, bytes: &[u8]) -> Result<()> {
        let mut came = vec![0; bytes.len()];
        self.stream().read_exact(&mut came)?;
        if came == bytes { Ok(()) } else { Err("the echo differs".into()) }
    }

    pub(crate) fn echo(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(bytes)?;
        self.expect(bytes)
    }

    /// Whether the handshake resumed an earlier session.
    fn is_resumed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Half-closes, and waits until the server closes too.
    pub(crate) fn close(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Write)?;
        // Some servers close without close_notify, or reset the connection when ours arrives.
        let _ = self.stream().read_to_end(&mut Vec::new());
        Ok(())
    }

    /// Writes up to `total` bytes without reading any, until the server has taken none for a while.
    /// Returns how many it took.
    pub(crate) fn stall(&mut self, total: usize) -> Result<usize> {
        const PIECE: [u8; 16 * 1024] = [7; 16 * 1024];
        const QUIET: Duration = Duration::from_millis(500);

        self.socket().set_nonblocking(true)?;
        let (mut taken, mut moved) = (0, Instant::now());
        while taken < total && moved.elapsed() < QUIET {
            let written = match self {
                Self::Plain(stream) => stream.write(&PIECE),
                // StreamOwned would read the echo.
                Self::Tls(stream) => {
                    let StreamOwned { conn, sock, .. } = &mut **stream;
                    let room = if conn.wants_write() { 0 } else { PIECE.len() };
                    let buffered = conn.writer().write(&PIECE[..room])?;
                    conn.write_tls(sock).map(|_| buffered)
                }
            };
            match written {
                Ok(count) => (taken, moved) = (taken + count, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// What [`churn`] did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Churn {
    pub(crate) connections: u64,
    pub(crate) resumed: u64,
}

/// For `time`: connects, echoes one byte and closes, one connection after the other, in `at_once` threads.
pub(crate) fn churn(dialler: &Dialler, at_once: usize, time: Duration) -> Result<Churn> {
    let start = Instant::now();
    let one_after_the_other = || {
        let mut done = Churn { connections: 0, resumed: 0 };
        while start.elapsed() < time {
            let resumed = connect_and_close(dialler).map_err(|error| error.to_string())?;
            done.connections += 1;
            done.resumed += u64::from(resumed);
        }
        Ok::<Churn, String>(done)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one_after_the_other)).collect();
        let mut all = Churn { connections: 0, resumed: 0 };
        for thread in threads {
            let done = thread.join().map_err(|_| "a thread of the load panicked")??;
            all.connections += done.connections;
            all.resumed += done.resumed;
        }
        Ok(all)
    })
}

/// Connects, echoes one byte and closes; true if the session before was resumed.
pub(crate) fn connect_and_close(dialler: &Dialler) -> Result<bool> {
    let mut session = dialler.dial()?;
    session.echo(b"1")?;
    let resumed = session.is_resumed();
    session.close()?;
    Ok(resumed)
}

/// Sends `rounds` messages of `size` bytes through each session, and compares the echo. A session gets
/// its next message as soon as the last one is back, whatever the others do, so a server that is slower
/// than this client always has work.
pub(crate) fn exchange(sessions: &mut [Session], rounds: usize, size: usize) -> Result<()> {
    let message = vec![0x55; size];
    for round in 0..=rounds {
        for session in &mut *sessions {
            if round > 0 {
                session.expect(&message)?;
            }
            if round < rounds {
                session.send(&message)?;
            }
        }
    }
    Ok(())
}
