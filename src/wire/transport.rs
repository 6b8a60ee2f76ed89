//! How bytes of the wire and bytes of the echo become each other: the one place where plain TCP
//! and TLS differ. It does no I/O; the daemon and its peers' side of a session share it.
//!
//! # The contract
//!
//! - [`Transport::open`] takes wire bytes and gives plaintext. What the protocol itself has to say
//!   (handshake, alerts, key updates) it leaves in `sealed`, which it empties first, also where it
//!   fails: send that first, then act on the error.
//! - [`Transport::seal`] takes plaintext and gives wire bytes, `sealed` included, in order.
//! - Between calls, a TLS transport holds nothing but the beginning of a record that is not whole
//!   yet. [`Transport::restore`] puts that in front of the next read.
//! - Plain bytes are not copied: what `open` and `seal` give is what they were given.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, HandshakeKind, ProtocolVersion};

use crate::tls::handshake::{ServerConfig, VerificationRecord};
use crate::wire::buffers::{HELD_MAX, Scratch};
use crate::wire::close::CloseReason;

mod explain;

use explain::{Role, explain};

/// The most plaintext that one record carries, in bytes (RFC 8446 §5.1).
const RECORD_MAX: usize = 16 * 1024;

/// What a record puts round its plaintext, in bytes, and a little more: the header, the explicit
/// nonce of TLS 1.2, the content type of TLS 1.3, the tag.
const RECORD_ROOM: usize = 64;

/// The wire form of a session.
pub enum Transport {
    /// RFC 862 as it stands: the wire carries the bytes themselves.
    Plain,
    /// TLS 1.2 (RFC 5246) or 1.3 (RFC 8446) round them.
    Tls(Box<Tls>),
}

/// What was agreed in a TLS handshake, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The cipher suite by its IANA name, without the prefix `TLS_`.
    pub cipher_suite: &'static str,
    /// The keys come from an earlier session.
    pub resumed: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cipher_suite, resumed } = self;
        let resumed = if *resumed { "yes" } else { "no" };
        write!(f, "tls={version} cipher={cipher_suite} resumed={resumed}")
    }
}

impl Transport {
    /// The server's side of a TLS session.
    pub fn tls_server(config: ServerConfig) -> Result<Self, CloseReason> {
        let ServerConfig { rustls, record } = config;
        let connection = UnbufferedServerConnection::new(rustls)
            .map_err(|error| explain(&error, true, Role::Server(&record)))?;
        Ok(Self::tls(Side::Server(connection, record)))
    }

    /// The client's side of a TLS session with the server called `name`.
    pub fn tls_client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, CloseReason> {
        let provider = config.crypto_provider().clone();
        let connection = UnbufferedClientConnection::new(config, name)
            .map_err(|error| explain(&error, true, Role::Client(&provider)))?;
        Ok(Self::tls(Side::Client(connection, provider)))
    }

    fn tls(side: Side) -> Self {
        Self::Tls(Box::new(Tls { side, held: Vec::new(), peer_done: false }))
    }

    /// Puts what was held back at the front of `wire` and says how long it is; the next bytes
    /// belong behind it.
    pub fn restore(&self, wire: &mut [u8]) -> usize {
        match self {
            Self::Plain => 0,
            Self::Tls(tls) => {
                wire[..tls.held.len()].copy_from_slice(&tls.held);
                tls.held.len()
            }
        }
    }

