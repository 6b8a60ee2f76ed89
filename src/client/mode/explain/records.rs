//! From the bytes of a transcript to what they carry: records, opened with the session's keys, and the
//! messages in them (RFC 8446 §5, RFC 5246 §6).
//!
//! It reads a copy of what was sent and received, and does not take part in the connection. The bytes can
//! be anything.

use std::time::Duration;

use super::keys::{Opener, Secrets};
use crate::client::tap::Direction;
use crate::tls::reader::Reader;

/// The header of a record.
const HEADER: usize = 5;

/// The longest record: the plaintext, and what sealing may add (RFC 5246 §6.2.3).
const RECORD_MAX: usize = (1 << 14) + 2048;

/// The longest handshake message that is collected.
const MESSAGE_MAX: usize = 1 << 18;

/// The random of a `ServerHello` that is a `HelloRetryRequest` (RFC 8446 §4.1.3).
const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// One thing that the wire carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The time since the start.
    pub time: Duration,
    /// Who sent it.
    pub direction: Direction,
    /// What it is.
    pub content: Content,
    /// Its records as they were on the wire. Empty if it shares the record of the item before it.
    pub wire: Vec<u8>,
    /// It was sealed, and is shown opened.
    pub is_sealed: bool,
}

/// What the wire carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A handshake message: its type and its body.
    Message(u8, Vec<u8>),
    /// It precedes the records that are sealed.
    ChangeCipherSpec,
    /// An alert: its level and its description.
    Alert(u8, u8),
    /// Application data.
    Data(Vec<u8>),
    /// A record that could not be opened, of this type.
    Sealed(u8),
    /// A record whose content is not what its type promises.
    Malformed(u8),
    /// Bytes that are not a record of TLS.
    NotTls,
}

/// What the messages so far have settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The version that the server chose.
    pub version: Option<u16>,
    /// The cipher suite that the server chose.
    pub suite: Option<u16>,
    client_random: Vec<u8>,
    server_random: Vec<u8>,
}

impl Settled {
    /// Whether the server chose TLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.version == Some(0x0304)
    }
}

/// One direction.
#[derive(Default)]
struct Side {
    /// The beginning of a record.
    bytes: Vec<u8>,
    /// The beginning of a handshake message.
    message: Vec<u8>,
    /// The records since the last item.
    wire: Vec<u8>,
    opener: Option<Opener>,
    /// Whatever comes is not TLS.
    is_foreign: bool,
}

/// Takes the bytes of a connection apart.
pub struct Decoder<'a> {
    secrets: &'a Secrets,
    sent: Side,
    received: Side,
    /// What is settled.
    pub settled: Settled,
    items: Vec<Item>,
}

impl<'a> Decoder<'a> {
    /// For a connection with these secrets.
    pub fn new(secrets: &'a Secrets) -> Self {
        Self {
            secrets,
            sent: Side::default(),
            received: Side::default(),
            settled: Settled::default(),
            items: Vec::new(),
        }
    }

