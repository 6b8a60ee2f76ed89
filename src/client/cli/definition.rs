//! The definition of the command line.

// The texts are printed as they are, so a backtick would be printed too; a switch is a bool.
#![allow(clippy::doc_markdown, clippy::struct_excessive_bools)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};

use super::modes::{Bench, Both, Compare, Diff, Explain, Handshakes, Hold, Idle, Ping, Talk};
use super::values::{fingerprint, protocol, sni, time, tls_version};
use crate::client::target::{self, Target};
use crate::tls::choice::Version;

/// The name of the program.
pub(super) const PROGRAM: &str = "echo-alex-client";

/// Talk to an echo server, or to any other, and check what comes back
///
/// Without a command, HOST is a server to talk to.
#[derive(Parser)]
#[command(
    name = PROGRAM,
    version,
    propagate_version = true,
    term_width = 80,
    args_override_self = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    override_usage = "echo-alex-client [OPTIONS] <HOST> [PORT]\n       \
                      echo-alex-client <COMMAND> [OPTIONS] <HOST> [PORT]",
    after_help = "Exit codes: 0 success, 1 wrong echo, 2 no connection, 3 certificate refused,\n\
                  4 timeout, 64 usage, 66 no file, 77 unreadable, 78 not valid, 130 interrupted"
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// For `talk`, where no command is named.
    #[command(flatten)]
    pub(super) talk: Talk,
    #[command(flatten)]
    pub(super) server: Option<Server>,
    #[command(flatten)]
    pub(super) common: CommonOptions,
    #[command(flatten)]
    pub(super) tls: TlsOptions,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Send standard input and print what comes back (the default)
    ///
    /// With this command, HOST may also have the name of a command.
    Talk {
        #[command(flatten)]
        talk: Talk,
        #[command(flatten)]
        server: Server,
    },
    /// Time one echo after the other
    ///
    /// Sends a message, waits until all of it has come back, compares the bytes, and prints the time
    /// that this took. A summary follows the last message.
    ///
    /// A message is lost if the connection is refused, reset or closed, if the name cannot be resolved,
    /// or if the echo does not come within --timeout. The next message looks the name up again and uses
    /// a new connection. The first echo after that ends an outage, which is printed with its length.
    /// A differing echo ends the command.
    Ping {
        #[command(flatten)]
        ping: Ping,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Measure throughput and latency under load
    ///
    /// Keeps many sessions full of messages, or sends at a fixed rate, compares every byte that comes
    /// back, and prints throughput and latencies.
    Bench {
        #[command(flatten)]
        bench: Bench,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Explain a connection step by step
    ///
    /// Makes one connection, has one message echoed, and shows each look-up, packet, record and handshake
    /// message with its time, its contents, its purpose and the RFC that defines it; those that are
    /// encrypted, too. A connection that fails is shown up to the step where it fails.
    Explain {
        #[command(flatten)]
        explain: Explain,
        #[command(flatten)]
        server: Server,
    },
    /// Measure TLS handshakes
    ///
    /// Makes one handshake after the other: full handshakes for the first half of the time, resumed
    /// ones for the second half. Needs --tls.
    Handshakes {
        #[command(flatten)]
        handshakes: Handshakes,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Find out how long a silent session lives
    ///
    /// A router that translates addresses, a firewall or a load balancer forgets a session in which
    /// nothing is sent for some time. Opens sessions that are silent for 1, 2, 4, ... seconds, up to
    /// --max, and then has a message echoed in each. If one is dead, more sessions are silent for times
    /// between the longest that was survived and the shortest that was not, until the time is known to
    /// 5 %. --timeout is how long a message may take before its session counts as dead.
    ///
    /// The result has which direction died: no direction, if the session was closed or reset while it
    /// was silent; both, if a reset answered the message; the way back, if the message was acknowledged
    /// and its echo did not come; otherwise the way to the server. A proxy acknowledges a message that
    /// it does not deliver.
    Idle {
        #[command(flatten)]
        idle: Idle,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Compare what both ends see of a connection
    ///
    /// Opens a session with a listener of the daemon that reports what it received (service =
    /// "report"), and one with the echo listener at PORT. Sends messages in both, and prints how the
    /// client and the server see the first of them, side by side: addresses, bytes, TCP and TLS. Where
    /// they differ, something in between changes the connection; such a row is marked and explained.
    ///
    /// The times at which the server received the messages divide the round trip of the echo into the
    /// way to the server and the way back, as far as the clocks of both ends are right.
    ///
    /// The exit code is 0 if both ends were seen, and 1 if what was sent arrived changed: other bytes,
    /// or another ClientHello. An address or an MSS that was rewritten is no such case.
    Both {
        #[command(flatten)]
        both: Both,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Find out how large a datagram can be on the way to a server
    ///
    /// Sends datagrams (UDP) that must not be fragmented to an echo server, and searches for the largest
    /// one that comes back as it was. A length is tried again until chance does not explain that nothing
    /// comes back; beside each such datagram goes one that is known to pass.
    ///
    /// Prints what comes back next to what the path says by ICMP ("fragmentation needed", "packet too
    /// big"). A path that drops longer packets without an ICMP error is a black hole: TCP connections over it
    /// stall.
    ///
    /// This measures the way to the server. A server answers with fragments where the way back is narrower,
    /// unless its system forbids fragments; then the way back is measured too.
    ///
    /// The exit code is 0 if the path says what arrives, and 1 if it does not: a black hole, or longer
    /// datagrams that come back changed.
    Mtu {
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Measure UDP, TCP and TLS beside each other
    ///
    /// Sends the same probes over UDP, TCP and TLS, one after the other at even intervals, in one run and on
    /// one clock, and prints the transports side by side: loss, percentiles of the delay, jitter (RFC 3550),
    /// and what a connection and a full TLS handshake cost (the median of 5). A probe counts from when it
    /// was due, and is lost if its echo does not come within --timeout. What is lost on the way is lost over
    /// UDP; over TCP and TLS it is sent again, and late.
    ///
    /// PORT is that of plain TCP. The server's certificate is verified as with --tls, with the same
    /// options. A transport that cannot be reached is a row that says why; the others are measured.
    ///
    /// The exit code is 0 if an echo came over any transport, and 1 if one differed.
    Compare {
        #[command(flatten)]
        compare: Compare,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Hold many sessions through failovers, and count what is lost
    ///
    /// Opens sessions, has a message echoed in each at each interval, and compares every byte. A session that
    /// ends is connected again, at once or after up to 0.5 s, and with TLS resumed if it can be. While sessions are
    /// out, the name of the server is looked up again. A session is out from when its connection ended, or from when
    /// the first message was due that was not answered within --timeout, until an echo comes over a new connection.
    /// An outage lasts while any session is out.
    ///
    /// Messages that are due while a session is out are sent when it is back, and are lost after --timeout. What was
    /// sent and did not come back before its connection ended is lost, unless nothing at all came over that
    /// connection: then it is sent again. If the server ends a connection when
    /// everything has come back, nothing is lost.
    ///
    /// Ends after --duration or with Ctrl-C, waits for the last echoes, and prints a report. The exit code is 0
    /// if every message came back, and 1 if any was lost, with Ctrl-C too.
    Hold {
        #[command(flatten)]
        hold: Hold,
        #[command(flatten)]
        report: ReportOptions,
        #[command(flatten)]
        server: Server,
    },
    /// Show what changed between two measurements
    ///
    /// Reads the output of bench --json of two runs, prints what changed from the first to the second,
    /// and whether that is more than the variation within each run. Runs that differ in their settings or
    /// conditions, or are not valid, are not compared: that is an error, and the exit code is 1.
    Diff {
        #[command(flatten)]
        diff: Diff,
    },
}

#[derive(Args)]
#[group(skip)]
pub(super) struct ReportOptions {
    /// Print the results as JSON
    ///
    /// One object is printed at the end. Before it, bench and hold print one for each second, and hold one for each
    /// outage that has ended, each in one line.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct Server {
    /// Name or address; HOST:PORT also works
    #[arg(value_parser = target::parse, value_hint = ValueHint::Hostname)]
    pub(super) host: Target,
    /// Number or name [default: 5000, --tls: 5001]
    #[arg(value_parser = target::port, value_hint = ValueHint::Other)]
    pub(super) port: Option<u16>,
}

#[derive(Args)]
#[group(skip)]
pub(super) struct CommonOptions {
    /// Use only IPv4
    #[arg(short = '4', global = true, overrides_with = "ipv6")]
    pub(super) ipv4: bool,
    /// Use only IPv6
    #[arg(short = '6', global = true, overrides_with = "ipv4")]
    pub(super) ipv6: bool,
    /// How long to wait for the server
    ///
    /// This is the limit for each of these: looking up the addresses of HOST, connecting to one of
    /// them, the handshake, and an echo.
    #[arg(
        long, global = true, value_name = "TIME", default_value = "10s",
        value_parser = time, value_hint = ValueHint::Other
    )]
    pub(super) timeout: Duration,
    /// Print nothing but errors and results
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Speak UDP, not TCP (talk, ping and bench)
    ///
    /// For talk, each line that is typed, or each read of a file or a pipe, is a datagram. Each should be
    /// answered within --timeout; the end of the input is the end when each is answered or overdue.
    ///
    /// ping sends a message at each interval, whatever has come back. Each message differs from all others,
    /// so that lost, late, duplicated, reordered and damaged ones are told apart. A far end that counts them
    /// says on which way they were lost. bench does the same; a closed loop (without --rate) takes a message
    /// as lost after --timeout, and sends none in its place before.
    ///
    /// The name is looked up once. The next address of HOST is used if nothing listens at the one before,
    /// as ICMP says.
    #[arg(long, global = true)]
    pub(super) udp: bool,
}

#[derive(Args)]
#[command(next_help_heading = "TLS")]
#[group(skip)]
pub(super) struct TlsOptions {
    /// Speak TLS, and verify the server's certificate
    ///
    /// Its chain, its dates and its name must be valid. An expired CA is not accepted, even if it is
    /// named with --ca.
    #[arg(long, global = true)]
    pub(super) tls: bool,
    /// Trust the CAs in FILE, not those of the system
    ///
    /// FILE is in PEM format. The option may be repeated.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) ca: Vec<PathBuf>,
    /// The name in the certificate, if it is not HOST
    ///
    /// The certificate must have this name or IP address.
    #[arg(long, global = true, value_hint = ValueHint::Hostname)]
    pub(super) name: Option<String>,
    /// Client certificate, if the server asks for one
    ///
    /// FILE is in PEM format. Needs --key.
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) cert: Option<PathBuf>,
    /// Key of the client certificate
    ///
    /// FILE is in PEM format. Needs --cert.
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) key: Option<PathBuf>,
    /// Trust only the certificate with this fingerprint
    ///
    /// SHA256 has 64 hexadecimal digits, with or without colons, as in the daemon's log and in the
    /// output of openssl(1). The issuer and the name of the certificate do not matter.
    #[arg(
        long, global = true, hide_short_help = true, value_name = "SHA256",
        value_parser = fingerprint, value_hint = ValueHint::Other
    )]
    pub(super) fingerprint: Option<String>,
    /// TRUST ANY SERVER: the certificate is not verified
    ///
    /// The certificate is printed and not verified, so anyone on the path can read and change
    /// everything.
    #[arg(long, global = true)]
    pub(super) insecure: bool,
    /// Print the server's certificates
    ///
    /// Each certificate that the server sent is printed, even if it is refused, and even with -q.
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) show_certificate: bool,
    /// Offer only this version of TLS: 1.2 or 1.3
    #[arg(
        long, global = true, hide_short_help = true, value_name = "VERSION",
        value_parser = tls_version, value_hint = ValueHint::Other
    )]
    pub(super) tls_version: Option<Version>,
    /// Offer only this cipher suite, such as AES_128_GCM_SHA256
    ///
    /// NAME is that of IANA, with or without TLS_. The option may be repeated; the order is that of
    /// preference. A name that does not exist is an error that lists the names.
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME", value_hint = ValueHint::Other)]
    pub(super) cipher_suite: Vec<String>,
    /// Offer only this key exchange group, such as X25519
    ///
    /// The option may be repeated. The key share in the first ClientHello is of the first group; a
    /// server that wants another one sends a HelloRetryRequest.
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME", value_hint = ValueHint::Other)]
    pub(super) group: Vec<String>,
    /// Offer this application protocol (ALPN)
    ///
    /// The option may be repeated. Without it, none is offered.
    #[arg(
        long, global = true, hide_short_help = true, value_name = "PROTOCOL",
        value_parser = protocol, value_hint = ValueHint::Other
    )]
    pub(super) alpn: Vec<String>,
    /// Send this name of the server, and not the one in the certificate (SNI)
    ///
    /// The name in the certificate is still verified.
    #[arg(
        long, global = true, hide_short_help = true, value_name = "NAME", overrides_with = "no_sni",
        value_parser = sni, value_hint = ValueHint::Hostname
    )]
    pub(super) sni: Option<String>,
    /// Send no name of the server
    #[arg(long, global = true, hide_short_help = true, overrides_with = "sni")]
    pub(super) no_sni: bool,
}
