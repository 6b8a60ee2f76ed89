//! A thousand plain and a thousand TLS sessions at once lose and change no byte.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use util::{
    Daemon, PLAIN, TLS, TlsClient, TlsStream, connect, connect_tls, end_tls, field,
    folder_with_certificates, noise, raise_descriptor_limit,
};

/// Sessions of each kind.
const SESSIONS: usize = 1000;

const MESSAGES: usize = 100;

/// Threads, each with an equal share of the sessions.
const THREADS: usize = 4;

const LIMITS: &str = "
[limits]
max-sessions = 2000
max-sessions-per-address = 2000
";

enum Client {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Client {
    fn stream(&mut self) -> &mut dyn Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        }
    }

    fn send(&mut self, message: &[u8]) {
        self.stream().write_all(message).unwrap();
        self.stream().flush().unwrap();
    }

    fn expect(&mut self, message: &[u8]) {
        let mut back = vec![0; message.len()];
        self.stream().read_exact(&mut back).unwrap();
        assert!(back == message, "the echo differs");
    }

    /// Ends the session cleanly, and checks that no more bytes come.
    fn end(mut self) {
        match &mut self {
            Self::Plain(stream) => {
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "more came than was sent");
            }
            Self::Tls(stream) => end_tls(stream),
        }
    }
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A message of 1 to 2000 bytes that differs from those of all other sessions in this round.
fn message(session: usize, round: usize) -> Vec<u8> {
    let seed = (session * MESSAGES + round) as u64;
    let size = noise(2, seed ^ 0x5eed);
    noise(1 + usize::from(u16::from_le_bytes([size[0], size[1]])) % 2000, seed)
}

#[test]
fn two_thousand_simultaneous_sessions_lose_and_change_no_byte() {
    let config = format!("{LIMITS}{PLAIN}{TLS}");
    // The daemon starts with the old limit, and raises its own.
    let mut daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let enough = raise_descriptor_limit(2 * SESSIONS + 100);
    assert!(enough, "this test needs 2,100 descriptors: raise the hard limit (ulimit -Hn)");
    let tls = TlsClient::default().config(daemon.folder.path());
    let addresses = (daemon.address("plain"), daemon.address("tls"));

    let mut shares: Vec<Vec<Client>> = thread::scope(|scope| {
        let open = || {
            (0..SESSIONS / THREADS).flat_map(|_| {
                let mut stream = Box::new(connect_tls(&tls, addresses.1));
                stream.conn.complete_io(&mut stream.sock).unwrap();
                [Client::Plain(connect(addresses.0)), Client::Tls(stream)]
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(move || open().collect())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    daemon.wait_for_notification(|text| text.contains("STATUS=2000 sessions (1000 TLS)"));

    thread::scope(|scope| {
        for (number, clients) in shares.iter_mut().enumerate() {
            scope.spawn(move || {
                let first = number * clients.len();
                for round in 0..MESSAGES {
                    // This thread sends all of its messages before it reads one.
                    for (index, client) in clients.iter_mut().enumerate() {
                        client.send(&message(first + index, round));
                    }
                    for (index, client) in clients.iter_mut().enumerate() {
                        client.expect(&message(first + index, round));
                    }
                }
            });
        }
    });
    for (number, client) in shares.into_iter().flatten().enumerate() {
        client.end();
        if number % 100 == 0 {
            // Reading this line reads all lines so far. The daemon does not wait for a full pipe, and would
            // lose lines.
            daemon.statistics();
        }
    }

    assert!(daemon.stop().success());
    let log = daemon.whole_log();
    let ends: Vec<&String> =
        log.iter().filter(|line| line.contains(" session listener=")).collect();
    assert_eq!(ends.len(), 2 * SESSIONS);
    for line in ends {
        assert_eq!(field(line, "reason"), "peer-done", "{line}");
        assert_eq!(field(line, "in"), field(line, "out"), "{line}");
    }
}
