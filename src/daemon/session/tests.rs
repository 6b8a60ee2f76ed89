//! Scenes of a session's life over a socket that is made up, on a clock that is made up. Whole lives,
//! whatever happens in them: tests/simulation.

mod other;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use super::*;
use std::time::Duration;

use crate::config::{self, Timeouts};
use crate::tls::{client, server};
use crate::wire::buffers::Scratch;

/// What one read may bring and one step of a turn moves, in bytes: the 32 KiB of docs/design.md. Bounds
/// here are its numbers, not constants of the code.
const READ: usize = 32 * 1024;

const TIMEOUTS: Timeouts = Timeouts {
    handshake: Some(Duration::from_secs(10)),
    idle: Some(Duration::from_secs(60)),
    write: Some(Duration::from_secs(30)),
    linger: Some(Duration::from_secs(2)),
};

/// What the peer and the kernel do.
#[derive(Default)]
struct Kernel {
    /// What has come from the peer and was not read.
    incoming: Vec<u8>,
    /// The peer's FIN is behind that.
    fin: bool,
    /// The peer has reset the connection.
    reset: bool,
    /// How much more the kernel takes from us.
    room: usize,
    /// What it took.
    outgoing: Vec<u8>,
    /// Our FIN was sent.
    ended: bool,
    /// Calls of read and of write.
    calls: (usize, usize),
}

/// One end of it; the test keeps the other.
#[derive(Clone)]
struct FakeWire(Rc<RefCell<Kernel>>);

impl Read for FakeWire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut kernel = self.0.borrow_mut();
        kernel.calls.0 += 1;
        if kernel.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if kernel.incoming.is_empty() && !kernel.fin {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = kernel.incoming.len().min(buffer.len());
        buffer[..count].copy_from_slice(&kernel.incoming[..count]);
        kernel.incoming.drain(..count);
        Ok(count)
    }
}

impl Write for FakeWire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kernel = self.0.borrow_mut();
        kernel.calls.1 += 1;
        assert!(!kernel.ended, "bytes after the FIN");
        if kernel.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if kernel.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = kernel.room.min(bytes.len());
        kernel.room -= count;
        kernel.outgoing.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for FakeWire {
    fn end_writing(&self) -> io::Result<()> {
        self.0.borrow_mut().ended = true;
        Ok(())
    }

    fn tcp_info(&self) -> Option<TcpInfo> {
        Some(TcpInfo { rtt_us: 1234, ..TcpInfo::default() })
    }
}

/// A plain session, its kernel, a clock, and the loop's buffers.
struct Scene {
    session: Session<FakeWire>,
    kernel: Rc<RefCell<Kernel>>,
    now: Moment,
    buffers: Buffers,
}

impl Scene {
    fn new(transport: Transport, service: Service) -> Self {
        let kernel = Rc::new(RefCell::new(Kernel { room: usize::MAX, ..Kernel::default() }));
        let now = Moment::now();
        let peer = "192.0.2.1:7".parse().unwrap();
        let session = Session::new(FakeWire(kernel.clone()), peer, transport, service, now);
        Self { session, kernel, now, buffers: Buffers::new() }
    }

    fn plain() -> Self {
        Self::new(Transport::Plain, Service::Echo)
    }

    /// A TLS session whose handshake has not begun.
    fn tls() -> Self {
        let settings = config::Tls::default();
        let config = server::server_config(&settings, None).unwrap();
        Self::new(Transport::tls_server(config).unwrap(), Service::Echo)
    }

    /// Bytes that came, that the kernel took, and that it did not take.
    fn counts(&self) -> (u64, u64, usize) {
        (self.session.received(), self.session.sent(), self.session.unsent())
    }

    /// An event, and the turns that follow it.
    fn turns(&mut self) {
        let mut turn = self.event();
        while turn == Turn::Again {
            turn = self.session.advance(true, self.now, &mut self.buffers);
        }
    }

