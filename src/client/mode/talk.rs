//! `talk`: standard input to the server and its answer to standard output, both at the same time.

mod console;
pub mod datagrams;

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::client::cli::Talk;
use crate::client::connection::{Connection, End, Received};
use crate::client::context::Client;
use crate::client::error::{Awaited, Error};
use crate::client::expect::Expected;
use crate::wire::close::CloseReason;
use console::{Console, Input};

/// How much one read of standard input returns at most, in bytes.
const CHUNK: usize = 64 * 1024;

/// How many bytes may be in flight if they are compared. This is more than the kernels of both sides
/// hold, so only a server that does not echo reaches it.
const EXPECTED_MAX: usize = 64 * 1024 * 1024;

/// How long to wait for standard input after the server has ended its side. Input that was written
/// before may still be on its way through the thread.
const LAST_INPUT: Duration = Duration::from_millis(100);

/// A conversation and its state.
struct Conversation<'a> {
    client: &'a mut Client,
    connection: Connection,
    console: Console,
    expected: Option<Expected>,
    /// When bytes last moved. The timeout of an echo starts here.
    last_moved: Instant,
    sent: u64,
    received: u64,
    input_ended: bool,
    /// Our FIN was sent.
    half_closed: bool,
}

/// The result of one step of a conversation.
enum Step {
    /// Bytes moved, and there may be more.
    Moved,
    /// Nothing can move now.
    Idle,
    /// The server has ended its side.
    Ended(End),
}

/// Talks until the server ends its side, and fails if it ended too early.
pub fn run(client: &mut Client, connection: Connection, talk: &Talk) -> Result<(), Error> {
    let start = Instant::now();
    let mut conversation = Conversation {
        console: Console::open(client, CHUNK, talk.raw)?,
        expected: talk.verify.then(Expected::default),
        client,
        connection,
        last_moved: start,
        sent: 0,
        received: 0,
        input_ended: false,
        half_closed: false,
    };
    let end = conversation.run();
    conversation.console.finish(conversation.client);
    if !conversation.input_ended {
        conversation.connection.goodbye(&mut conversation.client.buffers);
    }
    match &end {
        Ok(End::Clean) => conversation.note_totals("closed by the server", start),
        Err(error) if error.is_requested() => conversation.note_totals(error, start),
        Ok(End::Truncated) | Err(_) => {}
    }
    match end {
        Ok(end) => conversation.judge(end),
        Err(Error::Connection(reason @ (CloseReason::PeerReset | CloseReason::PeerLost(_)))) => {
            Err(conversation.cut_short(Error::from(reason)))
        }
        Err(error) => Err(error),
    }
}

