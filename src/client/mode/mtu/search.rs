//! Which packet to try next, by what is known about others.

/// What became of a packet, tried often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It came back.
    Arrived,
    /// It did not, and a router, or this machine, said that it is too long.
    TooLong,
    /// It did not, and nobody said why.
    Silent,
}

/// What is known so far. Lengths are those of packets, in bytes, with the headers of IP and UDP.
#[derive(Debug)]
pub(super) struct Search {
    /// The longest to try.
    most: u32,
    /// The longest that came back.
    arrived: u32,
    /// The shortest that did not.
    lost: Option<u32>,
    /// The longest that can pass, as the path says.
    said: Option<u32>,
}

impl Search {
    /// Packets of `arrived` bytes come back; those of up to `most` are to be tried.
    pub(super) fn new(arrived: u32, most: u32) -> Self {
        Self { most, arrived, lost: None, said: None }
    }

    /// The longest packet that came back.
    pub(super) fn arrived(&self) -> u32 {
        self.arrived
    }

    /// The shortest packet that was tried and did not come back.
    pub(super) fn lost(&self) -> Option<u32> {
        self.lost
    }

    /// The path says that packets of up to `said` bytes can pass.
    pub(super) fn hear(&mut self, said: Option<u32>) {
        self.said = said;
    }

    /// Records what became of packets of this length.
    pub(super) fn learn(&mut self, length: u32, fate: Fate) {
        if fate == Fate::Arrived {
            self.arrived = self.arrived.max(length);
            // What arrives after all was lost by chance.
            self.lost = self.lost.filter(|lost| *lost > length);
        } else if length > self.arrived {
            self.lost = Some(self.lost.map_or(length, |lost| lost.min(length)));
        }
    }

    /// The length to try next; `None` if the answer is known.
    pub(super) fn next(&self) -> Option<u32> {
        let Self { most, arrived, lost, said } = *self;
        let is_open = |length: &u32| *length > arrived && lost.is_none_or(|lost| *length < lost);
        // As much as can be sent; what the path says, and no more than that; and then half of what is left.
        let said = said.into_iter().flat_map(|said| [said, said.saturating_add(1)]);
        let middle = lost.map(|lost| arrived + lost.saturating_sub(arrived) / 2);
        let candidates =
            [lost.is_none().then_some(most)].into_iter().flatten().chain(said).chain(middle);
        candidates.filter(|length| *length <= most).find(is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a path that passes packets of up to `passes` bytes, and that says so or something else;
    /// the answer, and how many lengths were tried.
    fn search(most: u32, passes: u32, says: Option<u32>) -> (u32, usize) {
        let mut search = Search::new(68, most);
        let mut tries = 0;
        while let Some(length) = search.next() {
            tries += 1;
            assert!(tries < 64 && length <= most, "{length}");
            let told = says.filter(|says| length > *says);
            search.hear(told.or(search.said));
            search.learn(
                length,
                match told {
                    _ if length <= passes => Fate::Arrived,
                    Some(_) => Fate::TooLong,
                    None => Fate::Silent,
                },
            );
        }
        (search.arrived(), tries)
    }

    #[test]
    fn what_is_sent_and_passes_is_found_at_once() {
        assert_eq!(search(1500, 9000, None), (1500, 1));
        assert_eq!(search(1500, 1500, None), (1500, 1));
    }

    #[test]
    fn what_the_path_says_is_tried_and_so_is_one_byte_more() {
        assert_eq!(search(1500, 1400, Some(1400)), (1400, 3));
        // It says too much, too little, or what cannot be.
        for says in [1420, 1000, 1399, 1401, 1, u32::MAX] {
            let (arrived, tries) = search(1500, 1400, Some(says));
            assert_eq!(arrived, 1400, "{says}");
            assert!(tries < 16, "{says}: {tries}");
        }
    }

    #[test]
    fn any_length_is_found_where_the_path_says_nothing() {
        for passes in 68..=1500 {
            let (arrived, tries) = search(1500, passes, None);
            assert_eq!(arrived, passes);
            assert!(tries <= 12, "{passes}: {tries}");
        }
        assert_eq!(search(65_535, 9000, None).0, 9000);
    }

    #[test]
    fn a_packet_that_arrives_late_changes_what_was_known() {
        let mut search = Search::new(68, 1500);
        search.learn(1500, Fate::Silent);
        search.learn(1000, Fate::Silent);
        assert_eq!(search.next(), Some(534));
        search.learn(1200, Fate::Arrived);
        assert_eq!((search.arrived(), search.lost(), search.next()), (1200, None, Some(1500)));
        // A loss below what arrives is one by chance.
        search.learn(1100, Fate::Silent);
        assert_eq!(search.lost(), None);
    }
}
