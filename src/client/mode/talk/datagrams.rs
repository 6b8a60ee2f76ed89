//! `talk` over UDP: each read of standard input is a datagram, and so is each answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::console::{Console, Input};
use crate::client::cli::Talk;
use crate::client::context::Client;
use crate::client::datagrams::{BUFFER_LEN, Datagrams};
use crate::client::error::Error;
use crate::client::undelivered::Undelivered;
use crate::wire::probe::DATAGRAM_MAX;

/// How many bytes may wait for their answers before the next datagram waits, too. Servers hold more, as a
/// rule.
const WINDOW: usize = 64 * 1024;

/// How long the next datagram waits for answers at most: what is lost, or is sent to a server that does not
/// answer, has none.
const PAUSE: Duration = Duration::from_millis(100);

/// How many datagrams are received before Ctrl-C is looked for.
const TURN: usize = 256;

/// A conversation and its state.
struct Conversation<'a> {
    client: &'a mut Client,
    datagrams: Datagrams,
    console: Console,
    /// Whether each answer has to be one of the datagrams that were sent.
    verify: bool,
    /// The datagrams that are not answered and not lost, with when they were sent.
    unanswered: VecDeque<(Instant, Vec<u8>)>,
    /// For what is received.
    buffer: Vec<u8>,
    last_moved: Instant,
    input_ended: bool,
    sent: Total,
    received: Total,
    /// How many datagrams had no answer within the timeout.
    lost: u64,
}

#[derive(Default)]
struct Total {
    datagrams: u64,
    bytes: u64,
}

impl Total {
    fn add(&mut self, datagram: &[u8]) {
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
    }
}

/// Talks until standard input has ended and each datagram is answered or lost.
pub fn run(client: &mut Client, talk: &Talk) -> Result<(), Error> {
    let start = Instant::now();
    let datagrams = client.dial_datagrams()?;
    let mut conversation = Conversation {
        console: Console::open(client, DATAGRAM_MAX, talk.raw)?,
        client,
        datagrams,
        verify: talk.verify,
        unanswered: VecDeque::new(),
        buffer: vec![0; BUFFER_LEN],
        last_moved: start,
        input_ended: false,
        sent: Total::default(),
        received: Total::default(),
        lost: 0,
    };
    let end = conversation.run();
    let Conversation { client, console, sent, received, .. } = &mut conversation;
    console.finish(client);
    match &end {
        Ok(()) => console.note_totals(client, "done", sent.bytes, received.bytes, start),
        Err(error) if error.is_requested() => {
            console.note_totals(client, error, sent.bytes, received.bytes, start);
        }
        Err(_) => {}
    }
    end.and_then(|()| conversation.judge())
}

