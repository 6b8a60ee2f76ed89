//! The client's command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::ValueExt;
use lexopt::prelude::{Long, Short, Value};

use super::target;
use crate::config::Identity;
use crate::exit::Failure;
use crate::os::units;
use crate::tls::client::Trust;

/// What `-h` shows; it fits a screen.
pub const HELP: &str = "\
echo-alex-client: talk to an echo server, or any other, and check the echo

Usage: echo-alex-client [OPTIONS] HOST [PORT] | HOST:PORT  (5000, --tls: 5001)

  -4, -6                 Use IPv4, or IPv6, alone
      --timeout TIME     To connect, to shake hands, for an echo [default: 10s]
  -q, --quiet            Say nothing but errors
      --tls              TLS: the certificate and its name are verified
      --ca FILE          Trust this CA, not the system's (may be repeated)
      --name NAME        The name in the certificate, if it is not HOST
      --cert FILE --key FILE   Show this certificate if the server asks for one
      --fingerprint sha256:…   Trust this one certificate, whoever signed it
      --insecure         TRUST ANYBODY: who answers is printed, not verified
      --show-certificate Print the server's certificates
      --verify           Compare what comes back with what was sent
      --ping             Time it: -c, --count N, -i, --interval TIME,
                         -s BYTES, --reconnect
      --bench            Measure: --connections N, --size BYTES, --depth N,
                         --duration TIME; or --handshakes, with --tls
      --json             Figures of --ping and --bench as JSON
  -h, --help; -V, --version
Exit codes: 0 well, 1 the echo differed or was cut short, 2 cannot connect,
  3 certificate refused, 4 timed out, 64 usage, 66 no such file, 77 it may not
  be read, 78 it is not good, 130 interrupted
";

/// Upper bounds of options, so that no value overflows the clock or exhausts a small machine's memory.
mod most {
    use std::time::Duration;

    /// A time.
    pub(super) const TIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    /// Pings.
    pub(super) const COUNT: u32 = 1_000_000_000;
    /// Bytes of a message. A ping keeps its message in memory twice.
    pub(super) const SIZE: u32 = 64 * 1024 * 1024;
    /// Sessions at once. Each has a port of its own.
    pub(super) const CONNECTIONS: u32 = 65_535;
    /// Messages in flight, in one session and in all together. Each takes 16 bytes of memory.
    pub(super) const DEPTH: u32 = 4_000_000;
}

/// What the client was asked for.
#[derive(Clone, Debug)]
pub enum Request {
    /// `-h`.
    Help,
    /// `-V`.
    Version,
    /// Anything else.
    Run(Box<Options>),
}

/// How to reach the server, and what to do there.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name or an address, without brackets.
    pub host: String,
    /// TCP.
    pub port: u16,
    /// IPv4 or IPv6 alone.
    pub family: Option<Family>,
    /// For finding the host's addresses, connecting to one, the handshake, and an echo that is due:
    /// each. No more than a year, as all times here.
    pub timeout: Duration,
    /// Say nothing but errors.
    pub quiet: bool,
    /// TLS, or plain.
    pub tls: Option<Tls>,
    /// What to do.
    pub task: Task,
    /// Figures as JSON.
    pub json: bool,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

/// How to speak TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Which server is right.
    pub trust: Trust,
    /// The name that its certificate must have.
    pub name: String,
    /// What to show if it asks who we are.
    pub identity: Option<Identity>,
    /// Print its certificates.
    pub show: bool,
}

/// What to do with the connection.
#[derive(Clone, Debug)]
pub enum Task {
    /// Standard input to the server, its answer to standard output.
    Relay {
        /// Compare the two.
        verify: bool,
    },
    /// Time echoes, one after the other.
    Ping(Ping),
    /// Many sessions at once, each full of echoes.
    Bench(Bench),
}

/// `--ping`.
#[derive(Clone, Debug)]
pub struct Ping {
    /// How many; `None` until interrupted.
    pub count: Option<u64>,
    /// From one to the next.
    pub interval: Duration,
    /// Bytes of each.
    pub size: usize,
    /// A new connection for each.
    pub reconnect: bool,
}

/// `--bench`.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Sessions at once.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages on their way in a session.
    pub depth: usize,
    /// How long to measure.
    pub duration: Duration,
    /// Count TLS handshakes, not messages.
    pub handshakes: bool,
}

