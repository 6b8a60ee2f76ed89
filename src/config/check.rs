//! Tables to settings: the defaults, and the rules between values.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use log::LevelFilter;
use toml::Spanned;

use super::algorithms::KeyExchangeGroup;
use super::file::{
    ClientAuth, File, Level, ListenerTable, LogTable, ProxyTable, SpannedList, TargetName, TlsTable,
};
use super::limits::{self, DEFAULT_LIMITS, DEFAULT_TIMEOUTS, datagrams, or};
use super::problem::Problem;
use super::settings::{
    ClientCa, Config, Identity, JOURNAL_SOCKET, Limits, Listener, Log, LogTarget, Service, Source,
    Timeouts, Tls, Transport,
};
use super::transport::transport;
use super::value::{MinVersion, Network};

/// The networks that see the metrics, where the file has none.
const LOOPBACK_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
const LOOPBACK_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);

/// The socket of the log daemon, where the file has none.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Less than systemd's `TimeoutStopSec`, which is 90 s.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that `file` stands for. Relative paths start at the folder of `source`.
pub(super) fn check(file: File, source: &Source) -> Result<Config, Problem> {
    let folder = match source {
        Source::File(path) => path.parent().unwrap_or(Path::new("")),
        Source::BuiltIn => Path::new(""),
    };
    let limits = limits::limits(&file.limits, &DEFAULT_LIMITS)?;
    let datagrams = datagrams(&file.limits)?;
    let timeouts = limits::timeouts(&file.limits, &DEFAULT_TIMEOUTS)?;
    let drain_delay = or(file.limits.drain_delay.as_ref(), None).unwrap_or_default();
    let drain_timeout = or(file.limits.drain_timeout.as_ref(), Some(DEFAULT_DRAIN_TIMEOUT));
    let mut listeners = Vec::new();
    for table in file.listener.0 {
        listeners.push(listener(table, folder, &limits, &timeouts, &listeners)?);
    }
    if listeners.is_empty() {
        return Err(Problem::new(0..0, "there is no listener: add a [[listener]]"));
    }
    let has_tls = listeners.iter().any(|listener| listener.tls.is_some());
    let ticket_keys = match file.tickets {
        Some(table) if !has_tls => {
            let message = "[tickets] needs a listener with [listener.tls]: nothing else has sessions to resume";
            return Err(Problem::new(table.span(), message));
        }
        table => table.map(|table| folder.join(table.into_inner().file)),
    };
    Ok(Config {
        source: source.clone(),
        log: log(&file.log, folder),
        limits,
        datagrams,
        drain_delay,
        drain_timeout,
        ticket_keys,
        listeners,
    })
}

fn log(table: &LogTable, folder: &Path) -> Log {
    let socket = |default: &str| folder.join(table.socket.as_deref().unwrap_or(default.as_ref()));
    let target = match table.target {
        TargetName::Stderr => LogTarget::Stderr,
        TargetName::Journal => LogTarget::Journal(socket(JOURNAL_SOCKET)),
        TargetName::Syslog => LogTarget::Syslog(socket(SYSLOG_SOCKET)),
    };
    let level = match table.level.unwrap_or(Level::Info) {
        Level::Error => LevelFilter::Error,
        Level::Warn => LevelFilter::Warn,
        Level::Info => LevelFilter::Info,
        Level::Debug => LevelFilter::Debug,
        Level::Trace => LevelFilter::Trace,
    };
    Log { target, level }
}

/// The settings of one listener, which must agree with the daemon's `limits` and with the `others`,
/// the listeners before it. It inherits the daemon's `timeouts`.
fn listener(
    table: ListenerTable,
    folder: &Path,
    limits: &Limits,
    timeouts: &Timeouts,
    others: &[Listener],
) -> Result<Listener, Problem> {
    check_name(&table.name, others)?;
    check_addresses(&table, others)?;
    limits::check_limits(&table.limits, limits)?;
    let transport = transport(&table)?;
    Ok(Listener {
        limits: limits::limits(&table.limits, &Limits::default())?,
        timeouts: limits::timeouts(&table.limits, timeouts)?,
        reuse_port: table.reuse_port.is_some_and(Spanned::into_inner),
        transport,
        allow: allow(table.allow, table.service, transport)?,
        origins: origins(table.origins, table.service)?,
        proxies: table.proxy_protocol.map(proxies).transpose()?,
        service: table.service,
        tls: table.tls.map(|table| tls(table, folder)).transpose()?,
        endpoints: table.listen.into_inner().0,
        name: table.name.into_inner(),
    })
}

/// The networks of `allow`, which a web listener and a UDP listener have.
fn allow(
    networks: Option<Spanned<Vec<Network>>>,
    service: Service,
    transport: Transport,
) -> Result<Option<Vec<IpNet>>, Problem> {
    match networks {
        Some(networks) if service != Service::Web && transport != Transport::Udp => {
            Err(Problem::new(
                networks.span(),
                "allow needs service = \"web\" or transport = \"udp\": nothing else asks it",
            ))
        }
        Some(networks) => Ok(Some(networks.into_inner().into_iter().map(|it| it.0).collect())),
        None if service == Service::Web => Ok(Some(vec![LOOPBACK_V4.into(), LOOPBACK_V6.into()])),
        None => Ok(None),
    }
}

