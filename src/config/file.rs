//! What the configuration file looks like, and whether it makes sense.
//!
//! The names of the keys are the names of the fields, in kebab-case.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use super::{
    ClientCa, Config, Endpoint, Identity, Limits, Listener, Log, LogTarget, Problem, Source,
    Timeouts, Tls,
};
use crate::os::units;

/// Limits on the daemon as a whole, where the file says nothing.
const DEFAULT_LIMITS: Limits = Limits { sessions: Some(1024), sessions_per_address: Some(256) };

/// Timeouts where the file says nothing.
const DEFAULT_TIMEOUTS: Timeouts = Timeouts {
    handshake: Some(Duration::from_secs(10)),
    idle: Some(Duration::from_secs(60 * 60)),
    write: Some(Duration::from_secs(30)),
    linger: Some(Duration::from_secs(2)),
};

/// Under systemd's `TimeoutStopSec`, which is 90 s.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    log: LogTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    listener: Listeners,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [log]")]
struct LogTable {
    #[serde(default)]
    target: TargetName,
    level: Option<Level>,
    socket: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum TargetName {
    #[default]
    Stderr,
    Syslog,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Default, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table: [limits] or [listener.limits]"
)]
struct LimitsTable {
    max_sessions: Option<Spanned<Count>>,
    max_sessions_per_address: Option<Spanned<Count>>,
    handshake_timeout: Option<Spanned<Timeout>>,
    idle_timeout: Option<Spanned<Timeout>>,
    write_timeout: Option<Spanned<Timeout>>,
    linger_timeout: Option<Spanned<Timeout>>,
    drain_timeout: Option<Spanned<Timeout>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [[listener]]")]
struct ListenerTable {
    name: Spanned<String>,
    listen: Spanned<Listen>,
    reuse_port: Option<Spanned<bool>>,
    tls: Option<Spanned<TlsTable>>,
    #[serde(default)]
    limits: LimitsTable,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [listener.tls]")]
struct TlsTable {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_auth: Option<Spanned<ClientAuth>>,
    min_version: Option<MinVersion>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClientAuth {
    Required,
    Optional,
}

#[derive(Clone, Copy, PartialEq)]
enum MinVersion {
    Tls12,
    Tls13,
}

impl File {
    /// Does it make sense?
    pub(super) fn check(self, source: &Source) -> Result<Config, Problem> {
        let (limits, timeouts) = self.limits.check(&DEFAULT_LIMITS, &DEFAULT_TIMEOUTS)?;
        let drain_timeout = match &self.limits.drain_timeout {
            Some(timeout) => timeout.get_ref().0,
            None => Some(DEFAULT_DRAIN_TIMEOUT),
        };
        let folder = match source {
            Source::File(path) => path.parent().unwrap_or(Path::new("")),
            Source::BuiltIn => Path::new(""),
        };
        let mut listeners: Vec<Listener> = Vec::new();
        for table in self.listener.0 {
            let listener = table.check(folder, &limits, &timeouts, &listeners)?;
            listeners.push(listener);
        }
        if listeners.is_empty() {
            return Err(Problem::new(0..0, "there is nothing to serve: add a [[listener]]"));
        }
        Ok(Config {
            source: source.clone(),
            log: self.log.check(folder),
            limits,
            drain_timeout,
            listeners,
        })
    }
}

impl LogTable {
    fn check(self, folder: &Path) -> Log {
        let target = match self.target {
            TargetName::Stderr => LogTarget::Stderr,
            TargetName::Syslog => {
                LogTarget::Syslog(folder.join(self.socket.unwrap_or_else(|| "/dev/log".into())))
            }
        };
        let level = match self.level.unwrap_or(Level::Info) {
            Level::Error => LevelFilter::Error,
            Level::Warn => LevelFilter::Warn,
            Level::Info => LevelFilter::Info,
            Level::Debug => LevelFilter::Debug,
            Level::Trace => LevelFilter::Trace,
        };
        Log { target, level }
    }
}

impl LimitsTable {
    /// The limits and timeouts of this table, with those `above` it where it says nothing.
    fn check(&self, limits: &Limits, timeouts: &Timeouts) -> Result<(Limits, Timeouts), Problem> {
        let limits = Limits {
            sessions: at_least_one(self.max_sessions.as_ref())?.or(limits.sessions),
            sessions_per_address: at_least_one(self.max_sessions_per_address.as_ref())?
                .or(limits.sessions_per_address),
        };
        let timeouts = Timeouts {
            handshake: bounded(self.handshake_timeout.as_ref(), timeouts.handshake)?,
            idle: self.idle_timeout.as_ref().map_or(timeouts.idle, |t| t.get_ref().0),
            write: self.write_timeout.as_ref().map_or(timeouts.write, |t| t.get_ref().0),
            linger: bounded(self.linger_timeout.as_ref(), timeouts.linger)?,
        };
        Ok((limits, timeouts))
    }
}

fn at_least_one(limit: Option<&Spanned<Count>>) -> Result<Option<usize>, Problem> {
    match limit {
        Some(limit) if limit.get_ref().0 == 0 => Err(Problem::new(
            limit.span(),
            "a limit of 0 would refuse everybody; take a listener out instead",
        )),
        limit => Ok(limit.map(|limit| limit.get_ref().0)),
    }
}

/// A timeout that must not be switched off, because a peer could then hold a session for ever
/// without a byte of echo.
fn bounded(
    timeout: Option<&Spanned<Timeout>>,
    otherwise: Option<Duration>,
) -> Result<Option<Duration>, Problem> {
    match timeout {
        Some(timeout) if timeout.get_ref().0.is_none() => Err(Problem::new(
            timeout.span(),
            "this timeout cannot be switched off: a peer could hold a session for ever",
        )),
        Some(timeout) => Ok(timeout.get_ref().0),
        None => Ok(otherwise),
    }
}

impl ListenerTable {
    fn check(
        self,
        folder: &Path,
        limits: &Limits,
        timeouts: &Timeouts,
        others: &[Listener],
    ) -> Result<Listener, Problem> {
        let name = self.name.get_ref();
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
            return Err(Problem::new(
                self.name.span(),
                "a name is 1 to 64 letters, digits, '-', '_' and '.'",
            ));
        }
        if others.iter().any(|other| other.name == *name) {
            return Err(Problem::new(self.name.span(), "another listener has this name"));
        }
        let endpoints = &self.listen.get_ref().0;
        if endpoints.is_empty() {
            return Err(Problem::new(self.listen.span(), "this listener listens nowhere"));
        }
        self.check_clashes(others)?;
        let reuse_port = self.reuse_port.as_ref().filter(|reuse_port| *reuse_port.get_ref());
        if let Some(reuse_port) = reuse_port
            && endpoints.iter().flat_map(|e| e.addresses()).any(|address| address.port() == 0)
        {
            return Err(Problem::new(
                reuse_port.span(),
                "port 0 is another port for each process, so that there is none to share",
            ));
        }
        if let Some(timeout) = &self.limits.drain_timeout {
            return Err(Problem::new(
                timeout.span(),
                "drain-timeout belongs to [limits]: the daemon stops as a whole",
            ));
        }
        if let (Some(own), Some(most)) = (&self.limits.max_sessions, limits.sessions)
            && own.get_ref().0 > most
        {
            return Err(Problem::new(
                own.span(),
                format!("this can never be reached: max-sessions in [limits] is {most}"),
            ));
        }
        let (own_limits, timeouts) = self.limits.check(&Limits::default(), timeouts)?;
        Ok(Listener {
            name: name.clone(),
            endpoints: endpoints.clone(),
            reuse_port: reuse_port.is_some(),
            tls: self.tls.map(|tls| TlsTable::check(tls, folder)).transpose()?,
            limits: own_limits,
            timeouts,
        })
    }

