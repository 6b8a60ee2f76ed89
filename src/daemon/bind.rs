//! From the addresses of a listener to sockets that listen.
//!
//! # A reload binds next to the sockets that it closes
//!
//! `0.0.0.0:5000` and `127.0.0.1:5000` cannot both be bound, so a reload that narrows or widens an
//! address would collide with the daemon's own socket. Closing that socket first would refuse
//! connections until the new one listens, and lose the port where the new one cannot be bound. Instead
//! both are bound at once ([`Outgoing`]): the old socket listens until the new one does, its backlog is
//! accepted, and then it is closed. A reload that fails has not changed it.
//!
//! # A port is bound first and listens last
//!
//! All sockets of a reload are bound before any of them listens. Until then connections go where they
//! went before, so none is lost in a socket that a failed reload drops.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{self, Endpoint, Transport};
use crate::daemon::systemd::HandedOver;
use crate::daemon::udp::socket::{self, DatagramSocket};
use crate::exit::Failure;

/// How many connections may wait to be accepted. The kernel's own bound is `net.core.somaxconn`,
/// 4096 (listen(2)).
pub const BACKLOG: u16 = 1024;

/// How often a port that the system chose for IPv4 is tried for IPv6 as well.
const PORT_TRIES: usize = 16;

/// What the configuration says about the sockets of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Connections or datagrams.
    pub transport: Transport,
    /// Other processes may listen on the same port (`SO_REUSEPORT`, socket(7)).
    pub reuse_port: bool,
}

impl From<&config::Listener> for SocketOptions {
    fn from(settings: &config::Listener) -> Self {
        Self { transport: settings.transport, reuse_port: settings.reuse_port }
    }
}

/// A socket that is bound. No connection is accepted from it yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    transport: Transport,
    /// Where it is bound.
    pub address: SocketAddr,
    origin: Origin,
}

/// A socket that connections are accepted from, or that receives datagrams.
#[derive(Debug)]
pub struct ListenSocket {
    /// Key of its listener.
    pub listener: usize,
    /// Where it is bound.
    pub address: SocketAddr,
    /// The socket, non-blocking.
    pub socket: Listening,
    origin: Origin,
}

/// What a listener has for a transport.
#[derive(Debug)]
pub enum Listening {
    /// For TCP.
    Connections(TcpListener),
    /// For UDP.
    Datagrams(DatagramSocket),
}

/// Where a socket comes from. A reload recognizes it by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It was bound to this address of the configuration, whose port may be 0.
    Configured(SocketAddr),
    /// The service manager handed it over.
    HandedOver,
}

impl Bound {
    /// Takes over a socket from the service manager.
    pub fn hand_over(handed_over: HandedOver) -> Result<Self, Failure> {
        let HandedOver { socket, name, transport } = handed_over;
        let address = set_options(&socket, transport)
            .and_then(|()| socket.set_nonblocking(true))
            .and_then(|()| address_of(&socket))
            .map_err(|error| {
                Failure::system(format_args!("socket {name:?} from the service manager"), &error)
            })?;
        Ok(Self { socket, transport, address, origin: Origin::HandedOver })
    }

    /// Listens, and from here on shares its port as `options` say. The service manager does both for a
    /// socket that it hands over.
    pub fn listen(&self, options: SocketOptions) -> io::Result<()> {
        if self.origin == Origin::HandedOver {
            return Ok(());
        }
        if self.transport == Transport::Tcp {
            self.socket.listen(BACKLOG.into())?;
        }
        self.socket.set_reuse_port(options.reuse_port)
    }

    /// Serves the listener with the key `listener`.
    pub fn serve(self, listener: usize) -> ListenSocket {
        let Self { socket, transport, address, origin } = self;
        let socket = match transport {
            Transport::Tcp => Listening::Connections(TcpListener::from_std(socket.into())),
            Transport::Udp => Listening::Datagrams(DatagramSocket::new(socket, address)),
        };
        ListenSocket { listener, address, socket, origin }
    }
}

impl Listening {
    /// Its transport.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Connections(_) => Transport::Tcp,
            Self::Datagrams(_) => Transport::Udp,
        }
    }

    /// Lets `registry` report with this token what comes.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Connections(listener) => registry.register(listener, token, Interest::READABLE),
            Self::Datagrams(socket) => {
                registry.register(socket.source(), token, Interest::READABLE)
            }
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Connections(listener) => listener.as_fd(),
            Self::Datagrams(socket) => socket.as_fd(),
        }
    }
}

impl ListenSocket {
    /// Whether this process bound it, so that nobody listens any more once it is closed. The service
    /// manager keeps the sockets that it hands over: their backlog is for the next daemon.
    pub fn is_ours(&self) -> bool {
        self.origin != Origin::HandedOver
    }

    /// Whether it is what the listener called `name` would bind to `address` for `transport`; `owner` is the
    /// name of its own listener. A port that the system chose belongs to its listener as long as that asks for
    /// port 0, and to every listener that names it.
    pub fn serves(
        &self,
        address: SocketAddr,
        transport: Transport,
        name: &str,
        owner: &str,
    ) -> bool {
        match self.origin {
            _ if self.socket.transport() != transport => false,
            Origin::HandedOver => false,
            Origin::Configured(_) if address.port() != 0 => self.address == address,
            Origin::Configured(origin) => origin == address && owner == name,
        }
    }

    /// Whether `options` ask for something that has to be set before a socket is bound (socket(7)), and
    /// that it does not have. The service manager decides for a socket that it hands over.
    pub fn cannot_follow(&self, options: SocketOptions) -> bool {
        let has_it = SockRef::from(&self.socket).reuse_port();
        self.is_ours() && has_it.is_ok_and(|has_it| has_it != options.reuse_port)
    }
}

