//! Which servers are compared, and how one is started.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use super::commands::{self, Place, Programs};
use super::server::Server;
use super::transport::Transport::{self, Plain, Tls, Udp};
use crate::Result;
use crate::identity::Identity;

/// A server that is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) transport: Transport,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// The daemon itself, which listens on this address.
    Daemon(Ipv4Addr),
    /// `PROGRAM PORT [CERT KEY]`, which `benches/build` compiled.
    Peer,
    /// A program of the system: an echo server, or a TLS proxy in front of the peer `epoll`.
    System(fn(&Place) -> Result<Command>),
}

const DAEMON: How = How::Daemon(Ipv4Addr::LOCALHOST);

/// All servers. Of each transport, the first is the daemon and the second the reference.
pub(crate) const ALL: [Kind; 16] = [
    Kind { name: "echo-alex", transport: Plain, how: DAEMON },
    Kind { name: "epoll", transport: Plain, how: How::Peer },
    Kind { name: "tokio", transport: Plain, how: How::Peer },
    Kind { name: "mio", transport: Plain, how: How::Peer },
    Kind { name: "threads", transport: Plain, how: How::Peer },
    Kind { name: "socat", transport: Plain, how: How::System(commands::socat) },
    Kind { name: "echo-alex", transport: Tls, how: DAEMON },
    Kind { name: "epoll-openssl", transport: Tls, how: How::Peer },
    Kind { name: "tokio-rustls", transport: Tls, how: How::Peer },
    Kind { name: "threads-openssl", transport: Tls, how: How::Peer },
    Kind { name: "nginx", transport: Tls, how: How::System(commands::nginx) },
    Kind { name: "haproxy", transport: Tls, how: How::System(commands::haproxy) },
    Kind { name: "stunnel", transport: Tls, how: How::System(commands::stunnel) },
    Kind { name: "echo-alex", transport: Udp, how: DAEMON },
    Kind { name: "recvfrom", transport: Udp, how: How::Peer },
    Kind { name: "echo-alex-any", transport: Udp, how: How::Daemon(Ipv4Addr::UNSPECIFIED) },
];

/// The name in reports. A proxy is named with the server behind it.
pub(crate) fn title(name: &str, transport: Transport) -> String {
    let is_proxy = |kind: &Kind| kind.name == name && transport == Tls && kind.is_extra();
    if ALL.iter().any(is_proxy) { format!("{name} + epoll") } else { name.to_owned() }
}

impl Kind {
    /// Whether it is a program of the system, which takes part in few workloads.
    pub(crate) fn is_extra(self) -> bool {
        matches!(self.how, How::System(_))
    }

    pub(crate) fn is_daemon(self) -> bool {
        matches!(self.how, How::Daemon(_))
    }

    /// Whether it can be started here.
    pub(crate) fn is_installed(self) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        !self.is_extra() || env::split_paths(&path).any(|folder| folder.join(self.name).exists())
    }

    /// Starts it, as an argument of `wrapper` (a tracer and its options) if that is not empty.
    pub(crate) fn start(
        self,
        programs: &Programs,
        identity: Option<&Identity>,
        wrapper: &[String],
    ) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_owned();
        let [port, echo, web] = free_ports()?;
        let identity = identity.filter(|_| self.transport == Tls);
        let place = Place { port, echo, web, folder: &path, transport: self.transport, identity };
        // If anything fails from here on, this stops the processes that were started.
        let mut server = Server::new(place.port, place.web, folder);
        let command = match self.how {
            How::Daemon(address) => commands::daemon(programs, address, &place)?,
            How::Peer => commands::peer(programs, self.name, &place),
            How::System(command) => {
                if self.transport == Tls {
                    let mut echo = Command::new(programs.peers.join("epoll"));
                    server.spawn(echo.arg(place.echo.to_string()))?;
                }
                command(&place)?
            }
        };
        server.spawn(&mut wrap(wrapper, &command))?;
        server.wait(self.transport).map_err(|error| format!("{}: {error}", self.name))?;
        Ok(server)
    }
}

/// Unused ports. Each run has its own, so that connections in `TIME_WAIT` do not affect the next run.
fn free_ports() -> Result<[u16; 3]> {
    // All are held until the last one is chosen, because the kernel may choose the same one again.
    let listener = || TcpListener::bind(("127.0.0.1", 0));
    let [first, second, third] = [listener()?, listener()?, listener()?]
        .map(|listener| listener.local_addr().map(|address| address.port()));
    Ok([first?, second?, third?])
}

/// `command` as the arguments of `wrapper`.
fn wrap(wrapper: &[String], command: &Command) -> Command {
    let Some((program, options)) = wrapper.split_first() else {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    };
    let mut whole = Command::new(program);
    whole.args(options).arg(command.get_program()).args(command.get_args());
    whole
}
