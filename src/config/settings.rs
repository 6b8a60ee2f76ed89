//! The settings: the configuration after all checks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;
use serde::Deserialize;

use super::algorithms::{CipherSuite, KeyExchangeGroup};

/// The configuration of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its origin, for messages.
    pub source: Source,
    /// The log.
    pub log: Log,
    /// Limits on the daemon as a whole.
    pub limits: Limits,
    /// Limits on the datagrams of all UDP listeners together.
    pub datagrams: DatagramLimits,
    /// The time from SIGTERM until it stops to listen.
    pub drain_delay: Duration,
    /// The time from then to the end; `None` waits for the last session.
    pub drain_timeout: Option<Duration>,
    /// The file with the keys of session tickets; without one, each listener has keys of its own.
    pub ticket_keys: Option<PathBuf>,
    /// The listeners, at least one.
    pub listeners: Vec<Listener>,
}

/// The origin of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The built-in configuration, because the default file does not exist.
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

/// The destination of the log, and its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Standard error, the journal or syslog.
    pub target: LogTarget,
    /// Lines above this level are not logged.
    pub level: LevelFilter,
}

/// The socket of systemd-journald (systemd-journald.service(8)).
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The destination of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    Stderr,
    /// The journal, by the path of its datagram socket.
    Journal(PathBuf),
    /// The log daemon, by the path of its datagram socket.
    Syslog(PathBuf),
}

/// Limits on simultaneous sessions; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// All sessions.
    pub sessions: Option<usize>,
    /// Sessions from one IPv4 address or one IPv6 /64.
    pub sessions_per_address: Option<usize>,
}

/// How many datagrams are answered in a second, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramLimits {
    /// Of all sources.
    pub per_second: usize,
    /// From one IPv4 address or one IPv6 /64.
    pub per_second_per_address: usize,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the log, and for sockets of the service manager.
    pub name: String,
    /// Its addresses.
    pub endpoints: Vec<Endpoint>,
    /// Whether other processes may listen there too (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// What it listens for: connections or datagrams.
    pub transport: Transport,
    /// What its sessions do with plaintext, or it with datagrams.
    pub service: Service,
    /// The networks that may see what a web listener does not show to everybody, or that a UDP listener
    /// answers; `None` are those of this machine's interfaces.
    pub allow: Option<Vec<IpNet>>,
    /// The origins whose pages may use the echo of a web listener, besides its own.
    pub origins: Vec<String>,
    /// The networks of the proxies that connections come from, each with a header of the PROXY protocol; `None` is
    /// connections from anywhere, without it.
    pub proxies: Option<Vec<IpNet>>,
    /// TLS; `None` is plain TCP.
    pub tls: Option<Tls>,
    /// Limits on this listener alone.
    pub limits: Limits,
    /// The timeouts of its sessions.
    pub timeouts: Timeouts,
}

/// The protocol below a listener's service.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Connections, with or without TLS.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// What a listener does with plaintext.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Sends back what came (RFC 862).
    #[default]
    Echo,
    /// Throws away what came (RFC 863).
    Discard,
    /// Sends characters without end (RFC 864).
    Chargen,
    /// Answers requests of HTTP.
    Web,
    /// Says what the daemon has seen of the connection.
    Report,
}

impl Service {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Web => "web",
            Self::Report => "report",
        }
    }

    /// The name of its protocol in TLS (ALPN), where it has one.
    pub fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Echo | Self::Discard | Self::Chargen | Self::Report => None,
            Self::Web => Some("http/1.1"),
        }
    }
}

/// The timeouts of a session; `None` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the TLS handshake.
    pub handshake: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
    /// Without a byte that the peer accepts, while the outbox is not empty.
    pub write: Option<Duration>,
    /// From the daemon's FIN to the peer's.
    pub linger: Option<Duration>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// This port on every address, IPv4 and IPv6.
    Port(u16),
    /// One address.
    Address(SocketAddr),
}

impl Endpoint {
    /// Its socket addresses. An IPv6 socket accepts IPv6 alone, so a port has two of them.
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

/// The TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain and its key; `None` is a temporary identity.
    pub identity: Option<Identity>,
    /// Client certificates; `None` does not ask for them.
    pub client_ca: Option<ClientCa>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The cipher suites, the preferred one first; `None` is all, ordered by what they cost.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// The key exchange groups. The client chooses from them.
    pub groups: Vec<KeyExchangeGroup>,
}

impl Tls {
    /// Whether the settings leave a session of TLS 1.2 possible.
    pub fn accepts_tls12(&self) -> bool {
        let has_suite = |suites: &Vec<CipherSuite>| suites.iter().any(|suite| !suite.is_tls13());
        !self.only_tls13
            && self.cipher_suites.as_ref().is_none_or(has_suite)
            && self.groups.iter().any(|group| group.is_in_tls12())
    }

    /// Whether the settings leave a session of TLS 1.3 possible.
    pub fn accepts_tls13(&self) -> bool {
        let has_suite = |suites: &Vec<CipherSuite>| suites.iter().any(|suite| suite.is_tls13());
        self.cipher_suites.as_ref().is_none_or(has_suite)
    }
}

/// An empty `[listener.tls]`.
impl Default for Tls {
    fn default() -> Self {
        Self {
            identity: None,
            client_ca: None,
            only_tls13: false,
            cipher_suites: None,
            groups: KeyExchangeGroup::ALL.into(),
        }
    }
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Which client certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM, one or more CA certificates.
    pub file: PathBuf,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}
