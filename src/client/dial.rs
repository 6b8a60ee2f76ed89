//! From a name to a connection that is ready: resolve, connect, shake hands, verify.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::cli::{Options, Tls};
use super::connect;
use super::stop::{Failed, Stop};
use super::wait::Waiter;
use crate::exit::{Exit, Failure, plain};
use crate::tls::certificate::{self, Certificate};
use crate::tls::client::{self, ClientConfig, Trust, VerificationRecord};
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Link, Reading};
use crate::wire::transport::{Agreed, Transport};

/// How to reach the server: found out once, used for each connection.
pub struct Dialler {
    /// What the user calls it.
    pub host: String,
    /// Where it is, in the order to be tried.
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    tls: Option<(Tls, ClientConfig, VerificationRecord)>,
}

/// A connection that is ready for bytes.
pub struct Connection {
    link: Link<TcpStream>,
    /// Which of the addresses answered.
    pub address: SocketAddr,
    /// How long it took to connect.
    pub connect_time: Duration,
    /// How long the handshake took; nothing for plain.
    pub handshake_time: Option<Duration>,
    /// Plaintext that arrived with the end of the handshake and was not read yet.
    early: Vec<u8>,
    /// The first byte that was sent.
    first_sent: Option<u8>,
    /// Whether any bytes were read.
    has_read: bool,
}

/// What one read of a connection returned.
#[derive(Debug)]
pub enum Came<'a> {
    /// Plaintext; empty if only messages of TLS itself came.
    Bytes(&'a [u8]),
    /// The server's end.
    End(End),
    /// Nothing yet.
    Nothing,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a FIN, or with TLS by `close_notify`: nothing is missing.
    Whole,
    /// By a FIN without `close_notify`, in TLS: the rest may have been cut off (RFC 8446 §6.1).
    WithoutCloseNotify,
}

