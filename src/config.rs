//! The configuration file: TOML to settings that have been checked.
//!
//! Two steps, the same for a start, a reload and `--check`: *parse* (is this TOML, with keys that
//! we know and values of the right kind?) and *check* (does it make sense?). Every problem is one
//! line with the file, the line, the column and the text that stands there.

mod file;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;

use crate::exit::{Exit, Failure};
use crate::os::files;

/// Where the configuration is read from if no other file is named.
pub const DEFAULT_PATH: &str = "/etc/echo-alex/echo-alex.toml";

/// A file of more bytes than this is not a configuration.
const FILE_MAX: u64 = 1024 * 1024;

/// What is served where there is no file: plain and TLS echo, with a temporary identity.
const BUILT_IN: &str = "
[[listener]]
name = \"plain\"
listen = 5000

[[listener]]
name = \"tls\"
listen = 5001
[listener.tls]
";

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
    /// The built-in default, because the file at [`DEFAULT_PATH`] does not exist.
    BuiltIn,
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

impl Config {
    /// What a start serves: the file at `path`, or at [`DEFAULT_PATH`] if none is given, or the
    /// built-in default if that does not exist.
    ///
    /// A reload has no built-in default: it would replace private listeners by public ones.
    pub fn for_start(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            Some(file) => Self::load(file),
            None => Self::load(Path::new(DEFAULT_PATH)).or_else(|failure| match failure.exit {
                Exit::NoInput => Self::built_in(),
                _ => Err(failure),
            }),
        }
    }

    /// What is served without a file.
    pub fn built_in() -> Result<Self, Failure> {
        Self::parse(BUILT_IN, &Source::BuiltIn)
    }

    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path, FILE_MAX)
            .map_err(|why| why.failure(format_args!("cannot read {}", path.display())))?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::config(format!("{}: this is not text in UTF-8", path.display()))
        })?;
        Self::parse(&text, &Source::File(path.to_owned()))
    }

    /// Parses and checks `text`.
    pub fn parse(text: &str, source: &Source) -> Result<Self, Failure> {
        let file: file::File = toml::from_str(text)
            .map_err(|e| Problem::new(e.span().unwrap_or(0..0), e.message()))
            .map_err(|problem| problem.located(text, source))?;
        file.check(source).map_err(|problem| problem.located(text, source))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::BuiltIn => f.write_str("built-in configuration"),
        }
    }
}

/// Something wrong in the file, and where.
struct Problem {
    span: Range<usize>,
    message: String,
}

impl Problem {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// The problem as one line: where, what, and the text that stands there.
    fn located(self, text: &str, source: &Source) -> Failure {
        let at = self.span.start.min(text.len());
        let before = &text[..at];
        let start_of_line = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[start_of_line..].chars().count() + 1;
        let content = text[start_of_line..].lines().next().unwrap_or_default().trim();
        let message = self.message.trim().replace('\n', ", ");
        let mut what = format!("{source}:{line}:{column}: {message}");
        if !content.is_empty() {
            what = format!("{what}: {content}");
        }
        Failure::config(what)
    }
}
