//! All listeners with their sockets, and how a reload changes them.
//!
//! # A reload does first all that can fail
//!
//! [`Plan`]s are made, bound and set to listen before [`Listeners::follow`] changes anything that serves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use log::{info, warn};
use mio::{Registry, Token};
use slab::Slab;

use crate::config::{self, Endpoint, Transport};
use crate::daemon::bind::{self, Bound, ListenSocket, Listening, Outgoing, SocketOptions};
use crate::daemon::listener::{Listener, warn_of_everybody};
use crate::daemon::service::web::Site;
use crate::daemon::stats::Counters;
use crate::daemon::systemd::HandedOver;
use crate::daemon::udp::socket::DatagramSocket;
use crate::exit::{Exit, Failure, plain};
use crate::os::clock::Moment;
use crate::tls::handshake::ServerConfig;
use crate::tls::server;
use crate::tls::tickets::TicketKeys;

/// The token of the first socket. Those below are keys of sessions.
pub const FIRST_SOCKET: usize = 1 << (usize::BITS - 1);

/// All listeners with their sockets, each by its key.
#[derive(Debug, Default)]
pub struct Listeners {
    all: Slab<Listener>,
    sockets: Slab<ListenSocket>,
    /// What happened on listeners that are gone, by their names.
    past: BTreeMap<String, Counters>,
    /// What their web sessions share with the event loop.
    pub site: Rc<Site>,
}

/// What a listener of the configuration comes to. Until [`Listeners::follow`], nothing that serves has
/// changed.
#[derive(Debug)]
pub struct Plan {
    settings: config::Listener,
    tls: Option<ServerConfig>,
    /// Keys of the sockets that it keeps.
    kept: Vec<usize>,
    /// Addresses that no socket is bound to yet.
    missing: Vec<(Endpoint, Vec<SocketAddr>)>,
    /// Sockets that were bound, or handed over, for it.
    bound: Vec<Bound>,
}

/// A socket in use that no plan has taken yet.
#[derive(Clone, Copy, Debug)]
struct AtWork<'a> {
    key: usize,
    /// The name of its listener.
    owner: &'a str,
    socket: &'a ListenSocket,
}

impl Listeners {
    /// Plans for `configured`, which keep the sockets that are at work and take those that were
    /// `handed_over`; `keys` are those of their tickets. All sockets of the plans listen, and nothing else has
    /// changed.
    pub fn plan(
        &self,
        configured: Vec<config::Listener>,
        keys: Option<&TicketKeys>,
        mut handed_over: Vec<HandedOver>,
    ) -> Result<Vec<Plan>, Failure> {
        let mut at_work: Vec<AtWork<'_>> = self
            .sockets
            .iter()
            .map(|(key, socket)| AtWork { key, owner: &self.all[socket.listener].name, socket })
            .collect();
        let mut plans = configured
            .into_iter()
            .map(|settings| Plan::new(settings, keys, &mut at_work, &mut handed_over))
            .collect::<Result<Vec<_>, _>>()?;
        let outgoing = Outgoing::new(at_work.iter().map(|it| it.socket));
        for plan in &mut plans {
            plan.bind(&outgoing)?;
        }
        for plan in &plans {
            plan.listen()?;
        }
        for HandedOver { name, .. } in handed_over {
            warn!("no listener has the name or a port of the socket {name:?} that was handed over");
        }
        Ok(plans)
    }

    /// Turns the listeners at work into those of `plans`. Gives the keys of the sockets that no
    /// listener has any more.
    pub fn follow(&mut self, plans: Vec<Plan>, registry: &Registry) -> Result<Vec<usize>, Failure> {
        for (_, listener) in &mut self.all {
            listener.sockets.clear();
        }
        for Plan { settings, tls, kept, bound, .. } in plans {
            let known = self.all.iter().find(|(_, listener)| listener.name == settings.name);
            let known = known.map(|(key, _)| key);
            let key = known.unwrap_or_else(|| {
                let mut new = Listener::new(&settings, tls.clone(), Rc::clone(&self.site));
                // A name that comes back goes on counting.
                new.counters = self.past.remove(&new.name).unwrap_or_default();
                self.all.insert(new)
            });
            self.all[key].follow(&settings, tls);
            for socket in kept {
                self.keep(socket, key, SocketOptions::from(&settings));
            }
            for socket in bound {
                self.serve(socket, key, registry)?;
            }
        }
        let mut gone = Vec::new();
        for (key, ListenSocket { listener, address, .. }) in &self.sockets {
            let Listener { name, sockets, .. } = &self.all[*listener];
            if !sockets.contains(&key) {
                info!(listener = name, address:%; "no longer listening");
                gone.push(key);
            }
        }
        Ok(gone)
    }

