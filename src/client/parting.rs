//! The end of a connection: our side first, and then the server's.

use std::time::{Duration, Instant};

use super::connection::{Connection, Received};
use super::context::Client;
use super::error::Error;

/// What came after we had ended our side.
#[derive(Debug, Default)]
pub struct Last {
    /// The first bytes of it.
    pub bytes: Vec<u8>,
    /// The server has ended its side, too.
    pub is_over: bool,
}

/// Ends our side, and reads until the server ends its own, but no longer than `time`. Of the bytes that come,
/// it keeps at most `most`.
pub fn part(
    client: &mut Client,
    connection: &mut Connection,
    time: Duration,
    most: usize,
) -> Result<Last, Error> {
    let end = Instant::now() + time;
    let mut last = Last::default();
    let mut is_ended = false;
    connection.finish(&mut client.buffers)?;
    while Instant::now() < end {
        connection.flush()?;
        if connection.is_flushed() && !is_ended {
            connection.end_writing()?;
            is_ended = true;
        }
        match connection.read(&mut client.buffers)? {
            Received::Bytes(bytes) => {
                let room = most.saturating_sub(last.bytes.len());
                last.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                continue;
            }
            Received::Nothing => {}
            Received::End(_) => last.is_over = true,
        }
        // The FIN is read to be recorded. What fails now is no failure of the connection.
        if last.is_over && connection.read_fin(&mut client.buffers).unwrap_or(true) {
            break;
        }
        client.waiter.wait(Some(end))?;
    }
    Ok(last)
}