    /// The peer sends.
    fn send(&self, bytes: &[u8]) {
        self.kernel.borrow_mut().incoming.extend(bytes);
    }

    fn kernel(&self, change: impl FnOnce(&mut Kernel)) {
        change(&mut self.kernel.borrow_mut());
    }

    /// An event; `fin` as epoll says it.
    fn event(&mut self) -> Turn {
        let fin = self.kernel.borrow().fin || self.kernel.borrow().reset;
        self.session.advance(fin, self.now, &mut self.buffers)
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Seconds from now to the deadline.
    fn seconds_left(&self) -> u64 {
        self.session.deadline(&TIMEOUTS).unwrap().duration_since(self.now).as_secs()
    }

    fn outgoing(&self) -> Vec<u8> {
        self.kernel.borrow().outgoing.clone()
    }

    /// The handshake, to its end; gives the peer's side.
    fn shake_hands(&mut self) -> TlsPeer {
        let mut peer = TlsPeer::new();
        let mut answer = peer.hear(&[]);
        while self.session.is_handshaking() {
            assert!(!answer.is_empty(), "the handshake is stuck");
            self.send(&answer);
            self.event();
            answer = peer.hear(&std::mem::take(&mut self.kernel.borrow_mut().outgoing));
        }
        peer
    }
}

/// The peer of a TLS session.
struct TlsPeer {
    transport: Transport,
    plain: Vec<u8>,
    sealed: Scratch,
}

impl TlsPeer {
    fn new() -> Self {
        let trust = client::Trust::Anything;
        let settings = client::Settings::new(trust);
        let config = client::client_config(&settings).unwrap().0;
        let name = client::server_name("localhost").unwrap();
        Self {
            transport: Transport::tls_client(config, name).unwrap(),
            plain: Vec::new(),
            sealed: Scratch::default(),
        }
    }

    /// Takes whole records, and gives what TLS answers.
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.transport.open(&mut bytes.to_vec(), &mut self.plain, &mut self.sealed).unwrap();
        self.sealed.filled().to_vec()
    }

    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.sealed.clear();
        self.transport.seal(bytes, &mut self.sealed).unwrap().to_vec()
    }
}

#[test]
fn one_message_costs_one_read_and_one_write() {
    let mut scene = Scene::plain();
    for _ in 0..100 {
        scene.send(b"hello");
        assert_eq!(scene.event(), Turn::Unchanged);
    }
    assert_eq!(scene.outgoing(), b"hello".repeat(100));
    assert_eq!(scene.kernel.borrow().calls, (100, 100));
}

#[test]
fn data_that_came_with_the_fin_is_echoed_before_ours() {
    let mut scene = Scene::plain();
    scene.send(b"last words");
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
    assert_eq!(scene.outgoing(), b"last words");
}

#[test]
fn a_session_whose_echo_is_stuck_is_not_read_and_goes_on_where_it_was() {
    let mut scene = Scene::plain();
    scene.kernel(|kernel| kernel.room = 3);
    scene.send(b"hello");
    assert_eq!(scene.event(), Turn::Wait);
    scene.send(b" world");
    let reads = scene.kernel.borrow().calls.0;
    for _ in 0..10 {
        assert_eq!(scene.event(), Turn::Wait);
    }
    assert_eq!(scene.kernel.borrow().calls.0, reads, "it was read though its outbox is not empty");
    // The kernel has room again. What came meanwhile has no event of its own any more.
    scene.kernel(|kernel| kernel.room = usize::MAX);
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.outgoing(), b"hello world");
}

#[test]
fn a_fin_that_came_while_the_echo_was_stuck_is_found() {
    let mut scene = Scene::plain();
    scene.kernel(|kernel| kernel.room = 1);
    scene.send(b"hello");
    scene.event();
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Wait);
    scene.kernel(|kernel| kernel.room = usize::MAX);
    let turn = scene.session.advance(false, scene.now, &mut scene.buffers);
    assert_eq!(turn, Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
    assert_eq!(scene.outgoing(), b"hello");
}

