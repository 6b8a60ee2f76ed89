//! What the tests of the programs share.
//!
//! | file | what it has |
//! | --- | --- |
//! | `daemon` | a daemon at work: its configuration, addresses, log, messages and signals |
//! | `process` | the daemon as a process: descriptors, memory, processor time, and whether an attack left traces |
//! | `client` | the client at work, and servers that misbehave |
//! | `browser` | Chromium at work |
//! | `explain` | `explain` at work, and what it found |
//! | `programs` | other programs: how they are found, started, read and waited for |
//! | `tcp` | connections of the test, and what is sent over them |
//! | `tls` | TLS sessions of the test |
//! | `udp` | echoes of datagrams, and what the daemon says of its own |
//! | `capture` | what tcpdump sees |
//! | `journal` | the journal: a socket in its place, and its protocol |
//! | `authority` | certificates that are made for one test |
//! | `network` | a faulty network between two namespaces |
//! | `router` | a router between two namespaces |
//! | `proxy` | connections that begin with a header of the PROXY protocol |
//! | `report` | a report listener that is not the daemon's |
//! | `documents`, `options` | the texts of documents and the options of programs, for the tests that compare them |
//! | `command_line` | files that are generated from the definition of a command line |
//!
//! Tests wait for events, not for time: the daemon is ready when it sends READY=1, and a log line has
//! been written when it is read. Every wait ends after [`PATIENCE`], so a fault fails a test and does
//! not hang it.
#![allow(dead_code, unreachable_pub, unused_imports)] // Each test file uses a part.

pub mod authority;
pub mod browser;
pub mod capture;
pub mod client;
pub mod command_line;
pub mod daemon;
pub mod documents;
pub mod explain;
pub mod journal;
pub mod network;
pub mod options;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod report;
pub mod router;
pub mod tcp;
pub mod tls;
pub mod udp;

use std::thread;
use std::time::{Duration, Instant};

pub use authority::{Authority, folder_with_certificates, in_days, write_identity};
pub use daemon::{CROWD, Daemon, PLAIN, ROOM_FOR_A_CROWD, TLS, TLS_WEB, WEB, field, plain_and_tls};
pub use process::{State, limit_descriptors, raise_descriptor_limit};
pub use programs::{
    Running, SILENT_RESOLVER, copy_program, emulated, emulator, installed, outcome, preload,
    program, run, tool, wait,
};
pub use tcp::{
    ReservedPort, STUCK, assert_echo, connect, echo_all, http_head, noise, read_to_end, reset,
    rest, send_until_stuck, wait_for,
};
pub use tls::{
    TlsClient, TlsStream, connect_tls, echo_all_tls, end_tls, established, flight, new_connection,
};

/// How long anything may take before a test fails. Generous: the machine may be busy, or emulated.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls a condition that causes no event, such as the number of descriptors of a process.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "this did not happen in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
