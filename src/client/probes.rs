//! The probes of a run over UDP, and what became of each: it came in time, late, damaged or twice, or it
//! was lost. Without I/O and without a clock of its own.

mod far_end;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::undelivered::Undelivered;
use crate::wire::probe::{Header, Verdict, verify};
use far_end::FarEnd;
pub use far_end::Losses;

/// How many probes whose fate is told are remembered, so that late echoes and duplicates of them are
/// recognized. Each takes 40 bytes.
const REMEMBERED: usize = 65_536;

/// The probes of a run.
pub struct Probes {
    /// The number of the run.
    token: u64,
    begin: Instant,
    /// How long after it was due an echo is in time.
    timeout: Duration,
    /// The last probes, in their order.
    last: VecDeque<Probe>,
    /// The sequence number of the first of them.
    first: u64,
    /// How many probes have a fate that [`Probes::next_fate`] has told.
    told: u64,
    /// The highest sequence number that has come.
    highest: u64,
    far_end: FarEnd,
    counts: Counts,
    /// How many wait for their echoes.
    in_flight: usize,
}

/// What happened to the probes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Probes that were due, those that could not be sent included.
    pub sent: u64,
    /// Probes whose echo came in time and as it was sent.
    pub received: u64,
    /// Probes of which nothing came.
    pub lost: u64,
    /// Probes whose echo came after the timeout.
    pub late: u64,
    /// Echoes that were damaged.
    pub damaged: u64,
    /// Echoes of a probe beyond the first one.
    pub duplicates: u64,
    /// Echoes in time that came after that of a later probe (RFC 4737 §3).
    pub out_of_order: u64,
    /// Datagrams that are no probes of this run, or of one that is forgotten.
    pub foreign: u64,
}

/// A probe that was sent.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// When it was due, in nanoseconds from the start of the run.
    due: u64,
    state: State,
    /// What the far end had received, as its first echo says.
    received: u64,
}

/// What has become of a probe so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// An echo came at this time, whole or damaged.
    Came(u64),
    Lost(Option<Undelivered>),
    Late,
}

/// What a datagram turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The echo of a probe, in time, with its round trip.
    Echo { sequence: u64, time: Duration, is_in_order: bool },
    /// The echo of a probe that had been given up, with its round trip.
    Late { sequence: u64, time: Duration },
    /// Another echo of the same probe.
    Duplicate(u64),
    /// A damaged echo. `None`, if even the probe is unknown.
    Damaged(Option<u64>),
    /// No probe of this run.
    Foreign,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    pub sequence: u64,
    /// When it was due.
    pub due: Instant,
    pub outcome: Outcome,
}

/// Whether an echo came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One came, at this moment.
    Came(Instant),
    /// None came, for this reason if one is known.
    Lost(Option<Undelivered>),
}

impl Probes {
    /// A run that begins now. Its number is random, so that echoes of another run are no echoes of this
    /// one, and nobody who does not see the probes can forge an echo.
    pub fn new(timeout: Duration) -> Self {
        // Its keys are random.
        let token = RandomState::new().hash_one(());
        Self {
            token,
            begin: Instant::now(),
            timeout,
            last: VecDeque::new(),
            first: 1,
            told: 0,
            highest: 0,
            far_end: FarEnd::default(),
            counts: Counts::default(),
            in_flight: 0,
        }
    }

    /// Writes the next probe, which was due at `due`, into `datagram`, and returns its sequence number.
    pub fn next(&mut self, size: usize, due: Instant, datagram: &mut Vec<u8>) -> u64 {
        let probe = Probe { due: self.nanos(due), state: State::Waiting, received: 0 };
        self.last.push_back(probe);
        self.counts.sent += 1;
        self.in_flight += 1;
        self.write(self.counts.sent, &probe, size, datagram);
        self.counts.sent
    }

    /// Writes a probe again that still waits for its echo. Returns whether it does.
    pub fn again(&self, sequence: u64, size: usize, datagram: &mut Vec<u8>) -> bool {
        match self.get(sequence) {
            Some(probe) if probe.state == State::Waiting => {
                self.write(sequence, probe, size, datagram);
                true
            }
            _ => false,
        }
    }

    fn write(&self, sequence: u64, probe: &Probe, size: usize, datagram: &mut Vec<u8>) {
        let header = Header { token: self.token, sequence, sent: probe.due, received: 0 };
        header.write(size, datagram);
    }

    /// The sequence numbers of the probes that wait for their echoes.
    pub fn waiting(&self) -> impl Iterator<Item = u64> {
        let untold = usize::try_from(self.told + 1 - self.first).unwrap_or(usize::MAX);
        let numbers = (self.first..).zip(&self.last).skip(untold);
        numbers.filter(|(_, probe)| probe.state == State::Waiting).map(|(number, _)| number)
    }

    /// How many probes wait for their echoes.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A probe was not delivered, for this reason.
    pub fn fail(&mut self, sequence: u64, reason: Undelivered) {
        if self.get(sequence).is_some_and(|probe| probe.state == State::Waiting) {
            self.set(sequence, State::Lost(Some(reason)));
        }
    }

    /// No probe that still waits will be waited for.
    pub fn give_up(&mut self) {
        for sequence in self.waiting().collect::<Vec<u64>>() {
            self.set(sequence, State::Lost(None));
        }
    }

