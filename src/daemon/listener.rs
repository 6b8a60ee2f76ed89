//! Listeners: what to accept, where, and under which limits.
//!
//! # A reload binds beside the sockets that it closes
//!
//! `0.0.0.0:5000` and `127.0.0.1:5000` cannot both be bound, so a reload that narrows or widens an
//! address would collide with the daemon's own socket. Closing that socket first would refuse
//! connections until the new one listens, and lose it where the new one cannot be bound. Instead both
//! are bound at once ([`Outgoing`]): the old socket listens until the new one does, its queue is
//! accepted, and then it is closed. A reload that fails has not touched it.
//!
//! # A port is bound first and listens last
//!
//! All sockets of a reload are bound before any of them listens. Until then connections go where they
//! went before, so none is lost in a socket that a failed reload drops.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{self, Endpoint};
use crate::daemon::admission::Admission;
use crate::daemon::log_limit::Repeats;
use crate::daemon::stats::Stats;
use crate::daemon::systemd::Handed;
use crate::exit::Failure;
use crate::os::clock::Moment;
use crate::tls::handshake::ServerConfig;
use crate::tls::server;
use crate::wire::close::{CloseReason, Fault};
use crate::wire::transport::Transport;

/// How many connections may wait to be accepted. The kernel's own bound is
/// `net.core.somaxconn`, 4096 (listen(2)).
pub const BACKLOG: u16 = 1024;

/// How many sessions of a listener have a line for their end in 10 s; the rest are summed up.
const ENDINGS_SAID: u32 = 1000;

/// How many of those with a fault of ours have one in any case. More would add nothing: the
/// fault stays until the operator mends it, and peers can trigger it at will where a client CA has expired.
const FAULTS_SAID: u32 = 10;

/// How often a port that the system chose for IPv4 is tried for IPv6 as well.
const PORT_TRIES: usize = 16;

/// A listener at work. It outlives its sockets where sessions of it are still there.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the log.
    pub name: String,
    /// How long its sessions may stay where they are.
    pub timeouts: config::Timeouts,
    /// Its sessions, counted against its own limits.
    pub admission: Admission,
    /// What has happened on it.
    pub stats: Stats,
    /// Refused connections, for the log.
    pub refusals: Repeats,
    /// Sessions that ended, for the log.
    pub endings: Repeats,
    /// Those with a fault of ours, which are said first.
    faults: Repeats,
    /// Keys of its sockets; none once it was taken out of the configuration.
    pub sockets: Vec<usize>,
    tls: Option<ServerConfig>,
}

/// A socket that connections are accepted from.
#[derive(Debug)]
pub struct ListenSocket {
    /// Key of its listener.
    pub listener: usize,
    /// Where it is bound.
    pub address: SocketAddr,
    /// The socket, non-blocking.
    pub socket: TcpListener,
    origin: Origin,
}

/// Where a socket comes from, to know it again at a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It was bound because the configuration says so; the port may be 0 there.
    Configured(SocketAddr),
    /// The service manager handed it over.
    Handed,
}

/// What a listener of the configuration comes to, once everything that can fail has been done:
/// nothing that serves has changed yet.
#[derive(Debug)]
pub struct Plan {
    /// Its settings.
    pub settings: config::Listener,
    /// Keys of sockets that it takes over from before.
    pub kept: Vec<usize>,
    /// Addresses that no socket is bound to yet.
    missing: Vec<(Endpoint, Vec<SocketAddr>)>,
    /// Sockets that were made, or handed over, for it.
    pub fresh: Vec<Fresh>,
    tls: Option<ServerConfig>,
}

/// A socket that is bound and not served yet.
#[derive(Debug)]
pub struct Fresh {
    socket: Socket,
    address: SocketAddr,
    origin: Origin,
}

