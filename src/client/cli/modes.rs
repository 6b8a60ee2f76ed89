//! The options of each command that does something with a connection.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use super::values::{
    CONNECTIONS_MAX, COUNT_MAX, DEPTH_MAX, MESSAGES_MAX, PROBES_MAX, RATE_MAX, SIZE_MAX, number,
    probe_size, time, time_or_none,
};
use crate::client::target;

/// The options of `talk`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Talk {
    /// Compare what comes back with what was sent
    ///
    /// The first difference is an error that names its offset and both values. An echo that ends early
    /// is an error too.
    #[arg(long)]
    pub verify: bool,
    /// Let the server control the terminal
    ///
    /// On a terminal, control characters in what the server sends are shown, such as ^[ for an escape;
    /// with this option, the terminal gets them as they are. A file or a pipe always gets every byte as
    /// it is.
    #[arg(long, hide_short_help = true)]
    pub raw: bool,
}

/// The options of `ping`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Ping {
    /// Stop after this many messages
    ///
    /// At most 1000000000. Without it, ping goes on until it is interrupted.
    #[arg(short, long, value_parser = number::<u64>(COUNT_MAX), value_hint = ValueHint::Other)]
    pub count: Option<u64>,
    /// Time from one message to the next
    ///
    /// A message that is lost is not sent again; the next one is sent after this time, or as soon as the
    /// lost one has timed out.
    #[arg(
        short, long, value_name = "TIME", default_value = "1s",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub interval: Duration,
    /// Length of a message
    ///
    /// At most 67108864 (64 MiB).
    #[arg(
        short, value_name = "BYTES", default_value = "64",
        value_parser = number::<usize>(SIZE_MAX), value_hint = ValueHint::Other
    )]
    pub size: usize,
    /// Open a new connection for each message
    ///
    /// Connecting, the handshake and the echo are timed separately.
    #[arg(long)]
    pub reconnect: bool,
    /// Stop after this time
    ///
    /// An echo that has not come back by then is lost. With -c too, the exit code is 1 if fewer echoes
    /// came.
    #[arg(short = 'w', long, value_name = "TIME", value_parser = time, value_hint = ValueHint::Other)]
    pub deadline: Option<Duration>,
    /// Ring the bell of the terminal at each echo
    #[arg(short = 'a', long)]
    pub bell: bool,
}

/// The options of `explain`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Explain {
    /// How to print it
    ///
    /// text is a diagram of 80 columns; html is one file that loads nothing, as in "explain
    /// --format html alex.local > alex.html".
    #[arg(long, value_name = "FORMAT", default_value = "text", value_enum)]
    pub format: Format,
    /// Also write the bytes to FILE, as a capture with the secrets
    ///
    /// Wireshark opens FILE and shows the session decrypted. The headers of TCP and IP are made up;
    /// what they carry is real. A new FILE is readable by its owner only.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pcapng: Option<PathBuf>,
    /// Make another connection first, and explain how its session is resumed
    #[arg(long)]
    pub resume: bool,
    /// Do not send a message after the handshake
    ///
    /// For servers that do not echo.
    #[arg(long)]
    pub no_echo: bool,
    /// Also show what the server saw: HOST PORT is a report listener (service = "report")
    ///
    /// The message is not echoed. The report is compared with what the client saw, as by the command
    /// both.
    #[arg(long)]
    pub report: bool,
}

/// How `explain` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Format {
    Text,
    Json,
    Html,
}

/// The options of `bench`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Bench {
    /// Number of sessions at the same time
    ///
    /// At most 65535. Each needs a descriptor. The client raises its soft limit as needed, and does not
    /// start if the hard limit is too low.
    #[arg(
        long, value_name = "N", default_value = "1",
        value_parser = number::<usize>(CONNECTIONS_MAX), value_hint = ValueHint::Other
    )]
    pub connections: usize,
    /// Length of a message
    ///
    /// At most 67108864 (64 MiB).
    #[arg(
        long, value_name = "BYTES", default_value = "64",
        value_parser = number::<usize>(SIZE_MAX), value_hint = ValueHint::Other
    )]
    pub size: usize,
    /// Messages in flight in each session
    ///
    /// At most 4000000 in all sessions together.
    #[arg(
        long, value_name = "N", default_value = "1",
        value_parser = number::<usize>(DEPTH_MAX), value_hint = ValueHint::Other
    )]
    pub depth: usize,
    /// Send so many messages a second, whether or not echoes come (open loop)
    ///
    /// At most 10000000, in all sessions together. The latency of a message counts from when it was due,
    /// so a server that stalls for a second delays a second's worth of messages. Without this option, a
    /// session sends the next message when an echo has come (closed loop), and a stall delays one
    /// message. The report has how late the client itself was. If that is more than a quarter of the
    /// latency, the run is not valid, and the exit code is 1.
    #[arg(
        long, value_name = "N", conflicts_with = "depth",
        value_parser = number::<u64>(RATE_MAX), value_hint = ValueHint::Other
    )]
    pub rate: Option<u64>,
    /// How long to measure
    #[arg(
        long, value_name = "TIME", default_value = "10s",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub duration: Duration,
    /// Measure the latency of an idle and of a loaded line
    ///
    /// Sends messages at the rate of --rate (100 if it is not given) in a session of their own, first
    /// alone, and then beside streams that send as much as they can. Each part takes an equal share of
    /// the time. --connections is the number of streams. Each stream sends data and gets it back; with
    /// --discard-port and --chargen-port, the two directions are also loaded one at a time.
    #[arg(long, conflicts_with = "depth")]
    pub loaded_latency: bool,
    /// Write the report with diagrams to FILE, as HTML
    ///
    /// FILE is self-contained: it needs no network and no other file. An existing file is replaced.
    #[arg(long, value_name = "FILE", conflicts_with = "loaded_latency", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
    /// A port of HOST that discards what it gets (RFC 863), to load the way to the server alone
    #[arg(
        long, value_name = "PORT", requires = "loaded_latency",
        value_parser = target::port, value_hint = ValueHint::Other
    )]
    pub discard_port: Option<u16>,
    /// A port of HOST that generates characters (RFC 864), to load the way back alone
    #[arg(
        long, value_name = "PORT", requires = "loaded_latency",
        value_parser = target::port, value_hint = ValueHint::Other
    )]
    pub chargen_port: Option<u16>,
}

