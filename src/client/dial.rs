//! From a name to a connection that is ready: resolve, connect, shake hands, verify.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::arguments::{Family, Options, Tls, bare};
use super::wait::Waiter;
use crate::buffers::Buffers;
use crate::certificate::{self, Certificate};
use crate::close::CloseReason;
use crate::exit::{Exit, Failure, plain};
use crate::link::{Link, Reading};
use crate::transport::Transport;
use crate::trust::{self, ClientConfig, Trust, Witness};

/// The token of a connection's socket.
const SOCKET: Token = Token(0);

/// How to reach the server: found out once, used for each connection.
pub struct Dialler {
    /// What the user calls it.
    pub host: String,
    /// Where it is, in the order to be tried.
    pub addresses: Vec<SocketAddr>,
    timeout: Duration,
    tls: Option<(Tls, ClientConfig, Witness)>,
}

/// A connection that is ready for bytes.
pub struct Connection {
    /// The socket with its transport.
    pub link: Link<TcpStream>,
    /// Which of the addresses answered.
    pub address: SocketAddr,
    /// What came behind the end of the handshake.
    pub early: Vec<u8>,
    /// How long it took to connect.
    pub connect_time: Duration,
    /// How long the handshake took; nothing for plain.
    pub handshake_time: Option<Duration>,
}

impl Dialler {
    /// Resolves the host and loads what TLS needs. `resumes`: sessions may build on earlier ones.
    pub fn new(options: &Options, resumes: bool) -> Result<Self, Failure> {
        let Options { host, port, family, timeout, .. } = options;
        let tls = match &options.tls {
            None => None,
            Some(tls) => {
                trust::server_name(&tls.name)?;
                let settings = trust::Settings {
                    trust: tls.trust.clone(),
                    identity: tls.identity.clone(),
                    resumes,
                };
                let (config, witness) = trust::client_config(&settings)?;
                Some((tls.clone(), config, witness))
            }
        };
        let addresses = resolve(host, *port, *family)?;
        Ok(Self { host: host.clone(), addresses, timeout: *timeout, tls })
    }

    /// Connects and shakes hands.
    pub fn dial(&self, waiter: &mut Waiter, buffers: &mut Buffers) -> Result<Connection, Failure> {
        let start = Instant::now();
        let (mut stream, address) = self.connect()?;
        let connect_time = start.elapsed();
        let interest = Interest::READABLE | Interest::WRITABLE;
        waiter
            .registry()
            .register(&mut stream, SOCKET, interest)
            .map_err(|error| Failure::system(format_args!("cannot watch {address}"), &error))?;
        let link = Link::new(stream, self.transport()?);
        let early = Vec::new();
        let mut connection =
            Connection { link, address, early, connect_time, handshake_time: None };
        if self.tls.is_some() {
            let start = Instant::now();
            connection
                .shake_hands(start + self.timeout, waiter, buffers)
                .map_err(|failed| self.explain(self.blame_missing_certificate(failed)))?;
            connection.handshake_time = Some(start.elapsed());
        }
        Ok(connection)
    }

    /// A server of TLS 1.2 that asks for a certificate in vain ends the handshake with an alert
    /// that says nothing of it.
    fn blame_missing_certificate(&self, failed: Failed) -> Failed {
        let asked = self.tls.as_ref().is_some_and(|(_, _, witness)| witness.seen().asked_in_vain);
        match failed {
            Failed::Reason(CloseReason::TlsPeer(text)) if asked => {
                let text = format!("the peer asks for a certificate ({text})");
                CloseReason::CertificateRefused(text.into()).into()
            }
            failed => failed,
        }
    }

    /// A new transport for a connection to this server.
    fn transport(&self) -> Result<Transport, Failure> {
        let Some((tls, config, _)) = &self.tls else { return Ok(Transport::Plain) };
        Transport::tls_client(config.clone(), trust::server_name(&tls.name)?)
            .map_err(|reason| Failure::new(Exit::Failure, format!("cannot set up TLS: {reason}")))
    }

