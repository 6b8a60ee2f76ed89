//! `bench --loaded-latency`: the latency of messages, first alone and then beside streams that load the
//! way to the server, the way back, or both.

use std::time::{Duration, Instant};

use mio::Token;
use serde::Serialize;

use super::conditions::{Conditions, processor_time};
use super::flow::Flow;
use super::report::{client_was_bottleneck, kind};
use super::stream::{Service, Stream};
use crate::client::cli::Bench;
use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::error::{Awaited, Error};
use crate::client::latency::Summary;
use crate::client::load::Load;
use crate::client::pattern::Pattern;
use crate::client::progress::Progress;
use crate::client::recorder::Recorder;
use crate::client::schedule::Schedule;
use crate::exit::Failure;

/// Messages a second, unless the user wants another number.
const RATE: u64 = 100;

/// The longest time that streams have to fill the line before messages are measured.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// The last object that is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    mode: &'static str,
    host: &'a str,
    address: String,
    tls: bool,
    connections: usize,
    size_bytes: usize,
    rate_per_s: u64,
    duration_s: f64,
    phases: &'a [Phase],
    valid: bool,
    #[serde(flatten)]
    conditions: &'a Conditions,
    client_load: f64,
}

/// A part of the measurement, with its figures.
#[derive(Serialize)]
struct Phase {
    load: &'static str,
    messages: u64,
    up_megabytes_per_s: f64,
    down_megabytes_per_s: f64,
    latency: Summary,
    late: Summary,
    #[serde(skip)]
    doubt: Option<String>,
}

/// What loads the line in a part.
struct Background {
    name: &'static str,
    /// The service and its port.
    server: Option<(Service, u16)>,
}

