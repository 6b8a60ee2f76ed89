//! What the client waits for before a connection is there, shown on a terminal once it has lasted a second.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::cli::Options;

/// How often progress is drawn.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// The progress of a shorter task is not shown.
pub const LONG: Duration = Duration::from_secs(1);

/// Clears the line that shows progress.
pub const CLEAR: &str = "\r\x1b[K";

/// Whether the user is to see progress: on a terminal, unless the output is to be quiet or for programs.
pub fn is_wanted(options: &Options) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stderr().is_terminal() && !is_dumb && !options.quiet && !options.json
}

/// What the client waits for, if anything.
pub struct Activity {
    /// Draws a text and returns whether it did. A terminal that was stopped (Ctrl-S) gets only what matters.
    draw: Box<dyn Fn(String, bool) -> bool>,
    current: Option<Current>,
}

struct Current {
    what: String,
    start: Instant,
    /// When to draw next.
    next: Instant,
    is_drawn: bool,
}

impl Activity {
    /// Nothing yet.
    pub fn new(draw: impl Fn(String, bool) -> bool + 'static) -> Self {
        Self { draw: Box::new(draw), current: None }
    }

    /// From now on, the client waits for this.
    pub fn begin(&mut self, what: String) {
        let start = Instant::now();
        self.current = Some(Current { what, start, next: start + LONG, is_drawn: false });
    }

    /// When to draw next.
    pub fn next(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.next)
    }

    /// Draws, if it is time to.
    pub fn show(&mut self, now: Instant) {
        let Some(current) = self.current.as_mut().filter(|current| now >= current.next) else {
            return;
        };
        let seconds = now.saturating_duration_since(current.start).as_secs_f64();
        let is_drawn = (self.draw)(format!("\r{}: {seconds:.1} s ", current.what), false);
        current.is_drawn |= is_drawn;
        current.next = now + INTERVAL;
    }

    /// The client does not wait any more.
    pub fn end(&mut self) {
        if self.current.take().is_some_and(|current| current.is_drawn) {
            (self.draw)(CLEAR.into(), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn only_what_lasts_is_drawn_and_then_cleared() {
        let drawn = Rc::new(RefCell::new(Vec::new()));
        let sink = drawn.clone();
        let mut activity = Activity::new(move |text, _| {
            sink.borrow_mut().push(text);
            true
        });
        let now = Instant::now();
        activity.begin("connecting to alex".into());
        activity.show(now);
        activity.end();
        assert_eq!(activity.next(), None);
        activity.show(now + 2 * LONG);
        assert!(drawn.borrow().is_empty());

        activity.begin("connecting to alex".into());
        let first = activity.next().unwrap();
        activity.show(first);
        activity.show(first);
        activity.show(first + INTERVAL);
        activity.end();
        let texts = ["\rconnecting to alex: 1.0 s ", "\rconnecting to alex: 1.2 s ", CLEAR];
        assert_eq!(*drawn.borrow(), texts);
    }
}
