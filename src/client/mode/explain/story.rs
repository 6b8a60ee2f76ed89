//! The connection as steps: what happened, who sent it, what it says, and what it is for.

use std::time::Duration;

use super::keys::Secrets;
use super::meaning::{self, Meaning};
use super::messages;
use super::records::{Content, Decoder, Item};
use super::report::{Bytes, Line, Phase, Step};
use crate::client::tap::{Direction, Event, Transcript};
use crate::tls::certificate::escape::{printable, printable_escaped};
use crate::tls::names;

/// The most steps of a story.
const STEPS_MAX: usize = 1000;

/// How much of the data is shown as text, in bytes.
const DATA_SHOWN: usize = 48;

impl Step {
    fn new(time: Duration, direction: Option<Direction>, name: impl Into<String>) -> Self {
        Self {
            time,
            direction,
            name: name.into(),
            details: Vec::new(),
            purpose: "",
            rfc: "",
            wire: Bytes::default(),
            plaintext: None,
            is_fault: false,
        }
    }

    fn meaning(self, (purpose, rfc): Meaning) -> Self {
        Self { purpose, rfc, ..self }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push(Line { name, value: value.into() });
        self
    }

    fn fault(self) -> Self {
        Self { is_fault: true, ..self }
    }
}

/// What the client found out about the server's certificate.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Why it is trusted, link by link.
    pub trust: Vec<String>,
    /// Why it is refused.
    pub refusal: Option<String>,
}

/// The steps of a connection, with TLS or without.
pub fn steps(
    transcript: &Transcript,
    secrets: &Secrets,
    is_tls: bool,
    verdict: &Verdict,
) -> Vec<Step> {
    let mut decoder = Decoder::new(secrets);
    let mut steps = Vec::new();
    let mut is_ended = false;
    for (time, event) in &transcript.events {
        if steps.len() >= STEPS_MAX {
            break;
        }
        match event {
            Event::Bytes(direction, bytes) if is_tls => {
                for item in decoder.bytes(*time, *direction, bytes) {
                    is_ended |= item.direction == Direction::Received
                        && matches!(item.content, Content::Alert(_, 0));
                    steps.push(of_item(item, &decoder, verdict));
                }
            }
            Event::Fin(Direction::Received) if is_tls && !is_ended => steps.push(
                Step::new(*time, Some(Direction::Received), "FIN without close_notify")
                    .meaning(meaning::TRUNCATED),
            ),
            event => steps.extend(of_event(*time, event)),
        }
    }
    if steps.len() >= STEPS_MAX || transcript.is_full() {
        steps.truncate(STEPS_MAX);
        let time = steps.last().map_or(Duration::ZERO, |step| step.time);
        steps.push(Step::new(time, None, "there was more, which is not recorded").fault());
    }
    steps
}

/// The step at which the client gives up.
pub fn failure(transcript: &Transcript, error: &str) -> Step {
    Step::new(transcript.age(), None, "the client gives up").with("reason", error).fault()
}

/// A step outside of TLS.
fn of_event(time: Duration, event: &Event) -> Option<Step> {
    let step = |direction, name: &str| Step::new(time, direction, name);
    let (sent, received) = (Some(Direction::Sent), Some(Direction::Received));
    Some(match event {
        Event::LookUp(host) => {
            step(None, &format!("look up {}", printable(host))).meaning(meaning::LOOK_UP)
        }
        Event::Resolved(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
            step(None, "answer of the resolver")
                .with("addresses", addresses.join(", "))
                .meaning(meaning::RESOLVED)
        }
        Event::Attempt(address) => {
            step(sent, "SYN").with("to", address.to_string()).meaning(meaning::SYN)
        }
        Event::Refused(address, why) => step(None, "no connection")
            .with("address", address.to_string())
            .with("reason", why)
            .meaning(meaning::REFUSED)
            .fault(),
        Event::Connected { address, from } => {
            let step = step(received, "SYN, ACK").with("from", address.to_string());
            let step = match from {
                Some(from) => step.with("to", from.to_string()),
                None => step,
            };
            step.meaning(meaning::CONNECTED)
        }
        Event::Bytes(direction, bytes) => Step {
            wire: Bytes(bytes.clone()),
            ..step(Some(*direction), "bytes").with("data", data(bytes)).meaning(meaning::PLAIN)
        },
        Event::Fin(direction) => step(Some(*direction), "FIN").meaning(meaning::FIN),
        Event::Broken(why) => {
            step(None, "the connection broke").with("reason", why).meaning(meaning::BROKEN).fault()
        }
        Event::HandshakeDone | Event::Echoed => return None,
    })
}

