//! When a ticket key is used. All times are seconds since 1970.
//!
//! # A key has a date and an end
//!
//! It is used from its date on, for [`KEY_LIFE`]. So keys that nobody rotates stop being used.
//!
//! # A clock that is wrong
//!
//! A Raspberry Pi has no clock chip. While its clock says a time before the date of a key, the age of the key
//! cannot be told, and it is not used. A clock that is a little slow ([`TOLERANCE`]) does no harm. The clock is asked
//! at each handshake, so that keys are used as soon as it is set.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a key is used: more than twice as long as it takes daily rotation to drop it.
pub const KEY_LIFE: Duration = DAY.saturating_mul(7);

/// How far the clock may be before the date of a key. Certificates begin to be valid a day early, too.
pub const TOLERANCE: Duration = DAY;

/// How long a session can be resumed, at most.
pub const TICKET_LIFE: Duration = DAY.checked_div(2).expect("two is not zero");

/// Whether a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// Yes.
    Good,
    /// Not any more: it has ended.
    Over,
    /// Not yet: the clock says a time before its date.
    Early,
}

/// Whether a key that was made then is used `now`.
pub fn usable(made: u64, now: u64) -> Use {
    if now.saturating_add(TOLERANCE.as_secs()) < made {
        Use::Early
    } else if now < made.saturating_add(KEY_LIFE.as_secs()) {
        Use::Good
    } else {
        Use::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_from_a_day_before_its_date_for_a_week_from_it() {
        let made = 1_800_000_000;
        let (day, week) = (86_400, 7 * 86_400);
        for (now, is) in [
            (0, Use::Early),
            (made - day - 1, Use::Early),
            (made - day, Use::Good),
            (made, Use::Good),
            (made + week - 1, Use::Good),
            (made + week, Use::Over),
            (u64::MAX, Use::Over),
        ] {
            assert_eq!(usable(made, now), is, "{now}");
        }
        // A date that no clock reaches.
        assert_eq!(usable(u64::MAX, made), Use::Early);
        assert_eq!(usable(u64::MAX, u64::MAX), Use::Over);
    }
}
