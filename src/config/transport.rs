//! The transport of a listener, and what does not go with it.

use toml::Spanned;

use super::file::{LimitsTable, ListenerTable};
use super::problem::Problem;
use super::settings::{Service, Transport};

/// The transport of the listener of `table`. UDP has no sessions, so nothing that is about sessions may be there.
pub(super) fn transport(table: &ListenerTable) -> Result<Transport, Problem> {
    let Some(transport) = &table.transport else { return Ok(Transport::Tcp) };
    if *transport.get_ref() == Transport::Tcp {
        return Ok(Transport::Tcp);
    }
    if let Some(tls) = &table.tls {
        let message = "TLS needs transport = \"tcp\": there is no DTLS here";
        return Err(Problem::new(tls.span(), message));
    }
    if let Some(proxies) = &table.proxy_protocol {
        let message = "proxy-protocol needs transport = \"tcp\": a datagram is no connection";
        return Err(Problem::new(proxies.span(), message));
    }
    match table.service {
        Service::Echo | Service::Discard | Service::Report => {}
        Service::Chargen | Service::Web => {
            let name = table.service.name();
            let message = format!("service = \"{name}\" needs transport = \"tcp\"");
            return Err(Problem::new(transport.span(), message));
        }
    }
    let LimitsTable {
        max_sessions,
        max_sessions_per_address,
        handshake_timeout,
        idle_timeout,
        write_timeout,
        linger_timeout,
        // These belong to the daemon as a whole.
        drain_delay: _,
        drain_timeout: _,
        datagrams_per_second: _,
        datagrams_per_second_per_address: _,
    } = &table.limits;
    let counts = [max_sessions, max_sessions_per_address].map(|it| it.as_ref().map(Spanned::span));
    let timeouts = [handshake_timeout, idle_timeout, write_timeout, linger_timeout]
        .map(|it| it.as_ref().map(Spanned::span));
    match counts.into_iter().chain(timeouts).flatten().next() {
        Some(place) => {
            let message = "this is about sessions, which transport = \"udp\" does not have: \
                datagrams-per-second in [limits] is the limit on datagrams";
            Err(Problem::new(place, message))
        }
        None => Ok(Transport::Udp),
    }
}
