//! Talk and pipe: standard input to the server, its answer to standard output, both at once.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::client::dial::{Came, Connection, End};
use crate::client::expect::Expected;
use crate::client::stop::{Failed, Stop};
use crate::client::wait::Waiter;
use crate::exit::Failure;
use crate::os::units;
use crate::wire::close::CloseReason;

/// What one read of standard input may bring, in bytes.
const CHUNK: usize = 64 * 1024;

/// How many bytes may be on their way when they are to be compared: more than the kernels of both
/// sides hold, so that only a server that does not echo ever gets there.
const EXPECTED_MAX: usize = 64 * 1024 * 1024;

/// How long to wait for standard input after the server's end: input that was written before that end
/// may still be on its way through the thread.
const LAST_INPUT: Duration = Duration::from_millis(100);

/// A conversation, and how far it is.
struct Relay<'a> {
    client: &'a mut Client,
    connection: Connection,
    input: Receiver<Input>,
    /// Standard input is a terminal.
    at_terminal: bool,
    expected: Option<Expected>,
    /// When bytes last moved. The timeout of an echo runs from here.
    last_moved: Instant,
    sent: u64,
    received: u64,
    input_ended: bool,
    /// Our FIN was sent.
    half_closed: bool,
}

/// What one step of a conversation came to.
enum Step {
    /// Bytes moved; there may be more.
    Moved,
    /// Nothing can move now.
    Idle,
    /// The server has ended.
    Ended(End),
}

/// What standard input brings.
enum Input {
    Bytes(Vec<u8>),
    End,
    Broken(io::Error),
}

/// Relays until the server ends, and fails if it ended too early.
pub fn run(client: &mut Client, connection: Connection, verify: bool) -> Result<(), Stop> {
    let start = Instant::now();
    let mut relay = Relay {
        input: read_input(&client.waiter)?,
        at_terminal: io::stdin().is_terminal(),
        expected: verify.then(Expected::default),
        client,
        connection,
        last_moved: start,
        sent: 0,
        received: 0,
        input_ended: false,
        half_closed: false,
    };
    let end = relay.converse();
    if !relay.input_ended {
        relay.connection.goodbye(&mut relay.client.buffers);
    }
    let how = match end {
        Ok(End::Whole) => Some("closed by the server"),
        Err(Stop::Interrupted) => Some("interrupted"),
        Err(Stop::ReaderGone) => Some("standard output was closed"),
        Ok(End::WithoutCloseNotify) | Err(Stop::Failed(_)) => None,
    };
    if let Some(how) = how.filter(|_| relay.talks()) {
        let (sent, received) = (units::bytes(relay.sent), units::bytes(relay.received));
        let seconds = start.elapsed().as_secs_f64();
        relay
            .client
            .printer
            .note(format_args!("{how}: sent {sent}, received {received} in {seconds:.1} s"));
    }
    match end {
        Ok(end) => relay.judge(end),
        Err(Stop::Failed(Failed::Lost(
            reason @ (CloseReason::PeerReset | CloseReason::PeerLost(_)),
        ))) => {
            let failure = relay.client.dialler.explain(reason.into());
            Err(relay.failed(failure))
        }
        Err(stop) => Err(stop),
    }
}