    /// Gives a socket that is at work to the listener with the key `listener`.
    fn keep(&mut self, key: usize, listener_key: usize, options: SocketOptions) {
        let (socket, listener) = (&mut self.sockets[key], &mut self.all[listener_key]);
        if socket.cannot_follow(options) {
            warn!(
                listener = listener.name, address:% = socket.address;
                "reuse-port = {} waits for a restart", options.reuse_port
            );
        }
        socket.listener = listener_key;
        listener.sockets.push(key);
    }

    /// Accepts connections from `bound`, for the listener with the key `listener`.
    fn serve(
        &mut self,
        bound: Bound,
        listener_key: usize,
        registry: &Registry,
    ) -> Result<(), Failure> {
        let listener = &mut self.all[listener_key];
        let entry = self.sockets.vacant_entry();
        let mut socket = bound.serve(listener_key);
        let address = socket.address;
        let token = Token(FIRST_SOCKET + entry.key());
        socket.socket.register(registry, token).map_err(|error| {
            Failure::new(Exit::Failure, format!("cannot watch {address}: {}", plain(&error)))
        })?;
        info!(
            listener = listener.name, address:%, transport = listener.kind(),
            service = listener.service_name();
            "listening"
        );
        listener.sockets.push(entry.key());
        entry.insert(socket);
        Ok(())
    }

    /// The listener with this key.
    pub fn get(&self, key: usize) -> &Listener {
        &self.all[key]
    }

    /// The listener with this key.
    pub fn get_mut(&mut self, key: usize) -> &mut Listener {
        &mut self.all[key]
    }

    /// All listeners, with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Listener)> {
        self.all.iter()
    }

    /// The listening socket with this key, if it is open.
    pub fn socket(&self, key: usize) -> Option<&ListenSocket> {
        self.sockets.get(key)
    }

    /// The UDP socket with this key and its listener, if it is open.
    pub fn datagrams(&mut self, key: usize) -> Option<(&DatagramSocket, &mut Listener)> {
        let ListenSocket { listener, socket, .. } = self.sockets.get(key)?;
        let Listening::Datagrams(socket) = socket else { return None };
        Some((socket, self.all.get_mut(*listener)?))
    }

    /// The ports on which datagrams are answered.
    pub fn datagram_ports(&self) -> impl Iterator<Item = u16> {
        let is_udp = |it: &&ListenSocket| it.socket.transport() == Transport::Udp;
        self.sockets.iter().map(|(_, socket)| socket).filter(is_udp).map(|it| it.address.port())
    }

    /// The keys of all listening sockets.
    pub fn socket_keys(&self) -> Vec<usize> {
        self.sockets.iter().map(|(key, _)| key).collect()
    }

    /// Closes a listening socket.
    pub fn close(&mut self, key: usize) {
        self.sockets.remove(key);
    }

    /// The keys of the listeners that a reload left without a socket.
    pub fn retired(&self) -> Vec<usize> {
        self.all.iter().filter(|(_, it)| it.sockets.is_empty()).map(|(key, _)| key).collect()
    }

    /// Forgets a listener that has neither sockets nor sessions any more, but not what it counted.
    pub fn forget_if_retired(&mut self, key: usize) {
        let listener = &self.all[key];
        if listener.sockets.is_empty() && listener.admission.sessions() == 0 {
            let Listener { name, counters, .. } = self.all.remove(key);
            self.past.insert(name, counters);
        }
    }

    /// What happened on listeners that are gone, by their names.
    pub fn past(&self) -> &BTreeMap<String, Counters> {
        &self.past
    }

    /// The number of listening sockets.
    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// When the earliest sum of events without a log line is due.
    pub fn next_sum(&self) -> Option<Moment> {
        let listeners = self.all.iter();
        listeners.fold(None, |next, (_, listener)| {
            Moment::earliest([next, listener.refusals.due(), listener.endings.due()])
        })
    }

    /// Logs the sums that are due.
    pub fn log_sums(&mut self, now: Moment) {
        for (_, listener) in &mut self.all {
            if let Some((count, time)) = listener.refusals.sum(now) {
                warn!(listener = listener.name, more = count, "in":% = format_args!("{}s", time.as_secs()); "refused");
            }
            if let Some((count, time)) = listener.endings.sum(now) {
                info!(listener = listener.name, more = count, "in":% = format_args!("{}s", time.as_secs()); "sessions");
            }
        }
    }
}

