//! What both sides of a connection share, without policy.

pub mod link;
pub mod transport;
pub mod buffers;
pub mod close;
