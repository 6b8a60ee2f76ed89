//! What TLS needs on both sides: identities, trust, and words for what fails.

pub mod server;
pub mod client;
pub mod handshake;
pub mod verification;
pub mod roots;
pub mod certificate;
pub mod provider;
