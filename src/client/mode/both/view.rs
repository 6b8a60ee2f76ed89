//! What one end sees of a connection. Both ends have the same shape, in which they can be compared.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::tap::Transcript;
use crate::exit::{Exit, Failure};
use crate::os::tcp_info::TcpInfo;
use crate::tls::certificate::Certificate;
use crate::tls::hello::{Offered, shortened};
use crate::tls::pem;

/// What one end sees.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// The address of the client.
    pub client_address: SocketAddr,
    /// The address of the server; `None` if its kernel does not tell.
    pub server_address: Option<SocketAddr>,
    /// How many bytes the client sent, without TLS.
    pub bytes: u64,
    /// In how many pieces they were sent or read.
    pub pieces: u64,
    /// What the kernel of this end knows, if it tells.
    pub tcp: Option<TcpInfo>,
    /// The TLS session; none for plain TCP.
    pub tls: Option<Tls>,
}

/// A TLS session. Names are those of the registries, as in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names say what they are.
pub struct Tls {
    pub version: String,
    pub cipher_suite: String,
    pub group: Option<String>,
    pub sni: Option<String>,
    pub alpn_offered: Vec<String>,
    pub alpn: Option<String>,
    pub signature_schemes_offered: Vec<String>,
    pub resumed: bool,
    /// The server asked for another key share first (`HelloRetryRequest`).
    pub retried: bool,
    /// The subject of the client certificate.
    pub client_certificate: Option<String>,
    /// SHA-256 of the first `ClientHello`, without the headers of records.
    pub client_hello_sha256: Option<String>,
}

impl View {
    /// The client's own view of `connection`, on which it has sent so many bytes in so many pieces, and of
    /// which `transcript` has the handshake.
    pub fn of_client(
        client: &Client,
        connection: &mut Connection,
        transcript: &Transcript,
        (bytes, pieces): (usize, usize),
    ) -> Result<Self, Failure> {
        let local = connection.local_address().ok_or_else(|| {
            Failure::new(Exit::Failure, "the kernel does not know the address of the connection")
        })?;
        Ok(Self {
            client_address: local,
            server_address: Some(connection.address),
            bytes: bytes as u64,
            pieces: pieces as u64,
            tcp: TcpInfo::of(local, connection.address),
            tls: Tls::of_client(client, connection, transcript),
        })
    }
}

impl Tls {
    /// The client's own view, after the handshake of `connection`, of which `transcript` has the bytes.
    fn of_client(
        client: &Client,
        connection: &Connection,
        transcript: &Transcript,
    ) -> Option<Self> {
        let options = client.options.tls.as_ref()?;
        let facts = client.dialler.facts(connection)?;
        let offered = Offered::read(&transcript.sent())?;
        let certificate = options.identity.as_ref().and_then(|identity| {
            let chain = pem::load_certificates(&identity.certificate).ok()?;
            Certificate::parse(chain.first()?).ok()
        });
        Some(Self {
            version: facts.version.to_owned(),
            cipher_suite: facts.cipher_suite.to_owned(),
            group: facts.group.map(ToOwned::to_owned),
            sni: facts.sni,
            alpn_offered: offered.alpn,
            alpn: facts.alpn,
            signature_schemes_offered: offered.schemes,
            client_hello_sha256: Some(offered.sha256),
            resumed: facts.resumed,
            retried: facts.hello_retry_request,
            client_certificate: certificate.map(|it| shortened(&it.subject)),
        })
    }
}
