//! The comparison as Markdown.

use std::fmt::Write;

use super::results::{Alone, Cost, Measured, Memory, Report};
use crate::servers::{self, Transport};
use crate::stats::Spread;

/// All results, for people.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = format!(
        "# echo-alex and others\n\n{}; {}. {} rounds of {} s each, in which the servers take turns.\n",
        report.machine, report.network, report.rounds, report.seconds
    );
    for transport in Transport::ALL {
        let is_of_transport = |workload: &&Measured| workload.transport == transport;
        let of_transport: Vec<&Measured> =
            report.workloads.iter().filter(is_of_transport).collect();
        if !of_transport.is_empty() {
            costs(&mut text, transport, &of_transport);
        }
    }
    memory(&mut text, &report.memory);
    if let Some(figures) = &report.alone {
        alone(&mut text, figures);
    }
    if !report.remarks.is_empty() {
        text += "\n## Remarks\n\n";
        for remark in &report.remarks {
            line(&mut text, &format!("- {remark}"));
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    line(text, &format!("| {} |", cells.join(" | ")));
}

fn head(text: &mut String, cells: &[&str]) {
    row(text, cells.iter().map(ToString::to_string));
    row(text, cells.iter().map(|_| "---".to_owned()));
}

fn or_dash(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "-".to_owned())
}

fn find<'a>(measured: &'a Measured, server: &str) -> Option<&'a Cost> {
    measured.servers.iter().find(|cost| cost.server == server)
}

fn costs(text: &mut String, transport: Transport, workloads: &[&Measured]) {
    let (kind, reference) = (transport.title(), transport.reference());
    let mut servers: Vec<&str> = Vec::new();
    for cost in workloads.iter().flat_map(|workload| &workload.servers) {
        if !servers.contains(&cost.server) {
            servers.push(cost.server);
        }
    }
    line(text, &format!("\n## {kind}: processor time of the server, {reference} is 1\n"));
    line(text, "The median of the rounds, and the range.\n");
    let absolute = format!("{reference}, by itself");
    let titles: Vec<String> =
        servers.iter().map(|server| servers::title(server, transport)).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    head(text, &[&["workload"][..], &titles, &[absolute.as_str()]].concat());
    for workload in workloads {
        let ratios = servers
            .iter()
            .map(|server| or_dash(find(workload, server).and_then(|cost| cost.ratio).map(ratio)));
        let absolute = find(workload, reference).and_then(|cost| cost.cost_ns);
        let absolute = absolute.map(|cost| format!("{} a {}", time(cost.median), workload.unit));
        row(text, [workload.name.to_owned()].into_iter().chain(ratios).chain([or_dash(absolute)]));
    }
    line(text, &format!("\n### {kind}: load of the server's core and of the client's, in %\n"));
    head(text, &[&["workload"][..], &titles].concat());
    for workload in workloads {
        let busy = servers.iter().map(|server| {
            let cost = find(workload, server);
            or_dash(cost.and_then(|cost| {
                let (server, load) = (cost.server_busy?.median, cost.load_busy?.median);
                Some(format!("{:.0} / {:.0}", server * 100.0, load * 100.0))
            }))
        });
        row(text, [workload.name.to_owned()].into_iter().chain(busy));
    }
    let resuming: Vec<_> =
        workloads.iter().filter(|workload| workload.name.contains("resumed")).collect();
    if resuming.is_empty() {
        return;
    }
    line(text, "\n### Share of handshakes that resumed a session, in %\n");
    head(text, &[&["workload"][..], &titles].concat());
    for workload in resuming {
        let resumed = servers.iter().map(|server| {
            let share = find(workload, server).and_then(|cost| cost.resumed);
            or_dash(share.map(|share| format!("{:.1}", share.min * 100.0)))
        });
        row(text, [workload.name.to_owned()].into_iter().chain(resumed));
    }
}

fn ratio(spread: Spread) -> String {
    let [median, min, max] =
        [spread.median, spread.min, spread.max].map(|figure| format!("{figure:.2}"));
    if min == max { median } else { format!("{median} ({min}-{max})") }
}

fn time(nanoseconds: f64) -> String {
    if nanoseconds < 1e4 {
        format!("{nanoseconds:.0} ns")
    } else {
        format!("{:.1} µs", nanoseconds / 1e3)
    }
}

fn memory(text: &mut String, memory: &[Memory]) {
    if memory.is_empty() {
        return;
    }
    line(text, "\n## Memory: growth of resident anonymous memory\n");
    head(
        text,
        &[
            "server",
            "transport",
            "an idle session",
            "left after all have ended",
            "3 stalled readers",
        ],
    );
    let kib = |bytes: Option<u64>| or_dash(bytes.map(|bytes| format!("{} KiB", bytes / 1024)));
    for server in memory {
        row(
            text,
            [
                servers::title(server.server, server.transport),
                if server.transport == Transport::Tls { "TLS" } else { "plain" }.to_owned(),
                or_dash(server.idle_session.map(|bytes| format!("{bytes:.0} B"))),
                kib(server.left),
                kib(server.stalled),
            ],
        );
    }
}

fn alone(text: &mut String, alone: &Alone) {
    line(text, "\n## echo-alex alone\n");
    if let Some(ready) = alone.ready_ms {
        line(
            text,
            &format!(
                "- From its start to READY=1: {:.1} ms ({:.1}-{:.1}), with a temporary identity.",
                ready.median, ready.min, ready.max
            ),
        );
    }
    if let Some(calls) = alone.idle_calls {
        let seconds = alone.idle_seconds;
        line(text, &format!("- System calls in {seconds} s with 100 idle sessions: {calls}."));
    }
}