/// The sockets that a reload is about to close. As long as this lives, others can be bound to their
/// ports.
///
/// socket(7) asks for `SO_REUSEPORT` on both sockets before they are bound. Linux compares the options
/// of both when the second one is bound, and again when it listens (`inet_csk_bind_conflict`), so it is
/// enough to set it on the first by then. Where that does not hold, the address is in use, and the
/// reload fails and changes nothing.
pub struct Outgoing<'a> {
    /// Each with what its option was before.
    sockets: Vec<(SockRef<'a>, SocketAddr, bool)>,
}

impl<'a> Outgoing<'a> {
    /// Those that are left `at_work` when all plans have taken theirs. One that was handed over stays
    /// with the service manager, and nothing is bound beside it.
    pub fn new(at_work: Vec<AtWork<'a>>) -> Self {
        let ours =
            at_work.into_iter().map(|AtWork { socket, .. }| socket).filter(|it| it.is_ours());
        let sockets = ours.map(|ListenSocket { socket, address, .. }| {
            let socket = SockRef::from(socket);
            let shared = socket.reuse_port().unwrap_or(false);
            // Where this fails, the second one cannot be bound, and that is said.
            let _ = socket.set_reuse_port(true);
            (socket, *address, shared)
        });
        Self { sockets: sockets.collect() }
    }

    /// Whether one of them is bound to `port`.
    fn has_port(&self, port: u16) -> bool {
        self.sockets.iter().any(|(_, address, _)| address.port() == port)
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        for (socket, _, shared) in &self.sockets {
            let _ = socket.set_reuse_port(*shared);
        }
    }
}

/// A socket at work, as a reload finds it.
#[derive(Clone, Copy, Debug)]
pub struct AtWork<'a> {
    /// Its key.
    pub key: usize,
    /// The name of its listener.
    pub owner: &'a str,
    /// The socket.
    pub socket: &'a ListenSocket,
}

impl AtWork<'_> {
    /// Whether it is what the listener called `name` would bind to `address`. A port that the system
    /// chose is its listener's, as long as that asks for port 0, and anybody's who names it.
    fn serves(&self, address: SocketAddr, name: &str) -> bool {
        match self.socket.origin {
            Origin::Handed => false,
            Origin::Configured(_) if address.port() != 0 => self.socket.address == address,
            Origin::Configured(origin) => origin == address && self.owner == name,
        }
    }
}

impl Plan {
    /// Loads what `settings` name, and takes the sockets for it from those `at_work` and those `handed`
    /// over. What is missing is still to be bound.
    pub fn new(
        settings: config::Listener,
        at_work: &mut Vec<AtWork<'_>>,
        handed: &mut Vec<Handed>,
    ) -> Result<Self, Failure> {
        let tls = settings
            .tls
            .as_ref()
            .map(server::server_config)
            .transpose()
            .map_err(|failure| failure.of_listener(&settings.name))?;
        if settings.tls.as_ref().is_some_and(|tls| tls.identity.is_none()) {
            server::announce_temporary_identity()?;
        }
        let mut plan =
            Self { settings, kept: Vec::new(), missing: Vec::new(), fresh: Vec::new(), tls };
        plan.take_handed(handed)?;
        let name = plan.settings.name.as_str();
        let earlier = at_work.extract_if(.., |it| it.owner == name && !it.socket.is_ours());
        plan.kept.extend(earlier.map(|it| it.key));
        if plan.fresh.is_empty() && plan.kept.is_empty() {
            for endpoint in &plan.settings.endpoints {
                let mut missing = Vec::new();
                for address in endpoint.addresses() {
                    let serves = |it: &AtWork<'_>| it.serves(address, name);
                    match at_work.iter().position(serves) {
                        Some(place) => plan.kept.push(at_work.remove(place).key),
                        None => missing.push(address),
                    }
                }
                plan.missing.push((*endpoint, missing));
            }
        }
        Ok(plan)
    }

