//! What both sides share, without policy.

pub mod link;
pub mod transport;
mod records;
mod explain;
mod mismatch;
pub mod buffers;
pub mod close;
pub mod probe;
pub mod proxy;