impl Dialler {
    /// Loads what TLS needs.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        let tls = match &options.tls {
            None => None,
            Some(tls) => {
                client::server_name(&tls.name)?;
                let (config, record) = client_config(tls, true)?;
                Some((tls.clone(), config, record))
            }
        };
        let Options { host, timeout, .. } = options;
        Ok(Self { host: host.clone(), addresses: Vec::new(), timeout: *timeout, tls })
    }

    /// Resolves the host.
    pub fn resolve(&mut self, options: &Options, waiter: &mut Waiter) -> Result<(), Stop> {
        let Options { host, port, family, timeout, .. } = options;
        self.addresses = connect::resolve(host, *port, *family, *timeout, waiter)?;
        Ok(())
    }

    /// The host and its addresses, such as "localhost is 127.0.0.1".
    pub fn whereabouts(&self) -> String {
        let address = |address: &SocketAddr| match (address.ip(), address) {
            (IpAddr::V6(ip), SocketAddr::V6(address)) if address.scope_id() != 0 => {
                format!("{ip}%{}", address.scope_id())
            }
            (ip, _) => ip.to_string(),
        };
        let addresses: Vec<String> = self.addresses.iter().map(address).collect();
        format!("{} is {}", self.host, addresses.join(", "))
    }

    /// Forgets all TLS sessions. New connections resume later sessions only if `resumes`.
    pub fn forget_sessions(&mut self, resumes: bool) -> Result<(), Failure> {
        if let Some((tls, config, record)) = &mut self.tls {
            (*config, *record) = client_config(tls, resumes)?;
        }
        Ok(())
    }

    /// Connects and shakes hands.
    pub fn dial(&mut self, waiter: &mut Waiter, buffers: &mut Buffers) -> Result<Connection, Stop> {
        let start = Instant::now();
        let (stream, number) = connect::connect(&self.addresses, self.timeout, waiter)?;
        // The address that answered is tried first next time.
        self.addresses[..=number].rotate_right(1);
        let mut connection = Connection {
            link: Link::new(stream, self.transport()?),
            address: self.addresses[0],
            connect_time: start.elapsed(),
            handshake_time: None,
            early: Vec::new(),
            first_sent: None,
            has_read: false,
        };
        if self.tls.is_some() {
            let start = Instant::now();
            connection
                .shake_hands(start + self.timeout, waiter, buffers)
                .map_err(|stop| self.clarify(stop))?;
            connection.handshake_time = Some(start.elapsed());
        }
        Ok(connection)
    }

    /// Replaces the error of a handshake by its cause, where that is known and the error does not say.
    fn clarify(&self, stop: Stop) -> Stop {
        let asked =
            self.tls.as_ref().is_some_and(|(_, _, record)| record.seen().asked_for_certificate);
        match stop {
            // TLS 1.2 has no alert that says so.
            Stop::Failed(Failed::Lost(CloseReason::TlsPeer(_))) if asked => {
                CloseReason::CertificateRefused("the peer asks for a certificate".into()).into()
            }
            Stop::Failed(Failed::Lost(CloseReason::PeerReset)) => {
                CloseReason::HandshakeAbandoned.into()
            }
            stop => stop,
        }
    }

    /// A new transport for a connection to this server.
    fn transport(&self) -> Result<Transport, Failure> {
        let Some((tls, config, _)) = &self.tls else { return Ok(Transport::Plain) };
        Transport::tls_client(config.clone(), client::server_name(&tls.name)?)
            .map_err(|reason| Failure::new(Exit::Failure, format!("cannot set up TLS: {reason}")))
    }

    /// Says in one line what failed and what to do.
    pub fn explain(&self, failed: Failed) -> Failure {
        let reason = match failed {
            Failed::Told(failure) => return failure,
            Failed::TimedOut(what) => {
                let seconds = self.timeout.as_secs_f64();
                return Failure::new(Exit::TimedOut, format!("no {what} within {seconds} s"));
            }
            Failed::Unreachable(failures) => {
                let timed_out = failures.iter().all(|(_, e)| e.kind() == io::ErrorKind::TimedOut);
                let exit = if timed_out { Exit::TimedOut } else { Exit::Unreachable };
                let reasons: Vec<String> = failures
                    .iter()
                    .map(|(address, error)| format!("{address}: {}", plain(error)))
                    .collect();
                let reasons = reasons.join("; ");
                return Failure::new(exit, format!("cannot connect to {}: {reasons}", self.host));
            }
            Failed::SpeaksTls => {
                return Failure::new(
                    Exit::Unreachable,
                    "the server speaks TLS on this port: try with --tls, or another port",
                );
            }
            Failed::Lost(reason) => reason,
        };
        if let Some((tls, _, record)) = &self.tls
            && let Some(refusal) = record.seen().refusal(&tls.trust, &tls.name)
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
        let Some((tls, _, record)) = &self.tls else { return Vec::new() };
        let chain = record.seen().chain;
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
            Some((tls, _, record)) if tls.show => {
                record.seen().chain.iter().map(|der| certificate::describe(der)).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn client_config(tls: &Tls, resumes: bool) -> Result<(ClientConfig, VerificationRecord), Failure> {
    client::client_config(&client::Settings {
        trust: tls.trust.clone(),
        identity: tls.identity.clone(),
        resumes,
    })
}

impl Connection {
    fn shake_hands(
        &mut self,
        deadline: Instant,
        waiter: &mut Waiter,
        buffers: &mut Buffers,
    ) -> Result<(), Stop> {
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
                Reading::Nothing if Instant::now() >= deadline => {
                    return Err(Failed::TimedOut("end of the TLS handshake").into());
                }
                Reading::Nothing => waiter.wait(Some(deadline))?,
            }
        }
    }

    /// Reads once. There is no other way to read, so no caller misses bytes that arrived with the end
    /// of the handshake.
    pub fn read<'a>(&mut self, buffers: &'a mut Buffers) -> Result<Came<'a>, Stop> {
        if !self.early.is_empty() {
            buffers.plain.clear();
            buffers.plain.push(&std::mem::take(&mut self.early));
            return Ok(Came::Bytes(buffers.plain.filled()));
        }
        if self.link.transport().peer_done() {
            return Ok(Came::End(End::Whole));
        }
        match self.link.read(buffers)? {
            Reading::Nothing => Ok(Came::Nothing),
            Reading::Ended => match self.link.transport().end_of_wire() {
                CloseReason::PeerDone => Ok(Came::End(End::Whole)),
                CloseReason::PeerTruncated => Ok(Came::End(End::WithoutCloseNotify)),
                reason => Err(reason.into()),
            },
            Reading::Bytes(bytes) => {
                let came = self.link.receive(bytes, buffers, |_| &[])?;
                let is_first = !std::mem::replace(&mut self.has_read, true);
                if is_first
                    && matches!(self.link.transport(), Transport::Plain)
                    && is_tls_alert(came)
                    && self.first_sent != came.first().copied()
                {
                    return Err(Failed::SpeaksTls.into());
                }
                Ok(Came::Bytes(came))
            }
        }
    }

    /// Sends `bytes`. What the kernel does not take is kept for [`Connection::flush`].
    pub fn send(&mut self, bytes: &[u8], buffers: &mut Buffers) -> Result<(), CloseReason> {
        self.first_sent = self.first_sent.or(bytes.first().copied());
        self.link.send(bytes, buffers)
    }

    /// Sends what is kept.
    pub fn flush(&mut self) -> io::Result<()> {
        self.link.flush().map(drop)
    }

    /// Whether everything was sent.
    pub fn is_flushed(&self) -> bool {
        self.link.is_flushed()
    }

    /// Sends `close_notify`; nothing for plain.
    pub fn finish(&mut self, buffers: &mut Buffers) -> Result<(), CloseReason> {
        self.link.finish(buffers)
    }

    /// Sends the FIN.
    pub fn end_writing(&self) -> io::Result<()> {
        self.link.end_writing()
    }

    /// Sends `close_notify` and the FIN, as far as the kernel takes them.
    pub fn goodbye(&mut self, buffers: &mut Buffers) {
        self.link.goodbye(buffers);
    }

    /// What was agreed in the handshake; nothing for plain.
    pub fn agreed(&self) -> Option<Agreed> {
        self.link.transport().agreed()
    }

    /// Changes the token of this connection's events.
    pub fn set_token(&mut self, token: Token, waiter: &Waiter) -> Result<(), Failure> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        waiter
            .registry()
            .reregister(self.link.wire(), token, interest)
            .map_err(|error| Failure::system("cannot watch a connection", &error))
    }
}

/// Whether these bytes begin with a TLS record of one alert (RFC 8446 §5.1, §6), as a TLS server
/// answers what is not TLS: type 21, version 3.x, two bytes.
fn is_tls_alert(bytes: &[u8]) -> bool {
    matches!(bytes, [21, 3, 0..=4, 0, 2, 1 | 2, _, ..])
}