/// The origins of a web listener: "*", "null", or scheme, host and port as a browser sends them.
fn origins(origins: Option<SpannedList<String>>, service: Service) -> Result<Vec<String>, Problem> {
    let Some(origins) = origins else { return Ok(Vec::new()) };
    if service != Service::Web {
        let message = "origins needs service = \"web\": nothing else asks for them";
        return Err(Problem::new(origins.span(), message));
    }
    let is_origin = |text: &str| {
        let authority = text.split_once("://").map_or("", |(_, authority)| authority);
        !authority.is_empty() && !authority.contains(['/', '@', '?', '#', ' '])
    };
    let mut all = Vec::new();
    for origin in origins.into_inner() {
        if !["*", "null"].contains(&origin.get_ref().as_str()) && !is_origin(origin.get_ref()) {
            let message = "this is not an origin, such as \"https://example.com\", nor \"*\"";
            return Err(Problem::new(origin.span(), message));
        }
        all.push(origin.into_inner());
    }
    Ok(all)
}

/// The networks of `proxy-protocol`. An empty list is an error, because it would refuse every connection.
fn proxies(table: Spanned<ProxyTable>) -> Result<Vec<IpNet>, Problem> {
    let from = table.into_inner().from;
    if from.get_ref().is_empty() {
        let message = "the list has no network, so every connection would be refused";
        return Err(Problem::new(from.span(), message));
    }
    Ok(from.into_inner().into_iter().map(|it| it.0).collect())
}

fn check_name(name: &Spanned<String>, others: &[Listener]) -> Result<(), Problem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let text = name.get_ref();
    if text.is_empty() || text.len() > 64 || !text.chars().all(legal) {
        let message = "a name is 1 to 64 letters, digits, '-', '_' and '.'";
        return Err(Problem::new(name.span(), message));
    }
    if others.iter().any(|other| other.name == *text) {
        return Err(Problem::new(name.span(), "another listener has this name"));
    }
    Ok(())
}

/// The addresses of a listener must differ from each other and from those of the `others`: a port of
/// an address has one socket. The error of the kernel would be only "address in use".
fn check_addresses(table: &ListenerTable, others: &[Listener]) -> Result<(), Problem> {
    let (name, listen) = (table.name.get_ref(), &table.listen);
    let endpoints = &listen.get_ref().0;
    if endpoints.is_empty() {
        return Err(Problem::new(listen.span(), "the list of addresses is empty"));
    }
    let transport = table.transport.as_ref().map_or(Transport::Tcp, |it| *it.get_ref());
    let mut taken: Vec<(SocketAddr, &str)> = others
        .iter()
        .filter(|other| other.transport == transport)
        .flat_map(|other| other.endpoints.iter().map(|e| (e, other.name.as_str())))
        .flat_map(|(endpoint, name)| endpoint.addresses().into_iter().map(move |a| (a, name)))
        .collect();
    for address in endpoints.iter().flat_map(|endpoint| endpoint.addresses()) {
        if let Some((other, owner)) = taken.iter().find(|(other, _)| clash(*other, address)) {
            let message = if owner == name {
                format!("{address} and {other} are the same port of the same address")
            } else {
                format!("{address} is taken by listener \"{owner}\" ({other})")
            };
            return Err(Problem::new(listen.span(), message));
        }
        taken.push((address, name));
    }
    match &table.reuse_port {
        Some(reuse_port)
            if *reuse_port.get_ref()
                && taken.iter().any(|(address, owner)| owner == name && address.port() == 0) =>
        {
            Err(Problem::new(
                reuse_port.span(),
                "port 0 is a different port in each process, so it cannot be shared",
            ))
        }
        _ => Ok(()),
    }
}

/// `0.0.0.0` and `[::]` contain every address of their family. Addresses with different scopes
/// (interfaces) do not clash.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a == b || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn tls(table: Spanned<TlsTable>, folder: &Path) -> Result<Tls, Problem> {
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
    let suites_at = table.cipher_suites.as_ref().map(Spanned::span);
    let tls = Tls {
        identity,
        client_ca,
        only_tls13: table.min_version == Some(MinVersion::Tls13),
        cipher_suites: table
            .cipher_suites
            .map(|list| distinct(list, "cipher suite"))
            .transpose()?,
        groups: match table.groups {
            Some(list) => distinct(list, "group")?,
            None => KeyExchangeGroup::ALL.into(),
        },
    };
    match suites_at {
        Some(span) if !tls.accepts_tls12() && !tls.accepts_tls13() => Err(Problem::new(
            span,
            "these cipher suites are for TLS 1.2, which min-version or groups exclude",
        )),
        _ => Ok(tls),
    }
}

/// The entries of a list that must have at least one, and none twice.
fn distinct<T: Copy + PartialEq>(list: SpannedList<T>, what: &str) -> Result<Vec<T>, Problem> {
    let mut all = Vec::new();
    if list.get_ref().is_empty() {
        return Err(Problem::new(list.span(), format!("the list has no {what}")));
    }
    for entry in list.into_inner() {
        if all.contains(entry.get_ref()) {
            return Err(Problem::new(entry.span(), format!("this {what} is in the list already")));
        }
        all.push(entry.into_inner());
    }
    Ok(all)
}
