//! echo-alex: an echo server (RFC 862) for plain TCP and TLS.
//!
//! The way of a byte:
//!
//! ```text
//! accept -> Session -> read(2) into the loop's scratch buffer
//!                        | wire bytes
//!                        v
//!                  transport.open  --> plaintext       Plain: the same bytes    Tls: decrypt, handshake
//!                        v
//!                      echo        (the one line that makes this an echo server)
//!                        v
//!                  transport.seal  --> wire bytes      Plain: the same bytes    Tls: encrypt
//!                        v
//!                  write(2) now; what the kernel does not take waits in the session's outbox
//!                        v
//!    peer done and outbox empty --> finish (close_notify) --> flush --> shutdown(Write) --> linger --> close
//! ```
//!
//! `docs/design.md` has the folders, what each may use, the states and the invariants.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod exit;
pub mod os;
pub mod config;
pub mod tls;
pub mod wire;
pub mod daemon;
pub mod certs;
pub mod client;
