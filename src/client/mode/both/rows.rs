//! The two views side by side: a row for each thing that both ends see, and what a difference means.

use std::net::SocketAddr;

use serde::Serialize;

use super::view::{Tls, View};
use crate::os::tcp_info::TcpInfo;

/// What time stamps take of each segment, in bytes (RFC 7323 §3.2).
const TIMESTAMPS: u32 = 12;

/// The longest MSS whose arrival can be seen: a kernel sends no segment longer than half of the peer's first
/// window, which on a loopback device is less than its MSS.
const MSS_MAX: u32 = 16_384;

/// One thing that both ends see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it is.
    pub name: &'static str,
    /// As the client sees it.
    pub client: String,
    /// As the server sees it.
    pub server: String,
    /// What stands out, if something does.
    pub finding: Option<Finding>,
}

/// What a difference means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A sentence or more.
    pub explanation: String,
    /// It shows that something in between changed what was sent, not only how it travelled.
    pub is_change: bool,
}

impl Row {
    fn new(name: &'static str, client: impl Into<String>, server: impl Into<String>) -> Self {
        Self { name, client: client.into(), server: server.into(), finding: None }
    }

    /// With this explanation, if there is one.
    fn explained(self, explanation: Option<String>) -> Self {
        let finding = explanation.map(|explanation| Finding { explanation, is_change: false });
        Self { finding, ..self }
    }

    /// With this explanation if the two ends differ, which shows that the connection is not what it was sent as.
    fn must_agree(self, explanation: &str) -> Self {
        let finding = (self.client != self.server)
            .then(|| Finding { explanation: explanation.into(), is_change: true });
        Self { finding, ..self }
    }
}

/// All rows.
pub fn rows(client: &View, server: &View) -> Vec<Row> {
    let mut rows = vec![
        client_address(client.client_address, server.client_address),
        server_address(client.server_address, server.server_address),
        Row::new("bytes", client.bytes.to_string(), server.bytes.to_string()).must_agree(
            "the server received another number of bytes than the client sent: something in between \
             drops or adds some",
        ),
        Row::new("pieces", counted(client.pieces, "write"), counted(server.pieces, "read")),
    ];
    let is_ipv4 = client.client_address.is_ipv4();
    match (&client.tcp, &server.tcp) {
        (Some(client), Some(server)) => rows.extend(tcp(client, server, is_ipv4)),
        (client, server) => {
            let known = |tcp: &Option<TcpInfo>| if tcp.is_some() { "known" } else { "not known" };
            rows.push(Row::new("TCP_INFO", known(client), known(server)));
        }
    }
    match (&client.tls, &server.tls) {
        (Some(client), Some(server)) => rows.extend(tls(client, server)),
        (None, None) => {}
        (client, server) => {
            let version = |tls: &Option<Tls>| tls.as_ref().map(|it| format!("TLS {}", it.version));
            rows.push(
                Row::new("transport", or(version(client), "plain"), or(version(server), "plain"))
                    .must_agree("TLS ends at something in between"),
            );
        }
    }
    rows
}

/// Addresses are the same if they are without the interface of a link-local address, which is that of each end.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
}

fn client_address(own: SocketAddr, seen: SocketAddr) -> Row {
    let explanation = (!is_same(own, seen)).then(|| {
        if own.ip().to_canonical() == seen.ip() {
            format!(
                "the server saw your port as {}: there is a NAT or a proxy in between",
                seen.port()
            )
        } else {
            format!("the server saw your address as {seen}: there is a NAT or a proxy in between")
        }
    });
    Row::new("client's address", own.to_string(), seen.to_string()).explained(explanation)
}

fn server_address(used: Option<SocketAddr>, own: Option<SocketAddr>) -> Row {
    let text = |address: Option<SocketAddr>| or(address.map(|it| it.to_string()), "not known");
    let row = Row::new("server's address", text(used), text(own));
    let (Some(used), Some(own)) = (used, own) else { return row };
    row.explained((!is_same(used, own)).then(|| {
        format!(
            "the server's own address is {own}: something in between forwards to it, such as a NAT, \
             a load balancer or a proxy"
        )
    }))
}

