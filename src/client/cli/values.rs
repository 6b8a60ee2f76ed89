//! The values of options.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::os::units;

// Upper bounds, so that no value overflows the clock or the memory of a small machine.

/// The longest time.
pub(super) const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Pings.
pub(super) const COUNT_MAX: u64 = 1_000_000_000;
/// Bytes of a message. A ping keeps two copies of its message in memory.
pub(super) const SIZE_MAX: u64 = 64 * 1024 * 1024;
/// Sessions at the same time. Each has a port of its own.
pub(super) const CONNECTIONS_MAX: u64 = 65_535;
/// Messages in flight, in one session and in all together. Each takes 16 bytes of memory.
pub(super) const DEPTH_MAX: u64 = 4_000_000;

/// Messages a second.
pub(super) const RATE_MAX: u64 = 10_000_000;

/// The parser of a whole number from 1 to `most`.
pub(super) fn number<T: TryFrom<u64>>(
    most: u64,
) -> impl Fn(&str) -> Result<T, InvalidValue> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or(InvalidValue::Number { most })
    }
}

/// Why a value is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidValue {
    Number { most: u64 },
    Time,
    Fingerprint,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { most } => write!(f, "expected a whole number from 1 to {most}"),
            Self::Time => write!(
                f,
                "expected a time above 0 and up to {} days: seconds, such as 10 or 0.2, or {}",
                TIME_MAX.as_secs() / (24 * 60 * 60),
                units::DURATION_EXAMPLES
            ),
            Self::Fingerprint => f.write_str("expected sha256: and 64 hexadecimal digits"),
        }
    }
}

impl Error for InvalidValue {}

/// A duration as in the configuration file, or a number of seconds.
pub(super) fn time(text: &str) -> Result<Duration, InvalidValue> {
    let has_unit = text.contains(|c: char| c.is_ascii_alphabetic());
    let time = if has_unit { units::duration(text) } else { units::duration(&format!("{text}s")) };
    time.filter(|time| !time.is_zero() && *time <= TIME_MAX).ok_or(InvalidValue::Time)
}

/// Pairs of hexadecimal digits, with or without colons and "sha256:", as the daemon's log and
/// openssl(1) print them.
pub(super) fn fingerprint(text: &str) -> Result<String, InvalidValue> {
    let lower = text.to_ascii_lowercase();
    let digits: String =
        lower.strip_prefix("sha256:").unwrap_or(&lower).chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(InvalidValue::Fingerprint);
    }
    let upper = digits.to_ascii_uppercase();
    let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &upper[at..at + 2]).collect();
    Ok(pairs.join(":"))
}
