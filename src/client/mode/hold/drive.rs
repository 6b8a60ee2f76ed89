//! The loop over all sessions: connects those that are to connect, sends what is due, looks for what is late.

use std::cmp::Reverse;
use std::mem;
use std::time::{Duration, Instant};

use mio::Token;

use super::session::Session;
use super::work::Work;
use crate::client::cli::Hold;
use crate::client::connection::Connection;
use crate::client::error::Error;
use crate::client::schedule::Schedule;

/// How often to look for what is late.
const LOOK: Duration = Duration::from_millis(50);

/// How many sessions connect at the same time, so that a server's backlog has room for them. If that many do not
/// come to an end, one more begins in each of these intervals.
const CONNECTING_MAX: usize = 100;
const CONNECTING_INTERVAL: Duration = Duration::from_millis(2);

/// How many messages are sent before events are looked at again.
const BATCH: usize = 256;

/// The sessions, and when their messages are due.
pub(super) struct Drive<'a, 'b> {
    work: &'a mut Work<'b>,
    sessions: Vec<Session>,
    interval: Duration,
    duration: Option<Duration>,
    /// `None` until each session works or has failed.
    schedule: Option<Schedule>,
    /// The sessions that can go on without an event.
    ready: Vec<usize>,
    look: Instant,
    last_connect: Instant,
}

impl<'a, 'b> Drive<'a, 'b> {
    /// For these sessions, of which the first have a connection.
    pub(super) fn new(
        work: &'a mut Work<'b>,
        hold: &Hold,
        first: Vec<Connection>,
    ) -> Result<Self, Error> {
        let mut sessions: Vec<Session> =
            (0..hold.sessions).map(|number| Session::new(number, work)).collect();
        let now = Instant::now();
        let mut first = first.into_iter();
        for (number, session) in sessions.iter_mut().enumerate() {
            match first.next() {
                Some(connection) => session.adopt(connection, work)?,
                None => work.waiting.push(Reverse((now, number))),
            }
        }
        let (interval, duration) = (hold.interval, hold.duration);
        let ready = (0..sessions.len()).collect();
        Ok(Self {
            work,
            sessions,
            interval,
            duration,
            schedule: None,
            ready,
            look: now,
            last_connect: now,
        })
    }

    /// Holds the sessions until the end, and then waits for what is under way. The first Ctrl-C is the end.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            for number in mem::take(&mut self.ready) {
                if let Some(session) = self.sessions.get_mut(number)
                    && session.turn(self.work)?
                {
                    self.ready.push(number);
                }
            }
            self.connect(now)?;
            if now >= self.look {
                self.look_at_all(now)?;
            }
            self.send(now)?;
            self.work.recorder.tick(now, self.work.client)?;
            self.work.show_out(now);
            if self.is_over() {
                for session in &mut self.sessions {
                    session.end(self.work);
                }
                return Ok(());
            }
            self.work.client.printer.check()?;
            match self.wait(now) {
                Err(Error::Interrupted) => self.stop()?,
                outcome => outcome?,
            }
            self.ready.extend(self.work.client.waiter.events().map(|Token(number)| number));
        }
    }

    /// Connects the sessions that are to connect, but not too many at once.
    fn connect(&mut self, now: Instant) -> Result<(), Error> {
        let mut connecting = None;
        while let Some(Reverse((when, number))) = self.work.waiting.peek().copied() {
            if when > now {
                break;
            }
            let count = *connecting.get_or_insert_with(|| {
                self.sessions.iter().filter(|session| session.is_connecting()).count()
            });
            if count >= CONNECTING_MAX && now < self.last_connect + CONNECTING_INTERVAL {
                break;
            }
            self.work.waiting.pop();
            self.last_connect = now;
            connecting = Some(count + 1);
            if let Some(session) = self.sessions.get_mut(number) {
                session.connect(self.work)?;
            }
        }
        Ok(())
    }

    /// Ends what is late, and begins to measure once it is known of each session whether it works.
    fn look_at_all(&mut self, now: Instant) -> Result<(), Error> {
        self.look = now + LOOK;
        let timeout = self.work.client.options.timeout;
        for session in &mut self.sessions {
            session.look(now, timeout, self.work)?;
        }
        self.work.look_up(now)?;
        if self.schedule.is_none() && self.sessions.iter().all(|session| session.is_decided) {
            let count = self.sessions.len() as u64;
            let schedule = Schedule::of_period(now, self.interval, count, self.duration);
            self.schedule = Some(schedule);
            self.work.begin(now);
        }
        Ok(())
    }

    /// Sends what is due.
    fn send(&mut self, now: Instant) -> Result<(), Error> {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        for _ in 0..BATCH {
            let Some(due) = schedule.due().filter(|due| *due <= now) else { break };
            let number = usize::try_from(schedule.next % self.sessions.len() as u64).unwrap_or(0);
            schedule.next += 1;
            if let Some(session) = self.sessions.get_mut(number) {
                session.due(due, self.work)?;
            }
        }
        Ok(())
    }

    /// No more messages are due.
    fn stop(&mut self) -> Result<(), Error> {
        let Some(schedule) = &mut self.schedule else { return Err(Error::Interrupted) };
        schedule.stop();
        if !self.is_over() && !self.work.client.options.quiet {
            let text = "waiting for the last echoes; Ctrl-C again ends without a report";
            self.work.client.printer.note(text);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.schedule.as_ref().is_some_and(|schedule| schedule.due().is_none())
            && self.sessions.iter().all(Session::is_idle)
    }

    /// Waits for an event, or for the next thing to do.
    fn wait(&mut self, now: Instant) -> Result<(), Error> {
        let mut until = self.look.min(self.work.recorder.next());
        if let Some(when) = self.work.next() {
            // One that is due already waits for those that connect.
            until = until.min(if when > now { when } else { now + CONNECTING_INTERVAL });
        }
        if let Some(due) = self.schedule.as_ref().and_then(Schedule::due) {
            until = until.min(due);
        }
        if !self.ready.is_empty() {
            until = now;
        }
        self.work.client.waiter.wait(Some(until))
    }
}
