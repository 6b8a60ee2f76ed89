//! Measure: many sessions in one loop, each full of messages, every returned byte checked.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use mio::Token;
use serde::Serialize;

use crate::client::Client;
use crate::client::cli::{Bench, Handshakes as HandshakeOptions};
use crate::client::dial::{Came, Connection};
use crate::client::expect::{Difference, Expected};
use crate::client::latency::{Latencies, Summary};
use crate::client::printer::Printer;
use crate::client::stop::{Failed, Stop};
use crate::exit::{Exit, Failure};
use crate::os::descriptors::{self, Shortage};
use crate::os::units;
use crate::wire::buffers::{Buffers, READ_SIZE};

/// How many bytes a session sends before the next has its turn, and Ctrl-C is seen.
const TURN: u64 = 1024 * 1024;

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
    connection: Connection,
    /// Its index among the sessions, and its token.
    number: usize,
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

/// Raises the soft limit on descriptors to what the sessions need.
pub fn prepare(bench: &Bench) -> Result<(), Failure> {
    descriptors::raise_soft_limit(bench.connections).map_err(|shortage| match shortage {
        Shortage::Hard { needed, maximum } => Failure::new(
            Exit::Failure,
            format!(
                "--connections {} needs {needed} descriptors, and this process may have {maximum}: \
                 take fewer, or raise the hard limit (ulimit -Hn)",
                bench.connections
            ),
        ),
        Shortage::Refused(error) => {
            Failure::system("cannot raise the limit on descriptors", &error)
        }
    })
}

/// Measures for the time that was asked for; `first` is the first of the connections.
pub fn run(client: &mut Client, first: Connection, bench: &Bench) -> Result<(), Stop> {
    let pattern = Pattern::new();
    let address = first.address;
    let mut loads = vec![Load::new(first, 0, client)?];
    for number in 1..bench.connections {
        let connection = client.dial()?;
        loads.push(Load::new(connection, number, client)?);
    }
    let mut latencies = Latencies::default();
    let start = Instant::now();
    let end = start + bench.duration;
    let mut progress = Progress::new(client, bench.duration, end);
    let outcome = drive(client, bench, &pattern, &mut loads, &mut latencies, &mut progress);
    progress.clear(&mut client.printer);
    if let Err(Stop::Failed(_)) = outcome {
        return outcome;
    }
    let duration = start.elapsed();
    for load in &mut loads {
        load.connection.goodbye(&mut client.buffers);
    }
    let bytes: u64 = loads.iter().map(|load| load.received).sum();
    report(client, bench, &latencies, address.to_string(), duration, bytes)?;
    outcome
}

/// Keeps every session full until the end, and then waits for what is on its way.
fn drive(
    client: &mut Client,
    bench: &Bench,
    pattern: &Pattern,
    loads: &mut [Load],
    latencies: &mut Latencies,
    progress: &mut Progress,
) -> Result<(), Stop> {
    let end = progress.end;
    // The sessions that can send more without waiting for an event.
    let mut ready: Vec<usize> = (0..loads.len()).collect();
    loop {
        let now = Instant::now();
        progress.show(now, latencies.count(), &mut client.printer);
        let sending = now < end;
        for number in std::mem::take(&mut ready) {
            if loads[number].advance(bench, pattern, latencies, &mut client.buffers, sending)? {
                ready.push(number);
            }
        }
        if !sending && loads.iter().all(|load| load.starts.is_empty()) {
            return Ok(());
        }
        let until = if sending { end } else { end + client.options.timeout };
        if now >= until {
            return Err(Failed::TimedOut("echo").into());
        }
        let until = if ready.is_empty() { progress.limit(until, now) } else { now };
        client.waiter.wait(Some(until))?;
        ready.extend(client.waiter.events().map(|Token(number)| number));
    }
}

impl Load {
    /// The session with this number.
    fn new(mut connection: Connection, number: usize, client: &Client) -> Result<Self, Failure> {
        connection.set_token(Token(number), &client.waiter)?;
        let phase = number.wrapping_mul(7919) % READ_SIZE;
        let starts = VecDeque::new();
        Ok(Self { connection, number, phase, sent: 0, received: 0, begun: 0, starts })
    }

    /// Reads all that has arrived, and sends up to [`TURN`]; returns whether there is more to send.
    fn advance(
        &mut self,
        bench: &Bench,
        pattern: &Pattern,
        latencies: &mut Latencies,
        buffers: &mut Buffers,
        sending: bool,
    ) -> Result<bool, Stop> {
        // Before sending: what has arrived already is not an echo of what is sent now.
        self.take(bench, pattern, latencies, buffers)?;
        if sending {
            while self.starts.len() < bench.depth {
                self.starts.push_back(Instant::now());
                self.begun += bench.size as u64;
            }
        }
        self.connection.flush()?;
        let limit = self.begun.min(self.sent + TURN);
        while self.connection.is_flushed() && self.sent < limit {
            let length = usize::try_from(self.begun - self.sent).unwrap_or(READ_SIZE);
            let piece = pattern.piece(self.phase, self.sent, length.min(READ_SIZE));
            self.connection.send(piece, buffers)?;
            self.sent += piece.len() as u64;
        }
        Ok(self.connection.is_flushed() && self.sent < self.begun)
    }

