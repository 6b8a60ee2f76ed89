//! Datagrams: echo, discard and report over UDP (RFC 862, RFC 863; [`runs`]).
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
//!
//! # The path of a datagram is one function, for IPv4 and for IPv6
//!
//! What it calls is inlined, because half of its instructions would otherwise move addresses between functions.

pub mod guard;
mod rates;
pub mod refusal;
mod repeats;
mod runs;
pub mod socket;
mod table;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use log::warn;

use crate::config::DatagramLimits;
use crate::daemon::listener::Listener;
use crate::daemon::listeners::Listeners;
use crate::daemon::stats::Counters;
use crate::exit::plain;
use crate::os::clock::Moment;
use guard::{Hosts, Ports};
use rates::{Rates, Time};
use refusal::Refusal;
use repeats::Repeats;
use runs::Runs;
use socket::{Arrival, Control, DatagramSocket, Family, V4, V6};

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
    buffer: Box<[u8; DATAGRAM_MAX]>,
    control: Control,
    guards: Guards,
    runs: Runs,
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
        let (buffer, control) = (table::array(0), Control::default());
        let mut responder = Self { started: now, buffer, control, guards, runs: Runs::new() };
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
        let before = listener.counters.volume.echoed;
        let has_more = if socket.is_ipv6() {
            self.serve::<V6>(most, now, socket, listener)
        } else {
            self.serve::<V4>(most, now, socket, listener)
        };
        *echoed += listener.counters.volume.echoed - before;
        has_more
    }

    fn serve<F: Family>(
        &mut self,
        most: usize,
        now: Moment,
        socket: &DatagramSocket,
        listener: &mut Listener,
    ) -> bool {
        let time = now.duration_since(self.started).as_nanos();
        let time = Time::try_from(time).unwrap_or(Time::MAX);
        let discards = listener.discards();
        let (mut datagrams, mut bytes) = (0, 0);
        let has_more = loop {
            if datagrams * COST + bytes >= most {
                break true;
            }
            match socket.receive::<F>(&mut *self.buffer, &mut self.control) {
                Ok(arrival) => {
                    datagrams += 1;
                    bytes += arrival.length;
                    if !discards {
                        self.echo(arrival, socket, listener, (time, now));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break false,
                    io::ErrorKind::Interrupted => {}
                    _ => {
                        if listener.refusals.note(now) {
                            warn!(listener = listener.name; "cannot receive: {}", plain(&error));
                        }
                        break false;
                    }
                },
            }
        };
        let Counters { datagrams: counted, volume, .. } = &mut listener.counters;
        counted.received += datagrams as u64;
        volume.received += bytes as u64;
        volume.discarded += if discards { bytes as u64 } else { 0 };
        has_more
    }

    #[inline(always)]
    fn echo<F: Family>(
        &mut self,
        arrival: Arrival<F>,
        socket: &DatagramSocket,
        listener: &mut Listener,
        (time, now): (Time, Moment),
    ) {
        let peer = arrival.peer;
        let Some(bytes) = self.buffer.get_mut(..arrival.length) else {
            return refuse::<F>(Refusal::Cut, peer, listener, now);
        };
        if let Err(refusal) = self.guards.check(arrival, bytes, listener, time, now) {
            return refuse::<F>(refusal, peer, listener, now);
        }
        if listener.reports() {
            self.runs.count(peer.into(), bytes, time);
        }
        match socket.answer::<F>(bytes, peer, &self.control) {
            Ok(()) => {
                let length = arrival.length as u64;
                listener.counters.volume.sent += length;
                listener.counters.volume.echoed += length;
            }
            Err(error) => refuse::<F>(Refusal::unsent(&error), peer, listener, now),
        }
    }
}

#[cold]
fn refuse<F: Family>(refusal: Refusal, peer: F::Address, listener: &mut Listener, now: Moment) {
    let peer: SocketAddr = peer.into();
    listener.counters.datagrams.refuse(refusal);
    if listener.refusals.note(now) {
        warn!(listener = listener.name, peer:%, reason:% = refusal; "refused");
    }
}

impl Guards {
    /// Whether a datagram is answered.
    #[inline(always)]
    fn check<F: Family>(
        &mut self,
        arrival: Arrival<F>,
        bytes: &[u8],
        listener: &Listener,
        time: Time,
        now: Moment,
    ) -> Result<(), Refusal> {
        if arrival.is_cut {
            return Err(Refusal::Cut);
        }
        if !arrival.is_for_one {
            return Err(Refusal::Group);
        }
        let peer = arrival.peer.into();
        let is_allowed = match &listener.answered {
            Some(hosts) => hosts.contain(peer),
            None => self.neighbours.contain(peer) || self.is_new_neighbour::<F>(arrival.peer, now),
        };
        if !is_allowed {
            return Err(Refusal::Network);
        }
        if self.services.contain(peer.port()) {
            return Err(Refusal::Port);
        }
        self.rates.take(peer, bytes.len(), time)?;
        if self.repeats.is_loop(peer, bytes, time) {
            return Err(self.end_loop::<F>(arrival.peer, time));
        }
        Ok(())
    }

    #[cold]
    fn end_loop<F: Family>(&mut self, peer: F::Address, time: Time) -> Refusal {
        self.rates.pause(peer.into(), time);
        Refusal::Loop
    }

    /// Whether `peer` is in the network of an interface that had no address when the interfaces were looked at.
    #[cold]
    fn is_new_neighbour<F: Family>(&mut self, peer: F::Address, now: Moment) -> bool {
        if now < self.looked + LOOK_INTERVAL {
            return false;
        }
        self.look(now);
        self.neighbours.contain(peer.into())
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
