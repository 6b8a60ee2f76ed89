//! What sessions cost a server in memory: the growth of its resident anonymous memory, in bytes.

use std::thread;
use std::time::Duration;

use crate::clients::{Dialler, Handshake, Session};
use crate::servers::Server;
use crate::subject::Subject;
use crate::{Result, machine};

/// The bytes of an idle session, and those that are left after all sessions have ended. `open` opens so many.
pub(crate) fn idle(
    subject: Subject,
    count: usize,
    open: impl Fn(&Dialler, usize) -> Result<Vec<Session>>,
) -> Result<(f64, u64)> {
    let count = count.min(machine::descriptors().saturating_sub(100));
    let (server, dialler) = warm(subject)?;
    let before = server.memory();
    let sessions = open(&dialler, count)?;
    let growth = server.memory().saturating_sub(before);
    for session in sessions {
        session.close()?;
    }
    thread::sleep(Duration::from_millis(500));
    Ok((growth as f64 / count as f64, server.memory().saturating_sub(before)))
}

/// The bytes for three peers that write up to 30 MB each and read nothing.
pub(crate) fn stalled(subject: Subject) -> Result<u64> {
    let (server, dialler) = warm(subject)?;
    let before = server.memory();
    let mut sessions = dialler.sessions(3)?;
    for session in &mut sessions {
        session.stall(30_000_000)?;
    }
    Ok(server.memory().saturating_sub(before))
}

/// A server that has had one session, so that what it allocates only once is there already.
fn warm(subject: Subject) -> Result<(Server, Dialler)> {
    let (server, dialler) = subject.start(&[], Handshake::Full)?;
    for session in dialler.sessions(1)? {
        session.close()?;
    }
    thread::sleep(Duration::from_millis(100));
    Ok((server, dialler))
}
