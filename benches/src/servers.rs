//! The servers that are compared: which there are, how one starts, what it uses, and its end.

mod commands;
mod kind;
mod server;
mod transport;

pub(crate) use commands::Programs;
pub(crate) use kind::{ALL, Kind, title};
pub(crate) use server::Server;
pub(crate) use transport::Transport;
