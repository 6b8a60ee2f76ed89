//! TLS records: drives rustls over bytes that the caller owns. It does no I/O.
//!
//! rustls's unbuffered API reports what the bytes at hand amount to, one state at a time, and the caller
//! acts on it. Two rules come with it: bytes that are held must be shown again unchanged, before new ones;
//! and after an error, bytes must not be shown again once the alert is out.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error};

use crate::tls::handshake::{ServerConfig, VerificationRecord};
use crate::wire::buffers::{HELD_MAX, Scratch};
use crate::wire::close::CloseReason;
use crate::wire::explain::{Role, explain};

/// The most plaintext that one record carries, in bytes (RFC 8446 §5.1).
const RECORD_MAX: usize = 16 * 1024;

/// The overhead of a record, in bytes, and a little more: the header, the explicit nonce of TLS 1.2, the
/// content type of TLS 1.3, the tag.
const RECORD_ROOM: usize = 64;

/// One side of a TLS session.
pub struct Tls {
    side: Side,
    /// The beginning of a record, or of a handshake message in several records, that is not complete.
    pub(super) held: Vec<u8>,
    /// The peer has sent `close_notify`.
    pub(super) peer_done: bool,
}

/// A connection of rustls, and what explains its handshake if that fails.
enum Side {
    Server {
        connection: UnbufferedServerConnection,
        record: Arc<VerificationRecord>,
        /// The server's name in the `ClientHello`, which the connection does not give.
        name: Option<Arc<str>>,
    },
    Client(UnbufferedClientConnection, Arc<ClientConfig>),
}

/// What is to be written as soon as TLS allows it.
#[derive(Clone, Copy)]
pub(super) enum Write<'a> {
    Nothing,
    Plaintext(&'a [u8]),
    CloseNotify,
}

/// The outcome of one step through the records.
enum Step {
    /// There may be more in the bytes at hand.
    Again,
    /// Plaintext came. If no more bytes are at hand, that may have been all.
    Read,
    /// The peer has sent `close_notify`.
    PeerDone,
    /// The bytes at hand are used up, and what was to be written is written.
    Done,
}

impl Tls {
    /// The server's side.
    pub fn server(ServerConfig { rustls, record, .. }: ServerConfig) -> Result<Self, CloseReason> {
        let connection = UnbufferedServerConnection::new(rustls)
            .map_err(|error| explain(&error, true, Role::Server(&record)))?;
        Ok(Self::new(Side::Server { connection, record, name: None }))
    }

    /// The client's side of a session with the server called `name`.
    pub fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, CloseReason> {
        let connection = UnbufferedClientConnection::new(config.clone(), name)
            .map_err(|error| explain(&error, true, Role::Client(&config, &[])))?;
        Ok(Self::new(Side::Client(connection, config)))
    }

    fn new(side: Side) -> Self {
        Self { side, held: Vec::new(), peer_done: false }
    }

    /// Opens all complete records of `wire` and holds the rest.
    #[inline(never)] // Inlined, it would take registers from the path of plain bytes; so would `seal`.
    pub(super) fn open(
        &mut self,
        wire: &mut [u8],
        plain: &mut Vec<u8>,
        sealed: &mut Scratch,
    ) -> Result<(), CloseReason> {
        plain.clear();
        sealed.clear();
        let mut used = 0;
        loop {
            let (discard, result) =
                self.side.step(&mut wire[used..], Write::Nothing, plain, sealed);
            used += discard;
            match result {
                // This saves a step for each message.
                Ok(Step::Read) if used == wire.len() && !self.side.common().wants_write() => break,
                Ok(Step::Again) => self.side.take_name(),
                Ok(Step::Read) => {}
                Ok(Step::PeerDone) => self.peer_done = true,
                Ok(Step::Done) => break,
                Err(error) => {
                    self.side.take_name();
                    let handshaking = self.side.common().is_handshaking();
                    // The alert for the peer is still to be written. As long as there is something to
                    // write, rustls does not look at the bytes that failed again.
                    while self.side.common().wants_write() {
                        if self
                            .side
                            .step(&mut wire[used..], Write::Nothing, plain, sealed)
                            .1
                            .is_err()
                        {
                            break;
                        }
                    }
                    return Err(explain(&error, handshaking, self.side.role(wire)));
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

    /// Puts `plaintext` behind what `sealed` holds, as records.
    #[inline(never)]
    pub(super) fn seal<'a>(
        &mut self,
        plaintext: &[u8],
        sealed: &'a mut Scratch,
    ) -> Result<&'a [u8], CloseReason> {
        if !plaintext.is_empty() {
            self.write(Write::Plaintext(plaintext), sealed)?;
        }
        Ok(sealed.filled())
    }

    /// Puts something of ours behind what `sealed` holds. During a handshake that is an error.
    pub(super) fn write(
        &mut self,
        what: Write<'_>,
        sealed: &mut Scratch,
    ) -> Result<(), CloseReason> {
        // rustls allows to write in its answer to "what is in these bytes?", so it is shown the bytes
        // that are held, unchanged.
        let mut nothing = Vec::new();
        loop {
            match self.side.step(&mut self.held, what, &mut nothing, sealed).1 {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Again | Step::Read | Step::PeerDone) => {}
                Err(error) => return Err(explain(&error, false, self.side.role(&[]))),
            }
        }
    }

    /// The server's name that the client has sent, on the server's side.
    pub(super) fn server_name(&self) -> Option<&str> {
        match &self.side {
            Side::Server { name, .. } => name.as_deref(),
            Side::Client(..) => None,
        }
    }

    /// What is known of the session whatever its side.
    pub(super) fn common(&self) -> &CommonState {
        self.side.common()
    }
}

impl Side {
    fn common(&self) -> &CommonState {
        match self {
            Self::Server { connection, .. } => connection,
            Self::Client(connection, _) => connection,
        }
    }

