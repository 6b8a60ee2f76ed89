//! TLS for both sides: identities, what is trusted, and messages that explain a failure.

pub mod server;
pub mod client;
pub mod choice;
pub mod key_log;
pub mod sessions;
pub mod names;
pub mod handshake;
pub mod hello;
pub mod reader;
pub mod verify;
pub mod roots;
pub mod pem;
pub mod certificate;
pub mod host;
pub(crate) mod explain;
pub mod expiry;
pub mod tickets;
mod client_verifier;
mod identity;
mod mlkem;
pub(crate) mod provider;
mod temporary;
mod warnings;
