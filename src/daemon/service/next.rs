//! The messages between a service and its session: what the service does next, who requested it, and what the
//! session knows of its connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::os::tcp_info::TcpInfo;
use crate::wire::close::CloseReason;
use crate::wire::transport::Agreed;

/// What a service does next.
#[derive(Debug)]
pub enum Next {
    /// It takes what comes.
    Read,
    /// It owes an answer, and takes nothing before that is out.
    Answer,
    /// It sends without a request, for as long as the peer takes it, and takes what comes.
    Speak,
    /// It reports on its connection, and takes nothing before that is out.
    Report,
    /// Its session ends.
    End(CloseReason),
}

/// Who asks for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// Its address.
    pub address: IpAddr,
    /// Whether it has shown a certificate, which TLS has verified.
    pub is_verified: bool,
}

/// A connection, for a service that reports on it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The peer's address, as it is seen here.
    pub peer: SocketAddr,
    /// Our own.
    pub local: Option<SocketAddr>,
    /// The time since accept.
    pub age: Duration,
    /// Why it ends, if it does.
    pub reason: Option<&'static str>,
    /// What the kernel knows of it.
    pub tcp: Option<TcpInfo>,
    /// What was agreed for it in the handshake of TLS.
    pub tls: Option<Secured>,
}

/// What was agreed in a handshake of TLS. The texts are safe to print and bounded.
#[derive(Clone, Debug)]
pub struct Secured {
    /// Version, cipher suite and group.
    pub agreed: Agreed,
    /// The application protocol.
    pub alpn: Option<String>,
    /// The subject of the peer's certificate.
    pub client_certificate: Option<String>,
}