#[test]
fn a_fast_sender_has_a_bounded_turn() {
    let mut scene = Scene::plain();
    let most = 7 * READ;
    let sent = vec![b'x'; 3 * most];
    scene.send(&sent);
    let mut turn = scene.event();
    let mut before = 0;
    while turn == Turn::Again {
        let now = scene.outgoing().len();
        assert!(now > before && now <= before + most, "{before} bytes, then {now}");
        before = now;
        turn = scene.session.advance(true, scene.now, &mut scene.buffers);
    }
    assert!(before >= 2 * most);
    assert_eq!((turn, scene.outgoing().len()), (Turn::Wait, sent.len()));
}

#[test]
fn what_a_peer_that_does_not_read_can_cost_is_one_read() {
    let mut scene = Scene::plain();
    scene.kernel(|kernel| kernel.room = 0);
    for _ in 0..100 {
        scene.send(&vec![0; 100_000]);
        scene.event();
    }
    assert_eq!(scene.session.link.unsent(), READ);
}

#[test]
fn what_a_tls_peer_that_does_not_read_can_cost_is_one_read_and_the_record_that_it_completed() {
    let mut scene = Scene::tls();
    let mut peer = scene.shake_hands();
    let (first, last_byte) = {
        let mut record = peer.say(&[0; 16 * 1024]);
        let last = record.split_off(record.len() - 1);
        (record, last)
    };
    scene.send(&first);
    scene.event();
    scene.kernel(|kernel| kernel.room = 0);
    scene.send(&last_byte);
    // A record of 16 KiB is 16,406 bytes of the wire (TLS 1.3): this one ends with the read.
    scene.send(&peer.say(&[0; 16 * 1024]));
    scene.send(&peer.say(&vec![0; READ - 1 - 16_406 - 22]));
    for _ in 0..100 {
        scene.send(&peer.say(&[0; 16 * 1024]));
        scene.event();
    }
    let unsent = scene.session.link.unsent();
    assert!(unsent > 48 << 10 && unsent <= 51 << 10, "{unsent} bytes wait");
}

#[test]
fn what_is_held_of_a_handshake_that_does_not_end_is_bounded_and_has_room_for_a_read_behind_it() {
    let mut scene = Scene::tls();
    // A ClientHello of 65,535 bytes, in records of one byte.
    let message = [1, 0, 0xff, 0xff].into_iter().chain(std::iter::repeat(0));
    let wire: Vec<u8> = message.flat_map(|byte| [22, 3, 1, 0, 1, byte]).take(4 * READ).collect();
    for read in wire[..3 * READ].chunks(READ) {
        scene.send(read);
        assert_eq!(scene.event(), Turn::Wait);
    }
    scene.send(&wire[3 * READ..]);
    scene.event();
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Closed);
    let reason = CloseReason::TlsPeer("handshake message too long".into());
    assert_eq!(scene.session.reason(), Some(&reason));
}

#[test]
fn a_read_that_was_full_is_followed_by_one_more_and_a_short_one_by_none() {
    let mut scene = Scene::plain();
    scene.send(&vec![b'x'; READ + 5]);
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.kernel.borrow().calls, (2, 2));
    assert_eq!(scene.outgoing().len(), READ + 5);
}

#[test]
fn an_end_in_the_last_step_of_a_turn_is_an_end() {
    let mut scene = Scene::plain();
    // Three full reads, the FIN, and two steps to the end: six.
    scene.send(&vec![b'x'; 3 * READ]);
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
    assert_eq!(scene.outgoing().len(), 3 * READ);
}

#[test]
fn bytes_are_counted_for_the_session_and_for_all() {
    let mut scene = Scene::plain();
    for _ in 0..3 {
        scene.send(b"seven b");
        scene.event();
    }
    assert_eq!((scene.session.received(), scene.buffers.echoed), (21, 21));

    let mut scene = Scene::tls();
    let mut peer = scene.shake_hands();
    assert_eq!(scene.session.received(), 0, "a handshake is no echo");
    scene.send(&peer.say(b"seven b"));
    scene.event();
    assert_eq!((scene.session.received(), scene.buffers.echoed), (7, 7));
}