    /// Reads and checks what has arrived.
    fn take(
        &mut self,
        bench: &Bench,
        pattern: &Pattern,
        latencies: &mut Latencies,
        buffers: &mut Buffers,
    ) -> Result<(), Stop> {
        let number = self.number;
        loop {
            match self.connection.read(buffers)? {
                Came::Nothing => return Ok(()),
                Came::End(_) => {
                    let missing = self.begun - self.received;
                    return Err(crate::client::failed(format!(
                        "session {number}: the server closed it, {missing} bytes did not come back"
                    )));
                }
                Came::Bytes(bytes) => {
                    check(pattern, self.phase, self.received, self.sent, bytes).map_err(
                        |difference| {
                            crate::client::failed(format!("session {number}: {difference}"))
                        },
                    )?;
                    self.received += bytes.len() as u64;
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

    /// The earlier of `until` and the next move of the bar.
    fn limit(&self, until: Instant, now: Instant) -> Instant {
        if self.shown.is_some() { until.min(now + PROGRESS) } else { until }
    }

    fn show(&mut self, now: Instant, messages: u64, printer: &mut Printer) {
        const WIDTH: usize = 30;

        let Some(shown) = self.shown.filter(|shown| now >= *shown + PROGRESS) else { return };
        // A stopped terminal (Ctrl-S) does not need every state of the bar later.
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
            "\r[{}{}] {:.1} of {total:.1} s, {messages} messages ",
            "#".repeat(done.min(WIDTH)),
            ".".repeat(WIDTH - done.min(WIDTH)),
            total - left
        ));
        self.shown = Some(shown.max(now));
        self.drawn = true;
    }

    /// Leaves a clean line for the report, or for what went wrong.
    fn clear(&self, printer: &mut Printer) {
        if self.drawn {
            printer.draw("\r\x1b[K".into());
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Counts are far below 2^53.
fn report(
    client: &mut Client,
    bench: &Bench,
    latencies: &Latencies,
    address: String,
    duration: Duration,
    bytes: u64,
) -> Result<(), Failure> {
    let seconds = duration.as_secs_f64();
    let (messages, latency) = (latencies.count(), latencies.summary());
    let host = client.dialler.host.clone();
    let tls = client.options.tls.is_some();
    let (per_second, megabytes) = (messages as f64 / seconds, bytes as f64 / seconds / 1e6);
    if client.options.json {
        return client.print_json(&Report {
            mode: "bench",
            host: &host,
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
        units::bytes(bytes),
        latency.p50_ms,
        latency.p90_ms,
        latency.p99_ms,
        latency.p999_ms,
        latency.max_ms,
    );
    client.print(text.trim_end());
    Ok(())
}

/// Half of the time for full handshakes, half for resumed ones, one after the other.
pub fn handshakes(
    client: &mut Client,
    mut first: Connection,
    handshakes: &HandshakeOptions,
) -> Result<(), Stop> {
    first.goodbye(&mut client.buffers);
    let half = handshakes.duration / 2;
    let (full, mut outcome) = count_handshakes(client, half, false)?;
    let mut resumed = Handshakes::over(&Latencies::default(), half);
    if outcome.is_ok() {
        (resumed, outcome) = count_handshakes(client, half, true)?;
    }
    if client.options.json {
        let host = client.dialler.host.clone();
        client.print_json(&HandshakeReport { mode: "handshakes", host: &host, full, resumed })?;
    } else {
        for (kind, figures) in [("full", full), ("resumed", resumed)] {
            client.print(&format!(
                "{kind:<8} {} handshakes, {:.0} a second; connect and handshake p50 {:.3} ms, p99 {:.3}, max {:.3}",
                figures.count,
                figures.per_s,
                figures.time.p50_ms,
                figures.time.p99_ms,
                figures.time.max_ms
            ));
        }
    }
    outcome
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
/// and says goodbye, until the time is over, or Ctrl-C: then the figures come with it.
fn count_handshakes(
    client: &mut Client,
    time: Duration,
    resumed: bool,
) -> Result<(Handshakes, Result<(), Stop>), Stop> {
    client.dialler.forget_sessions(resumed)?;
    let mut latencies = Latencies::default();
    let start = Instant::now();
    let mut outcome = Ok(());
    let mut first = true;
    while start.elapsed() < time && outcome.is_ok() {
        outcome = match shake_hands(client, resumed, first, &mut latencies) {
            Err(Stop::Failed(failed)) => return Err(failed.into()),
            outcome => outcome,
        };
        first = false;
    }
    Ok((Handshakes::over(&latencies, start.elapsed()), outcome))
}

fn shake_hands(
    client: &mut Client,
    resumed: bool,
    first: bool,
    latencies: &mut Latencies,
) -> Result<(), Stop> {
    let mut connection = client.dial()?;
    let was_resumed = connection.agreed().is_some_and(|agreed| agreed.resumed);
    if was_resumed == resumed {
        let handshake = connection.handshake_time.unwrap_or_default();
        latencies.record(connection.connect_time + handshake);
    } else if !first {
        return Err(crate::client::failed(
            "the server does not resume sessions; only full handshakes can be measured",
        ));
    }
    super::ping::echo(client, &mut connection, 1, 1)?;
    connection.goodbye(&mut client.buffers);
    Ok(())
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
