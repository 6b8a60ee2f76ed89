//! What goes over each transport in the same way.

use std::time::Instant;

use super::record::Record;
use crate::client::datagram_report::DatagramResults;
use crate::client::error::Error;
use crate::wire::buffers::Buffers;

/// A connection or a socket over which probes go. An error ends it.
pub(super) trait Line {
    /// Sends the next probe, which was due at `due`.
    fn send(
        &mut self,
        due: Instant,
        record: &mut Record,
        buffers: &mut Buffers,
    ) -> Result<(), Error>;

    /// Records what has come, and sends what the kernel had no room for. Returns whether that was all.
    fn turn(&mut self, record: &mut Record, buffers: &mut Buffers) -> Result<bool, Error>;

    /// What it knows of the probes beside the record. No probe follows.
    fn settle(&mut self) -> Extra;

    /// Sends as much as the transport is kept full with, if `is_on`, and receives what has come by `now`. Returns
    /// the number of bytes that have come, and whether that was all.
    fn load(
        &mut self,
        is_on: bool,
        now: Instant,
        buffers: &mut Buffers,
    ) -> Result<(u64, bool), Error>;

    /// Whether nothing of a load is in flight.
    fn is_idle(&self) -> bool;

    /// Ends it.
    fn end(&mut self, buffers: &mut Buffers);
}

/// What only some transports tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra {
    /// What happened to datagrams.
    pub(super) datagrams: Option<DatagramResults>,
    /// How many segments of TCP were sent again.
    pub(super) retransmits: Option<u32>,
}

/// How many datagrams or pieces are received before others have their turn.
pub(super) const TURN: usize = 256;
