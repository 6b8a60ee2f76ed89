//! From a name to a connection that is ready: resolve, connect, perform the handshake, verify.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::cli::{Family, Mode, Options, Tls};
use super::connect;
use super::connection::Connection;
use super::datagrams::Datagrams;
use super::error::Error;
use super::facts::Facts;
use super::tap::{Event, Tap, Tapped};
use super::wait::Waiter;
use crate::exit::{Exit, Failure};
use crate::tls::certificate::{self, Certificate};
use crate::tls::client::{self, ClientConfig, Trust, VerificationRecord};
use crate::tls::key_log::KeyLog;
use crate::tls::sessions::SessionStore;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::transport::Transport;

/// How to reach the server. The addresses are looked up once and used for each connection.
pub struct Dialler {
    /// The server as the user names it.
    pub host: String,
    /// Its addresses, in the order to try them.
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    /// The address of this machine from which to connect, if it is not for the kernel to choose.
    pub(super) from: Option<IpAddr>,
    tls: Option<TlsSettings>,
    /// Records the next connections.
    tap: Tap,
}

/// What TLS needs, and what it found out.
struct TlsSettings {
    options: Tls,
    config: ClientConfig,
    record: VerificationRecord,
    sessions: Option<Arc<SessionStore>>,
    key_log: Option<Arc<KeyLog>>,
}

impl TlsSettings {
    /// Loads the files that `options` name. New connections resume earlier sessions if `resumes`, those in
    /// `sessions` if there are any. The secrets go to `key_log`.
    fn load(
        options: &Tls,
        resumes: bool,
        sessions: Option<Arc<SessionStore>>,
        key_log: Option<Arc<KeyLog>>,
    ) -> Result<Self, Failure> {
        let name = client::server_name(&options.name)?;
        let (config, record) = client::client_config(&client::Settings {
            trust: options.trust.clone(),
            identity: options.identity.clone(),
            resumes,
            sessions: sessions.clone(),
            choice: options.choice.clone(),
            name: Some(name),
            key_log: key_log.clone(),
        })?;
        Ok(Self { options: options.clone(), config, record, sessions, key_log })
    }
}

/// The file that the environment names for the secrets, as for curl(1) and browsers.
fn key_log() -> Result<Option<KeyLog>, Failure> {
    let path = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty());
    path.map(|path| KeyLog::to_file(path.as_ref())).transpose()
}

