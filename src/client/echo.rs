//! One message: sent, awaited, and compared.

use std::time::{Duration, Instant};

use super::connection::{Connection, Received};
use super::context::Client;
use super::error::{Awaited, Error};
use super::expect::Expected;

/// How much of a message is sent at once, in bytes. A message may be longer than the socket buffers of
/// both sides.
const PIECE: usize = 64 * 1024;

/// Sends the message with this number, waits until all of it has come back, and returns how long that
/// took.
pub fn echo(
    client: &mut Client,
    connection: &mut Connection,
    number: u64,
    size: usize,
) -> Result<Duration, Error> {
    let message = message(number, size);
    let mut expected = Expected::default();
    // What has arrived already is not an echo of this message.
    receive(client, connection, &mut expected, size)?;
    let start = Instant::now();
    let timeout = client.options.timeout;
    let deadline = start + timeout;
    let mut rest = message.as_slice();
    loop {
        connection.flush()?;
        if connection.is_flushed() && !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(PIECE));
            connection.send(piece, &mut client.buffers)?;
            expected.sent(piece);
            rest = behind;
        }
        if let Some(moment) = receive(client, connection, &mut expected, size)?
            && rest.is_empty()
        {
            return Ok(moment - start);
        }
        if !connection.is_flushed() || rest.is_empty() {
            if Instant::now() >= deadline {
                return Err(Error::TimedOut { what: Awaited::Echo, timeout });
            }
            client.waiter.wait(Some(deadline))?;
        }
    }
}

/// Reads and compares what has arrived. Returns when the last missing byte arrived, if it did.
fn receive(
    client: &mut Client,
    connection: &mut Connection,
    expected: &mut Expected,
    size: usize,
) -> Result<Option<Instant>, Error> {
    let mut complete = None;
    loop {
        match connection.read(&mut client.buffers)? {
            Received::Bytes(bytes) => {
                expected.received(bytes)?;
                if expected.missing() == 0 && !bytes.is_empty() {
                    complete = Some(Instant::now());
                }
            }
            // The echo is complete; the next message finds the end.
            Received::End(_) if complete.is_some() => return Ok(complete),
            Received::End(_) => {
                let (size, returned) = (size as u64, expected.returned());
                return Err(Error::ClosedEarly { size, returned });
            }
            Received::Nothing => return Ok(complete),
        }
    }
}

/// A message. Each differs from the others, so that a late echo of one is no echo of the next. It is a
/// line of text, because some servers echo nothing else.
pub fn message(number: u64, size: usize) -> Vec<u8> {
    let text = format!("echo-alex ping {number} ");
    let mut message: Vec<u8> = text.bytes().cycle().take(size).collect();
    if let Some(last) = message.last_mut() {
        *last = b'\n';
    }
    message
}
