//! A report as JSON, on one line.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::daemon::service::next::Secured;
use crate::os::tcp_info::TcpInfo;
use crate::tls::hello::Offered;
use crate::wire::proxy::{Details, Header, Origin, Ssl};

/// A time after accept, which is in seconds in the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Nanoseconds would be noise.
        let rounded = Duration::from_micros(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX));
        serializer.serialize_f64(rounded.as_secs_f64())
    }
}

/// What came with one read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Chunk {
    pub(super) seconds: Seconds,
    pub(super) bytes: usize,
}

/// All that came.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Received {
    pub(super) bytes: u64,
    pub(super) chunks: u64,
    pub(super) first_seconds: Option<Seconds>,
    pub(super) last_seconds: Option<Seconds>,
}

/// The object. docs/report.md has its keys.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    pub(super) r#type: &'static str,
    pub(super) listener: &'a str,
    pub(super) peer: Address,
    pub(super) local: Option<Address>,
    pub(super) accepted: String,
    pub(super) seconds: Seconds,
    pub(super) reason: Option<&'static str>,
    pub(super) received: Received,
    pub(super) chunks: &'a [Chunk],
    pub(super) chunks_left_out: u64,
    pub(super) tcp: Option<&'a TcpInfo>,
    pub(super) tls: Option<Tls<'a>>,
    pub(super) proxy: Option<Proxy<'a>>,
}

#[derive(Serialize)]
pub(super) struct Address {
    address: IpAddr,
    port: u16,
}

#[derive(Serialize)]
pub(super) struct Tls<'a> {
    version: &'static str,
    cipher_suite: &'static str,
    group: Option<&'static str>,
    sni: Option<&'a str>,
    alpn_offered: &'a [String],
    alpn: Option<&'a str>,
    signature_schemes_offered: &'a [String],
    resumed: bool,
    retried: bool,
    client_certificate: Option<&'a str>,
    client_hello_sha256: Option<&'a str>,
}

/// The proxy, and what its header says.
#[derive(Serialize)]
pub(super) struct Proxy<'a> {
    #[serde(flatten)]
    address: Address,
    version: u8,
    command: &'static str,
    destination: Option<Address>,
    authority: Option<&'a str>,
    unique_id: Option<&'a str>,
    alpn: Option<&'a str>,
    ssl: Option<ProxySsl<'a>>,
}

#[derive(Serialize)]
struct ProxySsl<'a> {
    used: bool,
    version: Option<&'a str>,
    cipher: Option<&'a str>,
    client_certificate: bool,
    verified: bool,
    common_name: Option<&'a str>,
}

impl Document<'_> {
    /// Appends it to `said`, as a line.
    pub(super) fn write(&self, said: &mut Vec<u8>) {
        // Writing to a vector does not fail, and nothing here is a map without names.
        let _ = serde_json::to_writer(&mut *said, self);
        said.push(b'\n');
    }
}

impl<'a> Tls<'a> {
    /// What the peer `offered`, and what was agreed.
    pub(super) fn new(tls: &'a Secured, offered: Option<&'a Offered>) -> Self {
        let Secured { agreed, alpn, client_certificate } = tls;
        Self {
            version: agreed.version,
            cipher_suite: agreed.cipher_suite,
            group: agreed.group,
            sni: offered.and_then(|offered| offered.sni.as_deref()),
            alpn_offered: offered.map_or(&[], |offered| &offered.alpn),
            alpn: alpn.as_deref(),
            signature_schemes_offered: offered.map_or(&[], |offered| &offered.schemes),
            resumed: agreed.resumed,
            retried: agreed.retried,
            client_certificate: client_certificate.as_deref(),
            client_hello_sha256: offered.map(|offered| offered.sha256.as_str()),
        }
    }
}

impl<'a> Proxy<'a> {
    pub(super) fn new(proxy: SocketAddr, header: &'a Header) -> Self {
        let Header { version, origin, details } = header;
        let Details { authority, unique_id, alpn, ssl } = details;
        Self {
            address: proxy.into(),
            version: *version,
            command: if *origin == Origin::Local { "LOCAL" } else { "PROXY" },
            destination: match origin {
                Origin::Client { destination, .. } => Some((*destination).into()),
                Origin::Local | Origin::Unnamed => None,
            },
            authority: authority.as_deref(),
            unique_id: unique_id.as_deref(),
            alpn: alpn.as_deref(),
            ssl: ssl.as_ref().map(ProxySsl::new),
        }
    }
}

impl<'a> ProxySsl<'a> {
    fn new(ssl: &'a Ssl) -> Self {
        let Ssl { is_used, version, cipher, has_certificate, is_verified, common_name } = ssl;
        Self {
            used: *is_used,
            version: version.as_deref(),
            cipher: cipher.as_deref(),
            client_certificate: *has_certificate,
            verified: *is_verified,
            common_name: common_name.as_deref(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip().to_canonical(), port: address.port() }
    }
}