    /// Binds what is missing, beside the sockets that are `outgoing` where it must be.
    pub fn bind(&mut self, outgoing: &Outgoing<'_>) -> Result<(), Failure> {
        for (endpoint, addresses) in &self.missing {
            let reuse_port = self.settings.reuse_port;
            let bound = try_ports(|| bind_all(*endpoint, addresses, reuse_port, outgoing));
            self.fresh.extend(
                bound.map_err(|(address, error)| cannot_listen(&self.settings, address, &error))?,
            );
        }
        Ok(())
    }

    /// Lets connections come to what was bound.
    pub fn listen(&self) -> Result<(), Failure> {
        for fresh in &self.fresh {
            fresh
                .listen(self.settings.reuse_port)
                .map_err(|error| cannot_listen(&self.settings, fresh.address, &error))?;
        }
        Ok(())
    }

    /// Takes the sockets that were handed over for this listener: by its name, or because they are
    /// bound to a port that it listens on (one socket unit gives one name to all of its sockets).
    fn take_handed(&mut self, handed: &mut Vec<Handed>) -> Result<(), Failure> {
        let ports: Vec<u16> = self
            .settings
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.addresses())
            .map(|address| address.port())
            .collect();
        let is_ours = |handed: &mut Handed| {
            handed.name == self.settings.name
                || handed.socket.local_addr().is_ok_and(|address| ports.contains(&address.port()))
        };
        for Handed { socket, name } in handed.extract_if(.., is_ours) {
            let ready = bequeath(&SockRef::from(&socket))
                .and_then(|()| socket.set_nonblocking(true))
                .and_then(|()| socket.local_addr());
            let address = ready.map_err(|error| {
                Failure::system(format_args!("socket {name:?} from the service manager"), &error)
            })?;
            self.fresh.push(Fresh { socket: socket.into(), address, origin: Origin::Handed });
        }
        Ok(())
    }
}

impl Fresh {
    /// Listens, if the service manager does not already, and is shared from here on as `reuse_port`
    /// says.
    fn listen(&self, reuse_port: bool) -> io::Result<()> {
        if self.origin == Origin::Handed {
            return Ok(());
        }
        self.socket.listen(BACKLOG.into())?;
        self.socket.set_reuse_port(reuse_port)
    }

    /// The socket at work for the listener with the key `listener`.
    pub fn serve(self, listener: usize) -> ListenSocket {
        let Self { socket, address, origin } = self;
        ListenSocket { listener, address, socket: TcpListener::from_std(socket.into()), origin }
    }
}

impl ListenSocket {
    /// It was bound here, so that nobody listens any more once it is closed. The service manager keeps
    /// the sockets that it hands over: what waits there is for the next daemon.
    pub fn is_ours(&self) -> bool {
        self.origin != Origin::Handed
    }

    /// Whether `reuse_port` asks for something else than it was bound with, which comes too late
    /// (socket(7)). Of one that was handed over, nothing of the kind is asked.
    pub fn cannot_follow(&self, reuse_port: bool) -> bool {
        let has_it = SockRef::from(&self.socket).reuse_port();
        self.is_ours() && has_it.is_ok_and(|has_it| has_it != reuse_port)
    }
}

impl Listener {
    /// A listener with the settings of `plan`; its sockets follow.
    pub fn new(plan: &Plan) -> Self {
        let mut listener = Self {
            name: plan.settings.name.clone(),
            timeouts: plan.settings.timeouts,
            admission: Admission::default(),
            stats: Stats::default(),
            refusals: Repeats::new(1),
            endings: Repeats::new(ENDINGS_SAID),
            faults: Repeats::new(FAULTS_SAID),
            sockets: Vec::new(),
            tls: None,
        };
        listener.follow(plan);
        listener
    }

    /// Takes new settings; sessions that are there go on.
    pub fn follow(&mut self, plan: &Plan) {
        self.timeouts = plan.settings.timeouts;
        self.admission.set_limits(plan.settings.limits);
        self.tls.clone_from(&plan.tls);
    }

