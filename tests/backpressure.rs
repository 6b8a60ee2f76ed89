//! The daemon stops reading from a peer that does not read: such a peer costs a bounded number of bytes, does
//! not affect others, and gets its whole echo when it reads again. The bounds are the numbers in
//! docs/design.md ("What a peer can cost"), not constants of the code, so that both have to change together.

mod util;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::ClientConnection;
use util::{
    Daemon, PLAIN, STUCK, TLS, TlsClient, assert_echo, field, folder_with_certificates, noise,
    reset, send_until_stuck,
};

/// The number of peers that are stuck at the same time.
const STUCK_PEERS: usize = 20;

/// One in so many reads at the end. The others reset, so that the log has what was unsent.
const READING_IN_THE_END: usize = 4;

/// The largest outbox of a stuck plain session, in KiB.
const PLAIN_KIB: usize = 32;

/// The largest outbox of a stuck TLS session, in KiB.
const TLS_KIB: usize = 51;

/// What a TLS session needs in addition, in KiB: the beginning of an incomplete record (18), and the state of
/// rustls (4).
const TLS_OWN_KIB: usize = 18 + 4;

/// What the daemon as a whole may grow by in addition, in KiB: code that runs for the first time, and the
/// arenas of the allocator.
const SLACK_KIB: usize = 256;

/// Peers send this repeatedly. The length is prime, so that a lost or repeated piece is noticed.
const PATTERN: usize = 1_000_003;

/// No timeout closes a session that does not read, however slow the machine.
const PATIENT: &str = "[limits]\nwrite-timeout = \"none\"\n";

/// What the kernel may buffer for one connection in both directions, in bytes: what `tcp_rmem` and
/// `tcp_wmem` allow each side (tcp(7)).
fn kernel_buffers() -> usize {
    let most = |name: &str| -> usize {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    2 * (most("tcp_rmem") + most("tcp_wmem"))
}

/// Pieces of the pattern, enough to fill every buffer on the way, and one MiB more.
fn pieces(pattern: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let most = kernel_buffers() + (1 << 20);
    (0..=most / pattern.len()).map(|_| pattern.to_vec())
}

/// A peer that has sent until it was stuck, and has read nothing.
struct Peer {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    /// Bytes of the pattern that it has sent; with TLS, those in complete records.
    sent: usize,
}

impl Peer {
    fn plain(daemon: &Daemon, pattern: &[u8]) -> Self {
        let stream = daemon.connect("plain");
        let sent = send_until_stuck(&stream, pieces(pattern));
        Self { stream, tls: None, sent }
    }

    fn tls(daemon: &Daemon, pattern: &[u8]) -> Self {
        let mut stream = TlsClient::default().connect(daemon);
        assert_echo(&mut stream, &[]);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let (mut conn, sock) = stream.into_parts();
        sock.set_write_timeout(Some(STUCK)).unwrap();
        let mut sent = 0;
        'sending: for piece in pieces(pattern) {
            for record in piece.chunks(16 << 10) {
                conn.writer().write_all(record).unwrap();
                while conn.wants_write() {
                    if let Err(error) = conn.write_tls(&mut &sock) {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                        break 'sending;
                    }
                }
                sent += record.len();
            }
        }
        sock.set_write_timeout(Some(util::PATIENCE)).unwrap();
        Self { stream: sock, tls: Some(conn), sent }
    }

    /// Half-closes, reads to the end, and compares.
    fn read_all(self, pattern: &[u8]) {
        let Self { mut stream, tls, sent } = self;
        let Some(mut conn) = tls else {
            stream.shutdown(Shutdown::Write).unwrap();
            let mut compare = Compare { pattern, read: 0 };
            std::io::copy(&mut stream, &mut compare).unwrap();
            assert_eq!(compare.read, sent);
            return;
        };
        let mut compare = Compare { pattern, read: 0 };
        // The rest of the last record can be written when all before it has been read.
        let mut whole = vec![0; 16 << 10];
        while compare.read < sent {
            conn.read_tls(&mut stream).unwrap();
            conn.process_new_packets().unwrap();
            while let Ok(read @ 1..) = conn.reader().read(&mut whole) {
                compare.write_all(&whole[..read]).unwrap();
            }
        }
        assert_eq!(compare.read, sent);
        conn.send_close_notify();
        let mut stream = rustls::StreamOwned::new(conn, stream);
        stream.flush().unwrap();
        std::io::copy(&mut stream, &mut compare).unwrap();
        assert!(compare.read > sent, "the record that was cut off is missing");
    }
}

/// Compares what is written to it with the repeated pattern.
struct Compare<'a> {
    pattern: &'a [u8],
    read: usize,
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let start = self.read % self.pattern.len();
        let count = bytes.len().min(self.pattern.len() - start);
        assert!(bytes[..count] == self.pattern[start..start + count], "the echo differs");
        self.read += count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Peers get stuck one after the other. Asserts that the daemon does not grow with what they send, that
/// others are served, that no outbox exceeds `waiting_kib`, that a session needs no more than `own_kib` in
/// addition, and that no byte is lost.
fn check(connect: impl Fn(&Daemon, &[u8]) -> Peer, waiting_kib: usize, own_kib: usize) {
    let config = format!("{PATIENT}{PLAIN}{TLS}");
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let pattern = noise(PATTERN, 1);
    let (mut plain, mut tls) = (daemon.connect("plain"), TlsClient::default().connect(&daemon));
    // After these, the scratch buffers have their full size.
    assert_echo(&mut plain, &pattern[..64 << 10]);
    assert_echo(&mut tls, &pattern[..64 << 10]);
    let before = daemon.resident_kib();

    let mut peers = Vec::new();
    for _ in 0..STUCK_PEERS {
        let peer = connect(&daemon, &pattern);
        assert!(peer.sent < kernel_buffers(), "the daemon read {} bytes", peer.sent);
        peers.push(peer);
        assert_echo(&mut plain, &pattern[..1000]);
        assert_echo(&mut tls, &pattern[..1000]);
    }
    let grown = daemon.resident_kib().saturating_sub(before);
    let most = STUCK_PEERS * (waiting_kib + own_kib) + SLACK_KIB;
    let sent: usize = peers.iter().map(|peer| peer.sent).sum();
    println!("grown by {grown} KiB of {most}, {} KiB sent", sent >> 10);
    assert!(sent >> 10 > 2 * most, "too little was sent to test the bound");
    assert!(grown < most, "grown by {grown} KiB, more than {most}");

    for (number, peer) in peers.into_iter().enumerate() {
        if number % READING_IN_THE_END == 0 {
            peer.read_all(&pattern);
            continue;
        }
        let address = peer.stream.local_addr().unwrap();
        reset(peer.stream);
        let line = daemon.session_line(address);
        let unsent: usize = field(&line, "unsent").parse().unwrap();
        assert!(unsent > 0 && unsent <= waiting_kib << 10, "{line}");
    }
}

#[test]
fn plain_peers_that_do_not_read_cost_little_and_lose_nothing() {
    check(Peer::plain, PLAIN_KIB, 0);
}

#[test]
fn tls_peers_that_do_not_read_cost_little_and_lose_nothing() {
    check(Peer::tls, TLS_KIB, TLS_OWN_KIB);
}
