//! Asks a daemon that runs on this machine whether it serves (`--probe`), for those who start it and have no other
//! program to ask with, such as a container of the daemon alone.
//!
//! A web listener says whether new connections are welcome, and the log stays silent. Without one, an echo that comes
//! back says that the event loop turns. Neither is asked over TLS or where a proxy's header is required: a probe may not
//! have what such a listener asks of its clients.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::config::{Config, Endpoint, Listener, Service, Transport};
use crate::exit::{Exit, Failure, plain};

/// How long the connection and the answer may take together. A container's probe is called again after that.
const PATIENCE: Duration = Duration::from_secs(3);

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What an echo must send back.
const WORDS: &[u8] = b"echo-alex --probe\r\n";

/// The longest answer that is read, in bytes: it is a few words, but another program may listen there.
const ANSWER_MAX: u64 = 8 * 1024;

/// Why nothing came.
const CLOSED: &str = "the connection was closed without an answer: a limit may be reached \
    (max-sessions), see the log";

/// Asks the daemon that serves `config`. What it says, in one line; a failure if it is not ready or not there.
pub fn probe(config: &Config) -> Result<String, Failure> {
    let Some((service, address)) = choose(&config.listeners) else {
        return Err(Failure::config(format!(
            "{}: no listener can be probed: it takes one without TLS and proxy-protocol, with service = \"web\" \
             or \"echo\" and a port other than 0, such as a web listener with listen = \"127.0.0.1:5080\"",
            config.source
        )));
    };
    let answer = if service == Service::Web { ask_web(address) } else { ask_echo(address) };
    answer.map(|words| format!("{address}: {words}")).map_err(|why| {
        let message = format!("the probe of {address} failed: {why}");
        Failure::new(Exit::Failure, message)
    })
}

/// What to ask, and where: a web listener before an echo.
fn choose(listeners: &[Listener]) -> Option<(Service, SocketAddr)> {
    [Service::Web, Service::Echo].into_iter().find_map(|service| {
        let plain = |it: &&Listener| {
            it.service == service
                && it.transport == Transport::Tcp
                && it.tls.is_none()
                && it.proxies.is_none()
        };
        let endpoints = listeners.iter().filter(plain).flat_map(|listener| &listener.endpoints);
        endpoints.copied().find_map(reachable).map(|address| (service, address))
    })
}

/// The address at which this machine reaches a listener; `None` if only the kernel knows the port.
fn reachable(endpoint: Endpoint) -> Option<SocketAddr> {
    let mut address = *endpoint.addresses().first()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    (address.port() != 0).then_some(address)
}

/// The words of `/readyz`, or why the daemon is not ready.
fn ask_web(address: SocketAddr) -> Result<String, String> {
    let answer = exchange(address, REQUEST)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let (version, status) =
        head.lines().next().unwrap_or_default().split_once(' ').unwrap_or_default();
    match status {
        _ if answer.is_empty() => Err(CLOSED.into()),
        _ if version != "HTTP/1.1" => {
            Err("the answer is not HTTP/1.1: another program listens there".into())
        }
        "200 OK" => Ok(body.trim_end().escape_debug().to_string()),
        _ => Err(format!("{}: {}", status.escape_debug(), body.trim_end().escape_debug())),
    }
}

fn ask_echo(address: SocketAddr) -> Result<String, String> {
    match exchange(address, WORDS)? {
        answer if answer == WORDS => Ok("the echo came back".into()),
        answer if answer.is_empty() => Err(CLOSED.into()),
        _ => Err("what came back is no echo: another program listens there".into()),
    }
}

/// Sends `request` and the end, and reads to the end.
fn exchange(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, String> {
    let end = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| format!("cannot connect: {}", plain(&error)))?;
    talk(&mut stream, request, end).or_else(|error| match error.kind() {
        // What a connection above a limit gets.
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Ok(Vec::new()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Err(format!("no answer in {} s", PATIENCE.as_secs()))
        }
        _ => Err(plain(&error)),
    })
}

fn talk(stream: &mut TcpStream, request: &[u8], end: Instant) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while (answer.len() as u64) < ANSWER_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => break,
            length => answer.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    Ok(answer)
}
