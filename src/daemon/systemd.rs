//! What the service manager is told (`sd_notify(3)`), and the sockets that it hands over
//! (`sd_listen_fds(3)`). Without one, all of this does nothing.
//!
//! # A service manager that does not listen stops nobody
//!
//! Its queue is short, and may be full of what other services have to say. What it cannot take at
//! once is dropped. READY=1 is said again, since a reload would never be over without it; all else
//! is out of date soon.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;
use log::warn;
use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;

use crate::daemon::stats::Totals;
use crate::exit::plain;
use crate::os::clock::Moment;

/// How often STATUS= may change.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The service manager.
#[derive(Debug)]
pub struct Manager {
    /// `None` without a service manager.
    line: Option<Line>,
    /// What it was told last, and when.
    told: Option<(Totals, Moment)>,
    /// READY=1 was dropped.
    ready_again: bool,
    /// How often it wants to hear from the loop, twice over, and when it heard last.
    watchdog: Option<(Duration, Moment)>,
}

impl Manager {
    /// The one that started this process, if any.
    pub fn from_environment(now: Moment) -> Self {
        let line = std::env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let failed = |error| {
                warn!("cannot reach the service manager at {}: {}", path.display(), plain(&error));
            };
            Line::open(&path).map_err(failed).ok()
        });
        // Half the time, so that one late wake-up is not the end.
        let watchdog = sd_notify::watchdog_enabled().map(|every| (every / 2, now));
        let watchdog = watchdog.filter(|_| line.is_some());
        Self { line, told: None, ready_again: false, watchdog }
    }

    /// Whether there is one that listens.
    pub fn is_there(&self) -> bool {
        self.line.is_some()
    }

    /// Every listener is bound.
    pub fn ready(&mut self, totals: Totals, now: Moment) {
        let status = totals.to_string();
        let taken = self.say(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.ready_again = !taken;
        self.told = Some((totals, now));
    }

    /// The configuration is read anew; `ready` follows.
    pub fn reloading(&mut self) {
        // Not with `NotifyState::monotonic_usec_now`: where `time_t` has 32 bits, it overflows once
        // the machine has been up for 36 minutes, and a reload with the wrong time is never over.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.say(&[NotifyState::Reloading, NotifyState::MonotonicUsec(micros)]);
    }

    /// The daemon stops, as soon as its sessions have ended.
    pub fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Says what is due at `now`: that the loop is alive, and the totals where they changed.
    pub fn tick(&mut self, totals: Totals, now: Moment) {
        if let Some((every, last)) = &mut self.watchdog
            && now >= *last + *every
        {
            *last = now;
            self.say(&[NotifyState::Watchdog]);
        }
        if self.status_due(totals).is_none_or(|due| now < due) {
            return;
        }
        if self.ready_again {
            self.ready(totals, now);
        } else {
            self.say(&[NotifyState::Status(&totals.to_string())]);
            self.told = Some((totals, now));
        }
    }

    /// When `tick` has something to say, if nothing else happens.
    pub fn next(&self, totals: Totals) -> Option<Moment> {
        let watchdog = self.watchdog.map(|(every, last)| last + every);
        watchdog.into_iter().chain(self.status_due(totals)).min()
    }

    fn say(&mut self, state: &[NotifyState<'_>]) -> bool {
        self.line.as_mut().is_none_or(|line| line.say(state))
    }

    fn status_due(&self, totals: Totals) -> Option<Moment> {
        let (told, when) = self.told.as_ref()?;
        (self.ready_again || *told != totals).then(|| *when + STATUS_INTERVAL)
    }
}

/// Where the service manager listens, and our socket to it, which is kept: there may be no
/// descriptor left when there is something to say.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    to: SocketAddr,
    /// `NOTIFY_SOCKET` as it stands in the environment.
    name: OsString,
    /// A log line has said that no service manager listens there.
    is_dead: bool,
}

impl Line {
    fn open(path: &OsStr) -> io::Result<Self> {
        // A name that begins with '@' is an abstract one (unix(7)).
        let to = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, to, name: path.into(), is_dead: false })
    }

    /// Says it at once or not at all; false if the queue was full.
    fn say(&mut self, state: &[NotifyState<'_>]) -> bool {
        let mut message = String::new();
        for line in state {
            message += &line.to_string();
            message.push('\n');
        }
        match self.socket.send_to_addr(message.as_bytes(), &self.to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if !self.is_dead => {
                self.is_dead = true;
                warn!(
                    "cannot tell the service manager at {} (NOTIFY_SOCKET): {}",
                    self.name.display(),
                    plain(&error)
                );
            }
            Err(_) => {}
            Ok(_) => self.is_dead = false,
        }
        true
    }
}

/// A listening socket that the service manager opened, and the name that it gave it.
#[derive(Debug)]
pub struct HandedOver {
    /// `FileDescriptorName=` of the socket unit; by default the unit's name.
    pub name: String,
    /// The socket.
    pub socket: TcpListener,
}

/// The sockets that were handed over with this process. Only the first call finds any.
pub fn handed_over_sockets() -> Vec<HandedOver> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..descriptors.len() {
        let name = names.next().unwrap_or_default().to_owned();
        match descriptors.take_tcp_listener(index) {
            Ok(Some(socket)) => sockets.push(HandedOver { name, socket }),
            Ok(None) => {}
            Err(error) => warn!("socket {name:?} from the service manager: {error}"),
        }
    }
    sockets
}