    /// Two sockets cannot share a port of one address, and `0.0.0.0` and `[::]` are every address;
    /// the kernel would say no more than "address in use".
    fn check_clashes(&self, others: &[Listener]) -> Result<(), Problem> {
        let mut taken: Vec<(SocketAddr, &str)> = others
            .iter()
            .flat_map(|other| other.endpoints.iter().map(|e| (e, other.name.as_str())))
            .flat_map(|(endpoint, name)| endpoint.addresses().into_iter().map(move |a| (a, name)))
            .collect();
        for address in self.listen.get_ref().0.iter().flat_map(|endpoint| endpoint.addresses()) {
            if let Some((other, name)) = taken.iter().find(|(other, _)| clash(*other, address)) {
                let message = if *name == self.name.get_ref() {
                    format!("{address} and {other} are the same port of the same address")
                } else {
                    format!("{address} is taken by listener \"{name}\" ({other})")
                };
                return Err(Problem::new(self.listen.span(), message));
            }
            taken.push((address, self.name.get_ref()));
        }
        Ok(())
    }
}

/// Addresses that differ by their scope, the interface, are two.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a == b || a.ip().is_unspecified() || b.ip().is_unspecified())
}

impl TlsTable {
    fn check(table: Spanned<Self>, folder: &Path) -> Result<Tls, Problem> {
        let span = table.span();
        let table = table.into_inner();
        let identity = match (table.certificate, table.key) {
            (Some(certificate), Some(key)) => {
                Some(Identity { certificate: folder.join(certificate), key: folder.join(key) })
            }
            (None, None) => None,
            (Some(_), None) => {
                return Err(Problem::new(span, "a certificate needs its key: add key = \"….key\""));
            }
            (None, Some(_)) => {
                return Err(Problem::new(
                    span,
                    "a key needs its certificate: add certificate = \"….crt\"",
                ));
            }
        };
        let client_ca = match (table.client_ca, table.client_auth) {
            (Some(file), auth) => Some(ClientCa {
                file: folder.join(file),
                required: auth.is_none_or(|auth| matches!(auth.get_ref(), ClientAuth::Required)),
            }),
            (None, None) => None,
            (None, Some(auth)) => {
                return Err(Problem::new(
                    auth.span(),
                    "client-auth needs the CA that signs client certificates: add client-ca",
                ));
            }
        };
        let only_tls13 = table.min_version == Some(MinVersion::Tls13);
        Ok(Tls { identity, client_ca, only_tls13 })
    }
}

/// A port, an address, or a list of them.
struct Listen(Vec<Endpoint>);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListenVisitor;

