//! Measure: many sessions in one loop, each full of messages, every returned byte checked.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};
use serde::Serialize;

use super::Client;
use super::arguments::Bench;
use super::dial::{Connection, Dialler, Failed};
use super::expect::{Difference, Expected};
use super::latency::{Latencies, Summary};
use crate::buffers::{Buffers, READ_SIZE};
use crate::exit::{Exit, Failure};
use crate::link::{Link, Reading};
use crate::{output, stats};

/// How often the progress bar moves.
const PROGRESS: Duration = Duration::from_millis(200);

/// `--bench --json`.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    address: String,
    tls: bool,
    connections: usize,
    size_bytes: usize,
    depth: usize,
    duration_s: f64,
    messages: u64,
    messages_per_s: f64,
    bytes_each_way: u64,
    megabytes_per_s_each_way: f64,
    latency: Summary,
}

/// `--handshakes --json`.
#[derive(Serialize)]
struct HandshakeReport<'a> {
    mode: &'static str,
    host: &'a str,
    full: Handshakes,
    resumed: Handshakes,
}

#[derive(Serialize)]
struct Handshakes {
    count: u64,
    duration_s: f64,
    per_s: f64,
    time: Summary,
}

/// One session under load.
struct Load {
    link: Link<TcpStream>,
    /// Where in the pattern its stream begins.
    phase: usize,
    /// Bytes that were handed to the link, and that came back.
    sent: u64,
    received: u64,
    /// Bytes of messages that have begun.
    begun: u64,
    /// When the messages on their way began.
    starts: VecDeque<Instant>,
}

/// Bytes without a period that a fault could hide behind, written twice, so that a piece of up to
/// [`READ_SIZE`] can be cut out at any place.
struct Pattern(Vec<u8>);

