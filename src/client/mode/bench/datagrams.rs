//! One session over UDP under load: each message is a datagram, and can be lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::flow::Flow;
use crate::client::context::Client;
use crate::client::datagram_report::DatagramResults;
use crate::client::datagrams::Datagrams;
use crate::client::error::Error;
use crate::client::pattern::Pattern;
use crate::client::probes::{Arrival, Probes};
use crate::client::recorder::Recorder;
use crate::client::undelivered::Undelivered;

/// How many datagrams are sent or received in a turn, before other sessions have theirs.
const TURN: usize = 64;

/// One session under load.
pub(super) struct DatagramLoad {
    datagrams: Datagrams,
    probes: Probes,
    /// The length of a message.
    size: usize,
    /// When the messages were due that are not sent.
    unsent: VecDeque<Instant>,
    /// A message for which the kernel had no room, or that is empty.
    datagram: Vec<u8>,
    /// For what is received: what is longer than a message is damaged.
    buffer: Vec<u8>,
}

impl DatagramLoad {
    pub(super) fn new(datagrams: Datagrams, size: usize, timeout: Duration) -> Self {
        Self {
            datagrams,
            probes: Probes::new(timeout),
            size,
            unsent: VecDeque::new(),
            datagram: Vec::new(),
            buffer: vec![0; size + 1],
        }
    }

    /// An earlier datagram was not delivered. If the server has another address, what was sent goes there;
    /// otherwise this is an error.
    fn refused(&mut self, reason: Undelivered, client: &Client) -> Result<(), Error> {
        if !self.datagrams.try_next(&client.waiter) {
            return Err(self.datagrams.undelivered(reason));
        }
        let mut datagram = Vec::new();
        for sequence in self.probes.waiting() {
            self.probes.again(sequence, self.size, &mut datagram);
            // One that does not go out is lost like any other.
            let _ = self.datagrams.send(&datagram);
        }
        Ok(())
    }
}

impl Flow for DatagramLoad {
    const LOOK: Option<Duration> = Some(Duration::from_millis(10));

    fn begin(&mut self, start: Instant) {
        self.unsent.push_back(start);
    }

    fn in_flight(&self) -> usize {
        self.probes.in_flight() + self.unsent.len()
    }

    /// None: they are lost.
    fn overdue(&self) -> Vec<Instant> {
        Vec::new()
    }

    fn send(&mut self, _: &Pattern, client: &mut Client) -> Result<bool, Error> {
        for _ in 0..TURN {
            if self.datagram.is_empty() {
                let Some(due) = self.unsent.pop_front() else { return Ok(false) };
                self.probes.next(self.size, due, &mut self.datagram);
            }
            match self.datagrams.send(&self.datagram) {
                Ok(true) => self.datagram.clear(),
                Ok(false) | Err(Undelivered::NO_ROOM) => return Ok(false),
                Err(reason) => {
                    self.refused(reason, client)?;
                    self.datagram.clear();
                }
            }
        }
        Ok(!self.unsent.is_empty())
    }

    fn receive(
        &mut self,
        _: &Pattern,
        recorder: &mut Recorder,
        client: &mut Client,
    ) -> Result<bool, Error> {
        for _ in 0..TURN {
            let datagram = match self.datagrams.receive(&mut self.buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => {
                    let now = Instant::now();
                    while self.probes.next_fate(now).is_some() {}
                    return Ok(false);
                }
                Err(reason) => {
                    self.refused(reason, client)?;
                    continue;
                }
            };
            if let Arrival::Echo { time, .. } = self.probes.receive(datagram, Instant::now()) {
                recorder.received(datagram.len());
                recorder.record(time);
            }
        }
        Ok(true)
    }

    fn end(&mut self, _: &mut Client) -> Option<DatagramResults> {
        self.probes.give_up();
        Some(DatagramResults::new(&self.probes))
    }
}
