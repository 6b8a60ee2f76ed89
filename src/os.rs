//! What the operating system gives, made safe to use.

pub mod clock;
pub mod units;
pub mod descriptors;
mod netlink;
pub mod tcp_info;
pub mod interface;
pub mod addresses;
pub mod heap;
pub mod files;
pub mod file_set;
pub mod output;
