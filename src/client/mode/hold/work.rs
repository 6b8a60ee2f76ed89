//! What all sessions share: the ways to the server, what is recorded, and when to connect next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::tally::Tally;
use crate::client::cli::Hold;
use crate::client::connect::LookUp;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::dial::Dialler;
use crate::client::error::Error;
use crate::client::outages::Outage;
use crate::client::pattern::Pattern;
use crate::client::recorder::Recorder;
use crate::exit::Failure;

/// How often the name is looked up while sessions are out.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(1);

/// How long an outage lasts before it is printed that it has begun.
const OUT_MIN: Duration = Duration::from_millis(500);

/// How often it is printed how many sessions are out.
const OUT_INTERVAL: Duration = Duration::from_secs(1);

/// A way to the server: plain or TLS.
pub(super) struct Way {
    pub(super) dialler: Dialler,
    port: u16,
}

/// What all sessions share.
pub(super) struct Work<'a> {
    pub(super) client: &'a mut Client,
    pub(super) ways: Vec<Way>,
    /// The addresses from which to connect, if the kernel is not to choose.
    from: Vec<IpAddr>,
    /// The length of a message.
    pub(super) size: usize,
    pub(super) pattern: Pattern,
    pub(super) recorder: Recorder,
    pub(super) tally: Tally,
    /// The sessions that are to connect, and when.
    pub(super) waiting: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The name look-up that goes on, and when the next one may begin.
    look_up: Option<LookUp>,
    next_look_up: Instant,
    /// When to print next that sessions are out, and what was printed last.
    next_line: Option<Instant>,
    last_out: usize,
}

/// An outage as an object of its own, when it is over.
#[derive(Serialize)]
struct OutageLine<'a> {
    mode: &'static str,
    #[serde(flatten)]
    outage: &'a Outage,
}

impl<'a> Work<'a> {
    /// Opens the first connection of each way, and returns them too.
    pub(super) fn new(
        client: &'a mut Client,
        hold: &Hold,
    ) -> Result<(Self, Vec<Connection>), Error> {
        let plain = client.dialler.plain();
        let dialler = mem::replace(&mut client.dialler, plain);
        let port = client.options.port;
        let mut ways = vec![Way { dialler, port }];
        if let Some(tls_port) = hold.tls_port {
            ways.insert(0, Way { dialler: client.dialler.plain(), port });
            ways[1].port = tls_port;
        }
        let mut first = Vec::new();
        for way in &mut ways {
            way.dialler.keep_sessions(hold.sessions)?;
            way.dialler.set_port(way.port);
            way.dialler.from = hold.from.first().copied();
            mem::swap(&mut client.dialler, &mut way.dialler);
            let connection = client.dial_and_introduce();
            mem::swap(&mut client.dialler, &mut way.dialler);
            first.push(connection?);
        }
        let now = Instant::now();
        let work = Self {
            recorder: Recorder::new(client.options.json),
            client,
            ways,
            from: hold.from.clone(),
            size: hold.size,
            pattern: Pattern::new(),
            tally: Tally::new(hold.sessions),
            waiting: BinaryHeap::new(),
            look_up: None,
            next_look_up: now,
            next_line: None,
            last_out: 0,
        };
        Ok((work, first))
    }

    /// The way of the session with this number, and the address from which it connects.
    pub(super) fn route(&self, number: usize) -> (usize, Option<IpAddr>) {
        let ways = self.ways.len();
        let from = self.from.get(number / ways % self.from.len().max(1));
        (number % ways, from.copied())
    }

    /// Looks the name up while sessions are out: it can have another address by now.
    pub(super) fn look_up(&mut self, now: Instant) -> Result<(), Failure> {
        let options = &self.client.options;
        if let Some(outcome) = self.look_up.as_ref().and_then(LookUp::outcome) {
            self.look_up = None;
            for way in &mut self.ways {
                // Without an answer, the addresses that are known may still be right.
                if let Ok(addresses) = &outcome {
                    let with_port = |it: &SocketAddr| {
                        let mut address = *it;
                        address.set_port(way.port);
                        address
                    };
                    let addresses = addresses.iter().map(with_port).collect();
                    way.dialler.set_addresses(addresses);
                }
            }
        }
        let is_name = options.host.parse::<IpAddr>().is_err();
        if is_name
            && self.look_up.is_none()
            && self.tally.outages.is_out()
            && now >= self.next_look_up
        {
            let (host, port) = (&options.host, options.port);
            self.look_up = Some(LookUp::begin(host, port, options.family, &self.client.waiter)?);
            self.next_look_up = now + LOOK_UP_INTERVAL;
        }
        Ok(())
    }

    /// A session is out, from `since` on.
    pub(super) fn out(&mut self, since: Instant, reason: &Error) {
        let (short, sentence) = (reason.in_short(), reason.to_string());
        if !self.tally.outages.is_out() {
            self.next_line = Some(Instant::now() + OUT_MIN);
        }
        self.tally.outages.session_out(since, short, sentence);
    }

    /// A session works again at `now`. If it was the last one that was out, the outage is over.
    pub(super) fn is_back(&mut self, now: Instant) -> Result<(), Failure> {
        if self.tally.up < self.tally.sessions {
            return Ok(());
        }
        (self.next_line, self.last_out) = (None, 0);
        let Some(outage) = self.tally.outages.end(now) else { return Ok(()) };
        if self.client.printer.is_full() {
            return Ok(());
        }
        if self.client.options.json {
            return self.client.print_json_line(&OutageLine { mode: "outage", outage: &outage });
        }
        let Outage { duration_s, sessions, lost, reasons, .. } = outage;
        let line = format!(
            "all back after {duration_s:.3} s; sessions that ended: {sessions}, messages lost: {lost}; was: {}",
            reasons.join(", ")
        );
        self.print(now, &line);
        Ok(())
    }

    /// Prints how many sessions are out, from time to time, if that has changed.
    pub(super) fn show_out(&mut self, now: Instant) {
        let out = self.tally.sessions - self.tally.up;
        if self.next_line.is_some_and(|next| now >= next) && out > 0 {
            self.next_line = Some(now + OUT_INTERVAL);
            if out != self.last_out && !self.client.options.json {
                let reasons = self.tally.outages.current(now).map(|it| it.reasons.join(", "));
                let (all, reasons) = (self.tally.sessions, reasons.unwrap_or_default());
                self.print(now, &format!("{out} of {all} sessions are out: {reasons}"));
            }
            self.last_out = out;
        }
    }

    /// Prints a line with the time, unless it is turned off or standard output is full.
    pub(super) fn print(&mut self, now: Instant, text: &str) {
        if !self.client.options.json && !self.client.options.quiet && !self.client.printer.is_full()
        {
            let time = now.saturating_duration_since(self.tally.start).as_secs_f64();
            self.client.print(&format!("{time:9.3} s  {text}"));
        }
    }

    /// The run begins at `now`: what was before was only to connect.
    pub(super) fn begin(&mut self, now: Instant) {
        self.tally.start = now;
    }

    /// When to look at the clock again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((when, _))| *when)
    }
}