/// The options that say how to speak TLS, as they come.
#[derive(Default)]
struct TlsOptions {
    tls: bool,
    authorities: Vec<PathBuf>,
    name: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    fingerprint: Option<String>,
    insecure: bool,
    show: bool,
}

impl Request {
    /// Understands `arguments`, without the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut parser = lexopt::Parser::from_args(arguments);
        Self::try_parse(&mut parser)
            .map_err(|error| Failure::usage(format!("{error}; see echo-alex-client --help")))
    }

    fn try_parse(parser: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        let (mut host, mut port, mut family) = (None, None, None);
        let mut timeout = Duration::from_secs(10);
        let (mut quiet, mut json, mut verify) = (false, false, false);
        let mut tls = TlsOptions::default();
        let (mut pings, mut benches) = (false, false);
        // The last option that only one of the tasks has.
        let (mut of_ping, mut of_bench) = (None, None);
        let mut ping =
            Ping { count: None, interval: Duration::from_secs(1), size: 64, reconnect: false };
        let mut bench = Bench {
            connections: 1,
            size: 64,
            depth: 1,
            duration: Duration::from_secs(10),
            handshakes: false,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Short('c' | 'i' | 's') | Long("count" | "interval" | "reconnect") => {
                    of_ping = Some(name(&argument));
                }
                Long("connections" | "size" | "depth" | "duration") => {
                    of_bench = Some(name(&argument));
                }
                _ => {}
            }
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Short('4') => family = Some(Family::V4),
                Short('6') => family = Some(Family::V6),
                Short('q') | Long("quiet") => quiet = true,
                Long("timeout") => timeout = time(parser)?,
                Long("tls") => tls.tls = true,
                Long("ca") => tls.authorities.push(parser.value()?.into()),
                Long("name") => tls.name = Some(parser.value()?.string()?),
                Long("cert") => tls.certificate = Some(parser.value()?.into()),
                Long("key") => tls.key = Some(parser.value()?.into()),
                Long("fingerprint") => {
                    tls.fingerprint = Some(parser.value()?.parse_with(fingerprint)?);
                }
                Long("insecure") => tls.insecure = true,
                Long("show-certificate") => tls.show = true,
                Long("verify") => verify = true,
                Long("json") => json = true,
                Long("ping") => pings = true,
                Short('c') | Long("count") => {
                    ping.count = Some(number(parser, most::COUNT)?.into());
                }
                Short('i') | Long("interval") => ping.interval = time(parser)?,
                Short('s') => ping.size = number(parser, most::SIZE)? as usize,
                Long("reconnect") => ping.reconnect = true,
                Long("bench") => benches = true,
                Long("handshakes") => (benches, bench.handshakes) = (true, true),
                Long("connections") => {
                    bench.connections = number(parser, most::CONNECTIONS)? as usize;
                }
                Long("size") => bench.size = number(parser, most::SIZE)? as usize,
                Long("depth") => bench.depth = number(parser, most::DEPTH)? as usize,
                Long("duration") => bench.duration = time(parser)?,
                Value(value) if host.is_none() => {
                    let (named, its_port) = value.parse_with(target::parse)?;
                    (host, port) = (Some(named), its_port);
                }
                Value(value) if port.is_none() => port = Some(value.parse_with(target::port)?),
                argument => return Err(argument.unexpected()),
            }
        }
        let host: String = host.ok_or("which HOST?")?;
        let tls = tls.check(&host)?;
        if let Some(option) = of_ping.filter(|_| !pings) {
            return Err(format!("{option} goes with --ping").into());
        }
        if let Some(option) = of_bench.filter(|_| !benches) {
            return Err(format!("{option} goes with --bench").into());
        }
        let task = match (pings, benches) {
            (true, true) => return Err("--ping and --bench are two things".into()),
            (true, false) => Task::Ping(ping),
            (false, true) if bench.handshakes && tls.is_none() => {
                return Err("--handshakes needs --tls".into());
            }
            (false, true)
                if bench.connections.saturating_mul(bench.depth) > most::DEPTH as usize =>
            {
                return Err(format!(
                    "--connections times --depth is {} at most: the messages in flight",
                    most::DEPTH
                )
                .into());
            }
            (false, true) => Task::Bench(bench),
            (false, false) if json => return Err("--json goes with --ping or --bench".into()),
            (false, false) => Task::Relay { verify },
        };
        let port = port.unwrap_or(if tls.is_some() { 5001 } else { 5000 });
        Ok(Self::Run(Box::new(Options { host, port, family, timeout, quiet, tls, task, json })))
    }
}

