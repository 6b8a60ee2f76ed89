//! The certificate tool: a CA of your own, and what it signs.

pub mod authority;