#[test]
fn a_session_counts_what_came_what_went_and_what_waits() {
    let mut scene = Scene::plain();
    scene.send(b"hello");
    scene.event();
    assert_eq!(scene.counts(), (5, 5, 0));
    scene.kernel(|kernel| kernel.room = 2);
    scene.send(b"hello");
    scene.event();
    assert_eq!(scene.counts(), (10, 7, 3));
}

#[test]
fn a_session_says_who_its_peer_is_and_how_it_speaks() {
    let scene = Scene::plain();
    assert_eq!(scene.session.peer(), "192.0.2.1:7".parse().unwrap());
    assert!(!scene.session.is_tls() && !scene.session.is_handshaking());

    let mut scene = Scene::tls();
    assert!(scene.session.is_tls() && scene.session.is_handshaking());
    scene.shake_hands();
    assert!(scene.session.is_tls() && !scene.session.is_handshaking());
    assert_eq!(scene.seconds_left(), 60, "the idle timeout begins with the end of the handshake");
}

#[test]
fn a_session_that_is_ended_in_its_handshake_has_nothing_to_wait_for() {
    let mut scene = Scene::tls();
    let turn = scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    assert_eq!(turn, Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::Stopping));
    assert_eq!(scene.outgoing(), b"");
}

#[test]
fn a_session_is_small() {
    let size = size_of::<Session<mio::net::TcpStream>>();
    assert!(size <= 192, "{size} bytes");
}

#[test]
fn each_state_has_its_own_timeout() {
    let mut scene = Scene::plain();
    assert_eq!(scene.seconds_left(), 60);
    scene.later(50);
    assert_eq!(scene.seconds_left(), 10);
    scene.send(b"hello");
    scene.event();
    assert_eq!(scene.seconds_left(), 60, "a byte puts the idle timeout off");

    scene.kernel(|kernel| kernel.room = 2);
    scene.send(b"hello");
    scene.event();
    assert_eq!(scene.seconds_left(), 30);
    scene.later(20);
    scene.kernel(|kernel| kernel.room = 1);
    scene.event();
    assert_eq!(scene.seconds_left(), 30, "a peer that takes a byte is alive");
    scene.later(10);
    scene.event();
    assert_eq!(scene.seconds_left(), 20, "an event that moved nothing is no life");

    scene.kernel(|kernel| kernel.room = usize::MAX);
    scene.event();
    let turn = scene.session.end(CloseReason::IdleTimeout, scene.now, &mut scene.buffers);
    assert_eq!((turn, scene.seconds_left()), (Turn::Wait, 2));
    scene.later(1);
    scene.send(b"more");
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.seconds_left(), 1, "lingering ends, whatever the peer sends");
}

#[test]
fn an_idle_session_ends_with_our_fin_and_then_the_peers() {
    let mut scene = Scene::plain();
    scene.later(60);
    assert_eq!(scene.session.expire(scene.now, &mut scene.buffers), Turn::Wait);
    assert!(scene.kernel.borrow().ended);
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::IdleTimeout));
}

#[test]
fn a_session_that_is_ended_echoes_what_has_come_already() {
    let mut scene = Scene::plain();
    scene.send(b"just in time");
    scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    assert_eq!(scene.outgoing(), b"just in time");
    assert!(scene.kernel.borrow().ended);
    scene.send(b"too late");
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.outgoing(), b"just in time");
    scene.later(2);
    let turn = scene.session.expire(scene.now, &mut scene.buffers);
    assert_eq!(turn, Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::Stopping));
}

