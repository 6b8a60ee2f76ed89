//! The progress of a measurement, as a bar on a terminal.

use std::time::{Duration, Instant};

use super::activity::{CLEAR, INTERVAL, LONG, is_wanted};
use super::context::Client;
use super::printer::Printer;

/// A bar on standard error, if that is a terminal.
pub struct Progress {
    /// When it was drawn last, or could have been; `None` if it is not wanted.
    shown: Option<Instant>,
    /// Whether it is on the terminal.
    is_drawn: bool,
    /// What is counted.
    unit: &'static str,
    total: Duration,
    /// When the measurement ends.
    pub end: Instant,
}

impl Progress {
    /// A bar for a measurement that takes `total`, until `end`, and that counts `unit`.
    pub fn new(client: &Client, total: Duration, end: Instant, unit: &'static str) -> Self {
        let wanted = is_wanted(&client.options) && total > LONG;
        Self { shown: wanted.then(Instant::now), is_drawn: false, unit, total, end }
    }

    /// The earlier of `until` and the next time to draw.
    pub fn limit(&self, until: Instant, now: Instant) -> Instant {
        if self.shown.is_some() { until.min(now + INTERVAL) } else { until }
    }

    /// Draws the bar, if it is time to.
    pub fn show(&mut self, now: Instant, count: u64, printer: &mut Printer) {
        const WIDTH: usize = 30;

        let Some(shown) = self.shown.filter(|shown| now >= *shown + INTERVAL) else { return };
        // A terminal that was stopped (Ctrl-S) does not need every state of the bar later.
        if printer.check().is_err() || !printer.is_idle() {
            return;
        }
        let left = self.end.saturating_duration_since(now).as_secs_f64();
        let total = self.total.as_secs_f64();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let done = ((1.0 - left / total) * WIDTH as f64) as usize;
        printer.draw(format!(
            "\r[{}{}] {:.1} of {total:.1} s, {count} {} ",
            "#".repeat(done.min(WIDTH)),
            ".".repeat(WIDTH - done.min(WIDTH)),
            total - left,
            self.unit
        ));
        self.shown = Some(shown.max(now));
        self.is_drawn = true;
    }

    /// Clears the line for the report or for an error.
    pub fn clear(&self, printer: &mut Printer) {
        if self.is_drawn {
            printer.draw(CLEAR.into());
        }
    }
}