fn tcp(client: &TcpInfo, server: &TcpInfo, is_ipv4: bool) -> Vec<Row> {
    let mtus = (client.path_mtu, server.path_mtu);
    // Those of IP and TCP without options, and the options of each segment, on which both ends agreed.
    let headers = (if is_ipv4 { 40 } else { 60 }, if client.timestamps { TIMESTAMPS } else { 0 });
    vec![
        mss("MSS of the client", client, server, headers, false),
        mss("MSS of the server", server, client, headers, true),
        Row::new("path MTU", mtus.0.to_string(), mtus.1.to_string()).explained(
            (mtus.0 != mtus.1).then(|| {
                "each end knows the MTU of its own link, or a smaller one that it has learnt of the path"
                    .into()
            }),
        ),
        Row::new("round trip (kernel)", round_trip(client), round_trip(server)),
        Row::new("segments sent again", client.retransmits.to_string(), server.retransmits.to_string())
            .explained(ways(
                (client.retransmits, server.retransmits),
                "segments, or their acknowledgements, were lost or late",
            )),
        Row::new("out of order", count(client.out_of_order), count(server.out_of_order)).explained(
            // Each end counts what arrives.
            ways(
                (server.out_of_order.unwrap_or(0), client.out_of_order.unwrap_or(0)),
                "segments overtook others, or came again",
            ),
        ),
        Row::new("congestion control", congestion(client), congestion(server)),
    ]
}

/// The MSS that `teller` sent in its SYN, and what the other end sends at most since.
fn mss(
    name: &'static str,
    teller: &TcpInfo,
    sender: &TcpInfo,
    (headers, options): (u32, u32),
    swap: bool,
) -> Row {
    let told = teller.advertised_mss.saturating_add(options);
    let came = sender.send_mss.saturating_add(options);
    let is_known = told <= MSS_MAX;
    let explanation = if told == came || !is_known {
        None
    } else if came < told && came.saturating_add(headers) >= sender.path_mtu {
        Some(format!("MSS {told} was sent, and a path MTU of {} allows less", sender.path_mtu))
    } else {
        Some(format!("MSS {told} was sent, {came} came: something in between rewrites it"))
    };
    let came = if is_known { format!("{came} came") } else { "not known".into() };
    let told = format!("{told} sent");
    let row = if swap { Row::new(name, came, told) } else { Row::new(name, told, came) };
    row.explained(explanation)
}

/// What happened how often on the way to the server and on the way back, if it did.
fn ways(counts: (u32, u32), what: &str) -> Option<String> {
    let way = match counts {
        (0, 0) => return None,
        (_, 0) => "on the way to the server",
        (0, _) => "on the way back",
        _ => "in both directions",
    };
    Some(format!("{way}, {what}"))
}

#[allow(clippy::cast_precision_loss)] // Times have fewer digits.
fn round_trip(info: &TcpInfo) -> String {
    let ms = |microseconds: u32| f64::from(microseconds) / 1e3;
    match info.min_rtt_us {
        Some(least) => format!("{:.3} ms, least {:.3}", ms(info.rtt_us), ms(least)),
        None => format!("{:.3} ms", ms(info.rtt_us)),
    }
}

fn congestion(info: &TcpInfo) -> String {
    let name = info.congestion_control.as_deref().unwrap_or("not known");
    format!("{name}, window {}", info.congestion_window)
}

/// "1 read", "2 reads".
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn count(number: Option<u32>) -> String {
    or(number.map(|it| it.to_string()), "not known")
}

fn or(text: Option<String>, other: &str) -> String {
    text.unwrap_or_else(|| other.to_owned())
}

