//! Messages to the service manager (`sd_notify(3)`), and the sockets that it hands over
//! (`sd_listen_fds(3)`). Without a service manager, these functions do nothing.
//!
//! # A service manager that does not read never blocks the daemon
//!
//! Its queue is short, and may be full of messages from other services. A message that it cannot take
//! at once is dropped. READY=1 is sent again, because a reload does not end without it; every other
//! message is soon replaced by a newer one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;
use log::warn;
use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use socket2::Socket;

use crate::config::Transport;
use crate::daemon::stats::Totals;
use crate::exit::plain;
use crate::os::clock::Moment;

/// The least time between two STATUS= messages.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The service manager.
#[derive(Debug)]
pub struct Manager {
    /// `None` without a service manager.
    channel: Option<Channel>,
    /// The totals of the last status, and its time.
    last_status: Option<(Totals, Moment)>,
    /// READY=1 was dropped and is due again.
    ready_again: bool,
    /// The time from one WATCHDOG=1 to the next, and when the last one was sent.
    watchdog: Option<(Duration, Moment)>,
}

impl Manager {
    /// The service manager that started this process, if any.
    pub fn from_environment(now: Moment) -> Self {
        let channel = std::env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let failed = |error| {
                warn!("cannot reach the service manager at {}: {}", path.display(), plain(&error));
            };
            Channel::open(&path).map_err(failed).ok()
        });
        // Half of the watchdog timeout: one late wake-up does not exceed it.
        let watchdog = sd_notify::watchdog_enabled().map(|every| (every / 2, now));
        let watchdog = watchdog.filter(|_| channel.is_some());
        Self { channel, last_status: None, ready_again: false, watchdog }
    }

    /// Whether there is a service manager.
    pub fn is_there(&self) -> bool {
        self.channel.is_some()
    }

    /// Reports that every listener is bound.
    pub fn ready(&mut self, totals: Totals, now: Moment) {
        let status = totals.to_string();
        let sent = self.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.ready_again = !sent;
        self.last_status = Some((totals, now));
    }

    /// Reports that a reload begins; `ready` ends it.
    pub fn reloading(&mut self) {
        // Not `NotifyState::monotonic_usec_now`: where `time_t` has 32 bits, it overflows when the
        // machine has been up for 36 minutes, and a reload with the wrong time never ends.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&[NotifyState::Reloading, NotifyState::MonotonicUsec(micros)]);
    }

    /// Reports that the daemon stops when its sessions have ended.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Sends what is due at `now`: WATCHDOG=1, and the totals if they have changed.
    pub fn tick(&mut self, totals: Totals, now: Moment) {
        if let Some((every, last)) = &mut self.watchdog
            && now >= *last + *every
        {
            *last = now;
            self.send(&[NotifyState::Watchdog]);
        }
        if self.status_due(totals).is_none_or(|due| now < due) {
            return;
        }
        if self.ready_again {
            self.ready(totals, now);
        } else {
            self.send(&[NotifyState::Status(&totals.to_string())]);
            self.last_status = Some((totals, now));
        }
    }

    /// When `tick` has something to send, if nothing changes until then.
    pub fn next(&self, totals: Totals) -> Option<Moment> {
        let watchdog = self.watchdog.map(|(every, last)| last + every);
        watchdog.into_iter().chain(self.status_due(totals)).min()
    }

    fn send(&mut self, state: &[NotifyState<'_>]) -> bool {
        self.channel.as_mut().is_none_or(|channel| channel.send(state))
    }

    fn status_due(&self, totals: Totals) -> Option<Moment> {
        let (last, when) = self.last_status.as_ref()?;
        (self.ready_again || *last != totals).then(|| *when + STATUS_INTERVAL)
    }
}

/// The address of the service manager, and a socket to send to it. The socket stays open, because
/// there may be no descriptor left when a message is due.
#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    to: SocketAddr,
    /// `NOTIFY_SOCKET` as it is in the environment.
    name: OsString,
    /// A log line has reported that messages cannot be sent there.
    failure_reported: bool,
}

impl Channel {
    fn open(path: &OsStr) -> io::Result<Self> {
        // '@' begins an abstract name (unix(7)).
        let to = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, to, name: path.into(), failure_reported: false })
    }

    /// Sends it at once or not at all; false if the queue was full.
    fn send(&mut self, state: &[NotifyState<'_>]) -> bool {
        let mut message = String::new();
        for line in state {
            message += &line.to_string();
            message.push('\n');
        }
        match self.socket.send_to_addr(message.as_bytes(), &self.to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if !self.failure_reported => {
                self.failure_reported = true;
                warn!(
                    "cannot tell the service manager at {} (NOTIFY_SOCKET): {}",
                    self.name.display(),
                    plain(&error)
                );
            }
            Err(_) => {}
            Ok(_) => self.failure_reported = false,
        }
        true
    }
}

/// A listening socket that the service manager opened, with its name there.
#[derive(Debug)]
pub struct HandedOver {
    /// `FileDescriptorName=` of the socket unit; by default the unit's name.
    pub name: String,
    /// The socket.
    pub socket: Socket,
    /// `Tcp` if it listens for connections, `Udp` if it receives datagrams.
    pub transport: Transport,
}

/// The sockets that were handed over with this process. Only the first call finds any.
pub fn handed_over_sockets() -> Vec<HandedOver> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..descriptors.len() {
        let name = names.next().unwrap_or_default().to_owned();
        // A socket that is of another kind stays where it is.
        let datagrams = descriptors.take_udp_socket(index).ok().flatten().map(Socket::from);
        let (socket, transport) = if datagrams.is_some() {
            (Ok(datagrams), Transport::Udp)
        } else {
            let socket = descriptors.take_tcp_listener(index);
            (socket.map(|it| it.map(Socket::from)), Transport::Tcp)
        };
        match socket {
            Ok(Some(socket)) => sockets.push(HandedOver { name, socket, transport }),
            Ok(None) => {}
            Err(error) => warn!("socket {name:?} from the service manager: {error}"),
        }
    }
    sockets
}
