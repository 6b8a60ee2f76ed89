//! The messages between a service and its session: what the service does next, and who requested it.

use std::net::IpAddr;

use crate::wire::close::CloseReason;

/// What a service does next.
#[derive(Debug)]
pub enum Next {
    /// It takes what comes.
    Read,
    /// It owes an answer, and takes nothing before that is out.
    Answer,
    /// It sends without a request, for as long as the peer takes it, and takes what comes.
    Speak,
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
