//! The two loops of a measurement: the closed loop sends the next message when an echo has come, the open
//! loop when the message is due.

use std::time::{Duration, Instant};

use mio::Token;

use super::flow::Flow;
use crate::client::context::Client;
use crate::client::error::{Awaited, Error};
use crate::client::pattern::Pattern;
use crate::client::progress::Progress;
use crate::client::recorder::Recorder;
use crate::client::schedule::Schedule;

/// How many messages an open loop sends before it looks at events again.
const BATCH: u64 = 256;

/// How many messages may be in flight in an open loop. Each takes 16 bytes of memory.
const IN_FLIGHT_MAX: u64 = 4_000_000;

/// How late a message may still be sent after the end.
const LAST_CALL: Duration = Duration::from_millis(10);

/// The state of a measurement.
pub(super) struct Drive<'a, F> {
    client: &'a mut Client,
    pattern: &'a Pattern,
    flows: &'a mut [F],
    recorder: &'a mut Recorder,
    progress: &'a mut Progress,
    /// When to look for lost messages next, if any can be lost.
    look: Option<Instant>,
}

impl<'a, F: Flow> Drive<'a, F> {
    pub(super) fn new(
        client: &'a mut Client,
        pattern: &'a Pattern,
        flows: &'a mut [F],
        recorder: &'a mut Recorder,
        progress: &'a mut Progress,
    ) -> Self {
        let look = F::LOOK.map(|interval| Instant::now() + interval);
        Self { client, pattern, flows, recorder, progress, look }
    }

    /// Keeps `depth` messages in flight in each session until the end, and then waits for the last ones.
    pub(super) fn closed(&mut self, depth: usize) -> Result<(), Error> {
        // The sessions that can send more without waiting for an event.
        let mut ready: Vec<usize> = (0..self.flows.len()).collect();
        loop {
            let now = self.tick()?;
            let is_sending = now < self.progress.end;
            for number in std::mem::take(&mut ready) {
                if self.turn(number, is_sending.then_some(depth))? {
                    ready.push(number);
                }
            }
            if !is_sending && self.in_flight() == 0 {
                return Ok(());
            }
            self.wait(now, if ready.is_empty() { None } else { Some(now) })?;
            self.find_ready(&mut ready);
        }
    }

    /// Sends each message when it is due, in the sessions by turns, and then waits for the last ones.
    pub(super) fn open(&mut self, schedule: &mut Schedule) -> Result<(), Error> {
        let mut ready: Vec<usize> = Vec::new();
        loop {
            let now = self.tick()?;
            for number in std::mem::take(&mut ready) {
                if self.turn(number, None)? {
                    ready.push(number);
                }
            }
            let is_over = self.release(schedule, now)?;
            if is_over && self.in_flight() == 0 {
                return Ok(());
            }
            let next = if is_over { None } else { schedule.due() };
            self.wait(now, if ready.is_empty() { next } else { Some(now) })?;
            self.find_ready(&mut ready);
        }
    }

    /// Sends what is due at `now`. Returns whether no more is to be sent.
    fn release(&mut self, schedule: &mut Schedule, now: Instant) -> Result<bool, Error> {
        let is_last_call = now >= self.progress.end;
        let room = IN_FLIGHT_MAX.saturating_sub(self.in_flight());
        for _ in 0..room.min(BATCH) {
            let Some(due) = schedule.due() else { return Ok(true) };
            if is_last_call && now > due + LAST_CALL {
                return Ok(true);
            }
            if due > now {
                break;
            }
            let sessions = self.flows.len() as u64;
            let number = usize::try_from(schedule.next % sessions).unwrap_or(0);
            let flow = &mut self.flows[number];
            flow.begin(due);
            flow.send(self.pattern, self.client).map_err(|error| error.in_session(number))?;
            self.recorder.late.record(due.elapsed());
            schedule.next += 1;
        }
        Ok(false)
    }

    /// Reads what has arrived in a session, fills it to this depth, and sends. Returns whether it can do
    /// more.
    fn turn(&mut self, number: usize, depth: Option<usize>) -> Result<bool, Error> {
        let Self { client, pattern, flows, recorder, .. } = self;
        let flow = &mut flows[number];
        // Before sending: what has arrived already is not an echo of what is sent now.
        let can_receive = flow.receive(pattern, recorder, client);
        let can_receive = can_receive.map_err(|error| error.in_session(number))?;
        while depth.is_some_and(|depth| flow.in_flight() < depth) {
            flow.begin(Instant::now());
        }
        let can_send = flow.send(pattern, client).map_err(|error| error.in_session(number))?;
        Ok(can_receive || can_send)
    }

    /// The time now, after what is to be done once a second.
    fn tick(&mut self) -> Result<Instant, Error> {
        let now = Instant::now();
        self.progress.show(now, self.recorder.latencies.count(), &mut self.client.printer);
        self.recorder.tick(now, self.client)?;
        Ok(now)
    }

    /// Waits for events, but no longer than `until`. Fails when the last echoes are overdue.
    fn wait(&mut self, now: Instant, until: Option<Instant>) -> Result<(), Error> {
        let (end, timeout) = (self.progress.end, self.client.options.timeout);
        let deadline = if now < end { end } else { end + timeout };
        if now >= deadline {
            return Err(Error::TimedOut { what: Awaited::Echo, timeout });
        }
        let until = until.into_iter().chain(self.look).min().unwrap_or(deadline);
        let until = until.min(deadline).min(self.recorder.next());
        self.client.waiter.wait(Some(self.progress.limit(until, now)))
    }

    /// Adds the sessions that have events. From time to time, those are all: what is lost causes no event.
    fn find_ready(&mut self, ready: &mut Vec<usize>) {
        let now = Instant::now();
        if self.look.is_some_and(|look| now >= look) {
            self.look = F::LOOK.map(|interval| now + interval);
            *ready = (0..self.flows.len()).collect();
        } else {
            ready.extend(self.client.waiter.events().map(|Token(number)| number));
        }
    }

    fn in_flight(&self) -> u64 {
        self.flows.iter().map(|flow| flow.in_flight() as u64).sum()
    }
}