impl Dialler {
    /// Loads what TLS needs.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        let tls = match &options.tls {
            Some(tls) => {
                let mut key_log = key_log()?;
                if matches!(options.mode, Mode::Explain(_)) {
                    key_log = Some(key_log.unwrap_or_default().keeping());
                }
                Some(TlsSettings::load(tls, true, None, key_log.map(Arc::new))?)
            }
            None => None,
        };
        let Options { host, timeout, .. } = options;
        let (host, timeout) = (host.clone(), *timeout);
        let (addresses, tap) = (Vec::new(), Tap::default());
        Ok(Self { host, addresses, timeout, from: None, tls, tap })
    }

    /// Resolves the host.
    pub fn resolve(&mut self, options: &Options, waiter: &mut Waiter) -> Result<(), Error> {
        let Options { host, port, family, timeout, .. } = options;
        self.tap.note(|| Event::LookUp(host.clone()));
        let resolve =
            |waiter: &mut Waiter| connect::resolve(host, *port, *family, *timeout, waiter);
        self.addresses = waiter.during(|| format!("looking up {host}"), resolve)?;
        self.tap.note(|| Event::Resolved(self.addresses.clone()));
        Ok(())
    }

    /// The host and its addresses, such as "localhost is 127.0.0.1".
    pub fn resolution(&self) -> String {
        let address = |address: &SocketAddr| match (address.ip(), address) {
            (IpAddr::V6(ip), SocketAddr::V6(address)) if address.scope_id() != 0 => {
                format!("{ip}%{}", address.scope_id())
            }
            (ip, _) => ip.to_string(),
        };
        let addresses: Vec<String> = self.addresses.iter().map(address).collect();
        format!("{} is {}", self.host, addresses.join(", "))
    }

    /// The same server without TLS.
    pub fn plain(&self) -> Self {
        let (host, addresses) = (self.host.clone(), self.addresses.clone());
        Self {
            host,
            addresses,
            timeout: self.timeout,
            from: self.from,
            tls: None,
            tap: Tap::default(),
        }
    }

    /// Uses these addresses for new connections, in this order.
    pub fn set_addresses(&mut self, addresses: Vec<SocketAddr>) {
        self.addresses = addresses;
    }

    /// Uses only this address for new connections.
    pub fn use_only(&mut self, address: SocketAddr) {
        self.addresses = vec![address];
    }

    /// Uses this port for new connections.
    pub fn set_port(&mut self, port: u16) {
        self.addresses.iter_mut().for_each(|address| address.set_port(port));
    }

    /// Uses only the address that answered last: another one can be another machine.
    pub fn stay(&mut self) {
        self.addresses.truncate(1);
    }

    /// Forgets all TLS sessions. New connections resume later sessions only if `resumes`.
    pub fn forget_sessions(&mut self, resumes: bool) -> Result<(), Failure> {
        if let Some(tls) = &mut self.tls {
            *tls = TlsSettings::load(&tls.options, resumes, None, tls.key_log.take())?;
        }
        Ok(())
    }

    /// Connects, and performs the handshake.
    pub fn dial(
        &mut self,
        waiter: &mut Waiter,
        buffers: &mut Buffers,
    ) -> Result<Connection, Error> {
        let start = Instant::now();
        let Self { host, addresses, from, timeout, tap, .. } = &*self;
        let (stream, number) = waiter.during(
            || format!("connecting to {host}"),
            |waiter| connect::connect(host, addresses, *from, *timeout, waiter, tap),
        )?;
        let stream = Tapped { stream, tap: self.tap.clone() };
        // The address that answered is tried first next time.
        self.addresses[..=number].rotate_right(1);
        let mut connection = Connection::new(stream, self.transport()?, self.addresses[0]);
        connection.connect_time = start.elapsed();
        if let Some(tls) = &self.tls {
            waiter
                .during(
                    || format!("TLS handshake with {}", self.host),
                    |waiter| connection.shake_hands(self.timeout, waiter, buffers),
                )
                .map_err(|error| tls.clarify(error))?;
            if let Some(key_log) = &tls.key_log {
                key_log.check()?;
            }
            self.tap.note(|| Event::HandshakeDone);
        }
        Ok(connection)
    }

    /// Begins to connect to one of the addresses that `from` reaches, another one for each `number`.
    pub fn begin(
        &self,
        number: usize,
        from: Option<IpAddr>,
        token: Token,
        waiter: &Waiter,
    ) -> Result<(TcpStream, SocketAddr), Error> {
        let host = || self.host.clone();
        let reaches = |to: &&SocketAddr| from.is_none_or(|from| from.is_ipv4() == to.is_ipv4());
        let addresses: Vec<&SocketAddr> = self.addresses.iter().filter(reaches).collect();
        let Some(address) = addresses.get(number % addresses.len().max(1)).copied().copied() else {
            let is_ipv4 = from.is_some_and(|from| from.is_ipv4());
            let family = if is_ipv4 { Family::V4 } else { Family::V6 };
            return Err(Error::NoAddress { host: host(), family });
        };
        let begun = connect::begin(address, from, token, waiter);
        let stream = begun.map_err(|error| self.unreachable(address, error))?;
        Ok((stream, address))
    }

    /// A connection over `stream`, which is connected to `address`. No handshake has begun. It is to resume one
    /// of the sessions that are kept if it `resumes`.
    pub fn over(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        resumes: bool,
    ) -> Result<Connection, Failure> {
        if let Some(sessions) = self.tls.as_ref().and_then(|tls| tls.sessions.as_ref()) {
            sessions.open(resumes);
        }
        let stream = Tapped { stream, tap: self.tap.clone() };
        Ok(Connection::new(stream, self.transport()?, address))
    }

    /// The error of an attempt to connect to `address`.
    pub fn unreachable(&self, address: SocketAddr, error: io::Error) -> Error {
        Error::Unreachable { host: self.host.clone(), attempts: vec![(address, error)] }
    }

    /// Replaces the error of a handshake that has just failed by its cause, if that is known.
    pub fn clarify(&self, error: Error) -> Error {
        match &self.tls {
            Some(tls) => tls.clarify(error),
            None => error,
        }
    }

    /// From now on, keeps what this many connections need to be resumed.
    pub fn keep_sessions(&mut self, count: usize) -> Result<(), Failure> {
        if let Some(tls) = &mut self.tls {
            let sessions = Some(Arc::new(SessionStore::new(count)));
            *tls = TlsSettings::load(&tls.options, true, sessions, tls.key_log.take())?;
        }
        Ok(())
    }

    /// How many of the connections offered to resume a session, if sessions are kept.
    pub fn offers(&self) -> u64 {
        let sessions = self.tls.as_ref().and_then(|tls| tls.sessions.as_ref());
        sessions.map_or(0, |sessions| sessions.taken())
    }

    /// A UDP socket to this server, which nothing was sent through.
    pub fn dial_datagrams(&self, token: Token, waiter: &Waiter) -> Result<Datagrams, Error> {
        Datagrams::connect(&self.host, &self.addresses, token, waiter)
    }

    /// A new transport for a connection to this server.
    fn transport(&self) -> Result<Transport, Failure> {
        let Some(tls) = &self.tls else { return Ok(Transport::Plain) };
        let name = client::server_name(tls.options.choice.name_for_rustls(&tls.options.name))?;
        Transport::tls_client(tls.config.clone(), name).map_err(|reason| {
            let why = reason.detail().unwrap_or_default();
            Failure::new(Exit::Failure, format!("cannot set up TLS: {why}"))
        })
    }

    /// Records all that happens from now on.
    pub fn set_tap(&mut self, tap: Tap) {
        self.tap = tap;
    }

    /// The secrets since the last call, as lines of SSLKEYLOGFILE, where they are kept.
    pub fn secrets(&self) -> String {
        let key_log = self.tls.as_ref().and_then(|tls| tls.key_log.as_ref());
        key_log.map(|it| it.take()).unwrap_or_default()
    }

    /// Why the server's certificate is trusted, if it is: a sentence for each link of its chain.
    pub fn trust(&self) -> Vec<String> {
        let Some(TlsSettings { options, record, .. }) = &self.tls else { return Vec::new() };
        record.seen().trust(&options.trust, &options.name)
    }

    /// Why the server's certificate is refused, if it is.
    pub fn refusal(&self) -> Option<String> {
        let TlsSettings { options, record, .. } = self.tls.as_ref()?;
        record.seen().refusal(&options.trust, &options.name)
    }

    /// The file to which the secrets of TLS are written.
    pub fn key_log(&self) -> Option<&Path> {
        self.tls.as_ref()?.key_log.as_ref()?.path()
    }

    /// What was agreed in the handshake of `connection`, the last one that was opened; none for plain.
    pub fn facts(&self, connection: &Connection) -> Option<Facts> {
        let tls = self.tls.as_ref()?;
        let Tls { choice, name, .. } = &tls.options;
        Facts::new(connection, tls.record.seen().scheme, choice.sni(name))
    }

    /// What to print about TLS after the handshake of `connection`, the first one.
    pub fn introduction(&self, connection: &Connection) -> Vec<String> {
        let mut lines = self.certificate();
        lines.extend(self.facts(connection).map(|facts| facts.to_string()));
        lines
    }

    /// What to print about the server's certificate.
    fn certificate(&self) -> Vec<String> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let chain = tls.record.seen().chain;
        let Some(first) = chain.first() else { return Vec::new() };
        let summary = match Certificate::parse(first) {
            Ok(certificate) => certificate.summary(),
            Err(_) => "a certificate that cannot be parsed".into(),
        };
        match tls.options.trust {
            Trust::Anything => vec![
                "NOT VERIFIED: ANYONE CAN HAVE ANSWERED, AND CAN READ EVERYTHING".into(),
                format!("certificate not verified: {summary}"),
            ],
            _ => vec![format!("certificate valid: {summary}")],
        }
    }

    /// The certificates that the server sent, even if they were refused, if the user asked for them.
    pub fn shown_certificates(&self) -> Vec<String> {
        match &self.tls {
            Some(tls) if tls.options.show => {
                tls.record.seen().chain.iter().map(|der| certificate::describe(der)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl TlsSettings {
    /// Replaces the error of a handshake by its cause, if that is known.
    fn clarify(&self, error: Error) -> Error {
        let Error::Connection(reason) = error else { return error };
        let seen = self.record.seen();
        if let Some(refusal) = seen.refusal(&self.options.trust, &self.options.name) {
            return Error::CertificateRefused(refusal);
        }
        match reason {
            // TLS 1.2 has no alert for this.
            CloseReason::TlsPeer(_) if seen.asked_for_certificate => {
                CloseReason::CertificateRefused("the peer asks for a certificate".into()).into()
            }
            CloseReason::PeerReset => CloseReason::HandshakeAbandoned.into(),
            reason => reason.into(),
        }
    }
}