impl TlsOptions {
    fn check(self, host: &str) -> Result<Option<Tls>, lexopt::Error> {
        let is_plain = self.authorities.is_empty()
            && self.name.is_none()
            && self.certificate.is_none()
            && self.key.is_none()
            && self.fingerprint.is_none()
            && !self.insecure
            && !self.show;
        if !self.tls {
            // Somebody who names a CA means TLS, and must not get plain TCP for a forgotten word.
            return if is_plain { Ok(None) } else { Err("these options need --tls".into()) };
        }
        let identity = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            _ => return Err("--cert and --key go together".into()),
        };
        let trust = match (self.fingerprint, self.insecure, self.authorities.is_empty()) {
            (None, false, true) => Trust::System,
            (None, false, false) => Trust::Authorities(self.authorities),
            (Some(fingerprint), false, true) => Trust::Fingerprint(fingerprint),
            (None, true, true) => Trust::Anything,
            _ => return Err("--ca, --fingerprint and --insecure exclude each other".into()),
        };
        // A zone has no meaning outside this machine, so no certificate names it (RFC 6874 §1).
        let own_name = || host.split('%').next().unwrap_or(host).to_owned();
        let name = self.name.unwrap_or_else(own_name);
        Ok(Some(Tls { trust, name, identity, show: self.show }))
    }
}

/// An option as it is typed.
fn name(argument: &lexopt::Arg<'_>) -> String {
    match argument {
        Short(letter) => format!("-{letter}"),
        Long(word) => format!("--{word}"),
        Value(value) => value.to_string_lossy().into_owned(),
    }
}

fn number(parser: &mut lexopt::Parser, most: u32) -> Result<u32, lexopt::Error> {
    parser.value()?.parse_with(|text| {
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("it takes a whole number from 1 to {most}"))
    })
}

/// A duration as in the configuration, or a number of seconds.
fn time(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    parser.value()?.parse_with(|text| {
        let time = if text.contains(|c: char| c.is_ascii_alphabetic()) {
            units::duration(text)
        } else {
            units::duration(&format!("{text}s"))
        };
        time.filter(|time| !time.is_zero() && *time <= most::TIME).ok_or_else(|| {
            format!(
                "it takes a time above 0 and up to {} days: seconds, such as 10 or 0.2, or {}",
                most::TIME.as_secs() / (24 * 60 * 60),
                units::DURATION_EXAMPLES
            )
        })
    })
}

