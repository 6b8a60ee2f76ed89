//! How much each transport carries: all are kept full by turns, in slices of time, so that what else happens on the
//! network meets all of them.

use std::time::{Duration, Instant};

use super::transport::Transport;
use crate::client::context::Client;
use crate::client::error::Error;

/// How many slices the time of each transport has.
const SLICES: u32 = 4;

/// How often to look for datagrams that are lost: they cause no event.
const LOOK: Duration = Duration::from_millis(10);

/// How long a transport may take after its slice until nothing is in flight.
const REST: Duration = Duration::from_secs(1);

/// Keeps each transport full for `time`, and sets what it has carried.
pub(super) fn measure(
    client: &mut Client,
    time: Duration,
    transports: &mut [Transport],
) -> Result<(), Error> {
    let slice = time / SLICES;
    for _ in 0..SLICES {
        for transport in transports.iter_mut().filter(|it| it.is_open()) {
            fill(client, slice, transport)?;
        }
    }
    for transport in transports.iter_mut().filter(|it| it.is_open()) {
        let in_a_second = u128::from(transport.loaded) * 1_000_000_000 / time.as_nanos().max(1);
        transport.throughput = u64::try_from(in_a_second).ok();
    }
    Ok(())
}

/// Keeps a transport full for `slice`, and then waits for what is in flight, so that it does not meet the next
/// slice.
fn fill(client: &mut Client, slice: Duration, transport: &mut Transport) -> Result<(), Error> {
    let end = Instant::now() + slice;
    loop {
        let now = Instant::now();
        let is_over = now >= end;
        let is_all = transport.load(!is_over, now, &mut client.buffers);
        if is_over && (transport.is_idle() || now >= end + REST) {
            return Ok(());
        }
        client.printer.check()?;
        let until = if is_all { now + LOOK } else { now };
        client.waiter.wait(Some(if is_over { until } else { until.min(end) }))?;
    }
}
