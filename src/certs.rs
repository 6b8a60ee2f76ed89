//! The certificate tool: a CA of your own, and the certificates that it signs.

pub mod cli;
pub mod commands;
pub mod authority;
mod der;
mod files;
mod key;
mod names;
mod verify;
