//! The settings: the configuration after all checks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

/// Settings that have passed their checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where they come from, for messages.
    pub source: Source,
    /// Where the log goes, and how much of it.
    pub log: Log,
    /// Limits on the daemon as a whole.
    pub limits: Limits,
    /// From SIGTERM to the end; `None` waits for the last session.
    pub drain_timeout: Option<Duration>,
    /// At least one.
    pub listeners: Vec<Listener>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file.
    File(PathBuf),
    /// The built-in default, because the file at [`DEFAULT_PATH`](super::load::DEFAULT_PATH) does not exist.
    BuiltIn,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::BuiltIn => f.write_str("built-in configuration"),
        }
    }
}

/// Where the log goes, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// stderr or syslog.
    pub target: LogTarget,
    /// Lines above this level are left out.
    pub level: LevelFilter,
}

impl Default for Log {
    fn default() -> Self {
        Self { target: LogTarget::Stderr, level: LevelFilter::Info }
    }
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    Stderr,
    /// The log daemon that reads datagrams at this path.
    Syslog(PathBuf),
}

/// How many sessions there may be at once; `None` is no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub sessions: Option<usize>,
    /// From one IPv4 address or one IPv6 /64.
    pub sessions_per_address: Option<usize>,
}

/// A named place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the log, and towards the service manager.
    pub name: String,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// Other processes may listen there too (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// TLS, or plain TCP.
    pub tls: Option<Tls>,
    /// Limits on this listener alone.
    pub limits: Limits,
    /// How long its sessions may stay where they are.
    pub timeouts: Timeouts,
}

/// How long a session may stay where it is; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the TLS handshake.
    pub handshake: Option<Duration>,
    /// Without a byte either way.
    pub idle: Option<Duration>,
    /// Without the peer taking a byte, while there are some for it.
    pub write: Option<Duration>,
    /// From our FIN to the peer's.
    pub linger: Option<Duration>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Every address of this machine, IPv4 and IPv6.
    Port(u16),
    /// One address.
    Address(SocketAddr),
}

impl Endpoint {
    /// The socket addresses that it stands for. IPv6 sockets take IPv6 alone, so that a port means
    /// two of them.
    pub fn addresses(self) -> Vec<SocketAddr> {
        match self {
            Self::Port(port) => vec![
                (IpAddr::from(Ipv4Addr::UNSPECIFIED), port).into(),
                (IpAddr::from(Ipv6Addr::UNSPECIFIED), port).into(),
            ],
            Self::Address(address) => vec![address],
        }
    }
}

/// The files and rules of a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain and its key; without them, a temporary identity is made.
    pub identity: Option<Identity>,
    /// The CA that signs client certificates, and whether each client must have one.
    pub client_ca: Option<ClientCa>,
    /// Refuse TLS 1.2.
    pub only_tls13: bool,
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM, one or more CA certificates.
    pub file: PathBuf,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}
