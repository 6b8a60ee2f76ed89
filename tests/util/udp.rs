//! Servers of datagrams: one in the test, which can be as bad as a network; those that are processes; and what the
//! daemon says about its own.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use rustix::process::Signal;

use super::{Daemon, field, wait_until};

/// An echo that sends back what `answer` makes of each datagram; its port.
pub fn echo(mut answer: impl FnMut(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) -> String {
    server(move |_, datagram, send| {
        if let Some(datagram) = answer(std::mem::take(datagram)) {
            send(&datagram);
        }
    })
}

/// A server that does this with each datagram, of which it gets the number, and the way back; its port.
pub fn server(act: impl FnMut(u64, &mut Vec<u8>, &dyn Fn(&[u8])) + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = super::client::port(socket.local_addr().unwrap());
    thread::spawn(move || serve(&socket, act));
    port
}

/// Does this with each datagram that comes to `socket`.
pub fn serve(socket: &UdpSocket, mut act: impl FnMut(u64, &mut Vec<u8>, &dyn Fn(&[u8]))) {
    let mut buffer = vec![0; 65_536];
    for number in 1.. {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { return };
        act(number, &mut buffer[..length].to_vec(), &|datagram| {
            // A client that has ended has closed its port.
            let _ = socket.send_to(datagram, peer);
        });
    }
}

/// An echo of datagrams without any check, or a chargen. It prints its port, and a line when a datagram has come.
const ECHO: &str = "
import socket, sys
address, port, service = sys.argv[1:]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
far = socket.socket(family, socket.SOCK_DGRAM)
far.bind((address, int(port)))
print(far.getsockname()[1], flush=True)
ring, start = bytes(range(32, 127)) * 2, 0
has_come = False
while True:
    datagram, peer = far.recvfrom(65536)
    if service == 'chargen':
        datagram, start = ring[start:start + 72] + b'\\r\\n', (start + 1) % 95
    far.sendto(datagram, peer)
    if not has_come:
        print('came', flush=True)
        has_come = True
";

/// It runs, in a namespace of its own if it is started there, and ends with this.
pub struct Echo {
    child: Child,
    output: BufReader<ChildStdout>,
    pub port: String,
}

impl Echo {
    /// Has `python` listen at this address. Port 0 is any.
    pub fn start(python: Command, address: &str, port: u16) -> Self {
        Self::serve(python, address, port, "echo")
    }

    /// The same with a chargen (RFC 864), each of whose lines begins one character later in its pattern.
    pub fn chargen(python: Command, address: &str, port: u16) -> Self {
        Self::serve(python, address, port, "chargen")
    }

    fn serve(mut python: Command, address: &str, port: u16, service: &str) -> Self {
        python.args(["-c", ECHO, address, &port.to_string(), service]).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut echo = Self { child, output, port: String::new() };
        echo.port = echo.line();
        echo
    }

    /// Waits until a datagram has come.
    pub fn wait_for_datagram(&mut self) {
        assert_eq!(self.line(), "came");
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line of statistics for the listener `udp`.
pub fn statistics(daemon: &Daemon) -> String {
    let fits = |line: &str| line.contains(" statistics listener=udp ");
    let before = daemon.seen().iter().filter(|line| fits(line)).count();
    daemon.signal(Signal::USR1);
    daemon.wait_for_nth_line(before, fits)
}

/// Waits until the daemon has received so many datagrams: how many of them it has refused.
pub fn refused_of(daemon: &Daemon, received: u64) -> u64 {
    let count = |line: &str, key: &str| field(line, key).parse::<u64>().unwrap();
    wait_until("the daemon has received them", || {
        let line = statistics(daemon);
        line.contains(" datagrams=") && count(&line, "datagrams") >= received
    });
    let line = statistics(daemon);
    assert_eq!(count(&line, "datagrams"), received, "{line}");
    count(&line, "refused")
}

/// Waits until the log says that a datagram has no answer for this reason.
pub fn wait_for_refusal(daemon: &Daemon, reason: &str) {
    daemon.wait_for_line(|line| {
        line.contains(" refused listener=udp ") && line.contains(&format!(" reason={reason}"))
    });
}
