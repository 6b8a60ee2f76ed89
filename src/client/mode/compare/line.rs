//! What goes over each transport in the same way.

use std::time::Instant;

use super::record::Record;
use crate::client::error::Error;
use crate::client::probes::Counts;
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

    /// Ends it; what it knows beside the record.
    fn end(&mut self, buffers: &mut Buffers) -> Extra;
}

/// What only some transports tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra {
    /// What happened to datagrams.
    pub(super) counts: Option<Counts>,
    /// How many segments of TCP were sent again.
    pub(super) retransmits: Option<u32>,
}

/// How many datagrams or pieces are received before others have their turn.
pub(super) const TURN: usize = 256;
