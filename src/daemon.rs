//! The daemon: one thread that polls, and the sessions that it serves.

pub mod cli;
pub mod event_loop;
pub mod listeners;
pub mod listener;
pub mod bind;
pub mod accept;
pub mod admission;
pub mod udp;
pub mod sessions;
pub mod session;
pub mod service;
pub mod deadline;
pub mod signals;
pub mod systemd;
mod health;
pub mod logger;
pub mod log_limit;
pub mod histogram;
pub mod handshakes;
pub mod stats;
mod survey;
pub mod census;
pub mod metrics;
pub mod making;
