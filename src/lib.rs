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
//! The modules stand below in the order in which to read them: what a connection meets, from the
//! configuration to the buffers; then what these use; then the client.
//!
//! Dependencies point one way: server to listener, session, deadline, limits and signals; session
//! to link, link to transport; transport to rustls. No two modules need each other. Only `transport`,
//! `handshake`, `tls`, `trust`, `verification`, `roots`, `certificate` and `crypto` name rustls; only
//! `server`, `listener`, `link`, `signals` and `client` name mio.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod config;
pub mod server;
pub mod listener;
pub mod limits;
pub mod session;
pub mod link;
pub mod transport;
pub mod buffers;
pub mod handshake;
pub mod tls;
pub mod trust;
pub mod verification;
pub mod roots;
pub mod certificate;
pub mod authority;
pub mod crypto;
pub mod file_set;
pub mod close;
pub mod deadline;
pub mod clock;
pub mod duration;
pub mod signals;
pub mod systemd;
pub mod logger;
pub mod repeats;
pub mod stats;
pub mod files;
pub mod exit;
pub mod output;
pub mod client;
