//! What a measurement records: latencies, of the whole run and of each second.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::context::Client;
use crate::client::latency::{Latencies, Summary};
use crate::exit::Failure;

/// The length of an interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many intervals are kept for the report: more than a day.
const KEPT: usize = 100_000;

/// The records of a run.
pub(super) struct Recorder {
    start: Instant,
    /// Whether each interval is printed.
    prints: bool,
    /// Of all messages.
    pub(super) latencies: Latencies,
    /// Bytes that have come back.
    pub(super) bytes: u64,
    /// How much later than due the client sent, in an open loop.
    pub(super) late: Latencies,
    pub(super) intervals: Vec<Interval>,
    current: Latencies,
    current_bytes: u64,
    current_start: Instant,
}

/// One second of a run.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Interval {
    mode: &'static str,
    pub(super) start_s: f64,
    pub(super) duration_s: f64,
    messages: u64,
    pub(super) messages_per_s: f64,
    bytes_each_way: u64,
    megabytes_per_s_each_way: f64,
    pub(super) latency: Summary,
}

impl Recorder {
    /// For a run that starts now.
    pub(super) fn new(prints: bool) -> Self {
        let start = Instant::now();
        Self {
            start,
            prints,
            latencies: Latencies::default(),
            bytes: 0,
            late: Latencies::default(),
            intervals: Vec::new(),
            current: Latencies::default(),
            current_bytes: 0,
            current_start: start,
        }
    }

    /// Records the latency of a message.
    pub(super) fn record(&mut self, latency: Duration) {
        self.latencies.record(latency);
        self.current.record(latency);
    }

    /// Records bytes that have come back.
    pub(super) fn received(&mut self, count: usize) {
        self.bytes += count as u64;
        self.current_bytes += count as u64;
    }

    /// When the current interval ends.
    pub(super) fn next(&self) -> Instant {
        self.current_start + INTERVAL
    }

    /// Ends the current interval, if it is over at `now`.
    pub(super) fn tick(&mut self, now: Instant, client: &mut Client) -> Result<(), Failure> {
        if now >= self.next() { self.end_interval(now, client) } else { Ok(()) }
    }

    /// Ends the current interval, unless nothing happened in it: the run is over at `now`.
    pub(super) fn finish(&mut self, now: Instant, client: &mut Client) -> Result<(), Failure> {
        if self.current.count() > 0 { self.end_interval(now, client) } else { Ok(()) }
    }

    #[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
    fn end_interval(&mut self, now: Instant, client: &mut Client) -> Result<(), Failure> {
        let duration_s = (now - self.current_start).as_secs_f64();
        let (messages, bytes) = (self.current.count(), self.current_bytes);
        let interval = Interval {
            mode: "interval",
            start_s: (self.current_start - self.start).as_secs_f64(),
            duration_s,
            messages,
            messages_per_s: messages as f64 / duration_s,
            bytes_each_way: bytes,
            megabytes_per_s_each_way: bytes as f64 / duration_s / 1e6,
            latency: self.current.summary(),
        };
        if self.intervals.len() < KEPT {
            self.intervals.push(interval);
        }
        self.current.reset();
        self.current_bytes = 0;
        self.current_start = now;
        // A reader that does not read misses intervals, and the measurement goes on.
        if self.prints && !client.printer.is_full() {
            client.print_json_line(&interval)?;
        }
        Ok(())
    }
}
