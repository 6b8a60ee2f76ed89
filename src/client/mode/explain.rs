//! `explain`: one connection from the name to the last FIN, told step by step.
//!
//! A tap at the socket records the connection, and the story is made of the record when the connection is
//! over, whatever its end. So explaining changes nothing about it.

mod html;
mod keys;
mod meaning;
mod messages;
mod pcapng;
mod records;
mod report;
mod story;
mod text;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::cli::{Explain, Format};
use crate::client::context::Client;
use crate::client::drawing::Colours;
use crate::client::echo::{echo, message};
use crate::client::error::Error;
use crate::client::facts::Facts;
use crate::client::mode::both::rows::{Row, rows};
use crate::client::mode::both::views;
use crate::client::parting::part;
use crate::client::tap::{Direction, Event, Tap, Transcript};
use crate::exit::Failure;
use crate::os::files;
use keys::Secrets;
use report::Report;
use story::Verdict;

/// The length of the message, in bytes.
const MESSAGE: usize = 32;

/// How long the server may take to end its side after we have ended ours.
const PARTING: Duration = Duration::from_secs(2);

/// Makes a connection and explains it, also one that fails.
pub fn run(client: &mut Client, explain: &Explain) -> Result<(), Error> {
    let capture = explain.pcapng.as_deref().map(Capture::create).transpose()?;
    if explain.resume {
        // This one is not explained: the server gives a ticket in it.
        connect(client, explain, &Tap::default(), &mut Found::default())?;
        client.dialler.secrets();
    }
    let tap = Tap::recording();
    let mut found = Found::default();
    let outcome = connect(client, explain, &tap, &mut found);
    let transcript = tap.transcript();
    let secrets = Secrets::new(client.dialler.secrets());
    let error = outcome.as_ref().err().map(ToString::to_string);
    let is_trusted = transcript.events.iter().any(|(_, event)| *event == Event::HandshakeDone);
    let verdict = verdict(client, is_trusted);
    let mut steps = story::steps(&transcript, &secrets, client.options.tls.is_some(), &verdict);
    if let Some(error) = error.as_ref().filter(|_| !steps.iter().any(|step| step.is_fault)) {
        steps.push(story::failure(&transcript, error));
    }
    let report = Report {
        mode: "explain",
        host: client.dialler.host.clone(),
        address: transcript.events.iter().find_map(|(_, event)| match event {
            Event::Connected { address, .. } => Some(address.to_string()),
            _ => None,
        }),
        facts: found.facts,
        error,
        phases: story::phases(&transcript),
        steps,
        ends: found.ends,
    };
    print(client, &report, explain.format)?;
    let captured = capture.map_or(Ok(()), |it| it.write(&pcapng::file(&transcript, &secrets)));
    outcome.and(captured.map_err(Error::from))
}

/// What was found out about the certificate; that it is trusted only if the handshake is over.
fn verdict(client: &Client, is_trusted: bool) -> Verdict {
    let refusal = client.dialler.refusal();
    let trust = if is_trusted && refusal.is_none() { client.dialler.trust() } else { Vec::new() };
    Verdict { trust, refusal }
}

/// What was found out beside the record of the connection.
#[derive(Default)]
struct Found {
    facts: Option<Facts>,
    /// What both ends saw, where the server reports it.
    ends: Option<Vec<Row>>,
}

/// One connection: look-up, connect, handshake, an echo or a report, and the end of both sides.
fn connect(
    client: &mut Client,
    explain: &Explain,
    tap: &Tap,
    found: &mut Found,
) -> Result<(), Error> {
    client.dialler.set_tap(tap.clone());
    client.dialler.resolve(&client.options, &mut client.waiter)?;
    let mut connection = client.dial()?;
    found.facts = client.dialler.facts(&connection);
    if explain.report {
        connection.send(&message(1, MESSAGE), &mut client.buffers)?;
        let (own, report) = views(client, &mut connection, &tap.transcript(), (MESSAGE, 1))?;
        found.ends = Some(rows(&own, &report.view));
        return Ok(());
    }
    if !explain.no_echo {
        echo(client, &mut connection, 1, MESSAGE)?;
        tap.note(|| Event::Echoed);
    }
    let time = PARTING.min(client.options.timeout);
    part(client, &mut connection, time, 0).map(drop)
}

fn print(client: &mut Client, report: &Report, format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Json => return client.print_json(report),
        Format::Html => html::page(report),
        Format::Text => text::draw(report, Colours::of_output()),
    };
    client.printer.print(text.into_bytes());
    Ok(())
}

/// The file of a capture. It is made first, so that a connection is not made in vain.
struct Capture {
    path: PathBuf,
    file: File,
}

impl Capture {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = files::private().write(true).truncate(true).open(path);
        let file = file.map_err(|error| Self::failure(path, &error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Self::failure(&self.path, &error))
    }

    fn failure(path: &Path, error: &io::Error) -> Failure {
        Failure::system(format_args!("cannot write {}", path.display()), error)
    }
}

/// Explains what `script` makes of a connection in all formats, for fuzzing. Each piece of it has two bytes
/// in front: what it is, and its length. The first piece holds secrets. Others are bytes that were sent or
/// received, or a handshake message as it comes out of a sealed record.
#[allow(clippy::missing_panics_doc)] // That is what it is for.
pub fn explain_anything(script: &[u8]) {
    let mut pieces = script.split_first_chunk::<2>();
    let mut transcript = Transcript::new();
    let mut lines = None;
    let mut messages = Vec::new();
    let end = std::net::SocketAddr::from(([127, 0, 0, 1], 5001));
    transcript.add(Event::Connected { address: end, from: Some(end) });
    while let Some(([way, length], rest)) = pieces {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length) << (way >> 4)));
        if lines.is_none() {
            lines = Some(String::from_utf8_lossy(piece).into_owned());
        } else if let (2.., Some((kind, body))) = (way & 3, piece.split_first()) {
            messages
                .extend([0x0303, 0x0304].map(|version| story::of_message(*kind, body, version)));
        } else if way & 1 == 0 {
            transcript.add(Event::Bytes(Direction::Sent, piece.to_vec()));
        } else {
            transcript.add(Event::Bytes(Direction::Received, piece.to_vec()));
        }
        pieces = rest.split_first_chunk::<2>();
    }
    let secrets = Secrets::new(lines.unwrap_or_default());
    let mut steps = story::steps(&transcript, &secrets, true, &Verdict::default());
    steps.extend(messages);
    let report = Report {
        mode: "explain",
        host: "fuzz".into(),
        address: None,
        facts: None,
        error: None,
        phases: story::phases(&transcript),
        steps,
        ends: None,
    };
    let text = text::draw(&report, Colours(false));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\x1b'));
    html::page(&report);
    pcapng::file(&transcript, &secrets);
    assert!(serde_json::to_string(&report).is_ok());
}