impl Conversation<'_> {
    fn run(&mut self) -> Result<End, Error> {
        loop {
            let until = match self.step()? {
                Step::Ended(end) => return Ok(end),
                // Ctrl-C must be seen even if the server never pauses.
                Step::Moved => Some(Instant::now()),
                Step::Idle => self.deadline()?,
            };
            self.client.waiter.wait(until)?;
        }
    }

    /// Moves one read in each direction.
    fn step(&mut self) -> Result<Step, Error> {
        let answer = self.take_answer()?;
        if let Step::Ended(_) = answer {
            return Ok(answer);
        }
        let sent = self.connection.flush().map_err(Error::from);
        match sent.and_then(|()| self.take_input()) {
            Ok(true) => Ok(Step::Moved),
            Ok(false) => Ok(answer),
            // A failure to send must not hide an answer that has arrived.
            Err(error) => loop {
                match self.take_answer()? {
                    Step::Moved => {}
                    Step::Idle => return Err(error),
                    ended @ Step::Ended(_) => return Ok(ended),
                }
            },
        }
    }

    /// Reads once and prints what arrived, unless the printer is full.
    fn take_answer(&mut self) -> Result<Step, Error> {
        self.client.printer.check()?;
        if self.client.printer.is_full() {
            // This delay is ours, not the server's.
            self.last_moved = Instant::now();
            return Ok(Step::Idle);
        }
        let bytes = match self.connection.read(&mut self.client.buffers)? {
            Received::Nothing => return Ok(Step::Idle),
            Received::End(end) => return Ok(Step::Ended(end)),
            Received::Bytes([]) => return Ok(Step::Moved),
            Received::Bytes(bytes) => bytes.to_vec(),
        };
        let count = bytes.len();
        self.received += count as u64;
        self.last_moved = Instant::now();
        let checked = self.expected.as_mut().map_or(Ok(()), |sent| sent.received(&bytes));
        self.console.print(self.client, bytes);
        self.console.note(self.client, format_args!("received {count} bytes"));
        checked?;
        Ok(Step::Moved)
    }

    /// Sends one chunk of standard input, unless earlier bytes are still unsent. Returns whether there
    /// was any input.
    fn take_input(&mut self) -> Result<bool, Error> {
        let full = self.expected.as_ref().is_some_and(|sent| sent.missing() >= EXPECTED_MAX)
            || self.console.is_verbose() && self.client.printer.is_full();
        if !self.connection.is_flushed() || full {
            return Ok(false);
        }
        if self.input_ended {
            if !self.half_closed {
                self.half_closed = true;
                self.last_moved = Instant::now();
                // If the server has reset the connection, the next read returns that error.
                let _ = self.connection.end_writing();
            }
            return Ok(false);
        }
        match self.console.read()? {
            Some(Input::Bytes(bytes)) => {
                self.sent += bytes.len() as u64;
                self.last_moved = Instant::now();
                if let Some(expected) = &mut self.expected {
                    expected.sent(&bytes);
                }
                self.connection.send(&bytes, &mut self.client.buffers)?;
                self.console.note(self.client, format_args!("sent {} bytes", bytes.len()));
                Ok(true)
            }
            Some(Input::End) => {
                self.input_ended = true;
                self.connection.finish(&mut self.client.buffers)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn note_totals(&mut self, how: impl Display, start: Instant) {
        let Self { client, console, sent, received, .. } = self;
        console.note_totals(client, how, *sent, *received, start);
    }

    /// When the timeout of an echo ends, or `None` while no echo is due. Fails after that time.
    fn deadline(&self) -> Result<Option<Instant>, Error> {
        let Some(expected) = &self.expected else { return Ok(None) };
        if expected.missing() == 0 && !self.half_closed || self.client.printer.is_full() {
            return Ok(None);
        }
        let timeout = self.client.options.timeout;
        let deadline = self.last_moved + timeout;
        if Instant::now() < deadline {
            return Ok(Some(deadline));
        }
        let what = if expected.missing() > 0 { Awaited::Echo } else { Awaited::EndOfEcho };
        Err(Error::TimedOut { what, timeout })
    }

    /// Fails unless the server may end its side at this point.
    fn judge(&mut self, end: End) -> Result<(), Error> {
        let input_remains = self.input_remains()?;
        let not_taken = "the server closed the connection before it had taken all of the input";
        if let Some(expected) = &self.expected {
            if expected.missing() > 0 {
                return Err(self.cut_short("the echo was cut short"));
            }
            if input_remains {
                return Err(self.cut_short(not_taken));
            }
            if !self.input_ended {
                return Err(
                    self.cut_short("the server closed the connection before the input ended")
                );
            }
            if !self.client.options.quiet {
                if end == End::Truncated {
                    self.client.printer.note(
                        "echo-alex-client: the server closed the connection without close_notify, \
                         after everything had come back",
                    );
                }
                self.client.printer.note(format_args!(
                    "echo-alex-client: {} bytes came back as they were sent",
                    self.sent
                ));
            }
            return Ok(());
        }
        if end == End::Truncated {
            let text = "the server closed the connection without close_notify: its answer may be truncated";
            return Err(self.cut_short(text));
        }
        if self.console.at_terminal {
            return Ok(());
        }
        if input_remains {
            return Err(self.cut_short(not_taken));
        }
        if self.received < self.sent {
            return Err(self.cut_short("the server answered less than was sent"));
        }
        if !self.input_ended && self.sent > 0 && !self.client.options.quiet {
            let (sent, received) = (self.sent, self.received);
            self.client.printer.note(format_args!(
                "echo-alex-client: the server closed the connection before the input ended: sent \
                 {sent} bytes, received {received}"
            ));
        }
        Ok(())
    }

    /// Whether there is input that was not sent.
    fn input_remains(&mut self) -> Result<bool, Error> {
        if !self.connection.is_flushed() {
            return Ok(true);
        }
        let until = Instant::now() + LAST_INPUT;
        while !self.input_ended {
            match self.console.read()? {
                Some(Input::Bytes(_)) => return Ok(true),
                Some(Input::End) => self.input_ended = true,
                None if Instant::now() < until => self.client.waiter.wait(Some(until))?,
                None => break,
            }
        }
        Ok(false)
    }

    /// An error with the number of bytes in each direction.
    fn cut_short(&self, how: impl Display) -> Error {
        let Self { sent, received, .. } = *self;
        Error::CutShort { how: how.to_string(), sent, received }
    }
}
