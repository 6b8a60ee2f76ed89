//! The monotonic clock, for deadlines: a Pi has no clock chip, and its wall clock jumps when it gets the
//! time from the network.

use std::num::NonZero;
use std::ops::{Add, AddAssign, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// The time of the first reading.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment after the program's start, in nanoseconds. It takes 8 bytes, also in an `Option`, half as
/// many as an [`Instant`]: a session has three of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(NonZero<u64>);

impl Moment {
    /// The present moment.
    pub fn now() -> Self {
        Self(NonZero::<u64>::MIN) + START.elapsed()
    }

    /// The moment `time` later; `None` beyond the end of the clock, in 584 years.
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(u64::try_from(time.as_nanos()).ok()?).map(Self)
    }

    /// The earliest of those that there are. The event loop asks for it in each iteration, so it has no branches.
    pub fn earliest<const N: usize>(moments: [Option<Self>; N]) -> Option<Self> {
        // `None` is 0, and so becomes the latest.
        let number = |it: Option<Self>| it.map_or(0, |it| it.0.get()).wrapping_sub(1);
        let earliest = moments.into_iter().map(number).min().unwrap_or(u64::MAX);
        NonZero::new(earliest.wrapping_add(1)).map(Self)
    }

    /// The same moment by the wall clock, as that is set now.
    pub fn by_wall_clock(self) -> SystemTime {
        let wall = SystemTime::now();
        wall.checked_sub(Self::now() - self).unwrap_or(wall)
    }

    /// The time since `earlier`; zero if `earlier` is later.
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The moment `time` later, or the end of the clock.
    fn add(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(Self(NonZero::<u64>::MAX))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_8_bytes_and_end_where_the_clock_does() {
        assert_eq!(size_of::<Option<Moment>>(), 8);
        let now = Moment::now();
        let later = now + Duration::from_millis(1500);
        assert_eq!((later - now, now - later), (Duration::from_millis(1500), Duration::ZERO));
        assert!(now < later && Moment::now() >= now);
        assert_eq!(now.checked_add(Duration::MAX), None);
        assert_eq!(Moment::earliest([Some(later), None, Some(now)]), Some(now));
        assert_eq!(Moment::earliest([None, Some(later)]), Some(later));
        assert_eq!((Moment::earliest([None; 2]), Moment::earliest([])), (None, None));
        assert_eq!((now + Duration::MAX).checked_add(Duration::from_nanos(1)), None);
    }
}
