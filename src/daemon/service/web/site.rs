//! What all web sessions share with the event loop.

use std::cell::Cell;

/// What the daemon lets its web sessions know.
#[derive(Debug, Default)]
pub struct Site {
    ready: Cell<bool>,
}

impl Site {
    /// Whether new connections are welcome.
    pub fn is_ready(&self) -> bool {
        self.ready.get()
    }

    /// Says whether new connections are welcome.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(ready);
    }
}
