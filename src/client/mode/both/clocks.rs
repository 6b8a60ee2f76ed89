//! Where the time of a round trip went, as far as two clocks tell.
//!
//! For each message, the client knows when it sent it and how long its echo took, and the server when the
//! message came. If both clocks are right, the difference of the first and the last is the way to the server,
//! and the rest of the round trip is the way back. If they are not, that difference also has the offset of
//! the clocks in it, and nothing tells the two apart (RFC 5905 §8 assumes that both ways take the same
//! time). The offset is in a range as long as the round trip: no way takes less than nothing.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// By how much later than its echo a message may have been read: the server has two sessions to read.
const MARGIN: Nanos = Nanos(1_000_000);

/// A smaller difference between the two ways is not worth a word.
const UNEVEN: Nanos = Nanos(1_000_000);

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was sent, by the client's clock.
    pub sent: SystemTime,
    /// How long it took until it was back from the echo listener.
    pub round_trip: Duration,
}

/// A time that may be negative, in nanoseconds; in JSON, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(i64);

/// Where the time went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How many messages were compared.
    pub messages: usize,
    /// The whole.
    pub round_trip: Way,
    /// The way to the server.
    pub to_server: Way,
    /// The way back, with what the server needs for the echo.
    pub back: Way,
    /// By how much the server's clock is ahead of the client's if both ways take the same time.
    #[serde(rename = "clock_offset_ms")]
    pub offset: Nanos,
    /// How far the true offset may be from that.
    #[serde(rename = "clock_uncertainty_ms")]
    pub uncertainty: Nanos,
}

/// A part of the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The least that it took, if both clocks are right; `None` if they cannot both be right.
    #[serde(rename = "least_ms")]
    pub least: Option<Nanos>,
    /// The most that it took beyond that. The offset of the clocks does not matter for it.
    #[serde(rename = "varied_ms")]
    pub varied: Nanos,
}

impl Times {
    /// Compares the messages, each of `size` bytes, with the times at which the server has read bytes, counted
    /// from when it accepted the connection; `None` where it has recorded no message.
    pub fn new(
        samples: &[Sample],
        size: u64,
        accepted: SystemTime,
        chunks: &[(Duration, u64)],
    ) -> Option<Self> {
        let (mut ups, mut round_trips, mut backs) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, came) in samples.iter().zip(arrivals(size, chunks)) {
            let up = Nanos::between(sample.sent, accepted.checked_add(came)?);
            let round_trip = Nanos::of(sample.round_trip);
            ups.push(up);
            round_trips.push(round_trip);
            backs.push(round_trip.minus(up));
        }
        let (up, round_trip) = (*ups.iter().min()?, *round_trips.iter().min()?);
        let can_be_right = up.0 >= -MARGIN.0 && up.minus(MARGIN) <= round_trip;
        let way = |least: Nanos, all: &[Nanos]| Way {
            least: can_be_right.then_some(least),
            varied: spread(all),
        };
        let least = up.clamp(Nanos(0), round_trip);
        let half = Nanos(round_trip.0 / 2);
        Some(Self {
            messages: ups.len(),
            round_trip: Way { least: Some(round_trip), varied: spread(&round_trips) },
            to_server: way(least, &ups),
            back: way(round_trip.minus(least), &backs),
            offset: up.minus(half),
            uncertainty: half,
        })
    }

    /// Whether one way takes much longer than the other, or the clocks differ.
    pub fn is_uneven(&self) -> bool {
        let offset = Nanos(self.offset.0.saturating_abs());
        self.to_server.least.is_none() || (offset > UNEVEN && offset.0 > self.uncertainty.0 / 2)
    }

    /// What the figures mean.
    pub fn explanation(&self) -> String {
        let offset = Nanos(self.offset.0.saturating_abs());
        let side = if self.offset.0 < 0 { "behind" } else { "ahead of" };
        let estimate = format!(
            "the server's clock is {offset} {side} this one, give or take {}",
            self.uncertainty
        );
        match (self.to_server.least, self.back.least) {
            (Some(up), Some(back)) if self.is_uneven() => {
                let (slow, most) = if up > back { ("to the server", up) } else { ("back", back) };
                format!(
                    "{most} of the round trip are on the way {slow}, as far as both clocks are right. \
                     If instead both ways take the same time, as NTP assumes, {estimate}. Two clocks \
                     alone cannot tell which it is."
                )
            }
            (Some(_), Some(_)) => format!(
                "both ways take about the same time, as far as both clocks are right. If they take \
                 exactly the same, as NTP assumes, {estimate}."
            ),
            _ => format!(
                "the clocks differ, so that the ways cannot be told apart: if both take the same \
                 time, as NTP assumes, {estimate}."
            ),
        }
    }
}

