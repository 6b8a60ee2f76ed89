//! What all web sessions share with the event loop.
//!
//! # Metrics are asked for
//!
//! A session cannot take a snapshot: the event loop owns all sessions. So it asks, and its answer waits
//! until the event loop has published the text, before the next turn of the session. However many ask,
//! a text is rendered at most once a second.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::events::Events;
use super::page::Home;

/// What the daemon lets its web sessions know.
#[derive(Debug, Default)]
pub struct Site {
    ready: Cell<bool>,
    /// The page for browsers, once one has asked for it.
    home: OnceCell<Home>,
    /// For those who watch.
    pub events: Rc<Events>,
    /// The metrics in each format.
    metrics: [Metrics; Format::ALL.len()],
}

/// The metrics in one format.
#[derive(Debug)]
struct Metrics {
    /// A session waits for a text that is not old.
    asked: Cell<bool>,
    text: RefCell<Rc<[u8]>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { asked: Cell::default(), text: RefCell::new([].into()) }
    }
}

/// The format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Text, Self::OpenMetrics];

    /// Its media type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
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

    /// The page for browsers.
    pub(super) fn home(&self) -> &Home {
        self.home.get_or_init(Home::new)
    }

    /// Asks for the metrics.
    pub(super) fn ask(&self, format: Format) {
        self.of(format).asked.set(true);
    }

    /// Whether a session waits for metrics in this format.
    pub fn is_asked(&self, format: Format) -> bool {
        self.of(format).asked.get()
    }

    /// Gives those who wait a new text, or the one that they have if that is not old.
    pub fn publish(&self, format: Format, text: Option<String>) {
        if let Some(text) = text {
            self.of(format).text.replace(text.into_bytes().into());
        }
        self.of(format).asked.set(false);
    }

    /// The text that was published last.
    pub(super) fn metrics(&self, format: Format) -> Rc<[u8]> {
        Rc::clone(&self.of(format).text.borrow())
    }

    fn of(&self, format: Format) -> &Metrics {
        let [text, open_metrics] = &self.metrics;
        match format {
            Format::Text => text,
            Format::OpenMetrics => open_metrics,
        }
    }
}