impl Pattern {
    fn new() -> Self {
        // xorshift32, Marsaglia 2003.
        let mut state = 2_463_534_242_u32;
        let mut bytes = Vec::with_capacity(2 * READ_SIZE);
        while bytes.len() < READ_SIZE {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.extend_from_within(..);
        Self(bytes)
    }

    /// `length` bytes of the stream that begins at `phase`, from `offset` on.
    #[allow(clippy::cast_possible_truncation)] // The remainder is small.
    fn piece(&self, phase: usize, offset: u64, length: usize) -> &[u8] {
        let at = (phase + (offset % READ_SIZE as u64) as usize) % READ_SIZE;
        &self.0[at..at + length]
    }
}

/// Measures for the time that was asked for; `first` is the first of the connections.
pub fn run(client: &mut Client, mut first: Connection, bench: &Bench) -> Result<Exit, Failure> {
    if bench.handshakes {
        first.link.goodbye(&mut client.buffers);
        return handshakes(client, bench);
    }
    let pattern = Pattern::new();
    let address = first.address;
    let mut loads = vec![Load::new(first, 0, bench, client)?];
    for number in 1..bench.connections {
        let connection = client.dialler.dial(&mut client.waiter, &mut client.buffers)?;
        loads.push(Load::new(connection, number, bench, client)?);
    }
    let mut latencies = Latencies::default();
    let start = Instant::now();
    let end = start + bench.duration;
    let interrupted = match drive(client, bench, &pattern, &mut loads, &mut latencies, end) {
        Ok(()) => false,
        Err(Stopped::Interrupted) => true,
        Err(Stopped::Failed(failed)) => return Err(client.dialler.explain(failed)),
        Err(Stopped::Differs(number, difference)) => {
            return Err(Failure::new(Exit::Failure, format!("session {number}: {difference}")));
        }
        Err(Stopped::CutShort(number, missing)) => {
            return Err(Failure::new(
                Exit::Failure,
                format!(
                    "session {number}: the server closed it, {missing} bytes did not come back"
                ),
            ));
        }
    };
    let duration = start.elapsed();
    for load in &mut loads {
        load.link.goodbye(&mut client.buffers);
    }
    let bytes: u64 = loads.iter().map(|load| load.received).sum();
    report(client, bench, &latencies, address.to_string(), duration, bytes)?;
    Ok(if interrupted { Exit::Interrupted } else { Exit::Ok })
}

/// Why a measurement ended early.
enum Stopped {
    Interrupted,
    Failed(Failed),
    /// In the session of this number.
    Differs(usize, Difference),
    CutShort(usize, u64),
}

impl<E: Into<Failed>> From<E> for Stopped {
    fn from(error: E) -> Self {
        match error.into() {
            Failed::Interrupted => Self::Interrupted,
            failed => Self::Failed(failed),
        }
    }
}

/// Keeps every session full until `end`, and then waits for what is on its way.
fn drive(
    client: &mut Client,
    bench: &Bench,
    pattern: &Pattern,
    loads: &mut [Load],
    latencies: &mut Latencies,
    end: Instant,
) -> Result<(), Stopped> {
    let mut progress = Progress::new(client, bench.duration, end);
    for (number, load) in loads.iter_mut().enumerate() {
        load.advance(bench, pattern, number, latencies, &mut client.buffers, true)?;
    }
    loop {
        let now = Instant::now();
        progress.show(now, latencies.count());
        let sending = now < end;
        if !sending && loads.iter().all(|load| load.starts.is_empty()) {
            return Ok(());
        }
        let until = if sending { end } else { end + client.options.timeout };
        if now >= until {
            return Err(Failed::TimedOut("echo").into());
        }
        client.waiter.wait(Some(progress.limit(until - now)))?;
        let sending = Instant::now() < end;
        for Token(number) in client.waiter.events() {
            loads[number].advance(
                bench,
                pattern,
                number,
                latencies,
                &mut client.buffers,
                sending,
            )?;
        }
    }
}

impl Load {
    /// The session that has this number, watched under it.
    fn new(
        mut connection: Connection,
        number: usize,
        bench: &Bench,
        client: &Client,
    ) -> Result<Self, Failure> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        client
            .waiter
            .registry()
            .reregister(connection.link.wire(), Token(number), interest)
            .map_err(|error| Failure::system("cannot watch a connection", &error))?;
        let phase = number.wrapping_mul(7919) % READ_SIZE;
        let starts = VecDeque::with_capacity(bench.depth);
        Ok(Self { link: connection.link, phase, sent: 0, received: 0, begun: 0, starts })
    }

    /// Sends and reads as far as it goes.
    fn advance(
        &mut self,
        bench: &Bench,
        pattern: &Pattern,
        number: usize,
        latencies: &mut Latencies,
        buffers: &mut Buffers,
        sending: bool,
    ) -> Result<(), Stopped> {
        loop {
            self.link.flush()?;
            if sending {
                while self.starts.len() < bench.depth {
                    self.starts.push_back(Instant::now());
                    self.begun += bench.size as u64;
                }
            }
            while self.link.is_flushed() && self.sent < self.begun {
                let length = usize::try_from(self.begun - self.sent).unwrap_or(READ_SIZE);
                let piece = pattern.piece(self.phase, self.sent, length.min(READ_SIZE));
                self.link.send(piece, buffers)?;
                self.sent += piece.len() as u64;
            }
            match self.link.read(buffers)? {
                Reading::Nothing => return Ok(()),
                Reading::Ended => {
                    return Err(Stopped::CutShort(number, self.begun - self.received));
                }
                Reading::Bytes(bytes) => {
                    let came = self.link.receive(bytes, buffers, |_| &[])?;
                    check(pattern, self.phase, self.received, self.sent, came)
                        .map_err(|difference| Stopped::Differs(number, difference))?;
                    self.received += came.len() as u64;
                    if self.link.transport().peer_done() {
                        return Err(Stopped::CutShort(number, self.begun - self.received));
                    }
                    let on_their_way = (self.begun - self.received).div_ceil(bench.size as u64);
                    let now = Instant::now();
                    while self.starts.len() as u64 > on_their_way {
                        if let Some(start) = self.starts.pop_front() {
                            latencies.record(now - start);
                        }
                    }
                }
            }
        }
    }
}

