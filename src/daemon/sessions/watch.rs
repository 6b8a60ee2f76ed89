//! The sessions that watch `/events`, and when the next step of the survey for them is due.

use std::collections::BTreeSet;

use crate::os::clock::Moment;

/// The key of the survey among the deadlines.
pub(super) const SURVEY: usize = usize::MAX;

/// Those who watch.
#[derive(Default)]
pub(super) struct Watch {
    /// Their keys.
    pub(super) keys: BTreeSet<usize>,
    /// When the next survey may begin, if one was begun before.
    pub(super) next: Option<Moment>,
    /// Where the entry of the survey among the deadlines is.
    pub(super) armed: Option<Moment>,
    /// A step is due.
    pub(super) is_due: bool,
}