    /// Takes the next bytes in a direction, and returns what is complete with them.
    pub fn bytes(&mut self, time: Duration, direction: Direction, bytes: &[u8]) -> Vec<Item> {
        self.side(direction).bytes.extend_from_slice(bytes);
        while let Some(record) = self.next_record(direction) {
            self.record(time, direction, &record);
        }
        if self.side(direction).is_foreign && !self.side(direction).bytes.is_empty() {
            let wire = std::mem::take(&mut self.side(direction).bytes);
            let content = Content::NotTls;
            self.items.push(Item { time, direction, content, wire, is_sealed: false });
        }
        std::mem::take(&mut self.items)
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    /// The next complete record, with its header.
    fn next_record(&mut self, direction: Direction) -> Option<Vec<u8>> {
        let side = self.side(direction);
        let [kind, major, _, high, low] = *side.bytes.first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(20..=23).contains(&kind) || major != 3 || length > RECORD_MAX || side.is_foreign {
            side.is_foreign = true;
            return None;
        }
        let rest = side.bytes.split_off_checked(HEADER + length)?;
        Some(std::mem::replace(&mut side.bytes, rest))
    }

    /// Opens a record, and takes it apart.
    fn record(&mut self, time: Duration, direction: Direction, record: &[u8]) {
        let side = self.side(direction);
        side.wire.extend_from_slice(record);
        let Some((header, body)) = record.split_first_chunk::<HEADER>() else { return };
        let outer = header[0];
        // In TLS 1.3, a sealed record has the type of application data (RFC 8446 §5.2).
        let is_plain = outer != 23 && side.opener.as_ref().is_none_or(Opener::is_tls13);
        let opened = match &mut side.opener {
            Some(opener) if !is_plain => opener.open(record).map(|it| (it.kind, it.content)),
            _ if outer == 23 => None,
            _ => Some((outer, body.to_vec())),
        };
        let is_sealed = side.opener.is_some() && !is_plain;
        match opened {
            None => self.item(time, direction, Content::Sealed(outer), is_sealed),
            Some((kind, content)) => match (kind, &content[..]) {
                (20, [1]) => {
                    self.item(time, direction, Content::ChangeCipherSpec, is_sealed);
                    self.change_keys_of_tls12(direction);
                }
                (21, [level, description]) => {
                    let content = Content::Alert(*level, *description);
                    self.item(time, direction, content, is_sealed);
                }
                (22, [_, ..]) => {
                    self.side(direction).message.extend_from_slice(&content);
                    self.messages(time, direction, is_sealed);
                }
                (23, _) => self.item(time, direction, Content::Data(content), is_sealed),
                _ => self.item(time, direction, Content::Malformed(kind), is_sealed),
            },
        }
    }

    /// Takes the complete messages out of what has come.
    fn messages(&mut self, time: Duration, direction: Direction, is_sealed: bool) {
        loop {
            let message = &mut self.side(direction).message;
            let Some([kind, length @ ..]) = message.first_chunk::<4>().copied() else { return };
            let length = Reader(&length).number(3).and_then(|it| usize::try_from(it).ok());
            let length = length.unwrap_or(usize::MAX);
            if length > MESSAGE_MAX {
                message.clear();
                self.item(time, direction, Content::Malformed(22), is_sealed);
                return;
            }
            let Some(rest) = message.split_off_checked(4 + length) else { return };
            let whole = std::mem::replace(message, rest);
            let body = whole.get(4..).unwrap_or_default().to_vec();
            self.item(time, direction, Content::Message(kind, body.clone()), is_sealed);
            self.learn(direction, kind, &body);
        }
    }

    fn item(&mut self, time: Duration, direction: Direction, content: Content, is_sealed: bool) {
        let wire = std::mem::take(&mut self.side(direction).wire);
        self.items.push(Item { time, direction, content, wire, is_sealed });
    }

    /// What a message means for the records that follow it.
    fn learn(&mut self, direction: Direction, kind: u8, body: &[u8]) {
        match (kind, direction) {
            (1, Direction::Sent) => {
                self.settled.client_random = body.get(2..34).unwrap_or_default().to_vec();
            }
            (2, Direction::Received)
                if self.server_hello(body).is_some() && self.settled.is_tls13() =>
            {
                self.received.opener = self.opener_of("SERVER_HANDSHAKE_TRAFFIC_SECRET");
                self.sent.opener = self.opener_of("CLIENT_HANDSHAKE_TRAFFIC_SECRET");
            }
            // After Finished, the keys of the application.
            (20, Direction::Received) if self.settled.is_tls13() => {
                self.received.opener = self.opener_of("SERVER_TRAFFIC_SECRET_0");
            }
            (20, Direction::Sent) if self.settled.is_tls13() => {
                self.sent.opener = self.opener_of("CLIENT_TRAFFIC_SECRET_0");
            }
            (24, _) => {
                let side = self.side(direction);
                side.opener = side.opener.as_ref().and_then(Opener::updated);
            }
            _ => {}
        }
    }

    /// Notes what the server has chosen; nothing if it asks for another `ClientHello`.
    fn server_hello(&mut self, body: &[u8]) -> Option<()> {
        let hello = ServerHello::read(body)?;
        if hello.is_retry {
            return None;
        }
        self.settled.version = Some(hello.version);
        self.settled.suite = Some(hello.suite);
        self.settled.server_random = hello.random.to_vec();
        Some(())
    }

    fn opener_of(&self, label: &str) -> Option<Opener> {
        let secret = self.secrets.find(label, &self.settled.client_random)?;
        Opener::of_secret(self.settled.suite?, &secret)
    }

    fn change_keys_of_tls12(&mut self, direction: Direction) {
        let Settled { version, suite, client_random, server_random } = &self.settled;
        let (Some(0x0303), Some(suite)) = (version, suite) else { return };
        let master = self.secrets.find("CLIENT_RANDOM", client_random);
        self.side(direction).opener = master.and_then(|master| {
            Opener::of_master(*suite, direction, &master, client_random, server_random)
        });
    }
}

/// The choices in a `ServerHello`.
pub struct ServerHello<'a> {
    /// It asks for another `ClientHello`.
    pub is_retry: bool,
    /// The version, from the extension or from the field before it.
    pub version: u16,
    /// The cipher suite.
    pub suite: u16,
    /// The random bytes.
    pub random: &'a [u8],
    /// The rest.
    pub extensions: Vec<(u16, Reader<'a>)>,
}

impl<'a> ServerHello<'a> {
    /// Reads one.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let legacy = reader.u16()?;
        let random = reader.take(32)?;
        reader.vector(1)?;
        let suite = reader.u16()?;
        reader.u8()?;
        let extensions = reader.extensions()?;
        let chosen = extensions.iter().find(|(kind, _)| *kind == 43);
        let version = chosen.and_then(|(_, content)| content.clone().u16()).unwrap_or(legacy);
        Some(Self { is_retry: random == RETRY, version, suite, random, extensions })
    }
}

/// `Vec::split_off` that does not panic.
trait SplitOff {
    fn split_off_checked(&mut self, at: usize) -> Option<Vec<u8>>;
}

impl SplitOff for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Vec<u8>> {
        (at <= self.len()).then(|| self.split_off(at))
    }
}
