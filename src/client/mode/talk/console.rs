//! Standard input and output of a conversation, and what a person at a terminal is told.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use crate::client::context::Client;
use crate::client::error::Error;
use crate::client::visible::Visible;
use crate::client::wait::Waiter;
use crate::exit::Failure;
use crate::os::units;

/// Standard input and output.
pub(super) struct Console {
    input: Receiver<io::Result<Input>>,
    /// Whether standard input is a terminal.
    pub(super) at_terminal: bool,
    is_quiet: bool,
    /// Makes control characters visible, if standard output is a terminal.
    visible: Option<Visible>,
}

/// What a read of standard input returned.
pub(super) enum Input {
    Bytes(Vec<u8>),
    End,
}

impl Console {
    /// Begins to read standard input, at most `chunk` bytes at a time. With `raw`, a terminal gets what the
    /// server sends as it is.
    pub(super) fn open(client: &Client, chunk: usize, raw: bool) -> Result<Self, Failure> {
        Ok(Self {
            input: read_input(&client.waiter, chunk)?,
            at_terminal: io::stdin().is_terminal(),
            is_quiet: client.options.quiet,
            visible: (io::stdout().is_terminal() && !raw).then(Visible::default),
        })
    }

    /// The next input; `None` if there is none now, or none after the end.
    pub(super) fn read(&self) -> Result<Option<Input>, Error> {
        let input = self.input.try_recv().ok().transpose();
        input.map_err(|error| Failure::system("cannot read standard input", &error).into())
    }

    /// Prints what the server sent.
    pub(super) fn print(&mut self, client: &mut Client, bytes: Vec<u8>) {
        let shown = self.visible.as_mut().map(|visible| visible.show(&bytes));
        client.printer.print(shown.unwrap_or(bytes));
    }

    /// Prints what is held back: the beginning of a character.
    pub(super) fn finish(&mut self, client: &mut Client) {
        if let Some(visible) = &mut self.visible {
            client.printer.print(visible.finish());
        }
    }

    /// Whether to print how many bytes move.
    pub(super) fn is_verbose(&self) -> bool {
        self.at_terminal && !self.is_quiet
    }

    /// Prints a line for a person.
    pub(super) fn note(&self, client: &mut Client, line: impl Display) {
        if self.is_verbose() {
            client.printer.note(line);
        }
    }

    /// Prints how the conversation ended that began at `start`, and how many bytes moved.
    pub(super) fn note_totals(
        &self,
        client: &mut Client,
        how: impl Display,
        sent: u64,
        received: u64,
        start: Instant,
    ) {
        let (sent, received) = (units::bytes(sent), units::bytes(received));
        let seconds = start.elapsed().as_secs_f64();
        self.note(
            client,
            format_args!("{how}: sent {sent}, received {received} in {seconds:.1} s"),
        );
    }
}

/// Reads standard input in a thread, because a file cannot be polled, and a terminal that is made
/// non-blocking becomes non-blocking for the shell too. At most two chunks wait.
fn read_input(waiter: &Waiter, chunk: usize) -> Result<Receiver<io::Result<Input>>, Failure> {
    let (sender, receiver) = sync_channel(2);
    waiter.spawn(move |wake| {
        let mut stdin = io::stdin().lock();
        loop {
            let mut bytes = vec![0; chunk];
            let input = match stdin.read(&mut bytes) {
                Ok(0) => Ok(Input::End),
                Ok(count) => {
                    bytes.truncate(count);
                    Ok(Input::Bytes(bytes))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = !matches!(input, Ok(Input::Bytes(_)));
            if sender.send(input).is_err() {
                return;
            }
            wake();
            if is_last {
                return;
            }
        }
    })?;
    Ok(receiver)
}
