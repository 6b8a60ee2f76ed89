//! What UDP alone can do to messages, as text and as JSON.

use serde::Serialize;

use super::latency::{percent, percent_of};
use super::probes::{Counts, Losses, Probes};

/// What happened to the messages of a run.
#[derive(Clone, Copy, Debug)]
pub struct DatagramResults {
    pub counts: Counts,
    /// Where the lost ones were lost, if the far end counts.
    pub losses: Option<Losses>,
}

/// The keys that UDP adds to a report.
#[derive(Serialize)]
pub struct DatagramReport {
    late: u64,
    damaged: u64,
    duplicates: u64,
    out_of_order: u64,
    foreign: u64,
    lost_there: Option<u64>,
    lost_back: Option<u64>,
    lost_unknown: Option<u64>,
}

impl DatagramResults {
    /// Those of a run that is over.
    pub fn new(probes: &Probes) -> Self {
        Self { counts: probes.counts(), losses: probes.losses() }
    }

    /// Adds those of another session.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = (self.counts, other.counts);
        let losses = self.losses.zip(other.losses).map(|(a, b)| Losses {
            there: a.there + b.there,
            back: a.back + b.back,
            unknown: a.unknown + b.unknown,
        });
        let counts = Counts {
            sent: a.sent + b.sent,
            received: a.received + b.received,
            lost: a.lost + b.lost,
            late: a.late + b.late,
            damaged: a.damaged + b.damaged,
            duplicates: a.duplicates + b.duplicates,
            out_of_order: a.out_of_order + b.out_of_order,
            foreign: a.foreign + b.foreign,
        };
        Self { counts, losses }
    }

    /// The keys of a JSON report.
    pub fn report(&self) -> DatagramReport {
        let Self { counts, losses } = self;
        DatagramReport {
            late: counts.late,
            damaged: counts.damaged,
            duplicates: counts.duplicates,
            out_of_order: counts.out_of_order,
            foreign: counts.foreign,
            lost_there: losses.map(|losses| losses.there),
            lost_back: losses.map(|losses| losses.back),
            lost_unknown: losses.map(|losses| losses.unknown),
        }
    }

    /// The lost messages in per cent.
    pub fn loss_percent(&self) -> f64 {
        percent_of(self.counts.lost, self.counts.sent)
    }

    /// The lost messages in words.
    pub fn loss(&self) -> String {
        let Counts { sent, lost, .. } = self.counts;
        format!("{lost} of {sent}, {}%", percent(self.loss_percent()))
    }

    /// On which way messages were lost, in words, if it is known.
    pub fn ways(&self) -> Option<String> {
        let Losses { there, back, unknown } = self.losses?;
        let unknown =
            if unknown > 0 { format!(", unknown where {unknown}") } else { String::new() };
        Some(format!("lost on the way there {there}, on the way back {back}{unknown}"))
    }

    /// What happened except loss, in words; `None` if nothing did.
    pub fn faults(&self) -> Option<String> {
        let Counts { late, damaged, duplicates, out_of_order, foreign, .. } = self.counts;
        let kinds = [
            (late, "late"),
            (damaged, "damaged"),
            (duplicates, if duplicates == 1 { "duplicate" } else { "duplicates" }),
            (out_of_order, "out of order"),
            (foreign, "not of this run"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<String> = kinds.map(|(count, kind)| format!("{count} {kind}")).collect();
        (!kinds.is_empty()).then(|| kinds.join(", "))
    }
}
