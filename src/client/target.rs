//! The server as users write it: `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`, and ports by name.

use std::error::Error;
use std::fmt;
use std::path::Path;

use crate::os::files;
use crate::tls::certificate::escape::is_unprintable;

/// The names of ports (services(5)).
const SERVICES: &str = "/etc/services";

/// How much of it is read, in bytes.
const SERVICES_MAX: u64 = 4 << 20;

/// A host, and its port if one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: Option<u16>,
}

/// Why a text is not a [`Target`] or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidTarget {
    /// `[::1`.
    NoClosingBracket,
    /// `[::1]5000`.
    NoColonAfterBracket,
    /// `:5000`.
    NoHost,
    /// With characters that a terminal acts on.
    UnprintableHost(String),
    /// Neither a number nor a name.
    UnknownPort(String),
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClosingBracket => f.write_str("the closing ] of the address is missing"),
            Self::NoColonAfterBracket => f.write_str("only a colon and the port may follow ]"),
            Self::NoHost => f.write_str("the host is missing"),
            Self::UnprintableHost(host) => {
                write!(f, "{host:?} has characters that no name of a host has")
            }
            Self::UnknownPort(port) => write!(
                f,
                "{port:?} is neither a port number from 1 to 65535 nor a name in {SERVICES}"
            ),
        }
    }
}

impl Error for InvalidTarget {}

/// Parses a host with or without a port.
pub fn parse(text: &str) -> Result<Target, InvalidTarget> {
    let (host, port_text) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or(InvalidTarget::NoClosingBracket)?;
            match behind.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if behind.is_empty() => (host, None),
                None => return Err(InvalidTarget::NoColonAfterBracket),
            }
        }
        // Two colons or more are an IPv6 address.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    if host.is_empty() {
        return Err(InvalidTarget::NoHost);
    }
    if host.contains(is_unprintable) {
        return Err(InvalidTarget::UnprintableHost(host.into()));
    }
    Ok(Target { host: host.to_owned(), port: port_text.map(port).transpose()? })
}

/// Parses the number or the name of a TCP port.
pub fn port(text: &str) -> Result<u16, InvalidTarget> {
    let number = text.parse().ok().filter(|port| *port > 0);
    number.or_else(|| service(text)).ok_or_else(|| InvalidTarget::UnknownPort(text.to_owned()))
}

fn service(name: &str) -> Option<u16> {
    let file = files::read(Path::new(SERVICES), SERVICES_MAX).unwrap_or_default();
    find_service(name, &String::from_utf8_lossy(&file))
        // A minimal Debian does not have the file (package netbase).
        .or((name == "echo").then_some(7))
}

fn find_service(name: &str, file: &str) -> Option<u16> {
    file.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let official = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        (official == name || words.any(|alias| alias == name)).then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_follow_the_host() {
        for (text, host, port) in [
            ("alex.local", "alex.local", None),
            ("alex.local:5001", "alex.local", Some(5001)),
            ("10.0.0.1:7", "10.0.0.1", Some(7)),
            ("::1", "::1", None),
            ("fe80::1%eth0", "fe80::1%eth0", None),
            ("[::1]", "::1", None),
            ("[::1]:5000", "::1", Some(5000)),
            ("[fe80::1%eth0]:echo", "fe80::1%eth0", Some(7)),
        ] {
            assert_eq!(parse(text), Ok(Target { host: host.into(), port }), "{text}");
        }
        for text in ["", ":5000", "[]:5000", "[::1", "[::1]5000", "alex:", "alex:0", "alex:65536"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for host in ["al\u{1b}ex", "al\u{202e}ex"] {
            assert_eq!(parse(host), Err(InvalidTarget::UnprintableHost(host.into())));
        }
        assert!(parse("jörg.local").is_ok());
    }

    #[test]
    fn ports_have_names() {
        let file =
            "# comment\necho\t\t7/tcp\necho 7/udp\nntp 123/udp\nhttp 80/tcp www # WorldWideWeb x\n";
        for (name, port) in
            [("echo", Some(7)), ("http", Some(80)), ("www", Some(80)), ("x", None), ("ntp", None)]
        {
            assert_eq!(find_service(name, file), port, "{name}");
        }
        assert_eq!(port("echo"), Ok(7));
    }
}