/// The sockets that a reload is about to close. While this value lives, other sockets can be bound to
/// their ports.
///
/// socket(7) asks for `SO_REUSEPORT` on both sockets before they are bound. Linux compares the options
/// of both when the second one is bound, and again when it listens (`inet_csk_bind_conflict`), so it is
/// enough to set it on the first by then. Where that does not hold, the address is in use, and the
/// reload fails and changes nothing.
pub struct Outgoing<'a> {
    sockets: Vec<OutgoingSocket<'a>>,
}

struct OutgoingSocket<'a> {
    socket: SockRef<'a>,
    transport: Transport,
    port: u16,
    /// What its option was before.
    shared: bool,
}

impl<'a> Outgoing<'a> {
    /// Those of `sockets` that this process bound. Nothing is bound next to a socket that was handed
    /// over, which stays with the service manager.
    pub fn new(sockets: impl IntoIterator<Item = &'a ListenSocket>) -> Self {
        let ours = sockets.into_iter().filter(|socket| socket.is_ours());
        let sockets = ours.map(|ListenSocket { socket, address, .. }| {
            let transport = socket.transport();
            let socket = SockRef::from(socket);
            let shared = socket.reuse_port().unwrap_or(false);
            // Where this fails, the second socket cannot be bound, and that is reported.
            let _ = socket.set_reuse_port(true);
            OutgoingSocket { socket, transport, port: address.port(), shared }
        });
        Self { sockets: sockets.collect() }
    }

    fn has_port(&self, port: u16, transport: Transport) -> bool {
        self.sockets.iter().any(|it| it.port == port && it.transport == transport)
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        for OutgoingSocket { socket, shared, .. } in &self.sockets {
            let _ = socket.set_reuse_port(*shared);
        }
    }
}

/// An address that cannot be bound, and why.
pub type Unbound = (SocketAddr, io::Error);

/// Binds all of `addresses`: those of `endpoint` that no socket serves yet. Where the port is 0, all
/// get the port that the system chooses for the first.
pub fn bind_all(
    endpoint: Endpoint,
    addresses: &[SocketAddr],
    options: SocketOptions,
    outgoing: &Outgoing<'_>,
) -> Result<Vec<Bound>, Unbound> {
    try_ports(|| {
        let mut bound: Vec<Bound> = Vec::new();
        for configured in addresses {
            let mut address = *configured;
            if let Some(first) = bound.first().filter(|_| address.port() == 0) {
                address.set_port(first.address.port());
            }
            let transport = options.transport;
            let reuse_port = options.reuse_port || outgoing.has_port(address.port(), transport);
            match bind(address, SocketOptions { transport, reuse_port }) {
                Ok((socket, address)) => {
                    let origin = Origin::Configured(*configured);
                    bound.push(Bound { socket, transport, address, origin });
                }
                Err(error) if is_absent(endpoint, address, &error) => {}
                Err(error) => return Err((*configured, error)),
            }
        }
        Ok(bound)
    })
}

/// Tries again where the system chose a port for IPv4 (the configured one is 0) that is in use for IPv6.
fn try_ports<T>(mut bind: impl FnMut() -> Result<T, Unbound>) -> Result<T, Unbound> {
    for _ in 1..PORT_TRIES {
        match bind() {
            Err((address, error))
                if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    bind()
}

/// A non-blocking socket that is bound to `address` and does not listen yet, and its address.
fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<(Socket, SocketAddr)> {
    let (kind, protocol) = match options.transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own, and peers keep their IPv4 addresses in the log.
        socket.set_only_v6(true)?;
    }
    if options.transport == Transport::Tcp {
        // A restart must not wait for the TIME_WAIT of old connections. With UDP, another socket could then
        // take the datagrams of this one.
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(options.reuse_port)?;
    set_options(&socket, options.transport)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let address = address_of(&socket)?;
    Ok((socket, address))
}

/// Sets what the service manager does not. Connections inherit it from their listening socket: bytes are sent
/// at once (tcp(7), `TCP_NODELAY`), and an urgent byte is one of the stream (RFC 6093 §6, `SO_OOBINLINE`).
fn set_options(socket: &Socket, transport: Transport) -> io::Result<()> {
    match transport {
        Transport::Tcp => {
            socket.set_tcp_nodelay(true)?;
            socket.set_out_of_band_inline(true)
        }
        Transport::Udp => socket::prepare(socket),
    }
}

fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Whether `address` may be left out: a port alone means every address that the machine has, and a
/// kernel built or booted without IPv6 has none of that family.
fn is_absent(endpoint: Endpoint, address: SocketAddr, error: &io::Error) -> bool {
    let has_no_ipv6 =
        matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL));
    matches!(endpoint, Endpoint::Port(_)) && address.is_ipv6() && has_no_ipv6
}

/// Why a listener cannot listen on an address, and what to do.
pub fn cannot_listen((address, error): &Unbound, options: SocketOptions) -> Failure {
    let failure = Failure::system(format_args!("cannot listen on {address}"), error);
    let port = address.port();
    let table = if options.transport == Transport::Udp { "-lunp" } else { "-ltnp" };
    let cure = match error.kind() {
        io::ErrorKind::AddrInUse if options.reuse_port => format!(
            "the other process needs reuse-port too, and the same user: see ss {table}e 'sport = :{port}'"
        ),
        io::ErrorKind::AddrInUse => {
            format!("see which process has it: ss {table} 'sport = :{port}'")
        }
        io::ErrorKind::AddrNotAvailable => "not an address of this machine: see ip address".into(),
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE".into()
        }
        _ => return failure,
    };
    Failure::new(failure.exit, format!("{failure}; {cure}"))
}

#[cfg(test)]
mod tests;