/// Pairs of hexadecimal digits, with or without colons and "sha256:", as the daemon's log and
/// openssl print them.
fn fingerprint(text: &str) -> Result<String, &'static str> {
    let lower = text.to_ascii_lowercase();
    let digits: String =
        lower.strip_prefix("sha256:").unwrap_or(&lower).chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("a fingerprint is sha256: and 64 hexadecimal digits");
    }
    let upper = digits.to_ascii_uppercase();
    let pairs: Vec<&str> = (0..64).step_by(2).map(|at| &upper[at..at + 2]).collect();
    Ok(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        match Request::parse(line.split_whitespace().map(Into::into)) {
            Ok(Request::Run(options)) => Ok(*options),
            Ok(_) => Err("help".into()),
            Err(failure) => Err(failure.message),
        }
    }

    #[test]
    fn the_port_follows_from_tls() {
        assert_eq!(parse("alex.local").unwrap().port, 5000);
        assert_eq!(parse("--tls alex.local").unwrap().port, 5001);
        assert_eq!(parse("--tls alex.local 7").unwrap().port, 7);
    }

    #[test]
    fn the_name_to_verify_is_the_host_unless_another_is_given() {
        assert_eq!(parse("--tls 10.0.0.1").unwrap().tls.unwrap().name, "10.0.0.1");
        let other = parse("--tls --name alex.local 10.0.0.1").unwrap();
        assert_eq!(
            (other.host.as_str(), other.tls.unwrap().name.as_str()),
            ("10.0.0.1", "alex.local")
        );
    }

    #[test]
    fn options_of_tls_are_refused_without_it() {
        for line in ["--ca x alex", "--insecure alex", "--name y alex", "--show-certificate alex"] {
            assert!(parse(line).unwrap_err().contains("--tls"), "{line}");
        }
        assert!(parse("--tls --ca x --insecure alex").unwrap_err().contains("exclude"));
        assert!(parse("--tls --cert x alex").unwrap_err().contains("together"));
    }

    #[test]
    fn fingerprints_are_taken_as_they_are_printed() {
        let colons = ["AB"; 32].join(":");
        for text in
            [format!("sha256:{colons}"), "ab".repeat(32), format!("SHA256:{}", "aB".repeat(32))]
        {
            assert_eq!(fingerprint(&text).unwrap(), colons);
        }
        assert!(fingerprint("sha256:ab").is_err());
        assert!(fingerprint(&"é".repeat(32)).is_err());
    }

    #[test]
    fn each_option_in_the_help_is_understood() {
        let words = HELP.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        let options: Vec<&str> = words
            .filter(|word| {
                word.trim_start_matches('-').starts_with(char::is_alphanumeric)
                    && word.starts_with('-')
            })
            .collect();
        assert!(options.contains(&"--fingerprint") && options.contains(&"-4"), "{options:?}");
        for option in options {
            let refused = parse(option).err().unwrap_or_default();
            assert!(!refused.contains("invalid option"), "{option}: {refused}");
        }
    }

    #[test]
    fn an_option_that_does_not_fit_the_task_is_refused() {
        for (line, words) in [
            ("-c 3 alex", "-c goes with --ping"),
            ("--bench -s 3000 alex", "-s goes with --ping"),
            ("--ping --size 3000 alex", "--size goes with --bench"),
            ("--duration 3 alex", "--duration goes with --bench"),
        ] {
            assert!(parse(line).unwrap_err().contains(words), "{line}");
        }
        assert!(parse("--ping -c 3 -s 9 alex").is_ok() && parse("--bench --size 9 alex").is_ok());
    }

    #[test]
    fn a_port_stands_behind_the_host_or_apart_and_not_twice() {
        for line in ["alex:5001", "alex 5001", "--tls alex:5001"] {
            let options = parse(line).unwrap();
            assert_eq!((options.host.as_str(), options.port), ("alex", 5001), "{line}");
        }
        assert_eq!(parse("--tls alex:5001").unwrap().tls.unwrap().name, "alex");
        assert_eq!(parse("--tls [fe80::1%eth0]:5001").unwrap().tls.unwrap().name, "fe80::1");
        assert_eq!(parse("alex echo").unwrap().port, 7);
        assert!(parse("alex:5001 5001").unwrap_err().contains("5001"));
        for port in ["0", "70000", "no-such-port"] {
            for line in [format!("alex {port}"), format!("alex:{port}")] {
                let words = parse(&line).unwrap_err();
                assert!(words.contains("from 1 to 65535"), "{words}");
            }
        }
    }

    #[test]
    fn times_are_seconds_or_as_in_the_configuration() {
        for (text, millis) in
            [("10", 10_000), ("0.2", 200), ("10s", 10_000), ("5min", 300_000), ("500ms", 500)]
        {
            let options = parse(&format!("--timeout {text} alex")).unwrap();
            assert_eq!(options.timeout, Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn numbers_that_no_machine_bears_are_refused_with_what_is_possible() {
        for (line, words) in [
            ("--timeout 1e19", "up to 366 days"),
            ("--timeout 0", "above 0"),
            ("--timeout -1", "above 0"),
            ("--timeout nan", "above 0"),
            ("--timeout 367d", "up to 366 days"),
            ("--ping -i 10000000000000000000", "up to 366 days"),
            ("--bench --duration 1000000000y", "up to 366 days"),
            ("--ping -c 18446744073709551615", "from 1 to 1000000000"),
            ("--ping -s 18446744073709551615", "from 1 to 67108864"),
            ("--bench --size 99999999999", "from 1 to 67108864"),
            ("--bench --connections 18446744073709551615", "from 1 to 65535"),
            ("--bench --depth 18446744073709551615", "from 1 to 4000000"),
            ("--bench --connections 65535 --depth 65535", "4000000 at most"),
        ] {
            let refused = parse(&format!("{line} alex")).unwrap_err();
            assert!(refused.contains(words), "{line}: {refused}");
        }
        let most = "--bench --connections 65535 --depth 61 --size 67108864 --duration 366d alex";
        assert!(parse(most).is_ok());
    }

    #[test]
    fn help_fits_a_screen() {
        assert!(HELP.lines().count() <= 25);
        assert!(HELP.lines().all(|line| line.chars().count() <= 80));
    }
}