    /// Takes bytes of the wire, with what `restore` put before them, and gives the plaintext.
    #[inline]
    pub fn open<'a>(
        &mut self,
        wire: &'a mut [u8],
        plain: &'a mut Scratch,
        sealed: &mut Scratch,
    ) -> Result<&'a [u8], CloseReason> {
        match self {
            Self::Plain => Ok(wire),
            Self::Tls(tls) => {
                tls.open(wire, plain, sealed)?;
                Ok(plain.filled())
            }
        }
    }

    /// Gives the wire form of `plaintext`, behind what `sealed` already holds.
    #[inline]
    pub fn seal<'a>(
        &mut self,
        plaintext: &'a [u8],
        sealed: &'a mut Scratch,
    ) -> Result<&'a [u8], CloseReason> {
        match self {
            Self::Plain => Ok(plaintext),
            Self::Tls(tls) => tls.seal(plaintext, sealed),
        }
    }

    /// Says into `sealed` that no more will come from us: `close_notify` for TLS, nothing for
    /// plain, whose end is the FIN.
    pub fn finish(&mut self, sealed: &mut Scratch) -> Result<(), CloseReason> {
        match self {
            Self::Plain => Ok(()),
            Self::Tls(tls) => tls.write(Say::CloseNotify, sealed),
        }
    }

    /// Whether the peer has said that no more will come (`close_notify`).
    #[inline]
    pub fn peer_done(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => tls.peer_done,
        }
    }

    /// Whether there is a handshake and it is not over.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => tls.side.common().is_handshaking(),
        }
    }

    /// What the end of the wire (FIN) means for a peer that has not said `close_notify`.
    pub fn end_of_wire(&self) -> CloseReason {
        match self {
            Self::Plain => CloseReason::PeerDone,
            Self::Tls(_) if self.is_handshaking() => CloseReason::HandshakeAbandoned,
            Self::Tls(_) => CloseReason::PeerTruncated,
        }
    }

    /// What was agreed, once the handshake is over; nothing for plain.
    pub fn agreed(&self) -> Option<Agreed> {
        let Self::Tls(tls) = self else { return None };
        let common = tls.side.common();
        let suite = common.negotiated_cipher_suite()?.suite().as_str()?;
        Some(Agreed {
            version: match common.protocol_version()? {
                ProtocolVersion::TLSv1_3 => "1.3",
                _ => "1.2",
            },
            cipher_suite: suite.trim_start_matches("TLS13_").trim_start_matches("TLS_"),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}

/// One side of a TLS session.
pub struct Tls {
    side: Side,
    /// The beginning of a record, or of a handshake message in several, that is not whole yet.
    held: Vec<u8>,
    /// The peer has sent `close_notify`.
    peer_done: bool,
}

/// With what explains a handshake that failed.
enum Side {
    Server(UnbufferedServerConnection, Arc<VerificationRecord>),
    Client(UnbufferedClientConnection, Arc<CryptoProvider>),
}

/// What is to be written as soon as TLS allows it.
#[derive(Clone, Copy)]
enum Say<'a> {
    Nothing,
    Plaintext(&'a [u8]),
    CloseNotify,
}

/// What one step through the records came to.
enum Step {
    /// There may be more in the bytes at hand.
    Again,
    /// Plaintext came. That may have been all, if no more bytes are at hand.
    Read,
    /// The peer has sent `close_notify`.
    PeerDone,
    /// The bytes at hand are used up, and what was to be written is written.
    Done,
}

impl Tls {
    /// Opens all whole records of `wire` and holds the rest.
    #[inline(never)] // It would only be in the way of plain bytes; so would `seal`.
    fn open(
        &mut self,
        wire: &mut [u8],
        plain: &mut Scratch,
        sealed: &mut Scratch,
    ) -> Result<(), CloseReason> {
        plain.clear();
        sealed.clear();
        let mut used = 0;
        loop {
            let (discard, result) = self.side.step(&mut wire[used..], Say::Nothing, plain, sealed);
            used += discard;
            match result {
                // One look less at each message.
                Ok(Step::Read) if used == wire.len() && !self.side.common().wants_write() => break,
                Ok(Step::Again | Step::Read) => {}
                Ok(Step::PeerDone) => self.peer_done = true,
                Ok(Step::Done) => break,
                Err(error) => {
                    let handshaking = self.side.common().is_handshaking();
                    // The alert that tells the peer is among what is still to be said. As long as
                    // there is something to say, the bytes that failed are not looked at again.
                    while self.side.common().wants_write() {
                        if self.side.step(&mut wire[used..], Say::Nothing, plain, sealed).1.is_err()
                        {
                            break;
                        }
                    }
                    return Err(explain(&error, handshaking, self.side.role()));
                }
            }
        }
        let rest = if self.peer_done { &[] } else { &wire[used..] };
        if rest.len() > HELD_MAX {
            return Err(CloseReason::TlsPeer("handshake message too long".into()));
        }
        self.held = rest.to_vec();
        Ok(())
    }

    #[inline(never)]
    fn seal<'a>(
        &mut self,
        plaintext: &[u8],
        sealed: &'a mut Scratch,
    ) -> Result<&'a [u8], CloseReason> {
        if !plaintext.is_empty() {
            self.write(Say::Plaintext(plaintext), sealed)?;
        }
        Ok(sealed.filled())
    }

    /// Puts one thing of ours behind what `sealed` holds; in a handshake, nothing may be said.
    fn write(&mut self, say: Say<'_>, sealed: &mut Scratch) -> Result<(), CloseReason> {
        // rustls gives the right to write as its answer to "what is in these bytes?", and wants
        // to be shown the same bytes as before.
        let mut nothing = Scratch::default();
        loop {
            match self.side.step(&mut self.held, say, &mut nothing, sealed).1 {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Again | Step::Read | Step::PeerDone) => {}
                Err(error) => return Err(explain(&error, false, self.side.role())),
            }
        }
    }
}