    /// Changes the state of a probe, and what follows from it.
    fn set(&mut self, sequence: u64, state: State) {
        let Some(probe) = self.get_mut(sequence) else { return };
        let before = std::mem::replace(&mut probe.state, state);
        let is_lost = |state| u64::from(matches!(state, State::Lost(_)));
        self.in_flight -= usize::from(before == State::Waiting);
        self.counts.lost = self.counts.lost + is_lost(state) - is_lost(before);
        if state == State::Late {
            self.counts.late += 1;
            self.highest = self.highest.max(sequence);
        }
    }

    /// Takes a datagram that came at `now`.
    pub fn receive(&mut self, datagram: &[u8], now: Instant) -> Arrival {
        let now = self.nanos(now);
        let arrival = match verify(datagram, self.token) {
            Verdict::Whole(header) => self.whole(header, now),
            Verdict::Damaged(header) => Some(self.damaged(header, now)),
            Verdict::Foreign => None,
        };
        arrival.unwrap_or_else(|| {
            self.counts.foreign += 1;
            Arrival::Foreign
        })
    }

    /// `None`, if the probe is forgotten.
    fn whole(&mut self, header: Header, now: u64) -> Option<Arrival> {
        let Header { sequence, received, .. } = header;
        let limit = nanos(self.timeout);
        let Probe { due, state: before, .. } = *self.get(sequence)?;
        let nanos = now.saturating_sub(due);
        let time = Duration::from_nanos(nanos);
        let arrival = match before {
            State::Waiting if nanos <= limit => {
                self.set(sequence, State::Came(now));
                self.counts.received += 1;
                Arrival::Echo { sequence, time, is_in_order: self.comes_in_order(sequence) }
            }
            State::Waiting | State::Lost(_) => {
                self.set(sequence, State::Late);
                Arrival::Late { sequence, time }
            }
            State::Came(_) | State::Late => {
                self.counts.duplicates += 1;
                Arrival::Duplicate(sequence)
            }
        };
        let probe = self.get_mut(sequence)?;
        let earlier = std::mem::replace(&mut probe.received, received);
        let is_again = matches!(before, State::Came(_) | State::Late);
        self.far_end.counted(received, is_again.then_some(earlier));
        Some(arrival)
    }

    fn damaged(&mut self, header: Header, now: u64) -> Arrival {
        self.counts.damaged += 1;
        if header.received == 0 {
            self.far_end.did_not_count();
        }
        // Damage in one place leaves one of them right.
        let by_time = self.last.binary_search_by_key(&header.sent, |probe| probe.due);
        let by_time = by_time.ok().map(|place| self.first + place as u64);
        let sequence = by_time.or_else(|| self.get(header.sequence).map(|_| header.sequence));
        let Some(sequence) = sequence else { return Arrival::Damaged(None) };
        match self.get(sequence).map(|probe| probe.state) {
            Some(State::Waiting) => {
                self.set(sequence, State::Came(now));
                self.comes_in_order(sequence);
            }
            Some(State::Lost(_)) => self.set(sequence, State::Late),
            Some(State::Came(_) | State::Late) => self.counts.duplicates += 1,
            None => {}
        }
        Arrival::Damaged(Some(sequence))
    }

    /// Takes note that a probe came in time. Returns whether no later one had come before it.
    fn comes_in_order(&mut self, sequence: u64) -> bool {
        let is_in_order = sequence > self.highest;
        self.highest = self.highest.max(sequence);
        self.counts.out_of_order += u64::from(!is_in_order);
        is_in_order
    }

    /// When the timeout of the oldest probe that waits ends.
    pub fn deadline(&self) -> Option<Instant> {
        let oldest = self.get(self.waiting().next()?)?;
        Some(self.begin + Duration::from_nanos(oldest.due) + self.timeout)
    }

    /// What became of the next probe, in the order of their numbers; `None` while that is open at `now`.
    pub fn next_fate(&mut self, now: Instant) -> Option<Fate> {
        let (sequence, limit, now) = (self.told + 1, nanos(self.timeout), self.nanos(now));
        let Probe { due, state, .. } = *self.get(sequence)?;
        let moment = |nanos| self.begin + Duration::from_nanos(nanos);
        let (due, outcome) = match state {
            State::Waiting if now <= due.saturating_add(limit) => return None,
            State::Waiting | State::Late => (moment(due), Outcome::Lost(None)),
            State::Came(at) => (moment(due), Outcome::Came(moment(at))),
            State::Lost(reason) => (moment(due), Outcome::Lost(reason)),
        };
        if state == State::Waiting {
            self.set(sequence, State::Lost(None));
        }
        self.told += 1;
        while self.last.len() > REMEMBERED && self.first <= self.told {
            self.last.pop_front();
            self.first += 1;
        }
        Some(Fate { sequence, due, outcome })
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Where probes were lost, after the run; `None` if the far end does not count what it receives, or if
    /// its counts contradict ours, as after a restart.
    pub fn losses(&self) -> Option<Losses> {
        self.far_end.losses(self.counts.sent, self.highest, self.counts.lost)
    }

    fn get(&self, sequence: u64) -> Option<&Probe> {
        self.last.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    fn get_mut(&mut self, sequence: u64) -> Option<&mut Probe> {
        self.last.get_mut(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    /// The time from the start of the run.
    fn nanos(&self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.begin))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
