//! What the client can do with a connection: a file for each command.

pub mod talk;
pub mod ping;
pub mod bench;
pub mod handshakes;
pub mod idle;
pub mod diff;
pub mod explain;
pub mod both;
pub mod mtu;
pub mod compare;
pub mod hold;
