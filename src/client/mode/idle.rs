//! `idle`: how long a silent session lives. Sessions are silent for different times, all at once: first
//! for times that double, and then for times between the longest that was survived and the shortest that
//! was not.

mod report;
mod session;

use std::time::{Duration, Instant};

use mio::Token;

use crate::client::cli::Idle;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::echo::echo;
use crate::client::error::Error;
use crate::client::progress::Progress;
use report::Report;
use session::{Outcome, Session};

/// The shortest silence.
const FIRST: Duration = Duration::from_secs(1);

/// How many sessions divide the range that is left.
const DIVISIONS: u32 = 7;

/// The answer is known to this part of it, or to [`PRECISION_MIN`].
const PRECISION: u32 = 20;

const PRECISION_MIN: Duration = Duration::from_millis(100);

/// Searches for the time after which a silent session is dead. Prints what is known if it is interrupted.
pub fn run(client: &mut Client, first: Connection, idle: &Idle) -> Result<(), Error> {
    let address = first.address;
    let mut search = Search { alive: Duration::ZERO, dead: None, outcomes: Vec::new() };
    let mut first = Some(first);
    let mut outcome = Ok(());
    while outcome.is_ok() {
        let silences = search.next(idle.max);
        if silences.is_empty() {
            break;
        }
        outcome = search.round(client, &mut first, &silences);
    }
    if outcome.as_ref().is_err_and(|error| !error.is_requested()) {
        return outcome;
    }
    report::print(
        client,
        Report::new(&search.outcomes, search.alive, search.dead.clone(), idle.max, address),
    )?;
    outcome
}

/// What is known so far.
struct Search {
    /// The longest silence that a session survived.
    alive: Duration,
    /// The shortest silence after which a session was dead, and how it ended.
    dead: Option<(Duration, Outcome)>,
    /// The silence of each session, and what became of it.
    outcomes: Vec<(Duration, Outcome)>,
}

impl Search {
    /// The silences to try next; none if the answer is known.
    fn next(&self, max: Duration) -> Vec<Duration> {
        match &self.dead {
            None if self.alive >= max => Vec::new(),
            None => {
                let doubled = std::iter::successors(Some(FIRST), |time| time.checked_mul(2));
                doubled.take_while(|time| *time < max).chain([max]).collect()
            }
            // An end that was seen to come needs no search.
            Some((_, outcome)) if outcome.is_seen() => Vec::new(),
            Some((dead, _)) => {
                let range = dead.saturating_sub(self.alive);
                if range <= (*dead / PRECISION).max(PRECISION_MIN) {
                    return Vec::new();
                }
                let step = range / (DIVISIONS + 1);
                (1..=DIVISIONS).map(|number| self.alive + step * number).collect()
            }
        }
    }

    /// Tries these silences at the same time.
    fn round(
        &mut self,
        client: &mut Client,
        first: &mut Option<Connection>,
        silences: &[Duration],
    ) -> Result<(), Error> {
        let mut sessions = Vec::new();
        for (number, silence) in silences.iter().enumerate() {
            let mut connection = match first.take() {
                Some(connection) => connection,
                None => client.dial()?,
            };
            connection.set_token(Token(number), &client.waiter)?;
            // It must be a session that works, and that everything between knows.
            echo(client, &mut connection, number as u64, session::SIZE)?;
            sessions.push(Session::new(connection, *silence, client.options.timeout));
        }
        let longest = silences.last().copied().unwrap_or_default();
        let end = Instant::now() + longest;
        let mut progress = Progress::new(client, longest, end, "sessions known");
        let outcome = self.watch(client, &mut sessions, &mut progress);
        progress.clear(&mut client.printer);
        for session in &mut sessions {
            session.goodbye(&mut client.buffers);
        }
        outcome
    }

    /// Waits until the silence of each session has ended, or until a session is dead and those that were
    /// silent for a shorter time are known.
    fn watch(
        &mut self,
        client: &mut Client,
        sessions: &mut [Session],
        progress: &mut Progress,
    ) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            progress.show(now, self.outcomes.len() as u64, &mut client.printer);
            for session in sessions.iter_mut() {
                if let Some(outcome) = session.turn(now, &mut client.buffers)? {
                    self.learn(client, session.silence(now), outcome);
                }
            }
            let mut waiting = sessions.iter().filter_map(Session::deadline);
            let shortest_dead = self.dead.as_ref().map(|(dead, _)| *dead);
            let is_known = sessions.iter().all(|session| {
                session.deadline().is_none()
                    || shortest_dead.is_some_and(|dead| session.planned() > dead)
            });
            let Some(until) = waiting.next().filter(|_| !is_known) else { return Ok(()) };
            let until = waiting.fold(until, Instant::min);
            client.waiter.wait(Some(progress.limit(until, now)))?;
        }
    }

    /// Records what became of a session that was silent for this time.
    fn learn(&mut self, client: &mut Client, silence: Duration, outcome: Outcome) {
        if !client.options.quiet && !client.options.json {
            let seconds = silence.as_secs_f64();
            client.printer.note(format_args!("silent for {seconds:.1} s: {outcome}"));
        }
        if outcome == Outcome::Alive {
            self.alive = self.alive.max(silence);
        } else if self.dead.as_ref().is_none_or(|(dead, _)| silence < *dead) {
            self.dead = Some((silence, outcome.clone()));
        }
        // A session may be lost by chance before a longer silence is survived.
        if let Some((dead, _)) = &self.dead
            && self.alive >= *dead
        {
            let survived =
                self.outcomes.iter().filter(|(time, it)| *it == Outcome::Alive && time < dead);
            self.alive = survived.map(|(time, _)| *time).max().unwrap_or_default();
        }
        self.outcomes.push((silence, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_double_and_then_divide_what_is_left() {
        let seconds = |silences: Vec<Duration>| -> Vec<f64> {
            silences.iter().map(Duration::as_secs_f64).collect()
        };
        let mut search = Search { alive: Duration::ZERO, dead: None, outcomes: Vec::new() };
        let max = Duration::from_secs(10);
        assert_eq!(seconds(search.next(max)), [1.0, 2.0, 4.0, 8.0, 10.0]);
        search.alive = max;
        assert!(search.next(max).is_empty());
        search.alive = Duration::from_secs(2);
        search.dead = Some((Duration::from_secs(4), Outcome::Unacknowledged));
        assert_eq!(seconds(search.next(max)), [2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75]);
        search.alive = Duration::from_millis(3900);
        assert!(search.next(max).is_empty());
        search.alive = Duration::from_secs(2);
        search.dead = Some((Duration::from_secs(4), Outcome::Closed));
        assert!(search.next(max).is_empty());
    }
}
