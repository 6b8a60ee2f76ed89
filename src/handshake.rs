//! What was seen of a handshake on the server's side, so that its failure can be explained: rustls
//! tells that it failed, and not what each side had to offer, or whose certificate it was about.

use std::sync::{Mutex, PoisonError};

/// Shared by a listener's TLS configuration, which sees, and its sessions, which tell.
///
/// One thread serves all sessions, and a failure is told in the call in which it is seen, so what
/// was seen last is about the session that asks.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Option<String>>);

impl Witness {
    /// The peer's certificate is good, and the CA of ours that vouches for it is out of date.
    pub fn our_ca_is_out_of_date(&self, sentence: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence);
    }

    /// What is wrong with our CA, if the handshake has just failed for that.
    pub fn take_fault_of_ours(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
