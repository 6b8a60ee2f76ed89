//! echo-alex: an echo server (RFC 862) for plain TCP and TLS, its client, and a certificate tool.
//!
//! # Architecture
//!
//! Each of the three programs in `src/bin` is a call of [`daemon()`], [`client()`] or [`certs()`]. The modules of
//! these names have what is theirs alone; the other modules are shared. Dependencies
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
//!                     service      echo: the same bytes    discard: none    chargen, web: their own
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
//! 5. [`mod@client`]: connect, then one of the modes.
//!
//! `tests/simulation` runs sessions without a network. `docs/design.md` has the states, the invariants,
//! the bounds and the decisions.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub(crate) mod exit;
pub(crate) mod command_line;
pub(crate) mod os;
pub(crate) mod config;
pub(crate) mod tls;
pub(crate) mod wire;
pub(crate) mod daemon;
pub(crate) mod certs;
pub(crate) mod client;

pub use certs::main as certs;
pub use client::main as client;
pub use daemon::cli::main as daemon;

/// What the tests, the simulation and the fuzz targets use of the library.
#[doc(hidden)]
pub mod testing {
    pub use crate::certs::authority::{CA_DAYS, DAYS};
    pub use crate::certs::cli::command as certs_command;
    pub use crate::client::cli::{Options, Request, command as client_command};
    pub use crate::client::mode::explain::explain_anything;
    pub use crate::config::{Config, Limits, Service as ServiceName, Source, Timeouts, Tls};
    pub use crate::daemon::service::Service;
    pub use crate::daemon::service::web::anything::answer_anything;
    pub use crate::daemon::session::{Session, Turn};
    pub use crate::exit::Exit;
    pub use crate::os::clock::Moment;
    pub use crate::tls::client::{Settings as ClientSettings, Trust, client_config, server_name};
    pub use crate::tls::handshake::ServerConfig;
    pub use crate::tls::server::server_config;
    pub use crate::wire::buffers::{Buffers, HELD_MAX, READ_SIZE, Scratch};
    pub use crate::wire::close::{CloseReason, Fault};
    pub use crate::wire::link::Wire;
    pub use crate::wire::probe;
    pub use crate::wire::proxy;
    pub use crate::wire::transport::Transport;
}