        impl<'de> Visitor<'de> for ListenVisitor {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 5000, an address such as \"192.168.1.16:5000\" or \"[::1]:5000\", or a list of them")
            }

            fn visit_i64<E: de::Error>(self, port: i64) -> Result<Listen, E> {
                match u16::try_from(port) {
                    Ok(port) => Ok(Listen(vec![Endpoint::Port(port)])),
                    Err(_) => Err(E::custom(format_args!("{port} is not a port: 0 to 65535"))),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
                match text.parse() {
                    Ok(address) => {
                        check_address(address).map_err(E::custom)?;
                        Ok(Listen(vec![Endpoint::Address(address)]))
                    }
                    Err(_) => Err(E::custom(format_args!(
                        "{text:?} is not an address with a port, such as \"192.168.1.16:5000\" or \"[::1]:5000\""
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listen, A::Error> {
                let mut all = Vec::new();
                while let Some(Listen(some)) = list.next_element()? {
                    all.extend(some);
                }
                Ok(Listen(all))
            }
        }

        deserializer.deserialize_any(ListenVisitor)
    }
}

/// Refuses what no socket can be bound to, with what was meant.
fn check_address(address: SocketAddr) -> Result<(), String> {
    let SocketAddr::V6(address) = address else { return Ok(()) };
    let (ip, port) = (address.ip(), address.port());
    if let Some(ip) = ip.to_ipv4_mapped() {
        return Err(format!(
            "{address} is an IPv4 address in the form of IPv6: write \"{ip}:{port}\""
        ));
    }
    if ip.is_unicast_link_local() && address.scope_id() == 0 {
        return Err(format!(
            "{address} is a link-local address, of which each interface has its own: add the number \
             of the interface, the first in its line of ip link, as in \"[{ip}%2]:{port}\""
        ));
    }
    Ok(())
}

/// A duration such as "10s", or "none".
#[derive(Clone, Copy)]
struct Timeout(Option<Duration>);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeoutVisitor;

        impl Visitor<'_> for TimeoutVisitor {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a duration in quotes, such as {}", units::DURATION_EXAMPLES)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timeout, E> {
                if text == "none" || text == "0" {
                    return Ok(Timeout(None));
                }
                match units::duration(text) {
                    Some(duration) if duration.is_zero() => Ok(Timeout(None)),
                    Some(duration) => Ok(Timeout(Some(duration))),
                    None => Err(E::custom(format_args!(
                        "{text:?} is not a duration, such as {}, nor \"none\"",
                        units::DURATION_EXAMPLES
                    ))),
                }
            }
        }

        deserializer.deserialize_any(TimeoutVisitor)
    }
}

/// The text is a version, not a number: 1.10 would be 1.1.
impl<'de> Deserialize<'de> for MinVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;

        impl Visitor<'_> for VersionVisitor {
            type Value = MinVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"1.2\" or \"1.3\", with the quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MinVersion, E> {
                match text {
                    "1.2" => Ok(MinVersion::Tls12),
                    "1.3" => Ok(MinVersion::Tls13),
                    _ => Err(E::custom(format_args!(
                        "{text:?} is not a version that is spoken here: \"1.2\" or \"1.3\""
                    ))),
                }
            }
        }

        deserializer.deserialize_any(VersionVisitor)
    }
}

/// A whole number of sessions.
#[derive(Clone, Copy)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of sessions")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                self.visit_i128(number.into())
            }

            fn visit_i128<E: de::Error>(self, number: i128) -> Result<Count, E> {
                usize::try_from(number)
                    .map(Count)
                    .map_err(|_| E::custom(format_args!("{number} is not a number of sessions")))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

/// The tables called `[[listener]]`.
#[derive(Default)]
struct Listeners(Vec<ListenerTable>);

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListenersVisitor;

        impl<'de> Visitor<'de> for ListenersVisitor {
            type Value = Listeners;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[[listener]], with two brackets on each side")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listeners, A::Error> {
                let mut all = Vec::new();
                while let Some(table) = list.next_element()? {
                    all.push(table);
                }
                Ok(Listeners(all))
            }
        }

        deserializer.deserialize_any(ListenersVisitor)
    }
}