/// Whether `came`, at `offset` of a stream of which `sent` bytes were sent, is what was sent there.
fn check(
    pattern: &Pattern,
    phase: usize,
    mut offset: u64,
    sent: u64,
    came: &[u8],
) -> Result<(), Difference> {
    for came in came.chunks(READ_SIZE) {
        let due = pattern.piece(phase, offset, came.len());
        if *came != *due || offset + came.len() as u64 > sent {
            let known = usize::try_from(sent - offset).unwrap_or(usize::MAX).min(due.len());
            let mut expected = Expected::starting_at(offset);
            expected.sent(&due[..known]);
            return expected.came(came);
        }
        offset += came.len() as u64;
    }
    Ok(())
}

/// A bar on a terminal.
struct Progress {
    /// When it moved last; `None` if nobody is to see it.
    shown: Option<Instant>,
    drawn: bool,
    total: Duration,
    end: Instant,
}

impl Progress {
    fn new(client: &Client, total: Duration, end: Instant) -> Self {
        let wanted = io::stderr().is_terminal() && !client.options.quiet && !client.options.json;
        Self { shown: wanted.then(Instant::now), drawn: false, total, end }
    }

    /// Not longer than until the bar moves.
    fn limit(&self, time: Duration) -> Duration {
        if self.shown.is_some() { time.min(PROGRESS) } else { time }
    }

    fn show(&mut self, now: Instant, messages: u64) {
        const WIDTH: usize = 30;

        let Some(shown) = self.shown.filter(|shown| now >= *shown + PROGRESS) else { return };
        let left = self.end.saturating_duration_since(now).as_secs_f64();
        let total = self.total.as_secs_f64();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let done = ((1.0 - left / total) * WIDTH as f64) as usize;
        output::draw(format_args!(
            "\r[{}{}] {:.1} of {total:.1} s, {messages} messages ",
            "#".repeat(done.min(WIDTH)),
            ".".repeat(WIDTH - done.min(WIDTH)),
            total - left
        ));
        self.shown = Some(shown.max(now));
        self.drawn = true;
    }
}

