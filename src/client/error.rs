//! Why the client ends before its task is done: one type for all of it, which knows its exit code and
//! its text.

use std::error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::cli::Family;
use super::expect::Difference;
use super::undelivered::Undelivered;
use crate::exit::{Exit, Failure, plain};
use crate::wire::close::CloseReason;

/// Why the client ends before its task is done.
#[derive(Debug)]
#[allow(missing_docs)] // The names of the fields say what they are.
pub enum Error {
    /// SIGINT or SIGTERM.
    Interrupted,
    /// The reader of standard output has closed it, as `head -1` does.
    OutputClosed,
    /// The time that the user gave for all of it has passed.
    TimeIsUp,
    /// No ping was answered. The text says why the last one was not.
    NoEcho(String),
    /// Fewer pings than asked for were answered before the deadline.
    TooFewEchoes { count: u64, received: u64 },
    /// The name has no address, for this reason.
    Unresolved { host: String, reason: String },
    /// The name has addresses, but none of this family.
    NoAddress { host: String, family: Family },
    /// No address accepted the connection, each for this reason.
    Unreachable { host: String, attempts: Vec<(SocketAddr, io::Error)> },
    /// A datagram was not delivered, for this reason; to this address, if one could be used.
    Undelivered { host: String, address: Option<SocketAddr>, reason: Undelivered },
    /// This did not happen within the timeout.
    TimedOut { what: Awaited, timeout: Duration },
    /// We refuse the server's certificate. The text says why, and what to do.
    CertificateRefused(String),
    /// The connection failed.
    Connection(CloseReason),
    /// The server answered plain bytes with a TLS alert.
    SpeaksTls,
    /// The figures of a measurement mean nothing, for this reason.
    InvalidRun(String),
    /// The server resumes no TLS session.
    NoResumption,
    /// The echo is not what was sent.
    Difference(Difference),
    /// The server closed the connection before all of a message was back.
    ClosedEarly { size: u64, returned: u64 },
    /// A conversation ended too early, after this many bytes in each direction.
    CutShort { how: String, sent: u64, received: u64 },
    /// The session with the report listener at this port failed.
    ReportSession { port: u16, error: Box<Error> },
    /// What the server sent is not a report, for this reason.
    NoReport(String),
    /// What was sent arrived changed, in these respects.
    Changed(Vec<&'static str>),
    /// Packets longer than this many bytes do not come back as they were, and the path does not say so.
    LongPacketsLost(u32),
    /// Of many messages in many sessions, some were lost, or never sent; and some sessions never worked.
    Lost { messages: u64, bytes: u64, unsent: u64, never: u64 },
    /// It happened in one of several sessions.
    InSession { number: usize, error: Box<Error> },
    /// Something on this machine failed.
    Local(Failure),
}

/// What the client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The resolver's answer.
    Address,
    /// The end of the TLS handshake.
    Handshake,
    /// The rest of an echo.
    Echo,
    /// The server's FIN, after everything has come back.
    EndOfEcho,
    /// The server's report.
    Report,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "address from the resolver",
            Self::Handshake => "end of the TLS handshake",
            Self::Echo => "echo",
            Self::EndOfEcho => "end of the echo",
            Self::Report => "report",
        })
    }
}

impl Error {
    /// Whether the user ended the client, and nothing failed.
    pub fn is_requested(&self) -> bool {
        matches!(self, Self::Interrupted | Self::OutputClosed)
    }

    /// Whether it ends one message of a ping, and another may succeed. A server that cannot be talked to
    /// as the user wants is no such case until it has answered once: then it has changed, and may change
    /// again.
    pub fn is_outage(&self, has_answered: bool) -> bool {
        match self {
            Self::Unresolved { .. }
            | Self::NoAddress { .. }
            | Self::Unreachable { .. }
            | Self::Undelivered { .. }
            | Self::TimedOut { .. }
            | Self::ClosedEarly { .. } => true,
            Self::SpeaksTls | Self::CertificateRefused(_) => has_answered,
            Self::Connection(reason) => match reason {
                CloseReason::PeerReset
                | CloseReason::PeerLost(_)
                | CloseReason::PeerTruncated
                | CloseReason::HandshakeAbandoned => true,
                CloseReason::NotTls
                | CloseReason::CertificateRefused(_)
                | CloseReason::TlsPeer(_) => has_answered,
                _ => false,
            },
            _ => false,
        }
    }

