//! What both sides of a connection share, without policy.

pub mod link;
pub mod transport;
mod records;
mod explain;
mod mismatch;
pub mod buffers;
pub mod close;
