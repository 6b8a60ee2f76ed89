//! The report of a measurement, as text and as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::client::cli::Bench;
use crate::client::context::Client;
use crate::client::latency::{Latencies, Summary};
use crate::exit::Failure;
use crate::os::units;

/// What `bench --json` prints.
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

/// Prints the report.
#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
pub(super) fn print(
    client: &mut Client,
    bench: &Bench,
    latencies: &Latencies,
    address: SocketAddr,
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
            address: address.to_string(),
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
