//! What a session keeps of its proxy.

use std::net::SocketAddr;

/// The proxy of a session.
pub(super) struct Proxied {
    /// The other end of the connection.
    pub(super) address: SocketAddr,
    /// The beginning of the header; then, until the session is admitted, what came behind it.
    pub(super) held: Vec<u8>,
    /// What the header says, once it is complete.
    pub(super) kind: Option<Kind>,
    /// The limits count the peer.
    pub(super) is_admitted: bool,
}

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The proxy's own.
    HealthCheck,
    /// The connection of a client.
    PassedOn,
}