impl Relay<'_> {
    fn converse(&mut self) -> Result<End, Stop> {
        loop {
            let until = match self.step()? {
                Step::Ended(end) => return Ok(end),
                // A server that never pauses must not keep Ctrl-C from being seen.
                Step::Moved => Some(Instant::now()),
                Step::Idle => self.deadline()?,
            };
            self.client.waiter.wait(until)?;
        }
    }

    /// Moves one read in each direction.
    fn step(&mut self) -> Result<Step, Stop> {
        let answer = self.take_answer()?;
        if let Step::Ended(_) = answer {
            return Ok(answer);
        }
        let sent = self.connection.flush().map_err(Stop::from);
        match sent.and_then(|()| self.take_input()) {
            Ok(true) => Ok(Step::Moved),
            Ok(false) => Ok(answer),
            // A failure to send must not hide an answer that has arrived.
            Err(stop) => loop {
                match self.take_answer()? {
                    Step::Moved => {}
                    Step::Idle => return Err(stop),
                    ended @ Step::Ended(_) => return Ok(ended),
                }
            },
        }
    }

    /// Reads once and prints what came, unless the printer is full.
    fn take_answer(&mut self) -> Result<Step, Stop> {
        self.client.printer.check()?;
        if self.client.printer.is_full() {
            // The delay is ours, not the server's.
            self.last_moved = Instant::now();
            return Ok(Step::Idle);
        }
        let bytes = match self.connection.read(&mut self.client.buffers)? {
            Came::Nothing => return Ok(Step::Idle),
            Came::End(end) => return Ok(Step::Ended(end)),
            Came::Bytes([]) => return Ok(Step::Moved),
            Came::Bytes(bytes) => bytes.to_vec(),
        };
        let count = bytes.len();
        self.received += count as u64;
        self.last_moved = Instant::now();
        let checked = self.expected.as_mut().map_or(Ok(()), |sent| sent.came(&bytes));
        self.client.printer.print(bytes);
        if self.talks() {
            self.client.printer.note(format_args!("received {count} bytes"));
        }
        checked?;
        Ok(Step::Moved)
    }

    /// Sends one chunk of standard input, unless earlier bytes are still unsent. Returns whether there
    /// was anything.
    fn take_input(&mut self) -> Result<bool, Stop> {
        let full = self.expected.as_ref().is_some_and(|sent| sent.missing() >= EXPECTED_MAX)
            || self.talks() && self.client.printer.is_full();
        if !self.connection.is_flushed() || full {
            return Ok(false);
        }
        if self.input_ended {
            if !self.half_closed {
                self.half_closed = true;
                self.last_moved = Instant::now();
                // A server that has reset the connection says so to the next read.
                let _ = self.connection.end_writing();
            }
            return Ok(false);
        }
        match self.input.try_recv() {
            Ok(Input::Bytes(bytes)) => {
                self.sent += bytes.len() as u64;
                self.last_moved = Instant::now();
                if let Some(expected) = &mut self.expected {
                    expected.sent(&bytes);
                }
                self.connection.send(&bytes, &mut self.client.buffers)?;
                if self.talks() {
                    self.client.printer.note(format_args!("sent {} bytes", bytes.len()));
                }
                Ok(true)
            }
            Ok(Input::End) => {
                self.input_ended = true;
                self.connection.finish(&mut self.client.buffers)?;
                Ok(true)
            }
            Ok(Input::Broken(error)) => Err(broken(&error)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(false),
        }
    }

    /// Whether to report what moves.
    fn talks(&self) -> bool {
        self.at_terminal && !self.client.options.quiet
    }

    /// When the timeout of an echo ends; `None` while no echo is due. Fails after that time.
    fn deadline(&self) -> Result<Option<Instant>, Stop> {
        let Some(expected) = &self.expected else { return Ok(None) };
        if expected.missing() == 0 && !self.half_closed || self.client.printer.is_full() {
            return Ok(None);
        }
        let deadline = self.last_moved + self.client.options.timeout;
        if Instant::now() < deadline {
            return Ok(Some(deadline));
        }
        let what = if expected.missing() > 0 { "echo" } else { "end of the echo" };
        Err(Failed::TimedOut(what).into())
    }

    /// Fails unless the server may end at this point.
    fn judge(&mut self, end: End) -> Result<(), Stop> {
        let input_remains = self.input_remains()?;
        let not_taken = "the server ended before it had taken all of the input";
        if let Some(expected) = &self.expected {
            if expected.missing() > 0 {
                return Err(self.failed("the echo was cut short"));
            }
            if input_remains {
                return Err(self.failed(not_taken));
            }
            if !self.input_ended {
                return Err(self.failed("the server ended before the input did"));
            }
            if !self.client.options.quiet {
                if end == End::WithoutCloseNotify {
                    self.client.printer.note(
                        "echo-alex-client: the server ended without close_notify, after \
                         everything had come back",
                    );
                }
                self.client.printer.note(format_args!(
                    "echo-alex-client: {} bytes came back as they were sent",
                    self.sent
                ));
            }
            return Ok(());
        }
        if end == End::WithoutCloseNotify {
            let text = "the server ended without close_notify: its answer may be cut short";
            return Err(self.failed(text));
        }
        if self.at_terminal {
            return Ok(());
        }
        if input_remains {
            return Err(self.failed(not_taken));
        }
        if self.received < self.sent {
            return Err(self.failed("the server answered less than was sent"));
        }
        if !self.input_ended && self.sent > 0 && !self.client.options.quiet {
            let (sent, received) = (self.sent, self.received);
            self.client.printer.note(format_args!(
                "echo-alex-client: the server ended before the input did: sent {sent} bytes, \
                 received {received}"
            ));
        }
        Ok(())
    }

    /// Whether there is input that the server has not taken.
    fn input_remains(&mut self) -> Result<bool, Stop> {
        if !self.connection.is_flushed() {
            return Ok(true);
        }
        let until = Instant::now() + LAST_INPUT;
        while !self.input_ended {
            match self.input.try_recv() {
                Ok(Input::Bytes(_)) => return Ok(true),
                Ok(Input::End) => self.input_ended = true,
                Err(TryRecvError::Empty) if Instant::now() < until => {
                    self.client.waiter.wait(Some(until))?;
                }
                Ok(Input::Broken(error)) => return Err(broken(&error)),
                Err(_) => break,
            }
        }
        Ok(false)
    }

    /// A failure with the number of bytes in each direction.
    fn failed(&self, what: impl Display) -> Stop {
        let Self { sent, received, .. } = self;
        crate::client::failed(format!("{what}: sent {sent} bytes, received {received}"))
    }
}

fn broken(error: &io::Error) -> Stop {
    Failure::system("cannot read standard input", error).into()
}

/// Reads standard input in a thread: a file cannot be polled, and a terminal that is made non-blocking
/// is non-blocking for the shell as well. No more than two chunks wait.
fn read_input(waiter: &Waiter) -> Result<Receiver<Input>, Failure> {
    let (sender, receiver) = sync_channel(2);
    waiter.spawn(move |wake| {
        let mut stdin = io::stdin().lock();
        loop {
            let mut chunk = vec![0; CHUNK];
            let input = match stdin.read(&mut chunk) {
                Ok(0) => Input::End,
                Ok(count) => {
                    chunk.truncate(count);
                    Input::Bytes(chunk)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Input::Broken(error),
            };
            let last = !matches!(input, Input::Bytes(_));
            if sender.send(input).is_err() {
                return;
            }
            wake();
            if last {
                return;
            }
        }
    })?;
    Ok(receiver)
}