    /// A socket to the first address that answers.
    fn connect(&self) -> Result<(TcpStream, SocketAddr), Failure> {
        let mut failures = Vec::new();
        for address in &self.addresses {
            let connected = StdStream::connect_timeout(address, self.timeout).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(stream)
            });
            match connected {
                Ok(stream) => return Ok((TcpStream::from_std(stream), *address)),
                Err(error) => failures.push((address, error)),
            }
        }
        let timed_out = failures.iter().all(|(_, error)| error.kind() == io::ErrorKind::TimedOut);
        let exit = if timed_out { Exit::TimedOut } else { Exit::Unreachable };
        let reasons: Vec<String> = failures
            .iter()
            .map(|(address, error)| format!("{address}: {}", plain(error)))
            .collect();
        Err(Failure::new(exit, format!("cannot connect to {}: {}", self.host, reasons.join("; "))))
    }

    /// Why the session failed, in words for the person who asked.
    pub fn explain(&self, failed: Failed) -> Failure {
        let reason = match failed {
            Failed::TimedOut(what) => {
                let seconds = self.timeout.as_secs_f64();
                return Failure::new(Exit::TimedOut, format!("no {what} within {seconds} s"));
            }
            Failed::Interrupted => return Failure::new(Exit::Interrupted, "interrupted"),
            Failed::Reason(reason) => reason,
        };
        if let Some((tls, _, witness)) = &self.tls
            && let Some(refusal) = witness.seen().refusal(&tls.trust, &tls.name)
        {
            return Failure::new(Exit::Certificate, refusal);
        }
        match reason {
            CloseReason::CertificateRefused(text) => Failure::new(
                Exit::Certificate,
                format!(
                    "the server refuses us: {text}; show it one that its CA signed, with --cert FILE --key FILE"
                ),
            ),
            CloseReason::NotTls => Failure::new(
                Exit::Unreachable,
                "the server does not speak TLS on this port: try without --tls, or another port",
            ),
            CloseReason::HandshakeAbandoned => Failure::new(
                Exit::Unreachable,
                "the server closed the connection in the middle of the TLS handshake: does it speak TLS on this port?",
            ),
            CloseReason::PeerReset => {
                Failure::new(Exit::Failure, "the server reset the connection")
            }
            reason => Failure::new(
                Exit::Failure,
                reason.detail().unwrap_or_else(|| reason.name().to_owned()),
            ),
        }
    }

    /// What is to be said of the server once its certificate has been seen.
    pub fn introduction(&self) -> Vec<String> {
        let Some((tls, _, witness)) = &self.tls else { return Vec::new() };
        let chain = witness.seen().chain;
        let Some(first) = chain.first() else { return Vec::new() };
        let mut lines = Vec::new();
        let who = match Certificate::parse(first) {
            Ok(certificate) => certificate.summary(),
            Err(_) => "a certificate that cannot be read".into(),
        };
        match tls.trust {
            Trust::Anything => {
                lines
                    .push("NOT VERIFIED: ANYBODY CAN HAVE ANSWERED, AND CAN READ ALL OF IT".into());
                lines.push(format!("certificate not verified: {who}"));
            }
            _ => lines.push(format!("certificate valid: {who}")),
        }
        lines
    }

    /// What the server sent of certificates, also those that were refused, if that was asked for.
    pub fn shown_certificates(&self) -> Vec<String> {
        match &self.tls {
            Some((tls, _, witness)) if tls.show => {
                witness.seen().chain.iter().map(|der| certificate::describe(der)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Why a session did not go as it should.
#[derive(Debug)]
pub enum Failed {
    /// This did not come in time.
    TimedOut(&'static str),
    /// Ctrl-C.
    Interrupted,
    /// The session ended.
    Reason(CloseReason),
}

impl From<CloseReason> for Failed {
    fn from(reason: CloseReason) -> Self {
        Self::Reason(reason)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Reason(error.into())
    }
}

impl Connection {
    fn shake_hands(
        &mut self,
        deadline: Instant,
        waiter: &mut Waiter,
        buffers: &mut Buffers,
    ) -> Result<(), Failed> {
        self.link.greet(buffers)?;
        loop {
            self.link.flush()?;
            if !self.link.transport().is_handshaking() && self.link.is_flushed() {
                return Ok(());
            }
            match self.link.read(buffers)? {
                Reading::Bytes(bytes) => {
                    let came = self.link.receive(bytes, buffers, |_| &[])?;
                    self.early.extend_from_slice(came);
                }
                Reading::Ended => return Err(self.link.transport().end_of_wire().into()),
                Reading::Nothing => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Failed::TimedOut("end of the TLS handshake"));
                    }
                    waiter.wait(Some(left))?;
                }
            }
        }
    }
}

fn resolve(host: &str, port: u16, family: Option<Family>) -> Result<Vec<SocketAddr>, Failure> {
    let found = (bare(host), port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        Failure::new(Exit::Unreachable, format!("cannot resolve {host}: {reason}"))
    })?;
    let mut addresses: Vec<SocketAddr> = found
        .filter(|address| match family {
            None => true,
            Some(Family::V4) => address.is_ipv4(),
            Some(Family::V6) => address.is_ipv6(),
        })
        .collect();
    addresses.dedup();
    if addresses.is_empty() {
        let family = if family == Some(Family::V4) { "IPv4" } else { "IPv6" };
        return Err(Failure::new(Exit::Unreachable, format!("{host} has no {family} address")));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// To loopback addresses in this order, as a resolver might give them.
    fn dialler(addresses: &[SocketAddr]) -> Dialler {
        Dialler {
            host: "alex".into(),
            addresses: addresses.to_vec(),
            timeout: Duration::from_secs(10),
            tls: None,
        }
    }

    /// A port that is held and does not listen, so that nobody else gets it.
    fn refusing() -> (socket2::Socket, SocketAddr) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    #[test]
    fn the_next_address_is_tried_where_one_refuses() {
        let (_held, refusing) = refusing();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let (_, address) = dialler(&[refusing, there]).connect().unwrap();
        assert_eq!(address, there);
    }

    #[test]
    fn each_address_has_its_reason_where_none_answers() {
        let ((_held, one), (_held_too, other)) = (refusing(), refusing());
        let failure = dialler(&[one, other]).connect().unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(
            failure.message,
            format!(
                "cannot connect to alex: {one}: connection refused; {other}: connection refused"
            )
        );
    }
}