/// A step of TLS.
fn of_item(item: Item, decoder: &Decoder, verdict: &Verdict) -> Step {
    let tls13 = decoder.settled.is_tls13();
    let meaning = meaning::of(&item.content, tls13);
    let mut step =
        Step::new(item.time, Some(item.direction), name_of(&item.content)).meaning(meaning);
    match &item.content {
        Content::Message(kind, body) => {
            match messages::details(*kind, body, &decoder.settled) {
                Some(details) => {
                    step.details =
                        details.into_iter().map(|(name, value)| Line { name, value }).collect();
                }
                None => step = step.with("content", "it cannot be decoded").fault(),
            }
            if (*kind, item.direction) == (11, Direction::Received) {
                for link in &verdict.trust {
                    step = step.with("trusted because", link);
                }
                if let Some(refusal) = &verdict.refusal {
                    step = step.with("REFUSED", refusal).fault();
                }
            }
        }
        Content::Data(bytes) => step = step.with("data", data(bytes)),
        Content::Alert(level, description) => {
            let level = if *level == 2 { "fatal" } else { "warning" };
            step = step.with("level", level);
            step.is_fault = *description != 0;
        }
        Content::Sealed(_) | Content::ChangeCipherSpec => {}
        Content::Malformed(_) => step = step.fault(),
        Content::NotTls => {
            step = step.with("data", data(&item.wire)).fault();
        }
    }
    step.plaintext = item.is_sealed.then(|| Bytes(plaintext(&item.content)));
    step.wire = Bytes(item.wire);
    step
}

/// The step of a message in a session of this version, without its record.
pub fn of_message(kind: u8, body: &[u8], version: u16) -> Step {
    let secrets = Secrets::default();
    let mut decoder = Decoder::new(&secrets);
    decoder.settled.version = Some(version);
    let item = Item {
        time: Duration::ZERO,
        direction: Direction::Received,
        content: Content::Message(kind, body.to_vec()),
        wire: Vec::new(),
        is_sealed: true,
    };
    of_item(item, &decoder, &Verdict::default())
}

fn name_of(content: &Content) -> String {
    match content {
        Content::Message(2, body)
            if super::records::ServerHello::read(body).is_some_and(|it| it.is_retry) =>
        {
            "HelloRetryRequest".into()
        }
        Content::Message(kind, _) => match names::message(*kind) {
            Some(name) => name.into(),
            None => format!("handshake message {kind}"),
        },
        Content::ChangeCipherSpec => "ChangeCipherSpec".into(),
        Content::Alert(_, description) => match names::alert(*description) {
            Some(name) => format!("alert {name}"),
            None => format!("alert {description}"),
        },
        Content::Data(_) => "application data".into(),
        Content::Sealed(kind) => format!("{} that cannot be opened", kind_of(*kind)),
        Content::Malformed(kind) => format!("malformed {}", kind_of(*kind)),
        Content::NotTls => "bytes that are not TLS".into(),
    }
}

fn kind_of(kind: u8) -> String {
    match kind {
        20 => "ChangeCipherSpec record".into(),
        21 => "alert record".into(),
        22 => "handshake record".into(),
        23 => "application data record".into(),
        _ => format!("record of type {kind}"),
    }
}

fn plaintext(content: &Content) -> Vec<u8> {
    match content {
        Content::Message(kind, body) => {
            let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
            [&[*kind], length.get(1..).unwrap_or_default(), body].concat()
        }
        Content::Alert(level, description) => vec![*level, *description],
        Content::Data(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

/// How many bytes, and the first of them as text.
fn data(bytes: &[u8]) -> String {
    let shown = bytes.get(..DATA_SHOWN).unwrap_or(bytes);
    let text: String = String::from_utf8_lossy(shown).escape_debug().to_string();
    let more = if bytes.len() > DATA_SHOWN { "…" } else { "" };
    format!("{} bytes, \"{}{more}\"", bytes.len(), printable_escaped(&text))
}

/// Where the time went.
pub fn phases(transcript: &Transcript) -> Vec<Phase> {
    let when = |is_it: fn(&Event) -> bool| {
        transcript.events.iter().find(|(_, event)| is_it(event)).map(|(time, _)| *time)
    };
    let connected = when(|it| matches!(it, Event::Connected { .. }));
    let handshake = when(|it| matches!(it, Event::HandshakeDone));
    let moments = [
        (
            "resolve",
            when(|it| matches!(it, Event::LookUp(_))),
            when(|it| matches!(it, Event::Resolved(_))),
        ),
        ("connect", when(|it| matches!(it, Event::Attempt(_))), connected),
        ("handshake", connected, handshake),
        ("first echo", handshake.or(connected), when(|it| matches!(it, Event::Echoed))),
    ];
    let phase = |(name, start, end): (_, Option<Duration>, Option<Duration>)| {
        Some(Phase { name, start: start?, length: end?.saturating_sub(start?) })
    };
    moments.into_iter().filter_map(phase).collect()
}
