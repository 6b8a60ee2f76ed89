//! Outages: when messages were lost, how many, and why.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How many outages are kept for the report. All are counted.
const KEPT: usize = 1000;

/// How many different reasons of an outage are kept.
const REASONS: usize = 4;

/// The outages of a run.
pub(super) struct Outages {
    begin: Instant,
    current: Option<Current>,
    /// Why the last message was lost, as a whole sentence.
    last_reason: Option<String>,
    ended: Vec<Outage>,
    pub(super) count: u64,
    /// How many messages were lost.
    pub(super) lost: u64,
    /// The length of those that have ended.
    total: Duration,
}

/// An outage that has not ended.
struct Current {
    start: Instant,
    lost: u64,
    reasons: Vec<String>,
}

/// An outage in the JSON report.
#[derive(Clone, Serialize)]
pub(super) struct Outage {
    /// From the start of the run.
    start_s: f64,
    duration_s: f64,
    lost: u64,
    reasons: Vec<String>,
    ended: bool,
}

impl Outages {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
            current: None,
            last_reason: None,
            ended: Vec::new(),
            count: 0,
            lost: 0,
            total: Duration::ZERO,
        }
    }

    /// Records a lost message, which was due at `due`.
    pub(super) fn lost(&mut self, due: Instant, reason: String, sentence: String) {
        self.lost += 1;
        self.last_reason = Some(sentence);
        let current = self.current.get_or_insert_with(|| {
            self.count += 1;
            Current { start: due, lost: 0, reasons: Vec::new() }
        });
        current.lost += 1;
        if current.reasons.len() < REASONS && !current.reasons.contains(&reason) {
            current.reasons.push(reason);
        }
    }

    /// Ends the current outage, if there is one, and describes it, unless it was shorter than `shortest`: an
    /// echo came at `now`.
    pub(super) fn end(&mut self, now: Instant, shortest: Duration) -> Option<String> {
        let current = self.current.take()?;
        let duration = now - current.start;
        self.total += duration;
        let line = format!(
            "back after {}, {} lost; was: {}",
            seconds(duration),
            current.lost,
            current.reasons.join(", ")
        );
        if self.ended.len() < KEPT {
            self.ended.push(current.describe(self.begin, duration, true));
        }
        (duration >= shortest).then_some(line)
    }

    /// The length of all outages at `now`.
    pub(super) fn total(&self, now: Instant) -> Duration {
        self.total + self.current.as_ref().map_or(Duration::ZERO, |current| now - current.start)
    }

    /// Whether one has not ended.
    pub(super) fn is_out(&self) -> bool {
        self.current.is_some()
    }

    /// Why the last message was lost, as a whole sentence.
    pub(super) fn last_reason(&self) -> Option<&str> {
        self.last_reason.as_deref()
    }

    /// The first outages, and the current one at `now`.
    pub(super) fn list(&self, now: Instant) -> Vec<Outage> {
        let current = self.current.as_ref();
        let current = current.map(|it| it.describe(self.begin, now - it.start, false));
        self.ended.iter().cloned().chain(current).collect()
    }
}

impl Current {
    fn describe(&self, begin: Instant, duration: Duration, ended: bool) -> Outage {
        Outage {
            start_s: (self.start - begin).as_secs_f64(),
            duration_s: duration.as_secs_f64(),
            lost: self.lost,
            reasons: self.reasons.clone(),
            ended,
        }
    }
}

/// "12.4 s".
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_the_first_lost_message_to_the_next_echo() {
        let mut outages = Outages::new();
        let start = outages.begin;
        let at = |tenths: u32| start + tenths * Duration::from_millis(100);
        assert_eq!(outages.end(at(0), Duration::ZERO), None);
        for (tenths, reason) in [(10, "reset"), (20, "refused"), (30, "refused")] {
            outages.lost(at(tenths), reason.into(), "why".into());
        }
        assert_eq!(
            outages.end(at(134), Duration::ZERO).unwrap(),
            "back after 12.4 s, 3 lost; was: reset, refused"
        );
        assert_eq!(outages.end(at(140), Duration::ZERO), None);
        outages.lost(at(150), "refused".into(), "why".into());
        assert_eq!((outages.count, outages.lost, outages.is_out()), (2, 4, true));
        assert_eq!(outages.total(at(160)), Duration::from_millis(13_400));
        let list = outages.list(at(160));
        assert_eq!((list.len(), list[0].ended, list[1].ended), (2, true, false));
        assert_eq!(outages.end(at(160), Duration::from_millis(1001)), None);
        assert_eq!((outages.is_out(), outages.list(at(160)).len()), (false, 2));
    }

    #[test]
    fn many_outages_are_counted_and_some_are_kept() {
        let mut outages = Outages::new();
        let now = outages.begin;
        for number in 0..KEPT + 10 {
            for reason in 0..10 {
                outages.lost(now, format!("{reason}"), String::new());
            }
            assert!(outages.end(now, Duration::ZERO).is_some(), "{number}");
        }
        assert_eq!((outages.count, outages.list(now).len()), (KEPT as u64 + 10, KEPT));
        assert_eq!(outages.list(now)[0].reasons.len(), REASONS);
    }
}
