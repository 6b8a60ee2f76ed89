//! What `report` sends: a line at the end, and one every second if the peer asks.

const EVERY_SECOND: &[u8] = b"every second\n";

#[derive(Default)]
pub(crate) struct Reports {
    /// Whether the peer asks, again and again.
    pub(crate) asks: bool,
    pub(crate) heard: Vec<u8>,
}

impl Reports {
    /// The bytes from this place on of what is said.
    pub(crate) fn say(place: usize, count: usize) -> Vec<u8> {
        EVERY_SECOND.iter().copied().cycle().skip(place % EVERY_SECOND.len()).take(count).collect()
    }

    /// The peer has said so many bytes, and its session is over.
    pub(crate) fn assert_complete(&self, said: usize) {
        let reports = String::from_utf8_lossy(&self.heard);
        let last = reports.lines().last().unwrap_or_default();
        let all = format!("\"received\":{{\"bytes\":{said},");
        assert!(last.starts_with("{\"type\":\"report\",") && last.contains(&all), "{last}");
        let asked = self.asks && said >= EVERY_SECOND.len();
        assert_eq!(asked, reports.lines().count() > 1, "{reports}");
        assert!(reports.ends_with("}\n"), "{reports}");
    }
}
