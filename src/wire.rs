//! What both sides of a connection share, without policy.

pub mod link;
pub mod transport;
mod records;
mod explain;
pub mod buffers;
pub mod close;