impl Side {
    fn common(&self) -> &CommonState {
        match self {
            Self::Server(connection, _) => connection,
            Self::Client(connection, _) => connection,
        }
    }

    fn role(&self) -> Role<'_> {
        match self {
            Self::Server(_, record) => Role::Server(record),
            Self::Client(_, provider) => Role::Client(provider),
        }
    }

    /// One step through `wire`; says how much of its front is done with.
    fn step(
        &mut self,
        wire: &mut [u8],
        say: Say<'_>,
        plain: &mut Scratch,
        sealed: &mut Scratch,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Server(c, _) => take(c.process_tls_records(wire), say, plain, sealed),
            Self::Client(c, _) => take(c.process_tls_records(wire), say, plain, sealed),
        }
    }
}

/// Takes what rustls found, whichever side it speaks for.
fn take<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    say: Say<'_>,
    plain: &mut Scratch,
    sealed: &mut Scratch,
) -> (usize, Result<Step, Error>) {
    let mut discard = status.discard;
    let result = status.state.and_then(|state| match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                plain.push(record.payload);
                discard += record.discard;
            }
            Ok(Step::Read)
        }
        ConnectionState::EncodeTlsData(mut message) => {
            fill(sealed, RECORD_ROOM, |room| message.encode(room))?;
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed => Ok(Step::PeerDone),
        ConnectionState::WriteTraffic(mut traffic) => {
            match say {
                Say::Nothing => {}
                Say::Plaintext(bytes) => {
                    let room = bytes.len() + RECORD_ROOM * (1 + bytes.len() / RECORD_MAX);
                    fill(sealed, room, |room| traffic.encrypt(bytes, room))?;
                }
                Say::CloseNotify => {
                    fill(sealed, RECORD_ROOM, |room| traffic.queue_close_notify(room))?;
                }
            }
            Ok(Step::Done)
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => Ok(Step::Done),
        // Early data is never offered (`max_early_data_size` stays 0: what is replayed would be
        // echoed), and no other state is known.
        _ => Err(Error::General("TLS is in a state that was not asked for".into())),
    });
    (discard, result)
}

/// Lets `put` write behind what `sealed` holds, with more room if it asks for more.
fn fill<E: Into<Refused>>(
    sealed: &mut Scratch,
    mut room: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Error> {
    loop {
        match put(sealed.spare(room)).map_err(Into::into) {
            Ok(written) => {
                sealed.advance(written);
                return Ok(());
            }
            Err(Refused::Wants(more)) => room = more,
            Err(Refused::For(error)) => return Err(error),
        }
    }
}

/// Why rustls did not write.
enum Refused {
    /// It wants this many bytes of room.
    Wants(usize),
    /// It must not, or cannot.
    For(Error),
}

impl From<EncodeError> for Refused {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Self::Wants(size.required_size),
            EncodeError::AlreadyEncoded => Self::For(Error::General(error.to_string())),
        }
    }
}

impl From<EncryptError> for Refused {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Self::Wants(size.required_size),
            EncryptError::EncryptExhausted => Self::For(Error::EncryptError),
        }
    }
}

#[cfg(test)]
mod tests;
