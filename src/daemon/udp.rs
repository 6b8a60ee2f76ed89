//! Datagrams: echo and discard over UDP (RFC 862, RFC 863).
//!
//! # Nothing is kept of a datagram
//!
//! It is received into one buffer and goes back from there at once, from the address that it was sent to. UDP has
//! no backpressure: where the kernel does not take the answer at once, there is none.
//!
//! # An answer reaches nobody who did not ask, and ends no loop that it begins
//!
//! The source of a datagram may be forged. So answers go only to hosts in networks that are allowed and to
//! ports where no service answers ([`guard`]), not faster than the limits ([`rates`]), and not again and again to
//! a source that sends them back ([`repeats`]). What has no answer is counted by its cause ([`refusal`]).
//!
//! # A turn is bounded
//!
//! A socket whose turn ends before it is empty waits for another one, like a session.

pub mod guard;
mod rates;
pub mod refusal;
mod repeats;
pub mod socket;
mod table;

use std::io;
use std::time::Duration;

use log::warn;

use crate::config::DatagramLimits;
use crate::daemon::listener::Listener;
use crate::daemon::listeners::Listeners;
use crate::exit::plain;
use crate::os::clock::Moment;
use guard::{Hosts, Ports};
use rates::{Rates, Time};
use refusal::Refusal;
use repeats::Repeats;
use socket::{Arrival, DatagramSocket, Messages, Own};

/// The longest datagram, in bytes: what the length field of UDP can say.
const DATAGRAM_MAX: usize = 65_535;

/// The cost of a turn: of each datagram as many as these, and one for each of its bytes.
const COST: usize = 4 * 1024;

/// What the datagrams of a turn may cost: 64 short ones.
pub const TURN: usize = 256 * 1024;

/// The last turn of a socket that is about to be closed.
pub const LAST_TURN: usize = 16 * TURN;

/// The least time from one look at the interfaces to the next.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Answers the datagrams of all UDP listeners.
#[derive(Debug)]
pub struct Responder {
    started: Moment,
    buffer: Box<[u8]>,
    messages: Messages,
    guards: Guards,
}

/// What decides whether a datagram has an answer.
#[derive(Debug)]
struct Guards {
    services: Ports,
    /// The hosts in the networks of this machine's interfaces.
    neighbours: Hosts,
    looked: Moment,
    rates: Rates,
    repeats: Repeats,
}

impl Responder {
    /// Answers the datagrams of `listeners` within these limits.
    pub fn new(limits: DatagramLimits, listeners: &Listeners, now: Moment) -> Self {
        let guards = Guards {
            services: Ports::of_services(listeners.datagram_ports()),
            neighbours: Hosts::default(),
            looked: now,
            rates: Rates::new(limits),
            repeats: Repeats::new(),
        };
        let buffer = vec![0; DATAGRAM_MAX].into();
        let mut responder = Self { started: now, buffer, messages: Messages::default(), guards };
        responder.guards.look(now);
        responder
    }

    /// Follows a reload.
    pub fn follow(&mut self, limits: DatagramLimits, listeners: &Listeners, now: Moment) {
        self.guards.services = Ports::of_services(listeners.datagram_ports());
        self.guards.rates.set_limits(limits);
        self.guards.look(now);
    }

    /// Answers what has come to the socket with the key `key`, up to this cost, and adds to `echoed` what goes
    /// back, in bytes. True if there may be more.
    #[inline(never)] // Its caller is cold.
    pub fn turn(
        &mut self,
        key: usize,
        most: usize,
        now: Moment,
        listeners: &mut Listeners,
        echoed: &mut u64,
    ) -> bool {
        let Some((socket, listener)) = listeners.datagrams(key) else { return false };
        let time = now.duration_since(self.started).as_nanos();
        let time = Time::try_from(time).unwrap_or(Time::MAX);
        let mut cost = 0;
        while cost < most {
            match socket.receive(&mut self.buffer, &mut self.messages) {
                Ok(arrival) => {
                    cost += COST + arrival.length;
                    self.serve(&arrival, socket, listener, (time, now), echoed);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return false,
                    io::ErrorKind::Interrupted => {}
                    _ => {
                        if listener.refusals.note(now) {
                            warn!(listener = listener.name; "cannot receive: {}", plain(&error));
                        }
                        return false;
                    }
                },
            }
        }
        true
    }

    fn serve(
        &mut self,
        arrival: &Arrival,
        socket: &DatagramSocket,
        listener: &mut Listener,
        (time, now): (Time, Moment),
        echoed: &mut u64,
    ) {
        let length = arrival.length as u64;
        listener.counters.datagrams.received += 1;
        listener.counters.volume.received += length;
        if listener.discards() {
            listener.counters.volume.discarded += length;
            return;
        }
        let bytes = self.buffer.get(..arrival.length).unwrap_or_default();
        let answer = self.guards.check(arrival, bytes, listener, time, now).and_then(|own| {
            let sent = socket.send(bytes, own, arrival.peer, &mut self.messages);
            sent.map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => Refusal::Full,
                _ => Refusal::Unsendable,
            })
        });
        match answer {
            Ok(()) => {
                listener.counters.volume.sent += length;
                listener.counters.volume.echoed += length;
                *echoed += length;
            }
            Err(refusal) => refuse(refusal, arrival, listener, now),
        }
    }
}

#[cold]
fn refuse(refusal: Refusal, arrival: &Arrival, listener: &mut Listener, now: Moment) {
    listener.counters.datagrams.refuse(refusal);
    if listener.refusals.note(now) {
        warn!(listener = listener.name, peer:% = arrival.peer, reason:% = refusal; "refused");
    }
}

impl Guards {
    /// The address from which a datagram is answered, unless it is not.
    fn check(
        &mut self,
        arrival: &Arrival,
        bytes: &[u8],
        listener: &Listener,
        time: Time,
        now: Moment,
    ) -> Result<Own, Refusal> {
        let Arrival { is_cut, peer, own, .. } = arrival;
        if *is_cut {
            return Err(Refusal::Cut);
        }
        let own = own.ok_or(Refusal::Group)?;
        let is_allowed = match &listener.answered {
            Some(hosts) => hosts.contain(peer),
            None => self.neighbours.contain(peer) || self.is_new_neighbour(peer, now),
        };
        if !is_allowed {
            return Err(Refusal::Network);
        }
        if self.services.contain(peer.port()) {
            return Err(Refusal::Port);
        }
        self.rates.take(peer, bytes.len(), time)?;
        if self.repeats.is_loop(peer, bytes, time) {
            self.rates.pause(peer, time);
            return Err(Refusal::Loop);
        }
        Ok(own)
    }

    /// Whether `peer` is in the network of an interface that had no address when the interfaces were looked at.
    #[cold]
    fn is_new_neighbour(&mut self, peer: &std::net::SocketAddr, now: Moment) -> bool {
        if now < self.looked + LOOK_INTERVAL {
            return false;
        }
        self.look(now);
        self.neighbours.contain(peer)
    }

    /// Looks which networks the interfaces of this machine have.
    fn look(&mut self, now: Moment) {
        self.looked = now;
        match Hosts::of_interfaces() {
            Ok(hosts) => self.neighbours = hosts,
            Err(error) => warn!("cannot look up the interfaces: {}", plain(&error)),
        }
    }
}
