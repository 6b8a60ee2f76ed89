//! The client's command line. One definition gives the parser, the help, the completions of the
//! shells and the options of the manual page.

mod definition;
mod modes;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::mem;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::client::target::Target;
use crate::command_line::one_line;
use crate::config::Identity;
use crate::exit::Failure;
use crate::tls::choice::{Choice, Sni};
use crate::tls::client::Trust;
use crate::wire::probe::{DATAGRAM_MAX, HEADER_LEN, LENGTHS};
use definition::{Command, CommandLine, CommonOptions, PROGRAM, TlsOptions};
pub use modes::{Bench, Both, Compare, Diff, Explain, Format, Handshakes, Hold, Idle, Ping, Talk};
use values::{DEPTH_MAX, SIZE_MAX};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Print the help.
    Help(String),
    /// Print the version.
    Version,
    /// Do something with a server.
    Run(Box<Options>),
    /// Compare two measurements.
    Diff(Diff),
}

/// How to reach the server, and what to do there.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Only IPv4 or only IPv6.
    pub family: Option<Family>,
    /// For each of these: the name look-up, connecting, the handshake, and an echo that is due.
    pub timeout: Duration,
    /// Print nothing but errors and results.
    pub quiet: bool,
    /// UDP, and not TCP.
    pub udp: bool,
    /// TLS; without it, plain TCP.
    pub tls: Option<Tls>,
    /// What to do.
    pub mode: Mode,
    /// Print results as JSON.
    pub json: bool,
}

impl Options {
    /// "udp" or "tcp", as in reports.
    pub fn transport(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// How to speak TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Which server is trusted.
    pub trust: Trust,
    /// The name that the server's certificate must have.
    pub name: String,
    /// The client certificate.
    pub identity: Option<Identity>,
    /// Print the server's certificates.
    pub show: bool,
    /// What to offer.
    pub choice: Choice,
}

/// What to do with the connection.
#[derive(Clone, Debug)]
pub enum Mode {
    /// `talk`.
    Talk(Talk),
    /// `ping`.
    Ping(Ping),
    /// `bench`.
    Bench(Bench),
    /// `explain`.
    Explain(Explain),
    /// `handshakes`.
    Handshakes(Handshakes),
    /// `idle`.
    Idle(Idle),
    /// `both`.
    Both(Both),
    /// `mtu`.
    Mtu,
    /// `compare`.
    Compare(Compare),
    /// `hold`.
    Hold(Hold),
}

/// The definition of the command line.
pub fn command() -> clap::Command {
    CommandLine::command()
}

impl Request {
    /// Parses `arguments`, which do not contain the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let arguments = with_command(arguments.into_iter().collect());
        match CommandLine::try_parse_from([PROGRAM.into()].into_iter().chain(arguments)) {
            Ok(CommandLine { command: Some(Command::Diff { diff }), .. }) => Ok(Self::Diff(diff)),
            Ok(command_line) => Ok(Self::Run(Box::new(command_line.try_into()?))),
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp => Ok(Self::Help(error.to_string())),
                ErrorKind::DisplayVersion => Ok(Self::Version),
                _ => Err(usage(explain(&error))),
            },
        }
    }
}

/// Replaces the options that commands had before they were commands: `--ping` and `--bench`, and
/// `--handshakes`, which implied `--bench`.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    for command in ["handshakes", "ping", "bench"] {
        let option = format!("--{command}");
        if let Some(place) = arguments.iter().position(|argument| *argument == *option) {
            arguments.remove(place);
            if command == "handshakes" {
                arguments.retain(|argument| argument != "--bench");
            }
            arguments.insert(0, command.into());
            break;
        }
    }
    arguments
}

/// The error as one line, with the command that has the option.
fn explain(error: &clap::Error) -> String {
    let line = one_line(error);
    match owner(error) {
        Some(command) => {
            // Of the options of other commands, clap finds similar ones.
            let line = line.split("; a similar ").next().unwrap_or(&line);
            format!("{line}; it is an option of {command}")
        }
        None => line,
    }
}

/// The command that has the option which the error calls unexpected.
fn owner(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let is_it = |argument: &clap::Arg| {
        argument.get_short().is_some_and(|short| *option == format!("-{short}"))
            || argument.get_long().is_some_and(|long| *option == format!("--{long}"))
    };
    let program = command();
    let mut commands = program.get_subcommands();
    commands.find(|it| it.get_arguments().any(is_it)).map(|it| it.get_name().to_owned())
}

fn usage(message: impl fmt::Display) -> Failure {
    Failure::usage(format!("{message}; see {PROGRAM} --help"))
}

impl TryFrom<CommandLine> for Options {
    type Error = Failure;