    /// The wire form of a session that begins.
    pub fn transport(&self) -> Result<Transport, CloseReason> {
        match &self.tls {
            Some(config) => Transport::tls_server(config.clone()),
            None => Ok(Transport::Plain),
        }
    }

    /// Counts a session that ended at `now`; true if it is worth a line of its own.
    pub fn is_worth_a_line(&mut self, fault: Fault, now: Moment) -> bool {
        // Those that are left out here are among the endings, and so in the sum of these.
        let comes_first = fault == Fault::Us && {
            self.faults.sum(now);
            self.faults.note(now)
        };
        comes_first || self.endings.note(now)
    }

    /// "tls" or "plain", for the log.
    pub fn kind(&self) -> &'static str {
        if self.tls.is_some() { "tls" } else { "plain" }
    }
}

/// What `bind` binds, or the address that it cannot. Where the system chose a port for IPv4 (the
/// configured one is 0) that is in use for IPv6, another choice may do.
fn try_ports<T>(
    mut bind: impl FnMut() -> Result<T, (SocketAddr, io::Error)>,
) -> Result<T, (SocketAddr, io::Error)> {
    for _ in 1..PORT_TRIES {
        match bind() {
            Err((address, error))
                if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    bind()
}

/// Binds all of `addresses`: those of `endpoint` that are not served yet. Where the port is 0,
/// all get the port that the system chooses for the first.
fn bind_all(
    endpoint: Endpoint,
    addresses: &[SocketAddr],
    reuse_port: bool,
    outgoing: &Outgoing<'_>,
) -> Result<Vec<Fresh>, (SocketAddr, io::Error)> {
    let mut bound: Vec<Fresh> = Vec::new();
    for configured in addresses {
        let mut address = *configured;
        if let Some(first) = bound.first().filter(|_| address.port() == 0) {
            address.set_port(first.address.port());
        }
        match bind(address, reuse_port || outgoing.has_port(address.port())) {
            Ok((socket, address)) => {
                bound.push(Fresh { socket, address, origin: Origin::Configured(*configured) });
            }
            Err(error) if is_not_there(endpoint, address, &error) => {}
            Err(error) => return Err((*configured, error)),
        }
    }
    Ok(bound)
}

/// A non-blocking socket that is bound to `address` and does not listen yet, and where it is bound.
fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own, and peers keep their IPv4 addresses in the log.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    bequeath(&SockRef::from(&socket))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address))
}

/// Sets what connections inherit from their listening socket: an echo goes back as soon as it came
/// (tcp(7), `TCP_NODELAY`), and an urgent byte is one of the stream (RFC 6093 §6, `SO_OOBINLINE`).
fn bequeath(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)
}

/// "Every address" is served as far as there are addresses.
fn is_not_there(endpoint: Endpoint, address: SocketAddr, error: &io::Error) -> bool {
    matches!(endpoint, Endpoint::Port(_)) && address.is_ipv6() && has_no_ipv6(error)
}

/// The kernel was built or booted without IPv6.
fn has_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn cannot_listen(settings: &config::Listener, address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::system(format_args!("cannot listen on {address}"), error);
    let port = address.port();
    let cure = match error.kind() {
        io::ErrorKind::AddrInUse if settings.reuse_port => format!(
            "who has it needs reuse-port too, and the same user: see ss -ltnpe 'sport = :{port}'"
        ),
        io::ErrorKind::AddrInUse => format!("see who has it: ss -ltnp 'sport = :{port}'"),
        io::ErrorKind::AddrNotAvailable => "not an address of this machine: see ip address".into(),
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE".into()
        }
        _ => return failure.of_listener(&settings.name),
    };
    Failure::new(failure.exit, format!("{failure}; {cure}")).of_listener(&settings.name)
}

#[cfg(test)]
mod tests;
