//! One session: connects, shakes hands, sends what is due and compares what comes back, and connects again when
//! its connection has ended.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::tally::late;
use super::work::Work;
use crate::client::connect::outcome;
use crate::client::connection::{Connection, End};
use crate::client::error::{Awaited, Error};
use crate::client::load::Load;
use crate::wire::close::CloseReason;

/// How long to wait after the first attempt that fails, and at most. In between, it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LAST_WAIT: Duration = Duration::from_millis(500);

/// A connection that has lasted so long is replaced at once. A server that ends each at once is not kept busy.
const SETTLED: Duration = Duration::from_secs(1);

/// One session.
pub(super) struct Session {
    /// Its number, which is also its token.
    number: usize,
    way: usize,
    from: Option<IpAddr>,
    state: State,
    /// When the messages were due that wait for a connection.
    queue: VecDeque<Instant>,
    /// How many connections in a row have failed.
    failures: usize,
    /// Since when it is out; `None` while it works.
    out: Option<Instant>,
    /// It has worked at least once.
    has_worked: bool,
    /// It has worked, or its first connection has failed.
    pub(super) is_decided: bool,
}

enum State {
    Waiting,
    Connecting { stream: TcpStream, address: SocketAddr, start: Instant },
    Shaking { connection: Box<Connection>, is_offered: bool, start: Instant },
    Open { load: Box<Load>, start: Instant, has_echo: bool },
}

impl Session {
    /// The session with this number, which is to connect.
    pub(super) fn new(number: usize, work: &mut Work) -> Self {
        let (way, from) = work.route(number);
        Self {
            number,
            way,
            from,
            state: State::Waiting,
            queue: VecDeque::new(),
            failures: 0,
            out: None,
            has_worked: false,
            is_decided: false,
        }
    }

    /// It uses `connection`, whose handshake is over.
    pub(super) fn adopt(&mut self, connection: Connection, work: &mut Work) -> Result<(), Error> {
        work.tally.connects.record(connection.connect_time);
        if let Some(time) = connection.handshake_time {
            work.tally.shook_hands(false, false, time);
        }
        self.open(connection, work)
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self, work: &mut Work) -> Result<(), Error> {
        let (token, start) = (Token(self.number), Instant::now());
        let dialler = &work.ways[self.way].dialler;
        let begun = dialler.begin(self.failures, self.from, token, &work.client.waiter);
        match begun {
            Ok((stream, address)) => {
                self.state = State::Connecting { stream, address, start };
                Ok(())
            }
            Err(error) => self.failed(error, work),
        }
    }

    /// A message is due. It is sent now, or when there is a connection.
    pub(super) fn due(&mut self, due: Instant, work: &mut Work) -> Result<(), Error> {
        if let State::Open { load, .. } = &mut self.state {
            begin(load, due, work);
            let sent = load.send(&work.pattern, &mut work.client.buffers);
            work.recorder.late.record(due.elapsed());
            sent.map(drop).or_else(|error| self.failed(error, work))
        } else {
            self.queue.push_back(due);
            Ok(())
        }
    }

    /// Goes on as far as it goes without waiting. Returns whether it can go on at once.
    pub(super) fn turn(&mut self, work: &mut Work) -> Result<bool, Error> {
        match self.step(work) {
            Ok(can_go_on) => Ok(can_go_on),
            Err(error) => self.failed(error, work).map(|()| false),
        }
    }

    fn step(&mut self, work: &mut Work) -> Result<bool, Error> {
        if let State::Open { .. } = self.state {
            return self.exchange(work);
        }
        match mem::replace(&mut self.state, State::Waiting) {
            State::Connecting { stream, address, start } => match outcome(&stream) {
                None => {
                    self.state = State::Connecting { stream, address, start };
                    Ok(false)
                }
                Some(connected) => {
                    let way = &work.ways[self.way];
                    let connected = connected.and_then(|()| stream.set_nodelay(true));
                    connected.map_err(|error| way.dialler.unreachable(address, error))?;
                    work.tally.connects.record(start.elapsed());
                    let before = way.dialler.offers();
                    let mut connection = way.dialler.over(stream, address, self.has_worked)?;
                    let is_offered = way.dialler.offers() > before;
                    connection.greet(&mut work.client.buffers)?;
                    let (connection, start) = (Box::new(connection), Instant::now());
                    self.state = State::Shaking { connection, is_offered, start };
                    self.step(work)
                }
            },
            State::Shaking { mut connection, is_offered, start } => {
                let done = connection.go_on(&mut work.client.buffers);
                if !done.map_err(|error| work.ways[self.way].dialler.clarify(error))? {
                    self.state = State::Shaking { connection, is_offered, start };
                    return Ok(false);
                }
                if let Some(agreed) = connection.agreed() {
                    work.tally.shook_hands(agreed.resumed, is_offered, start.elapsed());
                }
                self.open(*connection, work)?;
                self.exchange(work)
            }
            State::Waiting | State::Open { .. } => Ok(false),
        }
    }

    /// Sends what waits, or one message that shows that the session works.
    fn open(&mut self, connection: Connection, work: &mut Work) -> Result<(), Error> {
        let (start, size) = (Instant::now(), work.size);
        let mut load = Box::new(Load::new(connection, self.number, size, work.client)?);
        let dues = mem::take(&mut self.queue);
        for due in if dues.is_empty() { VecDeque::from([start]) } else { dues } {
            begin(&mut load, due, work);
        }
        self.state = State::Open { load, start, has_echo: false };
        Ok(())
    }

