//! Talk and pipe: standard input to the server, its answer to standard output, both at once.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;

use super::Client;
use super::dial::{Connection, Failed};
use super::expect::Expected;
use super::wait::STDIN;
use crate::close::CloseReason;
use crate::exit::{Exit, Failure, plain};
use crate::link::Reading;
use crate::{output, stats};

/// What one read of standard input may bring, in bytes.
const CHUNK: usize = 64 * 1024;

/// How many bytes may be on their way when they are to be compared: more than the kernels of both
/// sides hold, so that only a server that does not echo ever gets there.
const EXPECTED_MAX: usize = 64 * 1024 * 1024;

/// A conversation, and how far it is.
struct Relay<'a> {
    client: &'a mut Client,
    connection: Connection,
    input: Receiver<Input>,
    /// Says what is going on: standard input is a terminal.
    talks: bool,
    expected: Option<Expected>,
    /// Since when nothing came that had to.
    waiting: Instant,
    sent: u64,
    received: u64,
    input_ended: bool,
    /// Our FIN is out.
    half_closed: bool,
}

/// What standard input brings.
enum Input {
    Bytes(Vec<u8>),
    End,
    Broken(io::Error),
}

/// How a conversation ends.
enum End {
    /// The server has said all that it had to say.
    Server,
    /// Whoever read our output has gone.
    Output,
    /// Ctrl-C.
    Interrupted,
}

/// Talks until the server ends.
pub fn run(client: &mut Client, connection: Connection, verify: bool) -> Result<Exit, Failure> {
    let waker = Waker::new(client.waiter.registry(), STDIN)
        .map_err(|error| Failure::system("cannot watch standard input", &error))?;
    // A waker that is gone takes its last event with it, so it must outlive the thread.
    let waker = Arc::new(waker);
    let input = read_input(waker.clone());
    let start = Instant::now();
    let mut relay = Relay {
        talks: io::stdin().is_terminal() && !client.options.quiet,
        expected: verify.then(Expected::default),
        client,
        connection,
        input,
        waiting: start,
        sent: 0,
        received: 0,
        input_ended: false,
        half_closed: false,
    };
    let end = relay.converse();
    drop(waker);
    if !relay.input_ended {
        relay.connection.link.goodbye(&mut relay.client.buffers);
    }
    let end = end?;
    if relay.talks {
        output::note(format_args!(
            "{}: sent {}, received {} in {:.1} s",
            match end {
                End::Interrupted => "interrupted",
                End::Server => "closed by the server",
                End::Output => "nobody reads the output",
            },
            stats::bytes(relay.sent),
            stats::bytes(relay.received),
            start.elapsed().as_secs_f64()
        ));
    }
    match end {
        End::Interrupted => Ok(Exit::Interrupted),
        // Nobody wants the rest: that is how `client | head -1` ends (and no fault of the echo).
        End::Output => Ok(Exit::Ok),
        End::Server => relay.check_end(),
    }
}

