//! The load under which a server is counted.

/// Sessions with messages on their way.
pub(super) const SESSIONS: usize = 100;

/// Messages a session before anything is counted, so that what is made only once is there already.
pub(super) const WARM_UP: usize = 5;

/// Bytes of a message.
pub(super) const SIZE: usize = 64;
