//! Raises the limit on the descriptors of this process to what it needs.

use std::fmt;
use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::{Exit, Failure};

/// Descriptors besides those of sessions and listeners: for the log, the poll, the signals, the service
/// manager, and the files of a reload.
const DESCRIPTOR_MARGIN: usize = 32;

/// Why a limit on descriptors was not raised.
#[derive(Debug)]
pub enum Shortage {
    /// The hard limit is too low.
    Hard {
        /// Descriptors.
        needed: u64,
        /// Descriptors.
        maximum: u64,
    },
    /// The system refused.
    Refused(io::Error),
}

impl Shortage {
    /// The failure of a program whose `option` asks for too many.
    pub fn failure(self, option: impl fmt::Display) -> Failure {
        match self {
            Self::Hard { needed, maximum } => Failure::new(
                Exit::Failure,
                format!(
                    "{option} needs {needed} descriptors, and this process may have {maximum}: take fewer, or \
                     raise the hard limit (ulimit -Hn)"
                ),
            ),
            Self::Refused(error) => {
                Failure::system("cannot raise the limit on descriptors", &error)
            }
        }
    }
}

/// Raises the soft limit on descriptors (`RLIMIT_NOFILE`, getrlimit(2)) so that this process can have
/// this many `sockets` in addition to its other descriptors.
pub fn raise_soft_limit(sockets: usize) -> Result<(), Shortage> {
    let Some(raised) = raised(sockets, getrlimit(Resource::Nofile))? else { return Ok(()) };
    setrlimit(Resource::Nofile, raised).map_err(|error| Shortage::Refused(error.into()))
}

/// How many descriptors this process has open, and the soft limit on them; `None` where /proc is not there,
/// or where there is no limit.
pub fn usage() -> Option<(usize, u64)> {
    // One of them reads the folder.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    Some((open, getrlimit(Resource::Nofile).current?))
}

/// The limit that this many `sockets` need; `None` if the `present` one is enough.
fn raised(sockets: usize, present: Rlimit) -> Result<Option<Rlimit>, Shortage> {
    let needed = sockets.saturating_add(DESCRIPTOR_MARGIN) as u64;
    let Rlimit { current, maximum } = present;
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        return Err(Shortage::Hard { needed, maximum });
    }
    let is_enough = current.is_none_or(|current| current >= needed);
    Ok((!is_enough).then_some(Rlimit { current: Some(needed), maximum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_needed_and_no_more() {
        // The sockets, and the margin of 32.
        let of = |current, maximum| raised(106, Rlimit { current, maximum });
        assert_eq!(of(Some(138), Some(138)).unwrap(), None);
        assert_eq!(of(None, None).unwrap(), None);
        let limit = of(Some(137), Some(500)).unwrap();
        assert_eq!(limit, Some(Rlimit { current: Some(138), maximum: Some(500) }));
        let shortage = of(Some(137), Some(137)).unwrap_err();
        assert!(matches!(shortage, Shortage::Hard { needed: 138, maximum: 137 }), "{shortage:?}");
    }
}
