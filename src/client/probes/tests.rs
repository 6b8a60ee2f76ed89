//! What happens to probes, step by step.

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
        let echo = self.changed(number, |echo| assert!(set_received(echo, |_| received)));
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
