//! A connection to the server, plain or TLS: the handshake, and then bytes in both directions.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Interest, Token};
use socket2::SockRef;

use super::error::{Awaited, Error};
use super::tap::Tapped;
use super::wait::Waiter;
use crate::exit::Failure;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Link, Reading};
use crate::wire::transport::{Agreed, Transport};

/// A connection to the server.
pub struct Connection {
    link: Link<Tapped>,
    /// The address that accepted it.
    pub address: SocketAddr,
    /// How long it took to connect.
    pub connect_time: Duration,
    /// How long the handshake took; `None` for plain.
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
pub enum Received<'a> {
    /// Plaintext. It is empty if only messages of TLS itself arrived.
    Bytes(&'a [u8]),
    /// The server has ended its side.
    End(End),
    /// Nothing yet.
    Nothing,
}

/// How the server ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a FIN, or with TLS by `close_notify`: nothing is missing.
    Clean,
    /// In TLS, by a FIN without `close_notify`: the rest may have been truncated (RFC 8446 §6.1).
    Truncated,
}

impl Connection {
    /// A connection over `stream`, before its handshake.
    pub fn new(stream: Tapped, transport: Transport, address: SocketAddr) -> Self {
        Self {
            link: Link::new(stream, transport),
            address,
            connect_time: Duration::ZERO,
            handshake_time: None,
            early: Vec::new(),
            first_sent: None,
            has_read: false,
        }
    }

    /// Performs the TLS handshake.
    pub fn shake_hands(
        &mut self,
        timeout: Duration,
        waiter: &mut Waiter,
        buffers: &mut Buffers,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let deadline = start + timeout;
        self.greet(buffers)?;
        while !self.go_on(buffers)? {
            if Instant::now() >= deadline {
                return Err(Error::TimedOut { what: Awaited::Handshake, timeout });
            }
            waiter.wait(Some(deadline))?;
        }
        self.handshake_time = Some(start.elapsed());
        Ok(())
    }

    /// Begins the TLS handshake; does nothing for plain.
    pub fn greet(&mut self, buffers: &mut Buffers) -> Result<(), Error> {
        Ok(self.link.greet(buffers)?)
    }

    /// Goes on with the handshake as far as it goes without waiting. Returns whether it is over.
    pub fn go_on(&mut self, buffers: &mut Buffers) -> Result<bool, Error> {
        loop {
            self.link.flush()?;
            if !self.link.transport().is_handshaking() && self.link.is_flushed() {
                return Ok(true);
            }
            match self.link.read(buffers)? {
                Reading::Bytes(bytes) => {
                    let received = self.link.receive(bytes, buffers, |_| &[])?;
                    self.early.extend_from_slice(received);
                }
                Reading::Ended => return Err(self.link.transport().end_of_wire().into()),
                Reading::Nothing => return Ok(false),
            }
        }
    }

    /// Reads once. There is no other way to read, so no caller misses bytes that arrived with the end
    /// of the handshake.
    pub fn read<'a>(&mut self, buffers: &'a mut Buffers) -> Result<Received<'a>, Error> {
        if !self.early.is_empty() {
            buffers.plain = std::mem::take(&mut self.early);
            return Ok(Received::Bytes(&buffers.plain));
        }
        if self.link.transport().peer_done() {
            return Ok(Received::End(End::Clean));
        }
        match self.link.read(buffers)? {
            Reading::Nothing => Ok(Received::Nothing),
            Reading::Ended => match self.link.transport().end_of_wire() {
                CloseReason::PeerDone => Ok(Received::End(End::Clean)),
                CloseReason::PeerTruncated => Ok(Received::End(End::Truncated)),
                reason => Err(reason.into()),
            },
            Reading::Bytes(bytes) => {
                let received = self.link.receive(bytes, buffers, |_| &[])?;
                let is_first = !std::mem::replace(&mut self.has_read, true);
                if is_first
                    && matches!(self.link.transport(), Transport::Plain)
                    && is_tls_alert(received)
                    && self.first_sent != received.first().copied()
                {
                    return Err(Error::SpeaksTls);
                }
                Ok(Received::Bytes(received))
            }
        }
    }

    /// Reads once and ignores the bytes; whether the server's FIN was read. After `close_notify`, this is all
    /// that is left to read.
    pub fn read_fin(&mut self, buffers: &mut Buffers) -> io::Result<bool> {
        Ok(matches!(self.link.read(buffers)?, Reading::Ended))
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

    /// What was agreed in the handshake; `None` for plain.
    pub fn agreed(&self) -> Option<Agreed> {
        self.link.transport().agreed()
    }

    /// The congestion control of the kernel for this connection, such as "cubic".
    pub fn congestion_control(&mut self) -> Option<String> {
        let name = SockRef::from(&self.link.wire().stream).tcp_congestion().ok()?;
        let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
        String::from_utf8(name).ok()
    }

    /// The application protocol that was agreed, if one was.
    pub fn application_protocol(&self) -> Option<&[u8]> {
        self.link.transport().application_protocol()
    }

    /// The address of this end.
    pub fn local_address(&mut self) -> Option<SocketAddr> {
        self.link.wire().stream.local_addr().ok()
    }

    /// Changes the token of this connection's events.
    pub fn set_token(&mut self, token: Token, waiter: &Waiter) -> Result<(), Failure> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        waiter
            .registry()
            .reregister(&mut self.link.wire().stream, token, interest)
            .map_err(|error| Failure::system("cannot watch a connection", &error))
    }
}

/// Whether these bytes begin with a TLS record that holds one alert (RFC 8446 §5.1, §6), which is how
/// a TLS server answers what is not TLS: type 21, version 3.x, two bytes.
fn is_tls_alert(bytes: &[u8]) -> bool {
    matches!(bytes, [21, 3, 0..=4, 0, 2, 1 | 2, _, ..])
}
