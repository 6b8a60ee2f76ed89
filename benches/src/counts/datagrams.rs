//! What a datagram costs, under the tracers of the other counts.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::bounds::Counts;
use super::load::{SESSIONS, SIZE, WARM_UP};
use super::traced::{calls, calls_of_a_run, under_callgrind};
use crate::Result;
use crate::clients::Handshake;
use crate::subject::Subject;

/// Longer than an echo takes, also under valgrind.
const PATIENCE: Duration = Duration::from_secs(30);

/// The counts of a UDP server.
pub(super) fn counts(subject: Subject) -> Result<Counts> {
    Ok(vec![
        ("system-calls-a-datagram", system_calls(subject)?),
        ("instructions-a-datagram", instructions(subject)?),
    ])
}

/// The difference between a long and a short run, in which start and end cancel out.
fn system_calls(subject: Subject) -> Result<f64> {
    const ROUNDS: usize = 200;

    let calls_of_a_run =
        |rounds| calls_of_a_run(subject, |server, _| Sources::new(server.port)?.exchange(rounds));
    let (short, long) = (calls_of_a_run(WARM_UP)?, calls_of_a_run(WARM_UP + ROUNDS)?);
    Ok((calls(&long, &[]) - calls(&short, &[])) / (ROUNDS * SESSIONS) as f64)
}

/// Instructions in user space.
fn instructions(subject: Subject) -> Result<f64> {
    const ROUNDS: usize = 50;

    let (server, _, cost) = under_callgrind(subject, Handshake::Full)?;
    let mut sources = Sources::new(server.port)?;
    sources.exchange(WARM_UP)?;
    let total = cost.of(&server, || sources.exchange(ROUNDS))?;
    Ok(total / (ROUNDS * SESSIONS) as f64)
}

/// Sockets with a datagram each on its way.
struct Sources {
    all: Vec<UdpSocket>,
    /// How many datagrams were sent. It makes each of them another, or the daemon would take them for a loop.
    sent: u64,
}

impl Sources {
    fn new(port: u16) -> Result<Self> {
        let source = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            Ok(socket)
        };
        Ok(Self { all: (0..SESSIONS).map(source).collect::<Result<_>>()?, sent: 0 })
    }

    fn exchange(&mut self, rounds: usize) -> Result<()> {
        let mut datagram = [0; SIZE];
        for _ in 0..rounds {
            for socket in &self.all {
                self.sent += 1;
                datagram[..8].copy_from_slice(&self.sent.to_be_bytes());
                socket.send(&datagram)?;
            }
            for socket in &self.all {
                if socket.recv(&mut datagram)? != SIZE {
                    return Err("the echo of a datagram has another length".into());
                }
            }
        }
        Ok(())
    }
}
