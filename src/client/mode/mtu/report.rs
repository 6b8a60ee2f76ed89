//! What was found out about the path, as text and as JSON.

use std::fmt::Write;
use std::net::SocketAddr;

use serde::Serialize;

use crate::client::context::Client;
use crate::exit::Failure;
use crate::os::interface::Interface;

/// What limits the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Limit {
    /// The interface of this machine, and nothing behind it.
    Interface,
    /// The path, which says so.
    Path,
    /// Something that does not say so.
    BlackHole,
    /// Something that lets longer packets pass, but not as they were sent.
    Changed,
    /// It was not found out.
    Unknown,
}

/// What `mtu --json` prints. Lengths are in bytes.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) mode: &'static str,
    pub(super) host: String,
    pub(super) address: SocketAddr,
    /// The longest packet that came back, with the headers of IP and UDP.
    pub(super) packet_bytes: u32,
    /// The datagram in it.
    pub(super) datagram_bytes: u32,
    /// The shortest packet that did not come back.
    pub(super) lost_packet_bytes: Option<u32>,
    /// The longest packet that can pass, as the path says.
    pub(super) path_mtu: Option<u32>,
    pub(super) interface: Option<String>,
    pub(super) interface_mtu: Option<u32>,
    pub(super) limit: Limit,
    pub(super) explanation: String,
}

/// What was found out.
pub(super) struct Found {
    /// The longest packet that came back, and the shortest that did not.
    pub(super) arrived: u32,
    pub(super) lost: Option<u32>,
    /// What the path says.
    pub(super) said: Option<u32>,
    /// The interface of this machine.
    pub(super) interface: Option<Interface>,
    /// Longer packets came back changed.
    pub(super) is_changed: bool,
    /// The search ended with an answer.
    pub(super) is_over: bool,
}

impl Found {
    /// What limits the packets, and a sentence about it.
    pub(super) fn explain(&self) -> (Limit, String) {
        let Self { arrived, lost, said, is_changed, is_over, .. } = *self;
        if !is_over {
            return (Limit::Unknown, format!("{arrived} arrives; the search did not end"));
        }
        if let Some(said) = said.filter(|said| *said == arrived) {
            return (Limit::Path, format!("the path says {said}, and {arrived} arrives"));
        }
        if lost.is_none() {
            let all = match &self.interface {
                Some(interface) => {
                    format!("{arrived} arrives, as much as {} sends", interface.name)
                }
                None => format!("{arrived} arrives, as much as this machine sends"),
            };
            let said = said.map_or(String::new(), |said| {
                format!("; the path says {said}, which is wrong or out of date")
            });
            return (Limit::Interface, all + &said);
        }
        let mut text = said.map_or(String::new(), |said| format!("the path says {said}, but "));
        if is_changed {
            let _ = write!(text, "nothing larger than {arrived} comes back as it was sent");
            return (Limit::Changed, text);
        }
        let _ = write!(text, "nothing larger than {arrived} arrives");
        if said.is_none() {
            text += ", and no ICMP message reports it";
        }
        text += ": a black hole";
        (Limit::BlackHole, text)
    }
}

/// Prints the report.
pub(super) fn print(client: &mut Client, report: &Report) -> Result<(), Failure> {
    if client.options.json {
        return client.print_json(report);
    }
    let Report { packet_bytes, datagram_bytes, .. } = report;
    let ip = packet_bytes - datagram_bytes - super::path::UDP;
    let version = if report.address.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut lines = vec![
        format!("{} ({})", report.host, report.address),
        format!("datagram   {datagram_bytes} bytes come back whole"),
        format!("packet     {packet_bytes} bytes, with {ip} for {version} and 8 for UDP"),
    ];
    if let (Some(name), Some(mtu)) = (&report.interface, report.interface_mtu) {
        lines.push(format!("interface  {name} sends {mtu} bytes"));
    }
    lines.push(report.explanation.clone());
    client.print(&lines.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_held_against_what_the_path_says() {
        let found = |arrived, lost, said| Found {
            arrived,
            lost,
            said,
            interface: Some(Interface { name: "eth0".into(), mtu: 1500 }),
            is_changed: false,
            is_over: true,
        };
        for (found, limit, words) in [
            (found(1500, None, None), Limit::Interface, "1500 arrives, as much as eth0 sends"),
            (
                found(1500, None, Some(1400)),
                Limit::Interface,
                "1500 arrives, as much as eth0 sends; the path says 1400, which is wrong or out of date",
            ),
            (
                found(1420, Some(1421), Some(1420)),
                Limit::Path,
                "the path says 1420, and 1420 arrives",
            ),
            (
                found(1380, Some(1381), None),
                Limit::BlackHole,
                "nothing larger than 1380 arrives, and no ICMP message reports it: a black hole",
            ),
            (
                found(1380, Some(1381), Some(1420)),
                Limit::BlackHole,
                "the path says 1420, but nothing larger than 1380 arrives: a black hole",
            ),
            (
                Found { is_changed: true, ..found(540, Some(541), None) },
                Limit::Changed,
                "nothing larger than 540 comes back as it was sent",
            ),
            (
                Found { is_over: false, ..found(540, Some(1500), None) },
                Limit::Unknown,
                "540 arrives; the search did not end",
            ),
            (
                Found { interface: None, ..found(65_535, None, None) },
                Limit::Interface,
                "65535 arrives, as much as this machine sends",
            ),
        ] {
            assert_eq!(found.explain(), (limit, words.to_owned()));
        }
    }
}
