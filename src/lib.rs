//! echo-alex: an echo server (RFC 862) for plain TCP and TLS, its client, and a certificate tool.
//!
//! # Architecture
//!
//! The three programs in `src/bin` parse their command line, call this library and return an exit code.
//! Each of [`daemon`], [`client`] and [`certs`] is one program; the other modules are shared. Dependencies
//! point downwards, and `tests/architecture.rs` holds them there:
//!
//! ```text
//!  bin/          echo-alex          echo-alex-client          echo-alex-certs
//!                    |                      |                        |
//!                daemon/                client/                   certs/
//!                    |                      |                        |
//!                    +------- wire/ --------+                        |
//!                    |          |           |                        |
//!                    +----------+-- tls/ ---+------------------------+
//!                    |                |     |
//!                    +------ config/ -+-----+
//!                               |
//!                              os/
//!                               |
//!                            exit.rs
//! ```
//!
//! # The path of a byte
//!
//! The daemon is one thread with one event loop. It never blocks except in the poll.
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
//! # Where to start reading
//!
//! 1. [`daemon::session`]: the life of one connection, and the path above.
//! 2. [`wire::transport`]: plain and TLS, without I/O.
//! 3. [`daemon::event_loop`]: which session gets a turn, and when.
//! 4. [`config`]: what can be configured, and how it is checked.
//! 5. [`client`]: connect, then one of the modes.
//!
//! `tests/simulation` runs sessions without a network. `docs/design.md` has the states, the invariants,
//! the bounds and the decisions.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod exit;
pub mod command_line;
pub mod os;
pub mod config;
pub mod tls;
pub mod wire;
pub mod daemon;
pub mod certs;
pub mod client;