impl Plan {
    /// Loads what `settings` name, and takes the sockets for it from those `at_work` and those that
    /// were `handed_over`. What is missing is still to be bound.
    fn new(
        settings: config::Listener,
        keys: Option<&TicketKeys>,
        at_work: &mut Vec<AtWork<'_>>,
        handed_over: &mut Vec<HandedOver>,
    ) -> Result<Self, Failure> {
        let tls = server::of_listener(&settings, keys)?;
        warn_of_everybody(&settings);
        if settings.tls.as_ref().is_some_and(|tls| tls.identity.is_none()) {
            server::announce_temporary_identity()?;
        }
        let mut plan =
            Self { settings, tls, kept: Vec::new(), missing: Vec::new(), bound: Vec::new() };
        plan.take_handed_over(handed_over)?;
        let name = plan.settings.name.as_str();
        let earlier = at_work.extract_if(.., |it| it.owner == name && !it.socket.is_ours());
        plan.kept.extend(earlier.map(|it| it.key));
        if plan.bound.is_empty() && plan.kept.is_empty() {
            for endpoint in &plan.settings.endpoints {
                let mut missing = Vec::new();
                for address in endpoint.addresses() {
                    let transport = plan.settings.transport;
                    let serves =
                        |it: &AtWork<'_>| it.socket.serves(address, transport, name, it.owner);
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

    /// Takes the sockets that were handed over for this listener: by its name, or because they are
    /// bound to a port that it listens on (one socket unit gives one name to all of its sockets).
    fn take_handed_over(&mut self, handed_over: &mut Vec<HandedOver>) -> Result<(), Failure> {
        let config::Listener { name, endpoints, transport, .. } = &self.settings;
        let addresses = endpoints.iter().flat_map(|endpoint| endpoint.addresses());
        let ports: Vec<u16> = addresses.map(|address| address.port()).collect();
        let has_port = |it: &HandedOver| {
            let address = it.socket.local_addr().ok().and_then(|address| address.as_socket());
            address.is_some_and(|address| ports.contains(&address.port()))
        };
        let is_ours =
            |it: &mut HandedOver| it.name == *name || it.transport == *transport && has_port(it);
        for socket in handed_over.extract_if(.., is_ours) {
            if socket.transport != *transport {
                return Err(wrong_kind(*transport).of_listener(name));
            }
            self.bound.push(Bound::hand_over(socket)?);
        }
        Ok(())
    }

    /// Binds what is missing, next to the sockets that are `outgoing` where necessary.
    fn bind(&mut self, outgoing: &Outgoing<'_>) -> Result<(), Failure> {
        for (endpoint, addresses) in &self.missing {
            let bound =
                bind::bind_all(*endpoint, addresses, SocketOptions::from(&self.settings), outgoing);
            self.bound.extend(bound.map_err(|unbound| self.cannot_listen(&unbound))?);
        }
        Ok(())
    }

    /// Lets connections come to what was bound.
    fn listen(&self) -> Result<(), Failure> {
        for bound in &self.bound {
            bound
                .listen(SocketOptions::from(&self.settings))
                .map_err(|error| self.cannot_listen(&(bound.address, error)))?;
        }
        Ok(())
    }

    fn cannot_listen(&self, unbound: &bind::Unbound) -> Failure {
        let options = SocketOptions::from(&self.settings);
        bind::cannot_listen(unbound, options).of_listener(&self.settings.name)
    }
}

/// Why a socket with the name of a listener cannot be taken over.
fn wrong_kind(transport: Transport) -> Failure {
    let (is, key) = match transport {
        Transport::Tcp => ("for datagrams, and the listener is for TCP", "ListenStream="),
        Transport::Udp => ("a stream socket, and the listener is for UDP", "ListenDatagram="),
    };
    Failure::config(format!("the socket that the service manager handed over is {is}: use {key}"))
}

#[cfg(test)]
mod tests;
