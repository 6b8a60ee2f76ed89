//! The server as people write it: `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, and ports by name.

use std::path::Path;

use crate::os::files;

/// The file of port names (services(5)).
const SERVICES: &str = "/etc/services";

/// The most that is read of it, in bytes.
const SERVICES_MAX: u64 = 4 << 20;

/// A host, and its port where one is named. The host has no brackets.
pub fn parse(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port_text) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) =
                rest.split_once(']').ok_or("the closing ] of the address is missing")?;
            match behind.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if behind.is_empty() => (host, None),
                None => return Err("only a colon and the port may follow ]".into()),
            }
        }
        // Two colons or more are an IPv6 address.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    Ok((host.to_owned(), port_text.map(port).transpose()?))
}

/// A TCP port, by its number or its name.
pub fn port(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|port| *port > 0);
    number.or_else(|| service(text)).ok_or_else(|| {
        format!("{text:?} is neither a port from 1 to 65535 nor the name of one in {SERVICES}")
    })
}

fn service(name: &str) -> Option<u16> {
    let file = files::read(Path::new(SERVICES), SERVICES_MAX).unwrap_or_default();
    find_service(name, &String::from_utf8_lossy(&file))
        // A minimal Debian has no such file (package netbase).
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
    fn a_port_may_stand_behind_the_host() {
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
            assert_eq!(parse(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":5000", "[]:5000", "[::1", "[::1]5000", "alex:", "alex:0", "alex:65536"] {
            assert!(parse(text).is_err(), "{text}");
        }
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
