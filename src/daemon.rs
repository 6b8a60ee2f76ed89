//! The daemon: one thread that polls, and the sessions that it serves.

pub mod event_loop;
pub mod listener;
pub mod admission;
pub mod session;
pub mod deadline;
pub mod signals;
pub mod systemd;
pub mod logger;
pub mod log_limit;
pub mod stats;
