//! What the two loops of a measurement need of a session, whatever it speaks.

use std::time::{Duration, Instant};

use crate::client::context::Client;
use crate::client::datagram_report::DatagramResults;
use crate::client::error::Error;
use crate::client::load::Load;
use crate::client::pattern::Pattern;
use crate::client::recorder::Recorder;

/// One session under load.
pub(super) trait Flow {
    /// How often to look for messages that are lost; `None` if none can be.
    const LOOK: Option<Duration>;

    /// Starts a message, which was due at `start`. It is sent later.
    fn begin(&mut self, start: Instant);

    /// How many messages are in flight.
    fn in_flight(&self) -> usize;

    /// When the messages were started whose echoes are still awaited after the end.
    fn overdue(&self) -> Vec<Instant>;

    /// Sends some of what was started. Returns whether it can send more.
    fn send(&mut self, pattern: &Pattern, client: &mut Client) -> Result<bool, Error>;

    /// Reads and compares what has arrived. Returns whether there may be more.
    fn receive(
        &mut self,
        pattern: &Pattern,
        recorder: &mut Recorder,
        client: &mut Client,
    ) -> Result<bool, Error>;

    /// Ends the session. What can be lost is told.
    fn end(&mut self, client: &mut Client) -> Option<DatagramResults>;
}

impl Flow for Load {
    const LOOK: Option<Duration> = None;

    fn begin(&mut self, start: Instant) {
        Load::begin(self, start);
    }

    fn in_flight(&self) -> usize {
        self.starts().len()
    }

    fn overdue(&self) -> Vec<Instant> {
        self.starts().iter().copied().collect()
    }

    fn send(&mut self, pattern: &Pattern, client: &mut Client) -> Result<bool, Error> {
        Load::send(self, pattern, &mut client.buffers)
    }

    fn receive(
        &mut self,
        pattern: &Pattern,
        recorder: &mut Recorder,
        client: &mut Client,
    ) -> Result<bool, Error> {
        if Load::receive(self, pattern, recorder, &mut client.buffers)?.is_none() {
            return Ok(false);
        }
        let (size, returned) = self.bytes();
        Err(Error::ClosedEarly { size, returned })
    }

    fn end(&mut self, client: &mut Client) -> Option<DatagramResults> {
        self.connection.goodbye(&mut client.buffers);
        None
    }
}