impl Conversation<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let has_received = self.take_answers()?;
            let has_sent = self.take_input()?;
            let now = Instant::now();
            self.give_up(now);
            if self.input_ended && self.unanswered.is_empty() {
                return Ok(());
            }
            let until = if has_received || has_sent { Some(now) } else { self.next(now) };
            self.client.waiter.wait(until)?;
        }
    }

    /// Prints what has arrived, unless the printer is full. Returns whether there may be more.
    fn take_answers(&mut self) -> Result<bool, Error> {
        for _ in 0..TURN {
            self.client.printer.check()?;
            if self.client.printer.is_full() {
                return Ok(false);
            }
            let answer = match self.datagrams.receive(&mut self.buffer) {
                Ok(Some(answer)) => answer.to_vec(),
                Ok(None) => return Ok(false),
                Err(reason) => {
                    self.refused(reason)?;
                    continue;
                }
            };
            self.received.add(&answer);
            self.last_moved = Instant::now();
            let is_known = self.answered(&answer);
            let count = answer.len();
            self.console.print(self.client, answer);
            self.console.note(self.client, format_args!("received {count} bytes"));
            if self.verify && !is_known {
                return Err(self.cut_short("a datagram came that was not sent, or came twice"));
            }
        }
        Ok(true)
    }

    /// Takes the datagram off the list that this answers. Returns whether it is the same.
    fn answered(&mut self, answer: &[u8]) -> bool {
        let same = self.unanswered.iter().position(|(_, datagram)| datagram == answer);
        if same.is_some() || !self.verify {
            self.unanswered.remove(same.unwrap_or(0));
        }
        same.is_some()
    }

    /// Sends one read of standard input. Returns whether there was any.
    fn take_input(&mut self) -> Result<bool, Error> {
        let waiting: usize = self.unanswered.iter().map(|(_, datagram)| datagram.len()).sum();
        let must_wait = waiting >= WINDOW && self.last_moved.elapsed() < PAUSE;
        if self.input_ended || must_wait || self.client.printer.is_full() {
            return Ok(false);
        }
        match self.console.read()? {
            None => Ok(false),
            Some(Input::End) => {
                self.input_ended = true;
                Ok(true)
            }
            Some(Input::Bytes(datagram)) => {
                self.sent.add(&datagram);
                self.console.note(self.client, format_args!("sent {} bytes", datagram.len()));
                self.last_moved = Instant::now();
                self.unanswered.push_back((self.last_moved, datagram));
                self.send_last()?;
                Ok(true)
            }
        }
    }

    /// Sends the last datagram of the list.
    fn send_last(&mut self) -> Result<(), Error> {
        while let Some((_, datagram)) = self.unanswered.back() {
            match self.datagrams.send(datagram) {
                Ok(true) => break,
                Ok(false) => self.client.waiter.wait(Some(Instant::now() + PAUSE))?,
                // That is about an earlier datagram.
                Err(reason @ Undelivered::NothingListens) => return self.refused(reason),
                Err(reason) => return Err(self.datagrams.undelivered(reason)),
            }
        }
        Ok(())
    }

    /// An earlier datagram was not delivered. If the server has another address, what was sent goes there;
    /// otherwise this is an error.
    fn refused(&mut self, reason: Undelivered) -> Result<(), Error> {
        if !self.datagrams.try_next(&self.client.waiter) {
            return Err(self.datagrams.undelivered(reason));
        }
        for (_, datagram) in &self.unanswered {
            if let Err(reason) = self.datagrams.send(datagram) {
                return Err(self.datagrams.undelivered(reason));
            }
        }
        Ok(())
    }

    /// Takes the datagrams off the list whose answer is overdue.
    fn give_up(&mut self, now: Instant) {
        let timeout = self.client.options.timeout;
        // What waits for our own reader is not lost.
        while !self.client.printer.is_full()
            && self.unanswered.front().is_some_and(|(sent, _)| now >= *sent + timeout)
            && let Some((_, datagram)) = self.unanswered.pop_front()
        {
            self.lost += 1;
            let line = format!("no answer to {} bytes", datagram.len());
            self.console.note(self.client, line);
        }
    }

    /// When something is to be done without an event.
    fn next(&self, now: Instant) -> Option<Instant> {
        let oldest = self.unanswered.front();
        let overdue = oldest.map(|(sent, _)| *sent + self.client.options.timeout);
        let resume = self.last_moved + PAUSE;
        let resume = (!self.input_ended && resume > now).then_some(resume);
        overdue.filter(|_| !self.client.printer.is_full()).into_iter().chain(resume).min()
    }

    /// Fails if datagrams were lost, unless a person has seen it.
    fn judge(&mut self) -> Result<(), Error> {
        let Total { datagrams: sent, bytes } = self.sent;
        if self.lost > 0 && (self.verify || !self.console.at_terminal) {
            let answered = sent - self.lost;
            return Err(self.cut_short(&format!("of {sent} datagrams, {answered} were answered")));
        }
        if self.verify && !self.client.options.quiet {
            self.client.printer.note(format_args!(
                "echo-alex-client: {sent} datagrams, {bytes} bytes, came back as they were sent"
            ));
        }
        Ok(())
    }

    /// An error with the number of bytes in each direction.
    fn cut_short(&self, how: &str) -> Error {
        let (sent, received) = (self.sent.bytes, self.received.bytes);
        Error::CutShort { how: how.to_owned(), sent, received }
    }
}
