//! How far the survey is that those who watch `/events` get.

use crate::daemon::census::Census;
use crate::daemon::service::web::events::{Overview, Shown};

/// The survey.
#[derive(Default)]
pub enum Survey {
    /// The next one is not begun.
    #[default]
    None,
    /// The sessions are being counted.
    Counting(Box<Census>),
    /// The kernel is still to be asked for the round trip times of these sessions.
    Asking(Box<Overview>, Vec<Shown>),
    /// The watchers from this key on are still to have a turn.
    Telling(usize),
}