    /// Takes the server's name from a `ClientHello` that was processed just now: something is to be written
    /// then, or it failed.
    #[cold]
    fn take_name(&mut self) {
        if let Self::Server { record, name, .. } = self
            && let Some(found) = record.take_name()
        {
            *name = Some(found);
        }
    }

    /// With what was read last.
    fn role<'a>(&'a self, received: &'a [u8]) -> Role<'a> {
        match self {
            Self::Server { record, .. } => Role::Server(record),
            Self::Client(_, config) => Role::Client(config, received),
        }
    }

    /// One step through `wire`; returns how many bytes at its front are done with.
    fn step(
        &mut self,
        wire: &mut [u8],
        what: Write<'_>,
        plain: &mut Vec<u8>,
        sealed: &mut Scratch,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Server { connection: c, .. } => {
                take(c.process_tls_records(wire), what, plain, sealed)
            }
            Self::Client(c, _) => take(c.process_tls_records(wire), what, plain, sealed),
        }
    }
}

/// Acts on the state that rustls reports, of either side.
fn take<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    what: Write<'_>,
    plain: &mut Vec<u8>,
    sealed: &mut Scratch,
) -> (usize, Result<Step, Error>) {
    let mut discard = status.discard;
    let result = status.state.and_then(|state| match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                plain.extend_from_slice(record.payload);
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
            match what {
                Write::Nothing => {}
                Write::Plaintext(bytes) => {
                    let room = bytes.len() + RECORD_ROOM * (1 + bytes.len() / RECORD_MAX);
                    fill(sealed, room, |room| traffic.encrypt(bytes, room))?;
                }
                Write::CloseNotify => {
                    fill(sealed, RECORD_ROOM, |room| traffic.queue_close_notify(room))?;
                }
            }
            Ok(Step::Done)
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => Ok(Step::Done),
        // Early data is never offered (`max_early_data_size` stays 0: replayed bytes would be echoed),
        // and no other state is known.
        _ => Err(Error::General("TLS is in an unknown state".into())),
    });
    (discard, result)
}

/// Lets `put` write behind what `sealed` holds, and gives it more room if it asks for that.
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
            Err(Refused::NeedsRoom(more)) => room = more,
            Err(Refused::Failed(error)) => return Err(error),
        }
    }
}

/// Why rustls did not write.
enum Refused {
    /// It needs this many bytes of room.
    NeedsRoom(usize),
    /// It must not, or cannot.
    Failed(Error),
}

impl From<EncodeError> for Refused {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Self::NeedsRoom(size.required_size),
            EncodeError::AlreadyEncoded => Self::Failed(Error::General(error.to_string())),
        }
    }
}

impl From<EncryptError> for Refused {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Self::NeedsRoom(size.required_size),
            EncryptError::EncryptExhausted => Self::Failed(Error::EncryptError),
        }
    }
}

#[cfg(test)]
impl Tls {
    /// Has the client's next records sealed with new keys, which makes a `KeyUpdate` (RFC 8446 §4.6.3).
    pub(super) fn refresh_traffic_keys(&mut self) {
        let Side::Client(connection, _) = &mut self.side else { unreachable!() };
        let status = connection.process_tls_records(&mut []);
        let Ok(ConnectionState::WriteTraffic(traffic)) = status.state else { unreachable!() };
        traffic.refresh_traffic_keys().unwrap();
    }
}
