//! Why the client stops before its task is done.

use std::io;
use std::net::SocketAddr;

use super::expect::Difference;
use crate::exit::{Exit, Failure};
use crate::wire::close::CloseReason;

/// Why the client stops early.
#[derive(Debug)]
pub enum Stop {
    /// SIGINT or SIGTERM.
    Interrupted,
    /// The reader of our standard output has closed it, as `head -1` does.
    ReaderGone,
    /// Something failed.
    Failed(Failed),
}

/// What failed. [`Dialler::explain`](super::dial::Dialler::explain) puts it into words.
#[derive(Debug)]
pub enum Failed {
    /// This did not come in time.
    TimedOut(&'static str),
    /// No address answered, each for this reason.
    Unreachable(Vec<(SocketAddr, io::Error)>),
    /// The connection failed.
    Lost(CloseReason),
    /// The server answered plain bytes with a TLS alert.
    SpeaksTls,
    /// It is in words already.
    Told(Failure),
}

impl<E: Into<Failed>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<CloseReason> for Failed {
    fn from(reason: CloseReason) -> Self {
        Self::Lost(reason)
    }
}

impl From<io::Error> for Failed {
    /// An error of the connection.
    fn from(error: io::Error) -> Self {
        Self::Lost(error.into())
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}

impl From<Difference> for Failed {
    fn from(difference: Difference) -> Self {
        Self::Told(Failure::new(Exit::Failure, difference.to_string()))
    }
}
