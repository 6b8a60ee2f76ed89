//! What the server reports of the connection: read from JSON that can be anything.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::view::{Tls, View};
use crate::os::tcp_info::TcpInfo;
use crate::tls::certificate::escape::printable_escaped;

/// The longest report that is read, in bytes. One with all of its 256 chunks has about 10 KB.
pub const REPORT_MAX: usize = 256 * 1024;

/// The longest text that is printed, in characters, and the longest list. A host name has at most 255.
const TEXT_MAX: usize = 300;
const LIST_MAX: usize = 100;

/// What the server saw. Its texts are safe to print.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its end of the connection.
    pub view: View,
    /// When it accepted the connection, by its clock.
    pub accepted: SystemTime,
    /// When bytes came, since then, and how many.
    pub chunks: Vec<(Duration, u64)>,
}

/// The JSON object. It may have more keys than these.
#[derive(Deserialize)]
struct Raw {
    r#type: String,
    peer: Address,
    local: Option<Address>,
    accepted: String,
    received: Received,
    chunks: Vec<Chunk>,
    tcp: Option<TcpInfo>,
    tls: Option<Tls>,
}

#[derive(Deserialize)]
struct Address {
    address: IpAddr,
    port: u16,
}

#[derive(Deserialize)]
struct Received {
    bytes: u64,
    chunks: u64,
}

#[derive(Deserialize)]
struct Chunk {
    seconds: f64,
    bytes: u64,
}

impl Report {
    /// Reads a report, which is a line; the error says in one line why it is none.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        if text.trim_ascii().is_empty() {
            return Err("the connection ended without one".into());
        }
        if text.len() > REPORT_MAX {
            return Err(format!("it is longer than {REPORT_MAX} bytes"));
        }
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut raw: Raw =
            serde_json::from_slice(line).map_err(|error| safe(&error.to_string()))?;
        if raw.r#type != "report" {
            return Err(safe(&format!("its type is {:?}", raw.r#type)));
        }
        let accepted = humantime::parse_rfc3339(&raw.accepted)
            .map_err(|_| safe(&format!("no time of day: {:?}", raw.accepted)))?;
        let chunk = |chunk: &Chunk| {
            let time = Duration::try_from_secs_f64(chunk.seconds).ok()?;
            // The sum is a moment, too.
            accepted.checked_add(time).map(|_| (time, chunk.bytes))
        };
        let chunks: Option<Vec<_>> = raw.chunks.iter().map(chunk).collect();
        let chunks = chunks.ok_or("a chunk has no possible time")?;
        if let Some(name) = raw.tcp.as_mut().and_then(|tcp| tcp.congestion_control.as_mut()) {
            *name = safe(name);
        }
        let view = View {
            client_address: raw.peer.socket(),
            server_address: raw.local.as_ref().map(Address::socket),
            bytes: raw.received.bytes,
            pieces: raw.received.chunks,
            tcp: raw.tcp,
            tls: raw.tls.map(Tls::safe),
        };
        Ok(Self { view, accepted, chunks })
    }
}

impl Address {
    fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address.to_canonical(), self.port)
    }
}

impl Tls {
    /// The same, with texts that are safe to print.
    fn safe(self) -> Self {
        let text = |text: String| safe(&text);
        let list = |list: Vec<String>| list.into_iter().take(LIST_MAX).map(text).collect();
        Self {
            version: text(self.version),
            cipher_suite: text(self.cipher_suite),
            group: self.group.map(text),
            sni: self.sni.map(text),
            alpn_offered: list(self.alpn_offered),
            alpn: self.alpn.map(text),
            signature_schemes_offered: list(self.signature_schemes_offered),
            resumed: self.resumed,
            retried: self.retried,
            client_certificate: self.client_certificate.map(text),
            client_hello_sha256: self.client_hello_sha256.map(text),
        }
    }
}

/// A text that the server sent, or that quotes it: safe to print, and not too long. The daemon has escaped
/// its texts already.
fn safe(text: &str) -> String {
    printable_escaped(&text.chars().take(TEXT_MAX).collect::<String>())
}
