//! What the counts of a far end say: on which way probes were lost.

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

/// What the far end has told in echoes.
#[derive(Debug, Default)]
pub(super) struct FarEnd {
    /// How many probes have reached it.
    received: u64,
    /// How many of them a network had duplicated on the way.
    doubles: u64,
    /// How many reached it with a header that was damaged, so that it did not count them.
    uncounted: u64,
}

impl FarEnd {
    /// An echo says that the far end has received so many. An `earlier` echo of the same probe said that
    /// number: if the network had duplicated the echo, and not the probe, it is the same.
    pub(super) fn counted(&mut self, received: u64, earlier: Option<u64>) {
        self.received = self.received.max(received);
        let is_double = earlier.is_some_and(|earlier| earlier != 0 && earlier != received);
        self.doubles += u64::from(is_double);
    }

    /// A damaged echo has no count.
    pub(super) fn did_not_count(&mut self) {
        self.uncounted += 1;
    }

    /// Where the `lost` ones of the `sent` probes were lost, of which the `highest` number has come back.
    /// `None`, if the far end does not count, or if its counts do not fit.
    pub(super) fn losses(&self, sent: u64, highest: u64, lost: u64) -> Option<Losses> {
        if self.received == 0 {
            return None;
        }
        let unknown = sent.checked_sub(highest)?;
        let arrived = self.received.checked_sub(self.doubles)?.checked_add(self.uncounted)?;
        let there = highest.checked_sub(arrived)?;
        let back = lost.checked_sub(unknown)?.checked_sub(there)?;
        Some(Losses { there, back, unknown })
    }
}