    /// Why nothing can be sent to the first address of the server, if that may change.
    pub fn undelivered(&self) -> Option<Undelivered> {
        let Self::Unreachable { attempts, .. } = self else { return None };
        Errno::from_io_error(&attempts.first()?.1).map(Undelivered::from)
    }

    /// The error in a few words, for a list of many.
    pub fn in_short(&self) -> String {
        match self {
            Self::Unreachable { attempts, .. } => {
                let mut reasons: Vec<String> =
                    attempts.iter().map(|(_, error)| plain(error)).collect();
                reasons.dedup();
                reasons.join(", ")
            }
            Self::ClosedEarly { .. } => "connection closed".into(),
            Self::Connection(CloseReason::PeerReset) => "connection reset".into(),
            Self::Connection(CloseReason::PeerDone) => "ended by the server".into(),
            Self::Connection(CloseReason::PeerTruncated) => "ended without close_notify".into(),
            error => error.to_string(),
        }
    }

    /// The same error, in the session with this number.
    #[must_use]
    pub fn in_session(self, number: usize) -> Self {
        Self::InSession { number, error: Box::new(self) }
    }

    /// The same error, in the session with the report listener at this port.
    #[must_use]
    pub fn in_report_session(self, port: u16) -> Self {
        match self {
            Self::Interrupted | Self::Local(_) => self,
            error => Self::ReportSession { port, error: Box::new(error) },
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Interrupted => Exit::Interrupted,
            Self::OutputClosed => Exit::Ok,
            Self::TimedOut { .. } => Exit::TimedOut,
            Self::Unreachable { attempts, .. } => {
                let is_silent =
                    |(_, error): &(_, io::Error)| error.kind() == io::ErrorKind::TimedOut;
                if attempts.iter().all(is_silent) { Exit::TimedOut } else { Exit::Unreachable }
            }
            Self::Unresolved { .. }
            | Self::NoAddress { .. }
            | Self::Undelivered { .. }
            | Self::SpeaksTls => Exit::Unreachable,
            Self::CertificateRefused(_) => Exit::Certificate,
            Self::Connection(reason) => match reason {
                CloseReason::CertificateRefused(_) => Exit::Certificate,
                CloseReason::NotTls | CloseReason::HandshakeAbandoned => Exit::Unreachable,
                _ => Exit::Failure,
            },
            Self::TimeIsUp
            | Self::NoEcho(_)
            | Self::TooFewEchoes { .. }
            | Self::InvalidRun(_)
            | Self::NoResumption
            | Self::Difference(_)
            | Self::ClosedEarly { .. }
            | Self::CutShort { .. }
            | Self::NoReport(_)
            | Self::Changed(_)
            | Self::LongPacketsLost(_)
            | Self::Lost { .. } => Exit::Failure,
            Self::InSession { error, .. } | Self::ReportSession { error, .. } => error.exit(),
            Self::Local(failure) => failure.exit,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::OutputClosed => f.write_str("standard output was closed"),
            Self::TimeIsUp => f.write_str("the time is up"),
            Self::NoEcho(reason) => write!(f, "no echo came: {reason}"),
            Self::TooFewEchoes { count, received } => {
                write!(f, "of {count} echoes, {received} came before the deadline")
            }
            Self::Unresolved { host, reason } => write!(f, "cannot resolve {host}: {reason}"),
            Self::NoAddress { host, family } => write!(f, "{host} has no {family} address"),
            Self::Unreachable { host, attempts } => {
                let reasons: Vec<String> = attempts
                    .iter()
                    .map(|(address, error)| format!("{address}: {}", plain(error)))
                    .collect();
                write!(f, "cannot connect to {host}: {}", reasons.join("; "))
            }
            Self::Undelivered { host, address, reason } => {
                f.write_str(&undelivered(host, *address, *reason))
            }
            Self::TimedOut { what, timeout } => {
                write!(f, "no {what} within {} s", timeout.as_secs_f64())
            }
            Self::CertificateRefused(text) => f.write_str(text),
            Self::Connection(reason) => explain(reason, f),
            Self::SpeaksTls => {
                f.write_str("the server speaks TLS on this port: try with --tls, or another port")
            }
            Self::InvalidRun(reason) => write!(f, "this run is not valid: {reason}"),
            Self::NoResumption => f.write_str(
                "the server does not resume sessions; only full handshakes can be measured",
            ),
            Self::Difference(difference) => difference.fmt(f),
            Self::ClosedEarly { size, returned } => {
                write!(f, "the server closed the connection: of {size} bytes, {returned} came back")
            }
            Self::CutShort { how, sent, received } => {
                write!(f, "{how}: sent {sent} bytes, received {received}")
            }
            Self::ReportSession { port, error } => write!(
                f,
                "no report from port {port}: {error}; it needs a listener with service = \"report\" \
                 there (--report-port)"
            ),
            Self::NoReport(reason) => write!(f, "what came is not a report: {reason}"),
            Self::Changed(what) => {
                write!(f, "what was sent arrived changed: {}", what.join(", "))
            }
            Self::LongPacketsLost(length) => write!(
                f,
                "packets of more than {length} bytes do not come back as they were, and the path does not \
                 say so"
            ),
            Self::Lost { messages, bytes, unsent, never } => {
                let sent = messages - unsent;
                write!(
                    f,
                    "lost messages: {sent} that were sent ({bytes} bytes), {unsent} that were not in time"
                )?;
                if *never > 0 { write!(f, "; sessions that never worked: {never}") } else { Ok(()) }
            }
            Self::InSession { number, error } => write!(f, "session {number}: {error}"),
            Self::Local(failure) => failure.fmt(f),
        }
    }
}

