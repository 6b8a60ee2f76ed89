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

/// The counts of the daemon's UDP listeners.
pub(super) fn counts(subject: Subject) -> Result<Counts> {
    const ROUNDS: usize = 200;

    let calls_of_a_run =
        |rounds| calls_of_a_run(subject, |server, _| Sources::new(server.udp)?.exchange(rounds));
    let (short, long) = (calls_of_a_run(WARM_UP)?, calls_of_a_run(WARM_UP + ROUNDS)?);
    let a_datagram = (calls(&long, &[]) - calls(&short, &[])) / (ROUNDS * SESSIONS) as f64;
    Ok(vec![
        ("system-calls-a-datagram", a_datagram),
        ("instructions-a-datagram", instructions(subject, |server| server.udp)?),
        ("instructions-a-datagram-any-address", instructions(subject, |server| server.web)?),
    ])
}

/// Instructions in user space for a datagram to the port of this server.
fn instructions(
    subject: Subject,
    port: impl FnOnce(&crate::servers::Server) -> u16,
) -> Result<f64> {
    const ROUNDS: usize = 50;

    let (server, _dialler, cost) = under_callgrind(subject, Handshake::Full)?;
    let mut sources = Sources::new(port(&server))?;
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