    /// Receives and sends. Fails when the connection has ended, in whatever way.
    fn exchange(&mut self, work: &mut Work) -> Result<bool, Error> {
        let State::Open { load, has_echo, .. } = &mut self.state else { return Ok(false) };
        let Work { client, pattern, recorder, .. } = work;
        let before = recorder.latencies.count();
        let end = load.receive(pattern, recorder, &mut client.buffers);
        let is_first = recorder.latencies.count() > before && !mem::replace(has_echo, true);
        let can_send = match end {
            Ok(None) => load.send(pattern, &mut client.buffers),
            Ok(Some(end)) => Err(ended(load, end)),
            Err(error) => Err(error),
        };
        if is_first {
            self.works(work)?;
        }
        can_send
    }

    /// An echo came over a new connection.
    fn works(&mut self, work: &mut Work) -> Result<(), Error> {
        let now = Instant::now();
        work.tally.up += 1;
        if self.has_worked {
            work.tally.reconnects += 1;
        } else {
            work.tally.never -= 1;
        }
        (self.has_worked, self.is_decided) = (true, true);
        if let Some(since) = self.out.take() {
            work.tally.breaks.record(now.saturating_duration_since(since));
            work.is_back(now)?;
        }
        Ok(())
    }

    /// The connection has ended, or could not be made, for this reason. Fails if that is no reason to connect
    /// again.
    fn failed(&mut self, error: Error, work: &mut Work) -> Result<(), Error> {
        if matches!(error, Error::Local(_) | Error::Interrupted | Error::OutputClosed) {
            return Err(error);
        }
        let now = Instant::now();
        let mut since = now;
        let mut lost = 0;
        self.failures += 1;
        match mem::replace(&mut self.state, State::Waiting) {
            // Nothing has come back over it, so it is not known whether anybody was there.
            State::Open { load, start, has_echo: false } if is_silent(&load, &error) => {
                work.tally.ends.count_failure(&error);
                work.tally.sent -= load.starts().len() as u64;
                work.tally.bytes_sent -= load.bytes().0;
                self.queue.extend(load.starts().iter().filter(|due| **due != start));
            }
            State::Open { mut load, start, has_echo } => {
                let (begun, returned) = load.bytes();
                lost = load.starts().len() as u64;
                work.tally.bytes_lost += begun - returned;
                if let Some(first) = load.starts().front() {
                    since = now.min((*first).max(start));
                }
                if is_clean(&error) {
                    work.tally.ends.clean += 1;
                    load.connection.goodbye(&mut work.client.buffers);
                } else {
                    work.tally.ends.count_end(&error);
                }
                if has_echo {
                    work.tally.up -= 1;
                    if now - start >= SETTLED {
                        self.failures = 0;
                    }
                }
                if matches!(error, Error::Difference(_)) {
                    work.print(now, &format!("session {}: {error}", self.number));
                }
            }
            _ => work.tally.ends.count_failure(&error),
        }
        self.is_decided = true;
        if self.out.is_none() {
            self.out = Some(since);
            work.out(since, &error);
        }
        work.tally.outages.lose(lost);
        work.waiting.push(Reverse((now + self.wait(), self.number)));
        Ok(())
    }

    /// How long to wait before the next connection.
    fn wait(&self) -> Duration {
        match u32::try_from(self.failures).unwrap_or(u32::MAX).checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => LAST_WAIT.min(FIRST_WAIT * 2_u32.pow(doublings.min(10))),
        }
    }

    /// Fails what has taken longer than `timeout` at `now`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        timeout: Duration,
        work: &mut Work,
    ) -> Result<(), Error> {
        let count = self.queue.len();
        self.queue.retain(|due| now < *due + timeout);
        work.tally.not_sent((count - self.queue.len()) as u64);
        let error = match &self.state {
            State::Connecting { address, start, .. } if now >= *start + timeout => {
                let error = io::ErrorKind::TimedOut.into();
                work.ways[self.way].dialler.unreachable(*address, error)
            }
            State::Shaking { start, .. } if now >= *start + timeout => late(timeout),
            State::Open { load, start, .. } => match load.starts().front() {
                Some(due) if now >= (*due).max(*start) + timeout => {
                    Error::TimedOut { what: Awaited::Echo, timeout }
                }
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.failed(error, work)
    }

    /// Whether it waits for nothing that was due.
    pub(super) fn is_idle(&self) -> bool {
        match &self.state {
            State::Open { load, .. } => load.starts().is_empty(),
            _ => self.queue.is_empty(),
        }
    }

    /// Whether it connects.
    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. } | State::Shaking { .. })
    }

    /// Ends the connection.
    pub(super) fn end(&mut self, work: &mut Work) {
        if let State::Open { load, .. } = &mut self.state {
            load.connection.goodbye(&mut work.client.buffers);
        }
    }
}

/// Starts a message.
fn begin(load: &mut Load, due: Instant, work: &mut Work) {
    load.begin(due);
    work.tally.sent += 1;
    work.tally.bytes_sent += work.size as u64;
}

/// The server has ended its side.
fn ended(load: &Load, end: End) -> Error {
    let (size, returned) = load.bytes();
    match end {
        End::Clean if size == returned => CloseReason::PeerDone.into(),
        End::Truncated if size == returned => CloseReason::PeerTruncated.into(),
        _ => Error::ClosedEarly { size, returned },
    }
}

/// Whether nothing came before this error, not even a wrong byte.
fn is_silent(load: &Load, error: &Error) -> bool {
    load.bytes().1 == 0 && !matches!(error, Error::Difference(_))
}

/// Whether the server ended the connection when everything had come back.
fn is_clean(error: &Error) -> bool {
    matches!(error, Error::Connection(CloseReason::PeerDone))
}
