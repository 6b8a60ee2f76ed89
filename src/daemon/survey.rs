//! How far the survey is that those who watch `/events` get.

use crate::daemon::census::Census;

/// The survey.
#[derive(Default)]
pub enum Survey {
    /// The next one is not begun.
    #[default]
    None,
    /// The sessions are being counted.
    Counting(Box<Census>),
    /// The watchers from this key on are still to have a turn.
    Telling(usize),
}
