//! A server that is running: what it uses, and its end.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::transport::Transport;
use crate::{Result, machine};

/// How long a server may take to start, also under valgrind.
const START: Duration = Duration::from_secs(30);

/// How long the echo of a datagram may take, also under valgrind.
const ECHO: Duration = Duration::from_secs(1);

/// How long a server may take to end before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// A running server. It is stopped when this is dropped.
pub(crate) struct Server {
    children: Vec<Child>,
    pub(crate) port: u16,
    /// The port of the daemon's web listener.
    pub(crate) web: u16,
    /// Its configuration and log.
    folder: tempfile::TempDir,
}

impl Server {
    pub(super) fn new(port: u16, web: u16, folder: tempfile::TempDir) -> Self {
        Self { children: Vec::new(), port, web, folder }
    }

    /// Starts one of its processes on the server's core.
    pub(super) fn spawn(&mut self, command: &mut Command) -> Result<()> {
        let log = File::create(self.folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = machine::spawn_server(command)
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        self.children.push(child);
        Ok(())
    }

    /// Waits until it accepts connections, or answers datagrams.
    pub(super) fn wait(&mut self, transport: Transport) -> Result<()> {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let is_there = || match transport {
            Transport::Plain | Transport::Tls => TcpStream::connect(address).map(drop),
            Transport::Udp => echo_datagram(address),
        };
        let deadline = Instant::now() + START;
        while is_there().is_err() {
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    return Err(format!("it ended, {status}: {}", self.log()).into());
                }
            }
            if Instant::now() > deadline {
                return Err(format!("it does not listen: {}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The last line of its log.
    fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().last().unwrap_or("no output").to_owned()
    }

    /// The process that was started last.
    pub(crate) fn pid(&self) -> u32 {
        self.children.last().map_or(0, Child::id)
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.children.iter().map(Child::id)
    }

    pub(crate) fn processor_time(&self) -> Duration {
        machine::processor_time(self.pids())
    }

    pub(crate) fn memory(&self) -> u64 {
        machine::memory(self.pids())
    }

    /// Stops it. Its files stay until this is dropped.
    pub(crate) fn stop(&mut self) {
        for child in &self.children {
            machine::terminate(child);
        }
        let deadline = Instant::now() + STOP;
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    let _ = child.kill();
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.children.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a datagram, and waits for its echo. Nothing listens: an error at once.
fn echo_datagram(address: (Ipv4Addr, u16)) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(ECHO))?;
    socket.send(b"1")?;
    socket.recv(&mut [0]).map(drop)
}
