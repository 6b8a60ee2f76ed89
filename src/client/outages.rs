//! Outages: when messages were lost, how many, and why.

use std::fmt;
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
    sessions: u64,
    reasons: Vec<String>,
}

/// An outage in the JSON report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Outage {
    /// From the start of the run.
    pub(super) start_s: f64,
    pub(super) duration_s: f64,
    pub(super) lost: u64,
    /// How many times a session was out, where there are several.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) sessions: u64,
    pub(super) reasons: Vec<String>,
    pub(super) ended: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes it so.
fn is_zero(count: &u64) -> bool {
    *count == 0
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
        self.last_reason = Some(sentence);
        self.begin(due, reason);
        self.lose(1);
    }

    /// One of several sessions is out, from `start` on.
    pub(super) fn session_out(&mut self, start: Instant, reason: String, sentence: String) {
        self.last_reason = Some(sentence);
        self.begin(start, reason).sessions += 1;
    }

    /// Records lost messages. Those of no outage are counted, too.
    pub(super) fn lose(&mut self, count: u64) {
        self.lost += count;
        if let Some(current) = &mut self.current {
            current.lost += count;
        }
    }

    /// Begins an outage, unless there is one.
    fn begin(&mut self, start: Instant, reason: String) -> &mut Current {
        let current = self.current.get_or_insert_with(|| {
            self.count += 1;
            Current { start, lost: 0, sessions: 0, reasons: Vec::new() }
        });
        current.start = current.start.min(start);
        if current.reasons.len() < REASONS && !current.reasons.contains(&reason) {
            current.reasons.push(reason);
        }
        current
    }

    /// Ends the current outage, if there is one: an echo came at `now`.
    pub(super) fn end(&mut self, now: Instant) -> Option<Outage> {
        let current = self.current.take()?;
        let duration = now.saturating_duration_since(current.start);
        self.total += duration;
        let outage = current.describe(self.begin, duration, true);
        if self.ended.len() < KEPT {
            self.ended.push(outage.clone());
        }
        Some(outage)
    }

    /// The length of all outages at `now`.
    pub(super) fn total(&self, now: Instant) -> Duration {
        let current = self.current.as_ref();
        self.total + current.map_or(Duration::ZERO, |it| now.saturating_duration_since(it.start))
    }

    /// The outage at `now`, if there is one.
    pub(super) fn current(&self, now: Instant) -> Option<Outage> {
        let current = self.current.as_ref()?;
        Some(current.describe(self.begin, now.saturating_duration_since(current.start), false))
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
        self.ended.iter().cloned().chain(self.current(now)).collect()
    }
}

impl Current {
    fn describe(&self, begin: Instant, duration: Duration, ended: bool) -> Outage {
        Outage {
            start_s: self.start.saturating_duration_since(begin).as_secs_f64(),
            duration_s: duration.as_secs_f64(),
            lost: self.lost,
            sessions: self.sessions,
            reasons: self.reasons.clone(),
            ended,
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (duration, reasons) = (self.duration_s, self.reasons.join(", "));
        write!(f, "back after {duration:.1} s, {} lost; was: {reasons}", self.lost)
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
        assert_eq!(outages.end(at(0)), None);
        for (tenths, reason) in [(10, "reset"), (20, "refused"), (30, "refused")] {
            outages.lost(at(tenths), reason.into(), "why".into());
        }
        assert_eq!(
            outages.end(at(134)).unwrap().to_string(),
            "back after 12.4 s, 3 lost; was: reset, refused"
        );
        assert_eq!(outages.end(at(140)), None);
        outages.lost(at(150), "refused".into(), "why".into());
        assert_eq!((outages.count, outages.lost, outages.is_out()), (2, 4, true));
        assert_eq!(outages.total(at(160)), Duration::from_millis(13_400));
        let list = outages.list(at(160));
        assert_eq!((list.len(), list[0].ended, list[1].ended), (2, true, false));
        assert!(outages.end(at(160)).is_some());
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
            assert!(outages.end(now).is_some(), "{number}");
        }
        assert_eq!((outages.count, outages.list(now).len()), (KEPT as u64 + 10, KEPT));
        assert_eq!(outages.list(now)[0].reasons.len(), REASONS);
    }

    #[test]
    fn an_outage_of_several_sessions_begins_with_the_first_of_them() {
        let mut outages = Outages::new();
        let at = |second| outages.begin + Duration::from_secs(second);
        let (first, second, end) = (at(3), at(5), at(9));
        for start in [second, first] {
            outages.session_out(start, "reset".into(), "why".into());
        }
        outages.lose(7);
        let now = outages.current(end).unwrap();
        assert_eq!((now.sessions, now.lost, now.ended), (2, 7, false));
        let outage = outages.end(end).unwrap();
        assert!((outage.start_s - 3.0).abs() < 1e-9 && (outage.duration_s - 6.0).abs() < 1e-9);
        outages.lose(1);
        assert_eq!((outages.count, outages.lost, outages.list(end)), (1, 8, vec![outage]));
    }
}