#[test]
fn a_session_that_is_ended_echoes_more_than_a_turn_of_it_but_not_for_ever() {
    let mut scene = Scene::plain();
    let most = 6 * 1024 * 1024;
    scene.send(&vec![b'x'; most - 1]);
    scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    assert_eq!(scene.outgoing().len(), most - 1);

    let mut scene = Scene::plain();
    scene.send(&vec![b'x'; 2 * most]);
    scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    assert_eq!(scene.outgoing().len(), most);
    assert!(scene.kernel.borrow().ended);
}

#[test]
fn a_reset_that_no_event_told_of_ends_the_session() {
    let mut scene = Scene::plain();
    scene.kernel(|kernel| kernel.reset = true);
    assert_eq!(scene.session.advance(false, scene.now, &mut scene.buffers), Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerReset));
    // It has ended in this turn; what comes for it until the turn is over is nothing.
    assert_eq!(scene.event(), Turn::Unchanged);
}

#[test]
fn a_reset_ends_the_session_in_each_state() {
    for stage in 0..3 {
        let mut scene = Scene::plain();
        scene.kernel(|kernel| kernel.room = 1);
        if stage > 0 {
            scene.send(b"hello");
            scene.event();
        }
        if stage > 1 {
            scene.kernel(|kernel| kernel.fin = true);
            scene.event();
        }
        scene.kernel(|kernel| kernel.reset = true);
        assert_eq!(scene.event(), Turn::Closed);
        assert_eq!(scene.session.reason(), Some(&CloseReason::PeerReset));
        assert_eq!(!scene.session.link.is_flushed(), stage > 0, "the log says what was lost");
    }
}

#[test]
fn a_handshake_that_is_not_over_in_time_ends_the_session_and_bytes_do_not_put_it_off() {
    let mut scene = Scene::tls();
    assert!(scene.session.is_handshaking());
    // The beginning of a ClientHello of 512 bytes, a byte a second.
    for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252] {
        scene.later(1);
        scene.send(&[byte]);
        assert_eq!(scene.event(), Turn::Wait);
    }
    assert_eq!(scene.seconds_left(), 1);
    scene.later(1);
    let turn = scene.session.expire(scene.now, &mut scene.buffers);
    assert_eq!(turn, Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::HandshakeTimeout));
}

#[test]
fn close_notify_ends_a_session_without_a_fin() {
    let mut scene = Scene::tls();
    let mut peer = scene.shake_hands();
    let mut bytes = peer.say(b"last words");
    peer.sealed.clear();
    peer.transport.finish(&mut peer.sealed).unwrap();
    bytes.extend_from_slice(peer.sealed.filled());
    scene.send(&bytes);
    while scene.event() == Turn::Again {}
    assert!(scene.kernel.borrow().ended, "our FIN follows");
    assert_eq!(scene.session.received(), 10);
}

#[test]
fn a_handshake_has_an_outcome_and_a_duration_once_it_is_over() {
    let mut scene = Scene::tls();
    assert_eq!((scene.session.handshake(), scene.session.agreed()), (None, None));
    scene.now += Duration::from_secs(3);
    scene.shake_hands();
    let (agreed, duration) = scene.session.handshake().unwrap();
    assert_eq!((agreed.version, duration), ("1.3", Duration::from_secs(3)));
    assert_eq!(scene.session.agreed(), Some(agreed));
}

#[test]
fn a_flush_does_not_put_off_the_end_of_a_handshake() {
    let mut scene = Scene::tls();
    let begun = scene.now;
    scene.kernel(|kernel| kernel.room = 1);
    let hello = TlsPeer::new().hear(&[]);
    scene.send(&hello);
    assert_eq!(scene.event(), Turn::Wait);
    scene.now += Duration::from_secs(5);
    scene.kernel(|kernel| kernel.room = usize::MAX);
    scene.event();
    assert!(scene.session.is_handshaking() && scene.outgoing().len() > 1);
    assert_eq!(scene.session.deadline(&TIMEOUTS), begun.checked_add(Duration::from_secs(10)));
}