/// Measures each part. `first` is the session of the messages.
pub fn run(client: &mut Client, mut first: Connection, bench: &Bench) -> Result<(), Error> {
    client.waiter.be_precise()?;
    let conditions = Conditions::find(client, Some(&mut first))?;
    let address = first.address;
    let mut probe = Load::new(first, 0, bench.size, client)?;
    let backgrounds = backgrounds(bench, client.options.port);
    let part = bench.duration / u32::try_from(backgrounds.len()).unwrap_or(1);
    let (start, processor) = (Instant::now(), processor_time());
    let mut progress = Progress::new(client, bench.duration, start + bench.duration, "messages");
    let mut phases = Vec::new();
    let mut outcome = Ok(());
    for background in &backgrounds {
        let measured = measure(client, &mut probe, bench, background, part, &mut progress);
        match measured {
            Ok(phase) => phases.push(phase),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    progress.clear(&mut client.printer);
    probe.connection.goodbye(&mut client.buffers);
    let elapsed = start.elapsed().as_secs_f64();
    let doubt = phases.iter().find_map(|phase| phase.doubt.clone());
    let report = Report {
        mode: "loaded-latency",
        host: &client.options.host.clone(),
        address: address.to_string(),
        tls: client.options.tls.is_some(),
        connections: bench.connections,
        size_bytes: bench.size,
        rate_per_s: bench.rate.unwrap_or(RATE),
        duration_s: elapsed,
        phases: &phases,
        valid: doubt.is_none(),
        conditions: &conditions,
        client_load: processor_time().saturating_sub(processor).as_secs_f64() / elapsed,
    };
    if !phases.is_empty() {
        print(client, &report)?;
    }
    outcome?;
    doubt.map_or(Ok(()), |doubt| Err(Error::InvalidRun(doubt)))
}

/// The parts: nothing else first, and then what the server can do.
fn backgrounds(bench: &Bench, port: u16) -> Vec<Background> {
    let one = |name, service, port: Option<u16>| {
        port.map(|port| Background { name, server: Some((service, port)) })
    };
    let idle = Background { name: "idle", server: None };
    let up = one("up", Service::Discard, bench.discard_port);
    let down = one("down", Service::Chargen, bench.chargen_port);
    let both = one("both", Service::Echo, Some(port));
    [Some(idle), up, down, both].into_iter().flatten().collect()
}

/// Opens the streams of a part.
fn open(client: &mut Client, background: &Background, count: usize) -> Result<Vec<Stream>, Error> {
    let Some((service, port)) = background.server else { return Ok(Vec::new()) };
    client.dialler.set_port(port);
    let mut streams = Vec::new();
    for token in 1..=count {
        let connection = client.dial()?;
        streams.push(Stream::new(connection, service, token, client)?);
    }
    Ok(streams)
}

/// Measures one part, for `time`.
#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
fn measure(
    client: &mut Client,
    probe: &mut Load,
    bench: &Bench,
    background: &Background,
    time: Duration,
    progress: &mut Progress,
) -> Result<Phase, Error> {
    let pattern = Pattern::new();
    let mut streams = open(client, background, bench.connections)?;
    let settle = (time / 4).min(SETTLE_MAX);
    let start = Instant::now() + settle;
    let time = time.saturating_sub(settle);
    let end = start + time;
    let timeout = client.options.timeout;
    let mut schedule = Schedule::new(start, bench.rate.unwrap_or(RATE), time);
    let mut recorder = Recorder::new(false);
    let mut ready: Vec<usize> = (0..=streams.len()).collect();
    let mut before: Option<(Instant, u64, u64)> = None;
    loop {
        let now = Instant::now();
        progress.show(now, recorder.latencies.count(), &mut client.printer);
        if before.is_none() && now >= start {
            let (up, down) = sum(&streams);
            before = Some((now, up, down));
        }
        while let Some(due) = schedule.due().filter(|due| *due <= now) {
            probe.begin(due);
            probe.send(&pattern, &mut client.buffers)?;
            recorder.late.record(due.elapsed());
            schedule.next += 1;
        }
        let is_over = schedule.due().is_none();
        if is_over && now >= end && probe.in_flight() == 0 {
            break;
        }
        if now >= end + timeout {
            return Err(Error::TimedOut { what: Awaited::Echo, timeout });
        }
        ready.sort_unstable();
        ready.dedup();
        for number in std::mem::take(&mut ready) {
            let can_go_on = match number.checked_sub(1) {
                None => {
                    Flow::receive(probe, &pattern, &mut recorder, client)?;
                    probe.send(&pattern, &mut client.buffers)?
                }
                Some(stream) => match streams.get_mut(stream) {
                    Some(stream) => stream
                        .turn(&pattern, &mut client.buffers)
                        .map_err(|error| error.in_session(number))?,
                    None => false,
                },
            };
            if can_go_on {
                ready.push(number);
            }
        }
        let until = if ready.is_empty() {
            let deadline = if now < end { end } else { end + timeout };
            progress.limit(schedule.due().unwrap_or(deadline), now)
        } else {
            now
        };
        client.waiter.wait(Some(until))?;
        ready.extend(client.waiter.events().map(|Token(number)| number));
    }
    let (since, up_before, down_before) = before.unwrap_or((start, 0, 0));
    let seconds = since.elapsed().as_secs_f64();
    let (up, down) = sum(&streams);
    let rate = |bytes: u64| bytes as f64 / seconds / 1e6;
    let (latency, late) = (recorder.latencies.summary(), recorder.late.summary());
    Ok(Phase {
        load: background.name,
        messages: recorder.latencies.count(),
        up_megabytes_per_s: rate(up - up_before),
        down_megabytes_per_s: rate(down - down_before),
        latency,
        late,
        doubt: client_was_bottleneck(&late, &latency),
    })
}

/// The bytes of all streams, sent and received.
fn sum(streams: &[Stream]) -> (u64, u64) {
    streams
        .iter()
        .map(Stream::bytes)
        .fold((0, 0), |(up, down), (sent, received)| (up + sent, down + received))
}

fn print(client: &mut Client, report: &Report) -> Result<(), Failure> {
    if client.options.json {
        return client.print_json_line(report);
    }
    let mut lines = vec![
        format!(
            "{} ({}), {}: latency of {} messages of {} bytes a second, beside {} streams",
            report.host,
            report.address,
            kind(&client.options),
            report.rate_per_s,
            report.size_bytes,
            report.connections
        ),
        "load   MB/s up    down   p50 ms     p90     p99     max  messages".to_owned(),
    ];
    for phase in report.phases {
        let Summary { p50_ms, p90_ms, p99_ms, max_ms, .. } = phase.latency;
        lines.push(format!(
            "{:<5} {:>9.1} {:>7.1} {p50_ms:>8.3} {p90_ms:>7.3} {p99_ms:>7.3} {max_ms:>7.3} {:>9}",
            phase.load, phase.up_megabytes_per_s, phase.down_megabytes_per_s, phase.messages
        ));
    }
    let late = report.phases.iter().map(|phase| phase.late.p99_ms).fold(0.0, f64::max);
    lines.push(format!(
        "client {:.0}% of a processor, late by at most p99 {late:.3} ms, timer error {:.3} ms",
        report.client_load * 100.0,
        report.conditions.timer_error_ms
    ));
    client.print(&lines.join("\n"));
    Ok(())
}