/// Why a datagram was not delivered, with the name of the server.
fn undelivered(host: &str, address: Option<SocketAddr>, reason: Undelivered) -> String {
    let ip = address.map(|address| address.ip().to_string()).filter(|ip| ip != host);
    let server = ip.map_or(host.to_owned(), |ip| format!("{host} ({ip})"));
    match (reason, address) {
        (Undelivered::NothingListens, Some(address)) => {
            format!("nothing listens on UDP port {} of {server}", address.port())
        }
        (reason, _) => format!("cannot send to {server}: {reason}"),
    }
}

/// What the end of a connection means for a client, and what to do about it.
fn explain(reason: &CloseReason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        CloseReason::CertificateRefused(text) => write!(
            f,
            "the server refuses us: {text}; show it one that its CA signed, with --cert FILE --key \
             FILE"
        ),
        CloseReason::NotTls => f.write_str(
            "the server does not speak TLS on this port: try without --tls, or another port",
        ),
        CloseReason::HandshakeAbandoned => f.write_str(
            "the server closed the connection during the TLS handshake: does it speak TLS on this \
             port?",
        ),
        CloseReason::PeerReset => f.write_str("the server reset the connection"),
        reason => f.write_str(&reason.detail().unwrap_or_else(|| reason.name().to_owned())),
    }
}

impl error::Error for Error {}

impl From<CloseReason> for Error {
    fn from(reason: CloseReason) -> Self {
        Self::Connection(reason)
    }
}

impl From<io::Error> for Error {
    /// An error of the connection.
    fn from(error: io::Error) -> Self {
        Self::Connection(error.into())
    }
}

impl From<Difference> for Error {
    fn from(difference: Difference) -> Self {
        Self::Difference(difference)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Local(failure)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Local(failure) => failure,
            error => Failure::new(error.exit(), error.to_string()),
        }
    }
}