    fn try_from(mut line: CommandLine) -> Result<Self, Failure> {
        let command = match (line.command, line.server) {
            (None, Some(server)) => Command::Talk { talk: line.talk, server },
            (Some(command), None) if !line.talk.verify && !line.talk.raw => command,
            (Some(_), _) => return Err(usage("the command comes before HOST and its own options")),
            (None, None) => return Err(usage("which HOST?")),
        };
        let (mode, json, server) = match command {
            Command::Talk { talk, server } => (Mode::Talk(talk), false, server),
            Command::Ping { ping, report, server } => (Mode::Ping(ping), report.json, server),
            Command::Bench { bench, report, server } => {
                if bench.connections.saturating_mul(bench.depth) as u64 > DEPTH_MAX {
                    return Err(usage(format_args!(
                        "--connections times --depth is at most {DEPTH_MAX}: the messages in flight"
                    )));
                }
                (Mode::Bench(bench), report.json, server)
            }
            Command::Explain { explain, server } => {
                if explain.resume && !line.tls.tls {
                    return Err(usage("--resume needs --tls"));
                }
                (Mode::Explain(explain), false, server)
            }
            Command::Handshakes { handshakes, report, server } => {
                if !line.tls.tls {
                    return Err(usage("handshakes needs --tls"));
                }
                (Mode::Handshakes(handshakes), report.json, server)
            }
            Command::Idle { idle, report, server } => (Mode::Idle(idle), report.json, server),
            Command::Both { both, report, server } => (Mode::Both(both), report.json, server),
            Command::Mtu { report, server } => {
                if line.tls.tls {
                    return Err(usage("mtu sends UDP, and has no --tls"));
                }
                (Mode::Mtu, report.json, server)
            }
            Command::Compare { compare, report, server } => {
                if u64::from(compare.count).saturating_mul(compare.size as u64) > SIZE_MAX {
                    return Err(usage(format_args!("-c times -s is at most {SIZE_MAX} bytes")));
                }
                // It verifies the server's certificate whether or not --tls is given.
                (line.tls.tls, line.common.udp) = (true, false);
                (Mode::Compare(compare), report.json, server)
            }
            Command::Hold { hold, report, server } => {
                if hold.tls_port.is_some() && mem::replace(&mut line.tls.tls, true) {
                    return Err(usage(
                        "--tls-port is for sessions beside plain ones; leave out --tls",
                    ));
                }
                if hold.tls_port.is_some() && hold.sessions < 2 {
                    return Err(usage("--tls-port needs at least 2 --sessions"));
                }
                (Mode::Hold(hold), report.json, server)
            }
            Command::Diff { .. } => return Err(usage("diff has no HOST")),
        };
        let Target { host, port } = server.host;
        if let (Some(first), Some(second)) = (port, server.port) {
            return Err(usage(format_args!("two ports: {first} and {second}")));
        }
        let tls = tls(line.tls, &host)?;
        let is_mixed = matches!(mode, Mode::Hold(Hold { tls_port: Some(_), .. }));
        let is_plain = tls.is_none() || is_mixed || matches!(mode, Mode::Compare(_));
        let default = if is_plain { 5000 } else { 5001 };
        let CommonOptions { ipv4, ipv6, timeout, quiet, udp } = line.common;
        if udp {
            check_udp(&mode, tls.is_some())?;
        }
        Ok(Options {
            host,
            port: port.or(server.port).unwrap_or(default),
            family: ipv4.then_some(Family::V4).or(ipv6.then_some(Family::V6)),
            timeout,
            quiet,
            udp,
            tls,
            mode,
            json,
        })
    }
}

/// Fails for what makes no sense over UDP.
fn check_udp(mode: &Mode, tls: bool) -> Result<(), Failure> {
    let size = match mode {
        _ if tls => return Err(usage("--tls needs TCP; leave out --udp")),
        Mode::Talk(_) | Mode::Mtu => return Ok(()),
        Mode::Ping(ping) if ping.reconnect => {
            return Err(usage("--reconnect needs TCP: UDP has no connections"));
        }
        Mode::Ping(ping) => ping.size,
        Mode::Bench(bench) if bench.loaded_latency => {
            return Err(usage("--loaded-latency needs TCP; leave out --udp"));
        }
        Mode::Bench(bench) => bench.size,
        _ => return Err(usage("this command needs TCP; leave out --udp")),
    };
    if !LENGTHS.contains(&size) {
        return Err(usage(format_args!(
            "a message over UDP has {HEADER_LEN} to {DATAGRAM_MAX} bytes: {HEADER_LEN} tell it from others, \
             and no datagram is longer"
        )));
    }
    Ok(())
}

/// The options of TLS, checked against each other.
fn tls(options: TlsOptions, host: &str) -> Result<Option<Tls>, Failure> {
    let is_plain = options.ca.is_empty()
        && options.name.is_none()
        && options.cert.is_none()
        && options.key.is_none()
        && options.fingerprint.is_none()
        && !options.insecure
        && !options.show_certificate
        && options.tls_version.is_none()
        && options.cipher_suite.is_empty()
        && options.group.is_empty()
        && options.alpn.is_empty()
        && options.sni.is_none()
        && !options.no_sni;
    if !options.tls {
        // A user who names a CA expects TLS, and must not get plain TCP by mistake.
        return if is_plain { Ok(None) } else { Err(usage("these options need --tls")) };
    }
    let identity = match (options.cert, options.key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        _ => return Err(usage("--cert and --key go together")),
    };
    let trust = match (options.fingerprint, options.insecure, options.ca.is_empty()) {
        (None, false, true) => Trust::System,
        (None, false, false) => Trust::Authorities(options.ca),
        (Some(fingerprint), false, true) => Trust::Fingerprint(fingerprint),
        (None, true, true) => Trust::Anything,
        _ => return Err(usage("--ca, --fingerprint and --insecure exclude each other")),
    };
    // A zone has no meaning outside of this machine, so no certificate has it (RFC 6874 §1).
    let own_name = || host.split('%').next().unwrap_or(host).to_owned();
    let name = options.name.unwrap_or_else(own_name);
    let choice = Choice {
        version: options.tls_version,
        suites: options.cipher_suite,
        groups: options.group,
        alpn: options.alpn,
        sni: match (options.sni, options.no_sni) {
            (_, true) => Sni::Omitted,
            (Some(name), false) => Sni::Other(name),
            (None, false) => Sni::OfCertificate,
        },
    };
    Ok(Some(Tls { trust, name, identity, show: options.show_certificate, choice }))
}

#[cfg(test)]
mod tests;
