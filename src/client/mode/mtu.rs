//! `mtu`: the largest datagram that comes back whole, without fragments, and what the path says about it.

mod loss;
mod path;
mod prober;
mod report;
mod search;

use crate::client::context::Client;
use crate::client::error::Error;
use crate::os::interface::Interface;
use path::Path;
use prober::Prober;
use report::{Found, Limit, Report};
use search::Fate;

/// Searches, and prints what was found out. If it is interrupted, it prints what is known.
pub fn run(client: &mut Client) -> Result<(), Error> {
    let host = client.dialler.host.clone();
    let datagrams = client.dial_datagrams()?;
    let address = datagrams.address;
    let path = Path::new(datagrams)?;
    let (headers, longest) = (path.headers(), path.longest());
    let interface = Interface::towards(address);
    let most = interface.as_ref().map_or(longest, |it| it.mtu.min(longest));
    let mut prober = Prober::new(path, most, client.options.timeout);
    // What an interface sends says nothing about the path.
    let said = |prober: &Prober| {
        prober.path_mtu().filter(|mtu| interface.as_ref().is_none_or(|it| *mtu < it.mtu))
    };
    let shows = !client.options.quiet && !client.options.json;
    let Client { waiter, printer, .. } = client;
    let what = || format!("searching for the MTU of the path to {host}");
    let outcome = waiter.during(what, |waiter| {
        prober.begin(waiter)?;
        prober.search(waiter, said, |length, fate| {
            if shows {
                printer.note(format_args!("{length} bytes: {}", in_words(fate)));
            }
        })
    });
    let is_requested = outcome.as_ref().is_err_and(Error::is_requested);
    if outcome.is_err() && !(is_requested && prober.is_answered()) {
        return outcome;
    }
    let said = said(&prober);
    let found = Found {
        arrived: prober.search.arrived(),
        lost: prober.search.lost(),
        said,
        interface,
        is_changed: prober.changed > prober.search.arrived(),
        is_over: outcome.is_ok(),
    };
    let (limit, explanation) = found.explain();
    let (name, mtu) = found.interface.map(|it| (it.name, it.mtu)).unzip();
    let report = Report {
        mode: "mtu",
        host,
        address,
        packet_bytes: found.arrived,
        datagram_bytes: found.arrived - headers,
        lost_packet_bytes: found.lost,
        path_mtu: said,
        interface: name,
        interface_mtu: mtu,
        limit,
        explanation,
    };
    report::print(client, &report)?;
    outcome?;
    match limit {
        Limit::BlackHole | Limit::Changed => Err(Error::LongPacketsLost(found.arrived)),
        _ => Ok(()),
    }
}

fn in_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Arrived => "came back",
        Fate::TooLong => "too long, says the path",
        Fate::Silent => "no echo",
    }
}