impl Relay<'_> {
    fn converse(&mut self) -> Result<End, Failure> {
        let early = std::mem::take(&mut self.connection.early);
        if !early.is_empty() && !self.deliver(&early)? {
            return Ok(End::Output);
        }
        loop {
            if let Some(end) = self.step()? {
                return Ok(end);
            }
            let time = self.time_left()?;
            match self.client.waiter.wait(time) {
                Ok(()) => {}
                Err(Failed::Interrupted) => return Ok(End::Interrupted),
                Err(failed) => return Err(self.client.dialler.explain(failed)),
            }
        }
    }

    /// Both directions, as far as they go without waiting.
    fn step(&mut self) -> Result<Option<End>, Failure> {
        loop {
            self.connection
                .link
                .flush()
                .map_err(|error| self.client.dialler.explain(error.into()))?;
            let taken = self.take_input()?;
            match self.connection.link.read(&mut self.client.buffers) {
                Ok(Reading::Bytes(bytes)) => {
                    let link = &mut self.connection.link;
                    let came = link
                        .receive(bytes, &mut self.client.buffers, |_| &[])
                        .map_err(|reason| self.client.dialler.explain(reason.into()))?;
                    let came = came.to_vec();
                    if !self.deliver(&came)? {
                        return Ok(Some(End::Output));
                    }
                    if self.connection.link.transport().peer_done() {
                        return Ok(Some(End::Server));
                    }
                }
                Ok(Reading::Ended) => {
                    return match self.connection.link.transport().end_of_wire() {
                        CloseReason::PeerDone => Ok(Some(End::Server)),
                        _ => Err(Failure::new(
                            Exit::Failure,
                            "the server ended without close_notify: its answer may be cut short",
                        )),
                    };
                }
                Ok(Reading::Nothing) if taken => {}
                Ok(Reading::Nothing) => return Ok(None),
                Err(error) => return Err(self.client.dialler.explain(error.into())),
            }
        }
    }

    /// Sends what standard input has brought, if nothing waits to be sent; says whether there was
    /// anything.
    fn take_input(&mut self) -> Result<bool, Failure> {
        let full = self.expected.as_ref().is_some_and(|sent| sent.missing() >= EXPECTED_MAX);
        if !self.connection.link.is_flushed() || full {
            return Ok(false);
        }
        if self.input_ended {
            if !self.half_closed {
                self.half_closed = true;
                self.waiting = Instant::now();
                // A server that has reset the connection says so to the next read.
                let _ = self.connection.link.end_writing();
            }
            return Ok(false);
        }
        let explain = |reason: CloseReason| self.client.dialler.explain(reason.into());
        match self.input.try_recv() {
            Ok(Input::Bytes(bytes)) => {
                self.connection.link.send(&bytes, &mut self.client.buffers).map_err(explain)?;
                self.sent += bytes.len() as u64;
                self.waiting = Instant::now();
                if let Some(expected) = &mut self.expected {
                    expected.sent(&bytes);
                }
                if self.talks {
                    output::note(format_args!("sent {} bytes", bytes.len()));
                }
                Ok(true)
            }
            Ok(Input::End) => {
                self.input_ended = true;
                self.connection.link.finish(&mut self.client.buffers).map_err(explain)?;
                Ok(true)
            }
            Ok(Input::Broken(error)) => Err(Failure::system("cannot read standard input", &error)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(false),
        }
    }

    /// Gives what came to standard output; false if nobody reads that any more.
    fn deliver(&mut self, plaintext: &[u8]) -> Result<bool, Failure> {
        if plaintext.is_empty() {
            return Ok(true);
        }
        self.received += plaintext.len() as u64;
        self.waiting = Instant::now();
        let mut stdout = io::stdout().lock();
        match stdout.write_all(plaintext).and_then(|()| stdout.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(Failure::system("cannot write to standard output", &error)),
        }
        drop(stdout);
        if self.talks {
            output::note(format_args!("received {} bytes", plaintext.len()));
        }
        if let Some(expected) = &mut self.expected {
            expected
                .came(plaintext)
                .map_err(|difference| Failure::new(Exit::Failure, difference.to_string()))?;
        }
        Ok(true)
    }

    /// How long the server may take, where an echo is due; else for ever.
    fn time_left(&self) -> Result<Option<Duration>, Failure> {
        let Some(expected) = &self.expected else { return Ok(None) };
        if expected.missing() == 0 && !self.half_closed {
            return Ok(None);
        }
        let timeout = self.client.options.timeout;
        match timeout.checked_sub(self.waiting.elapsed()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ if expected.missing() > 0 => {
                Err(self.client.dialler.explain(Failed::TimedOut("echo")))
            }
            _ => Err(self.client.dialler.explain(Failed::TimedOut("end of the echo"))),
        }
    }

    fn check_end(&self) -> Result<Exit, Failure> {
        let Some(expected) = &self.expected else { return Ok(Exit::Ok) };
        if expected.missing() > 0 || !self.input_ended {
            return Err(Failure::new(
                Exit::Failure,
                format!(
                    "the echo was cut short: sent {} bytes, {} came back",
                    self.sent,
                    expected.returned()
                ),
            ));
        }
        if !self.client.options.quiet {
            output::note(format_args!(
                "echo-alex-client: {} bytes came back as they were sent",
                self.sent
            ));
        }
        Ok(Exit::Ok)
    }
}

/// Reads standard input in a thread of its own: a file cannot be polled, and a terminal that was
/// made non-blocking would be so for the shell as well. No more than two chunks wait.
fn read_input(waker: Arc<Waker>) -> Receiver<Input> {
    let (sender, receiver) = sync_channel(2);
    thread::spawn(move || {
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
            if let Err(error) = waker.wake() {
                output::note(format_args!(
                    "echo-alex-client: cannot wake the loop: {}",
                    plain(&error)
                ));
                return;
            }
            if last {
                return;
            }
        }
    });
    receiver
}
