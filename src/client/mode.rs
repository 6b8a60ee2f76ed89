//! What the client can do with a connection.

pub mod relay;
pub mod ping;
pub mod bench;
