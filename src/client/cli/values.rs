//! The values of options.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::os::units;
use crate::tls::choice::{self, Version};
use crate::wire::probe::{DATAGRAM_MAX, HEADER_LEN, LENGTHS};

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

/// Messages of `both`. The server reports the times of at most 256 reads.
pub(super) const MESSAGES_MAX: u64 = 100;

/// Probes of `compare` over each transport. Each takes 40 bytes of memory and what it carries.
pub(super) const PROBES_MAX: u64 = 100_000;

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
    ProbeSize,
    Time,
    TimeOrNone,
    Fingerprint,
    Version,
    Protocol,
    Sni,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { most } => write!(f, "expected a whole number from 1 to {most}"),
            Self::ProbeSize => {
                write!(f, "expected a whole number from {HEADER_LEN} to {DATAGRAM_MAX}")
            }
            Self::Time | Self::TimeOrNone => write!(
                f,
                "expected a time {}up to {} days: seconds, such as 10 or 0.2, or {}",
                if *self == Self::Time { "above 0 and " } else { "" },
                TIME_MAX.as_secs() / (24 * 60 * 60),
                units::DURATION_EXAMPLES
            ),
            Self::Version => f.write_str("expected 1.2 or 1.3"),
            Self::Protocol => f.write_str("expected 1 to 255 bytes, such as http/1.1"),
            Self::Sni => f.write_str("expected a host name; an address is not sent (RFC 6066)"),
            Self::Fingerprint => f.write_str("expected sha256: and 64 hexadecimal digits"),
        }
    }
}

impl Error for InvalidValue {}

/// The length of a probe of UDP.
pub(super) fn probe_size(text: &str) -> Result<usize, InvalidValue> {
    let size = text.parse().ok();
    size.filter(|size| LENGTHS.contains(size)).ok_or(InvalidValue::ProbeSize)
}

/// A duration as in the configuration file, or a number of seconds.
pub(super) fn time(text: &str) -> Result<Duration, InvalidValue> {
    time_or_none(text).ok().filter(|time| !time.is_zero()).ok_or(InvalidValue::Time)
}

/// The same, or 0.
pub(super) fn time_or_none(text: &str) -> Result<Duration, InvalidValue> {
    let has_unit = text.contains(|c: char| c.is_ascii_alphabetic());
    let time = if has_unit { units::duration(text) } else { units::duration(&format!("{text}s")) };
    time.filter(|time| *time <= TIME_MAX).ok_or(InvalidValue::TimeOrNone)
}

/// A version of TLS.
pub(super) fn tls_version(text: &str) -> Result<Version, InvalidValue> {
    match text {
        "1.2" => Ok(Version::V1_2),
        "1.3" => Ok(Version::V1_3),
        _ => Err(InvalidValue::Version),
    }
}

/// The name of an application protocol (RFC 7301 §3.1).
pub(super) fn protocol(text: &str) -> Result<String, InvalidValue> {
    let fits = (1..=255).contains(&text.len());
    if fits { Ok(text.to_owned()) } else { Err(InvalidValue::Protocol) }
}

/// A name of a server that can be sent.
pub(super) fn sni(text: &str) -> Result<String, InvalidValue> {
    if choice::is_sni(text) { Ok(text.to_owned()) } else { Err(InvalidValue::Sni) }
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