fn tls(client: &Tls, server: &Tls) -> Vec<Row> {
    const OTHER: &str = "the two ends have different TLS sessions";

    let row = |name, value: &dyn Fn(&Tls) -> String| {
        Row::new(name, value(client), value(server)).must_agree(OTHER)
    };
    let digest = |tls: &Tls| match &tls.client_hello_sha256 {
        Some(digest) => format!("SHA-256 {}…", digest.chars().take(16).collect::<String>()),
        None => "not known".into(),
    };
    let hello = Row::new("ClientHello", digest(client), digest(server));
    let is_known = client.client_hello_sha256.is_some() && server.client_hello_sha256.is_some();
    let hello = if is_known {
        hello.must_agree(
            "the ClientHello arrived changed: something in between ends TLS and begins a session of \
             its own with the server",
        )
    } else {
        hello
    };
    vec![
        hello,
        row("TLS version", &|it| it.version.clone()),
        row("cipher suite", &|it| it.cipher_suite.clone()),
        row("group", &|it| or(it.group.clone(), "none")),
        row("handshake", &|it| {
            match (it.resumed, it.retried) {
                (true, _) => "resumed",
                (false, true) => "full, after HelloRetryRequest",
                (false, false) => "full",
            }
            .into()
        }),
        row("server name (SNI)", &|it| or(it.sni.clone(), "none")),
        row("ALPN offered", &|it| listed(&it.alpn_offered)),
        row("ALPN", &|it| or(it.alpn.clone(), "none")),
        schemes(client, server),
        client_certificate(client, server),
    ]
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn schemes(client: &Tls, server: &Tls) -> Row {
    let (sent, came) = (&client.signature_schemes_offered, &server.signature_schemes_offered);
    let count = |list: &[String]| counted(list.len() as u64, "scheme");
    let row = Row::new("signatures offered", count(sent), count(came));
    let finding = (sent != came).then(|| Finding {
        explanation: format!("sent: {}; came: {}", listed(sent), listed(came)),
        is_change: true,
    });
    Row { finding, ..row }
}

/// A server that does not ask for a certificate gets none.
fn client_certificate(client: &Tls, server: &Tls) -> Row {
    let own = or(client.client_certificate.clone(), "none");
    match &server.client_certificate {
        None if client.client_certificate.is_some() => {
            Row::new("client certificate", own, "not asked for")
        }
        seen => Row::new("client certificate", own, or(seen.clone(), "none"))
            .must_agree("the server saw another certificate than the client's"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An end that told its peer this MSS, and may send segments of that length over a path of this MTU.
    fn end(advertised_mss: u32, send_mss: u32, path_mtu: u32) -> TcpInfo {
        TcpInfo { send_mss, advertised_mss, path_mtu, ..TcpInfo::default() }
    }

    fn of_mss(client: &TcpInfo, server: &TcpInfo, is_ipv4: bool) -> [Row; 2] {
        let mut rows = tcp(client, server, is_ipv4);
        rows.truncate(2);
        rows.try_into().unwrap()
    }

    #[test]
    fn an_mss_that_was_rewritten_is_told_from_a_small_path_mtu() {
        let why = |row: &Row| row.finding.as_ref().map(|it| it.explanation.clone());
        let usual = end(1460, 1460, 1500);
        assert!(of_mss(&usual, &usual, true).iter().all(|row| row.finding.is_none()));
        // Something in between rewrites what the client sends.
        let [of_client, of_server] = of_mss(&usual, &end(1460, 1200, 1500), true);
        assert_eq!(
            (of_client.client.as_str(), of_client.server.as_str()),
            ("1460 sent", "1200 came")
        );
        let words = "MSS 1460 was sent, 1200 came: something in between rewrites it";
        assert_eq!((why(&of_client).as_deref(), why(&of_server)), (Some(words), None));
        // And what the server sends; it can also be more.
        let [of_client, of_server] = of_mss(&end(1460, 1460, 1500), &end(1400, 1460, 1500), true);
        assert_eq!(
            (of_server.client.as_str(), of_server.server.as_str()),
            ("1460 came", "1400 sent")
        );
        assert!(why(&of_client).is_none() && why(&of_server).unwrap().contains("1460 came: some"));
        // The server's link is smaller.
        for (mss, is_ipv4) in [(1360, true), (1340, false)] {
            let [of_client, _] = of_mss(&usual, &end(1460, mss, 1400), is_ipv4);
            let words = "MSS 1460 was sent, and a path MTU of 1400 allows less";
            assert_eq!(why(&of_client).as_deref(), Some(words));
        }
        // Half of the first window is less than the MSS of a loopback device.
        let [of_client, _] =
            of_mss(&end(65_483, 32_741, 65_535), &end(65_483, 32_741, 65_535), true);
        assert_eq!(of_client.finding, None);
    }

    #[test]
    fn time_stamps_count_as_part_of_a_segment() {
        let with = TcpInfo { timestamps: true, ..end(1448, 1188, 1500) };
        // The two ends agree on time stamps, so it is enough that one tells.
        let [of_client, _] = of_mss(&with, &end(1448, 1188, 1500), true);
        assert!(of_client.finding.unwrap().explanation.starts_with("MSS 1460 was sent, 1200 came"));
    }

    #[test]
    fn an_interface_of_a_link_local_address_is_not_compared() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(is_same(at("[fe80::1%3]:7"), at("[fe80::1]:7")));
        assert!(is_same(at("[::ffff:192.0.2.1]:7"), at("192.0.2.1:7")));
        let row = client_address(at("192.0.2.1:50000"), at("192.0.2.1:61000"));
        let why = row.finding.unwrap();
        assert_eq!(
            why.explanation,
            "the server saw your port as 61000: there is a NAT or a proxy in between"
        );
        assert!(!why.is_change);
    }

    #[test]
    fn loss_and_reordering_have_a_direction() {
        let of = |counts| ways(counts, "loss").unwrap_or_default();
        assert_eq!(of((0, 0)), "");
        assert_eq!(of((2, 0)), "on the way to the server, loss");
        assert_eq!(of((0, 2)), "on the way back, loss");
        assert_eq!(of((1, 1)), "in both directions, loss");
    }
}
