//! Which servers are compared, and how one is started.

use std::env;
use std::net::TcpListener;
use std::process::Command;

use super::commands::{self, Place, Programs};
use super::server::Server;
use crate::Result;
use crate::identity::Identity;

/// A server that is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) tls: bool,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// The daemon itself.
    Daemon,
    /// `PROGRAM PORT [CERT KEY]`, which `benches/build` compiled.
    Peer,
    /// A program of the system: an echo server, or a TLS proxy in front of the peer `epoll`.
    System(fn(&Place) -> Result<Command>),
}

/// All servers. Of each transport, the first is the daemon and the second the reference.
pub(crate) const ALL: [Kind; 13] = [
    Kind { name: "echo-alex", tls: false, how: How::Daemon },
    Kind { name: "epoll", tls: false, how: How::Peer },
    Kind { name: "tokio", tls: false, how: How::Peer },
    Kind { name: "mio", tls: false, how: How::Peer },
    Kind { name: "threads", tls: false, how: How::Peer },
    Kind { name: "socat", tls: false, how: How::System(commands::socat) },
    Kind { name: "echo-alex", tls: true, how: How::Daemon },
    Kind { name: "epoll-openssl", tls: true, how: How::Peer },
    Kind { name: "tokio-rustls", tls: true, how: How::Peer },
    Kind { name: "threads-openssl", tls: true, how: How::Peer },
    Kind { name: "nginx", tls: true, how: How::System(commands::nginx) },
    Kind { name: "haproxy", tls: true, how: How::System(commands::haproxy) },
    Kind { name: "stunnel", tls: true, how: How::System(commands::stunnel) },
];

/// The name in reports. A proxy is named with the server behind it.
pub(crate) fn title(name: &str, tls: bool) -> String {
    let is_proxy = |kind: &Kind| kind.name == name && tls && kind.is_extra();
    if ALL.iter().any(is_proxy) { format!("{name} + epoll") } else { name.to_owned() }
}

impl Kind {
    /// The server that costs are divided by.
    pub(crate) fn reference(tls: bool) -> &'static str {
        if tls { "epoll-openssl" } else { "epoll" }
    }

    /// Whether it is a program of the system, which takes part in few workloads.
    pub(crate) fn is_extra(self) -> bool {
        matches!(self.how, How::System(_))
    }

    pub(crate) fn is_daemon(self) -> bool {
        matches!(self.how, How::Daemon)
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
        let place =
            Place { port, echo, web, folder: &path, identity: identity.filter(|_| self.tls) };
        // If anything fails from here on, this stops the processes that were started.
        let mut server = Server::new(place.port, place.echo, place.web, folder);
        let command = match self.how {
            How::Daemon => commands::daemon(programs, &place)?,
            How::Peer => commands::peer(programs, self.name, &place),
            How::System(command) => {
                if self.tls {
                    let mut echo = Command::new(programs.peers.join("epoll"));
                    server.spawn(echo.arg(place.echo.to_string()))?;
                }
                command(&place)?
            }
        };
        server.spawn(&mut wrap(wrapper, &command))?;
        server.wait().map_err(|error| format!("{}: {error}", self.name))?;
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
