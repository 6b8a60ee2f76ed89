//! How often a packet is tried before its length counts as the reason that it does not come back.

use std::ops::RangeInclusive;

/// How likely it may be that chance alone took all packets of one length.
const CHANCE: f64 = 0.001;

/// The fewest tries, because losses come in bursts, and the most, on a line that loses almost everything.
const TRIES: RangeInclusive<u32> = 3..=50;

/// What became of packets whose length is known to pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    sent: u32,
    lost: u32,
}

impl Loss {
    /// Records what became of such a packet.
    pub(super) fn record(&mut self, came_back: bool) {
        self.sent += 1;
        self.lost += u32::from(!came_back);
    }

    /// How many packets in a row must be lost.
    pub(super) fn tries(self) -> u32 {
        // As if one more of two had been lost (Laplace): few packets do not prove that none is lost.
        let loss = f64::from(self.lost + 1) / f64::from(self.sent + 2);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // It is small and positive.
        let tries = (CHANCE.ln() / loss.ln()).ceil() as u32;
        tries.clamp(*TRIES.start(), *TRIES.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_loses_more_needs_more_tries() {
        let of = |sent, lost| Loss { sent, lost }.tries();
        assert_eq!(of(5, 0), 4);
        assert_eq!((of(20, 0), of(98, 9), of(98, 49)), (3, 3, 10));
        assert_eq!((of(0, 0), of(1000, 1000)), (10, 50));
        let mut loss = Loss::default();
        loss.record(true);
        loss.record(false);
        assert_eq!((loss.sent, loss.lost), (2, 1));
    }
}
