//! The probes of a run over UDP, and what became of each: it came in time, late, damaged or twice, or it
//! was lost. Without I/O and without a clock of its own.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::undelivered::Undelivered;
use crate::wire::probe::{Header, Verdict, verify};

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

/// Where the lost probes were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// On the way to the far end.
    pub there: u64,
    /// On the way back.
    pub back: u64,
    /// Behind the last echo, which says nothing about them.
    pub unknown: u64,
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

/// What the counts in the echoes say.
#[derive(Debug, Default)]
struct FarEnd {
    /// How many probes have reached it.
    received: u64,
    /// How many of them a network had duplicated on the way.
    doubles: u64,
    /// How many reached it with a header that was damaged, so that it did not count them.
    uncounted: u64,
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
        }
    }

    /// Writes the next probe, which was due at `due`, into `datagram`, and returns its sequence number.
    pub fn next(&mut self, size: usize, due: Instant, datagram: &mut Vec<u8>) -> u64 {
        let probe = Probe { due: self.nanos(due), state: State::Waiting, received: 0 };
        self.last.push_back(probe);
        self.counts.sent += 1;
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

    /// A probe was not delivered, for this reason.
    pub fn fail(&mut self, sequence: u64, reason: Undelivered) {
        if let Some(probe) = self.get_mut(sequence)
            && probe.state == State::Waiting
        {
            probe.state = State::Lost(Some(reason));
            self.counts.lost += 1;
        }
    }

    /// No probe that still waits will be waited for.
    pub fn give_up(&mut self) {
        for probe in &mut self.last {
            if probe.state == State::Waiting {
                probe.state = State::Lost(None);
                self.counts.lost += 1;
            }
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
        let probe = self.get_mut(sequence)?;
        let nanos = now.saturating_sub(probe.due);
        let time = Duration::from_nanos(nanos);
        let before = probe.state;
        let arrival = match before {
            State::Waiting if nanos <= limit => {
                probe.state = State::Came(now);
                self.counts.received += 1;
                Arrival::Echo { sequence, time, is_in_order: self.is_in_order(sequence) }
            }
            State::Waiting | State::Lost(_) => {
                self.late(sequence);
                Arrival::Late { sequence, time }
            }
            State::Came(_) | State::Late => {
                self.counts.duplicates += 1;
                Arrival::Duplicate(sequence)
            }
        };
        self.far_end.received = self.far_end.received.max(received);
        let probe = self.get_mut(sequence)?;
        match before {
            // One that was duplicated on the way back has the same count.
            State::Came(_) | State::Late => {
                let is_double = probe.received != 0 && received != probe.received;
                self.far_end.doubles += u64::from(is_double);
            }
            _ => probe.received = received,
        }
        Some(arrival)
    }

    fn damaged(&mut self, header: Header, now: u64) -> Arrival {
        self.counts.damaged += 1;
        self.far_end.uncounted += u64::from(header.received == 0);
        // Damage in one place leaves one of them right.
        let by_time = self.last.binary_search_by_key(&header.sent, |probe| probe.due);
        let by_time = by_time.ok().map(|place| self.first + place as u64);
        let sequence = by_time.or_else(|| self.get(header.sequence).map(|_| header.sequence));
        let Some(sequence) = sequence else { return Arrival::Damaged(None) };
        match self.get_mut(sequence).map(|probe| (probe.state, probe)) {
            Some((State::Waiting, probe)) => {
                probe.state = State::Came(now);
                self.is_in_order(sequence);
            }
            Some((State::Lost(_), _)) => self.late(sequence),
            Some(_) => self.counts.duplicates += 1,
            None => {}
        }
        Arrival::Damaged(Some(sequence))
    }

    /// An echo came that is not waited for any more.
    fn late(&mut self, sequence: u64) {
        let Some(probe) = self.get_mut(sequence) else { return };
        let was_lost = matches!(probe.state, State::Lost(_));
        probe.state = State::Late;
        self.counts.lost -= u64::from(was_lost);
        self.counts.late += 1;
        self.highest = self.highest.max(sequence);
    }

    /// Whether no later probe has come before this one.
    fn is_in_order(&mut self, sequence: u64) -> bool {
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
        let begin = self.begin;
        let moment = |nanos| begin + Duration::from_nanos(nanos);
        let probe = self.get_mut(sequence)?;
        let is_overdue = now > probe.due.saturating_add(limit);
        let state = probe.state;
        let outcome = match state {
            State::Waiting if !is_overdue => return None,
            State::Waiting => {
                probe.state = State::Lost(None);
                Outcome::Lost(None)
            }
            State::Came(at) => Outcome::Came(moment(at)),
            State::Lost(reason) => Outcome::Lost(reason),
            State::Late => Outcome::Lost(None),
        };
        let due = moment(probe.due);
        self.counts.lost += u64::from(state == State::Waiting);
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
        let FarEnd { received, doubles, uncounted } = self.far_end;
        if received == 0 {
            return None;
        }
        let unknown = self.counts.sent - self.highest;
        let arrived = received.checked_sub(doubles)? + uncounted;
        let there = self.highest.checked_sub(arrived)?;
        let back = self.counts.lost.checked_sub(unknown)?.checked_sub(there)?;
        Some(Losses { there, back, unknown })
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
mod tests {
    use super::*;
    use crate::wire::probe::set_received;

    const TIMEOUT: Duration = Duration::from_millis(100);

    /// A run, with the probes that it has sent.
    struct Run {
        probes: Probes,
        sent: Vec<Vec<u8>>,
    }

    impl Run {
        /// A run with so many probes, 10 ms apart.
        fn new(count: u32) -> Self {
            let mut run = Self { probes: Probes::new(TIMEOUT), sent: Vec::new() };
            for number in 1..=count {
                let mut datagram = Vec::new();
                let due = run.at(10 * number);
                assert_eq!(run.probes.next(64, due, &mut datagram), u64::from(number));
                run.sent.push(datagram);
            }
            run
        }

        fn at(&self, ms: u32) -> Instant {
            self.probes.begin + ms * Duration::from_millis(1)
        }

        /// The echo of the probe with this number, changed by `change`.
        fn changed(&self, number: usize, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
            let mut echo = self.sent[number - 1].clone();
            change(&mut echo);
            echo
        }

        fn take(&mut self, echo: &[u8], ms: u32) -> Arrival {
            self.probes.receive(echo, self.at(ms))
        }

        /// The echo of this probe comes from a far end that has counted so many.
        fn counted(&mut self, number: usize, received: u64, ms: u32) {
            let echo = self.changed(number, |echo| assert!(set_received(echo, received)));
            self.take(&echo, ms);
        }

        fn fates(&mut self, ms: u32) -> Vec<Outcome> {
            let now = self.at(ms);
            std::iter::from_fn(|| self.probes.next_fate(now)).map(|fate| fate.outcome).collect()
        }
    }

    #[test]
    fn loss_duplicates_reordering_damage_and_lateness_are_told_apart() {
        let mut run = Run::new(7);
        let echo = |sequence, ms, is_in_order| Arrival::Echo {
            sequence,
            time: Duration::from_millis(ms),
            is_in_order,
        };
        let sent = run.sent.clone();
        assert_eq!(run.take(&sent[0], 20), echo(1, 10, true));
        assert_eq!(run.take(&sent[2], 40), echo(3, 10, true));
        assert_eq!(run.take(&sent[1], 50), echo(2, 30, false));
        assert_eq!(run.take(&sent[1], 55), Arrival::Duplicate(2));
        let damaged = run.changed(4, |echo| echo[60] ^= 1);
        assert_eq!(run.take(&damaged, 60), Arrival::Damaged(Some(4)));
        assert_eq!(run.take(b"hello", 65), Arrival::Foreign);
        assert_eq!(run.take(&Run::new(1).sent[0], 65), Arrival::Foreign);
        run.probes.fail(5, Undelivered::NothingListens);
        let late = Arrival::Late { sequence: 6, time: Duration::from_millis(101) };
        assert_eq!(run.take(&sent[5], 161), late);
        assert_eq!(run.fates(170).len(), 6);
        assert_eq!(run.fates(171), [Outcome::Lost(None)]);
        let late = Arrival::Late { sequence: 7, time: Duration::from_millis(230) };
        assert_eq!(run.take(&sent[6], 300), late);
        assert_eq!(run.take(&sent[6], 300), Arrival::Duplicate(7));
        let counts = Counts {
            sent: 7,
            received: 3,
            lost: 1,
            late: 2,
            damaged: 1,
            duplicates: 2,
            out_of_order: 1,
            foreign: 2,
        };
        assert_eq!(run.probes.counts(), counts);
    }

    #[test]
    fn fates_are_told_in_order_although_echoes_overtake_each_other() {
        let mut run = Run::new(3);
        let sent = run.sent.clone();
        run.take(&sent[1], 30);
        run.probes.fail(3, Undelivered::TooLong);
        assert_eq!(run.fates(110), []);
        assert_eq!(run.probes.deadline(), Some(run.at(110)));
        let came = Outcome::Came(run.at(30));
        let reason = Outcome::Lost(Some(Undelivered::TooLong));
        assert_eq!(run.fates(111), [Outcome::Lost(None), came, reason]);
        assert_eq!((run.fates(999), run.probes.deadline()), (vec![], None));
    }

    #[test]
    fn damage_anywhere_leaves_the_probe_known() {
        for place in 0..64 {
            let mut run = Run::new(9);
            let damaged = run.changed(4, |echo| echo[place] ^= 0x0f);
            assert_eq!(run.take(&damaged, 60), Arrival::Damaged(Some(4)), "byte {place}");
            run.probes.give_up();
            let Counts { lost, damaged, .. } = run.probes.counts();
            assert_eq!((lost, damaged), (8, 1));
        }
    }

    #[test]
    fn what_waits_at_the_end_is_lost_and_can_be_sent_again_before() {
        let mut run = Run::new(3);
        let sent = run.sent.clone();
        run.take(&sent[0], 20);
        assert_eq!(run.probes.waiting().collect::<Vec<_>>(), [2, 3]);
        let mut again = Vec::new();
        assert!(run.probes.again(2, 64, &mut again) && again == sent[1]);
        assert!(!run.probes.again(1, 64, &mut again) && !run.probes.again(4, 64, &mut again));
        run.probes.give_up();
        assert_eq!((run.probes.counts().lost, run.probes.waiting().count()), (2, 0));
    }

    #[test]
    fn a_far_end_that_counts_divides_the_losses() {
        // 2 and 3 are lost there, 5 on the way back, 8 and 9 behind the last echo.
        let mut run = Run::new(9);
        for (number, received) in [(1, 1), (4, 2), (6, 4), (7, 5)] {
            run.counted(number, received, 50);
        }
        run.probes.give_up();
        let losses = Losses { there: 2, back: 1, unknown: 2 };
        assert_eq!(run.probes.losses(), Some(losses));
    }

    #[test]
    fn duplicates_and_damage_on_either_way_do_not_change_where_probes_were_lost() {
        let mut run = Run::new(5);
        // 1 is duplicated there, 2 on the way back, 3 is lost there, the header of 4 is damaged there.
        for (number, received) in [(1, 1), (1, 2), (2, 3), (2, 3)] {
            run.counted(number, received, 50);
        }
        let damaged = run.changed(4, |echo| echo[20] ^= 1);
        run.take(&damaged, 60);
        run.counted(5, 4, 60);
        run.probes.give_up();
        let losses = Losses { there: 1, back: 0, unknown: 0 };
        assert_eq!(run.probes.losses(), Some(losses));
    }

    #[test]
    fn losses_are_not_divided_by_counts_that_do_not_fit() {
        let mut run = Run::new(9);
        assert_eq!(run.probes.losses(), None);
        // It was started again.
        for (number, received) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 2), (6, 3)] {
            run.counted(number, received, 50);
        }
        run.probes.give_up();
        assert_eq!(run.probes.losses(), None);
        let mut run = Run::new(1);
        run.counted(1, u64::MAX, 20);
        assert_eq!(run.probes.losses(), None);
    }

    #[test]
    fn old_probes_are_forgotten_and_memory_is_bounded() {
        let mut run = Run { probes: Probes::new(TIMEOUT), sent: Vec::new() };
        let mut datagram = Vec::new();
        let first = {
            run.probes.next(64, run.at(0), &mut datagram);
            datagram.clone()
        };
        for _ in 0..2 * REMEMBERED {
            run.probes.next(64, run.at(1), &mut datagram);
        }
        assert_eq!(run.fates(200).len(), 2 * REMEMBERED + 1);
        assert_eq!(run.probes.last.len(), REMEMBERED);
        assert_eq!(run.take(&first, 201), Arrival::Foreign);
        assert!(size_of::<Probe>() <= 40);
    }
}