/// When each message of `size` bytes was complete.
fn arrivals(size: u64, chunks: &[(Duration, u64)]) -> impl Iterator<Item = Duration> {
    let mut chunks = chunks.iter();
    let (mut come, mut time) = (0_u64, Duration::ZERO);
    (1..).map_while(move |number: u64| {
        while come < size.saturating_mul(number) {
            let (when, bytes) = chunks.next()?;
            (come, time) = (come.saturating_add(*bytes), *when);
        }
        Some(time)
    })
}

/// The difference between the most and the least.
fn spread(all: &[Nanos]) -> Nanos {
    match (all.iter().max(), all.iter().min()) {
        (Some(most), Some(least)) => most.minus(*least),
        _ => Nanos(0),
    }
}

impl Nanos {
    fn of(time: Duration) -> Self {
        Self(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    }

    /// The time from `start` to `end`.
    fn between(start: SystemTime, end: SystemTime) -> Self {
        match end.duration_since(start) {
            Ok(time) => Self::of(time),
            Err(error) => Self(-Self::of(error.duration()).0),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    #[allow(clippy::cast_precision_loss)] // A clock is not that exact.
    fn milliseconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.milliseconds();
        if ms.abs() < 10_000.0 { write!(f, "{ms:.3} ms") } else { write!(f, "{:.1} s", ms / 1e3) }
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.milliseconds() * 1e3).round() / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Messages that take `up` and `back` milliseconds, where the server's clock is ahead by `offset`.
    fn times(ways: &[(u64, u64)], offset: i64) -> Times {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut chunks = Vec::new();
        let mut samples = Vec::new();
        for (second, (up, back)) in (1..).zip(ways) {
            let (sent, up) = (Duration::from_secs(second), Duration::from_millis(*up));
            chunks.push((sent + up, 64));
            samples
                .push(Sample { sent: start + sent, round_trip: up + Duration::from_millis(*back) });
        }
        let ahead = Duration::from_millis(offset.unsigned_abs());
        let accepted = if offset < 0 { start - ahead } else { start + ahead };
        Times::new(&samples, 64, accepted, &chunks).unwrap()
    }

    #[test]
    fn a_delay_in_one_direction_is_found_if_both_clocks_are_right() {
        let there = times(&[(40, 2), (30, 1), (35, 1)], 0);
        assert_eq!(there.to_server, Way { least: Some(Nanos(30 * MS)), varied: Nanos(10 * MS) });
        assert_eq!(there.back, Way { least: Some(Nanos(MS)), varied: Nanos(MS) });
        assert_eq!((there.offset, there.uncertainty), (Nanos(29 * MS / 2), Nanos(31 * MS / 2)));
        assert!(there.is_uneven());
        let words = there.explanation();
        assert!(words.starts_with("30.000 ms of the round trip are on the way to the server"));
        assert!(words.contains("clock is 14.500 ms ahead of this one, give or take 15.500 ms"));
        let back = times(&[(1, 30)], 0);
        assert!(back.explanation().starts_with("30.000 ms of the round trip are on the way back"));
        assert!(back.explanation().contains("14.500 ms behind"), "{}", back.explanation());
        assert!(!times(&[(5, 5), (6, 5)], 0).is_uneven());
        assert!(!times(&[(5, 5), (6, 5)], 1).is_uneven());
    }

    #[test]
    fn clocks_that_differ_by_more_than_a_round_trip_divide_nothing() {
        for (offset, least) in
            [(6, true), (-6, true), (7, false), (-7, false), (1 << 40, false), (-900_000, false)]
        {
            let times = times(&[(5, 5), (9, 5)], offset);
            assert_eq!(times.to_server.least.is_some(), least, "{offset}");
            assert!(times.back.least.is_none_or(|it| it.0 == 0 || it.0 == 10 * MS));
            assert_eq!(times.offset, Nanos(offset.saturating_mul(MS)), "{offset}");
            assert_eq!(times.to_server.varied, Nanos(4 * MS), "{offset}");
            assert_eq!(times.is_uneven(), offset.abs() > 1 && (!least || offset.abs() > 2));
        }
    }

    #[test]
    fn a_message_has_come_when_all_of_its_bytes_have() {
        let at = Duration::from_secs;
        let arrivals = |chunks: &[(Duration, u64)]| super::arrivals(10, chunks).collect::<Vec<_>>();
        assert_eq!(arrivals(&[(at(1), 10), (at(2), 10)]), [at(1), at(2)]);
        assert_eq!(arrivals(&[(at(1), 4), (at(2), 5), (at(3), 12), (at(4), 1)]), [at(3), at(3)]);
        assert_eq!(arrivals(&[(at(1), 20), (at(2), 10)]), [at(1), at(1), at(2)]);
        assert!(arrivals(&[(at(1), 9)]).is_empty() && arrivals(&[]).is_empty());
        let sample = Sample { sent: SystemTime::UNIX_EPOCH, round_trip: at(1) };
        assert_eq!(Times::new(&[sample], 64, SystemTime::UNIX_EPOCH, &[]), None);
        assert_eq!(super::arrivals(64, &[(at(1), u64::MAX); 3]).take(9).count(), 9);
    }
}