impl Drop for Progress {
    /// Leaves a clean line for the report, or for what went wrong.
    fn drop(&mut self) {
        if self.drawn {
            output::draw("\r\x1b[K");
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Counts are far below 2^53.
fn report(
    client: &Client,
    bench: &Bench,
    latencies: &Latencies,
    address: String,
    duration: Duration,
    bytes: u64,
) -> Result<(), Failure> {
    let seconds = duration.as_secs_f64();
    let (messages, latency) = (latencies.count(), latencies.summary());
    let Dialler { host, .. } = &client.dialler;
    let tls = client.options.tls.is_some();
    let (per_second, megabytes) = (messages as f64 / seconds, bytes as f64 / seconds / 1e6);
    if client.options.json {
        return super::print_json(&Report {
            mode: "bench",
            host,
            address,
            tls,
            connections: bench.connections,
            size_bytes: bench.size,
            depth: bench.depth,
            duration_s: seconds,
            messages,
            messages_per_s: per_second,
            bytes_each_way: bytes,
            megabytes_per_s_each_way: megabytes,
            latency,
        });
    }
    let kind = if tls { "TLS" } else { "plain" };
    let text = format!(
        "{host} ({address}), {kind}: {} sessions, {} bytes, depth {}, {seconds:.1} s\n\
         messages  {messages}, {per_second:.0} a second, every byte checked\n\
         data      {} each way, {megabytes:.1} MB a second\n\
         latency   p50 {:.3} ms, p90 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3}\n{latencies}",
        bench.connections,
        bench.size,
        bench.depth,
        stats::bytes(bytes),
        latency.p50_ms,
        latency.p90_ms,
        latency.p99_ms,
        latency.p999_ms,
        latency.max_ms,
    );
    super::print(text.trim_end())
}

/// Half of the time for full handshakes, half for resumed ones, one after the other.
fn handshakes(client: &mut Client, bench: &Bench) -> Result<Exit, Failure> {
    let half = bench.duration / 2;
    let full = Dialler::new(&client.options, false)?;
    let (full, interrupted) = count_handshakes(client, &full, half, false)?;
    let (resumed, interrupted) = if interrupted {
        (Handshakes::over(&Latencies::default(), half), true)
    } else {
        let resuming = Dialler::new(&client.options, true)?;
        count_handshakes(client, &resuming, half, true)?
    };
    let host = &client.dialler.host;
    if client.options.json {
        super::print_json(&HandshakeReport { mode: "handshakes", host, full, resumed })?;
    } else {
        for (kind, figures) in [("full", full), ("resumed", resumed)] {
            super::print(&format!(
                "{kind:<8} {} handshakes, {:.0} a second; connect and handshake p50 {:.3} ms, p99 {:.3}, max {:.3}",
                figures.count,
                figures.per_s,
                figures.time.p50_ms,
                figures.time.p99_ms,
                figures.time.max_ms
            ))?;
        }
    }
    Ok(if interrupted { Exit::Interrupted } else { Exit::Ok })
}

impl Handshakes {
    #[allow(clippy::cast_precision_loss)]
    fn over(latencies: &Latencies, duration: Duration) -> Self {
        let (count, seconds) = (latencies.count(), duration.as_secs_f64());
        Self {
            count,
            duration_s: seconds,
            per_s: count as f64 / seconds,
            time: latencies.summary(),
        }
    }
}

/// Connects, shakes hands, has one byte echoed (a server hands out tickets with its first data),
/// and says goodbye, until the time is over.
fn count_handshakes(
    client: &mut Client,
    dialler: &Dialler,
    time: Duration,
    resumed: bool,
) -> Result<(Handshakes, bool), Failure> {
    let mut latencies = Latencies::default();
    let start = Instant::now();
    let mut interrupted = false;
    let mut first = true;
    while start.elapsed() < time && !interrupted {
        let mut connection = dialler.dial(&mut client.waiter, &mut client.buffers)?;
        let agreed = connection.link.transport().agreed();
        let was_resumed = agreed.is_some_and(|agreed| agreed.resumed);
        if was_resumed == resumed {
            let handshake = connection.handshake_time.unwrap_or_default();
            latencies.record(connection.connect_time + handshake);
        } else if !first {
            return Err(Failure::new(
                Exit::Failure,
                "the server does not resume sessions; only full handshakes can be measured",
            ));
        }
        first = false;
        match super::ping::echo(client, &mut connection, 1, 1) {
            Ok(_) => {}
            Err(super::ping::Missed::Failed(Failed::Interrupted)) => interrupted = true,
            Err(missed) => return Err(missed.explain(dialler)),
        }
        connection.link.goodbye(&mut client.buffers);
    }
    Ok((Handshakes::over(&latencies, start.elapsed()), interrupted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_in_a_stream_is_found_where_it_is() {
        let pattern = Pattern::new();
        let sent = 3 * READ_SIZE as u64;
        let offset = READ_SIZE as u64 - 100;
        let mut came = pattern.piece(11, offset, 5000).to_vec();
        assert_eq!(check(&pattern, 11, offset, sent, &came), Ok(()));
        came[300] ^= 1;
        let difference = check(&pattern, 11, offset, sent, &came).unwrap_err();
        assert_eq!((difference.offset, difference.came), (offset + 300, came[300]));
        came[300] ^= 1;
        let difference = check(&pattern, 11, offset, offset + 10, &came).unwrap_err();
        assert_eq!((difference.offset, difference.sent), (offset + 10, None));
    }
}
