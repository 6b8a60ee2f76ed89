//! Whether the key that seals is used, and a log line when that changes.
//!
//! It is judged at each handshake. So an idle daemon needs no timer, and a file that nobody rotates is in the log
//! when it begins to matter.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use log::{info, warn};

use super::dates::{KEY_LIFE, Use, usable};
use crate::tls::certificate::moment;

/// The key of a file that seals, for all listeners together.
#[derive(Debug)]
pub(super) struct Watch {
    file: PathBuf,
    made: u64,
    /// The [`Use`] that was logged.
    logged: AtomicU8,
}

impl Watch {
    /// For the key of `file` that seals, which was made then. A good key is nothing to log.
    pub(super) fn new(file: &Path, made: u64) -> Self {
        Self { file: file.into(), made, logged: AtomicU8::new(Use::Good as u8) }
    }

    /// Whether the key is used `now`.
    pub(super) fn state(&self, now: u64) -> Use {
        let state = usable(self.made, now);
        if self.logged.load(Ordering::Relaxed) != state as u8 {
            self.logged.store(state as u8, Ordering::Relaxed);
            self.log(state, now);
        }
        state
    }

    #[cold]
    fn log(&self, state: Use, now: u64) {
        let file = self.file.display();
        match state {
            Use::Good => info!("{file}: the key that seals session tickets is used from here on"),
            Use::Over => warn!(
                "{file}: the key that seals session tickets ended on {}, so no session is resumed: \
                 echo-alex-certs tickets --rotate {file}, copy it to all machines that share it, and reload",
                date(self.made.saturating_add(KEY_LIFE.as_secs()))
            ),
            Use::Early => warn!(
                "{file}: the key that seals session tickets is of {}, and this machine's clock says {}: no \
                 session is resumed until the clock is set",
                date(self.made),
                date(now)
            ),
        }
    }
}

/// A time as text, also one that no calendar has.
fn date(seconds: u64) -> String {
    // The last second of the year 9999.
    let seconds = seconds.min(253_402_300_799);
    moment(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_date_is_too_late_to_be_shown() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