/// The options of `handshakes`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Handshakes {
    /// How long to measure
    #[arg(
        long, value_name = "TIME", default_value = "10s",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub duration: Duration,
}

/// The options of `idle`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Idle {
    /// The longest silence to try
    #[arg(
        long, value_name = "TIME", default_value = "2h",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub max: Duration,
}

/// The options of `both`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Both {
    /// Send so many messages
    ///
    /// At most 100.
    #[arg(
        short, long, value_name = "N", default_value = "10",
        value_parser = number::<u32>(MESSAGES_MAX), value_hint = ValueHint::Other
    )]
    pub count: u32,
    /// The port of HOST that reports what came (service = "report")
    #[arg(
        long, value_name = "PORT", default_value = "5007",
        value_parser = target::port, value_hint = ValueHint::Other
    )]
    pub report_port: u16,
}

/// The options of `compare`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Compare {
    /// Send so many probes over each transport
    ///
    /// At most 100000.
    #[arg(
        short, long, value_name = "N", default_value = "100",
        value_parser = number::<u32>(PROBES_MAX), value_hint = ValueHint::Other
    )]
    pub count: u32,
    /// Time from one probe to the next over the same transport
    #[arg(
        short, long, value_name = "TIME", default_value = "100ms",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub interval: Duration,
    /// Length of a probe
    ///
    /// From 40 to 65507.
    #[arg(
        short, value_name = "BYTES", default_value = "64",
        value_parser = probe_size, value_hint = ValueHint::Other
    )]
    pub size: usize,
    /// After the probes, keep each transport full for TIME, to measure what it carries
    ///
    /// 0s measures nothing. The transports are kept full by turns, with 256 KiB in flight over TCP and TLS and 32
    /// datagrams of 1400 bytes over UDP.
    #[arg(
        long, value_name = "TIME", default_value = "1s",
        value_parser = time_or_none, value_hint = ValueHint::Other
    )]
    pub throughput: Duration,
    /// Port of the UDP echo [default: PORT]
    #[arg(
        long, value_name = "PORT", value_parser = target::port, value_hint = ValueHint::Other
    )]
    pub udp_port: Option<u16>,
    /// Port of the TLS echo
    #[arg(
        long, value_name = "PORT", default_value = "5001",
        value_parser = target::port, value_hint = ValueHint::Other
    )]
    pub tls_port: u16,
    /// Write the comparison with the curves of all transports to FILE, as HTML
    ///
    /// FILE is self-contained: it needs no network and no other file. An existing file is replaced.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
}

/// The options of `hold`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Hold {
    /// Number of sessions at the same time
    ///
    /// At most 65535. Each needs a descriptor. The client raises its soft limit as needed, and does not
    /// start if the hard limit is too low.
    #[arg(
        long, value_name = "N", default_value = "10",
        value_parser = number::<usize>(CONNECTIONS_MAX), value_hint = ValueHint::Other
    )]
    pub sessions: usize,
    /// Time from one message of a session to the next
    ///
    /// Messages are sent when they are due, whether or not echoes come. The delay of a message counts from
    /// when it was due. A new connection sends a message at once.
    #[arg(
        short, long, value_name = "TIME", default_value = "1s",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub interval: Duration,
    /// Length of a message
    ///
    /// At most 67108864 (64 MiB).
    #[arg(
        short, value_name = "BYTES", default_value = "64",
        value_parser = number::<usize>(SIZE_MAX), value_hint = ValueHint::Other
    )]
    pub size: usize,
    /// Stop after this time
    ///
    /// It begins when each session works or has failed to connect. Without it, hold goes on until it is
    /// interrupted.
    #[arg(long, value_name = "TIME", value_parser = time, value_hint = ValueHint::Other)]
    pub duration: Option<Duration>,
    /// Let every other session speak TLS, at this port of HOST
    ///
    /// PORT is that of plain TCP. The server's certificate is verified as with --tls, with the same options.
    #[arg(
        long, value_name = "PORT", value_parser = target::port, value_hint = ValueHint::Other
    )]
    pub tls_port: Option<u16>,
    /// Connect from these addresses of this machine, by turns
    ///
    /// They are separated by commas. The option may be repeated. A session connects to addresses of HOST of
    /// the same family.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_hint = ValueHint::Other)]
    pub from: Vec<IpAddr>,
}

/// The options of `diff`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Diff {
    /// Compare runs that differ in their settings or conditions, too
    #[arg(long)]
    pub force: bool,
    /// The first run
    #[arg(value_hint = ValueHint::FilePath)]
    pub before: PathBuf,
    /// The second run
    #[arg(value_hint = ValueHint::FilePath)]
    pub after: PathBuf,
}
