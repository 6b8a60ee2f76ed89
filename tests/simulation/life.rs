//! The life of one session with a simulated kernel, clock and peer, and the rules that must hold in it.
//!
//! A life is a script of bytes, three for each event, which a seed or a fuzzer generates.
//!
//! # Rules
//!
//! - The peer receives the beginning of what the service sends: of what came (echo), nothing (discard),
//!   of the pattern (chargen), of the answers to its requests and its frames (web), or of reports, the last one at
//!   the end (report). Plain bytes of it have been written or are counted as unsent.
//! - A session that waits has nothing to do: another turn changes nothing.
//! - The outbox stays below its bound, and nothing is written after the FIN.
//! - A peer that follows the TLS protocol gets no error, and `close_notify` at the end.
//! - A session is closed as soon as its peer is gone.
//! - A session behind a proxy, of which the header of the PROXY protocol comes in pieces, is the same as another.
//! - Bytes that arrived before the peer was done, or before the daemon ended the session, are answered.
//! - A WebSocket is told that the daemon ends it.
//! - Every session ends after its deadlines, with a reason that is not the daemon's fault. What the peer has said
//!   to end it is the reason, if the daemon has read that.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::mem::take;
use std::rc::Rc;
use std::time::Duration;

use echo_alex::testing::{
    Buffers, CloseReason, Fault, HELD_MAX, Moment, Scratch, Service, ServiceName, Session,
    Timeouts, Transport, Turn, Wire,
};

use crate::dialogue::Dialogue;
use crate::ends::ends;

const TIMEOUTS: Timeouts = Timeouts {
    handshake: Some(Duration::from_secs(10)),
    idle: Some(Duration::from_secs(60)),
    write: Some(Duration::from_secs(30)),
    linger: Some(Duration::from_secs(2)),
};

/// The largest outbox in bytes, plain and with TLS: the numbers in docs/design.md ("What a peer can cost"), not
/// constants of the code.
const UNSENT_MAX: [usize; 2] = [32 * 1024, 51 * 1024];

/// What a WebSocket adds to the bytes of a read at most, as there.
const HEADERS_MAX: usize = 1024;

/// What sessions behind a proxy begin with.
const HEADERS: [&[u8]; 3] = [
    b"PROXY TCP4 198.51.100.9 192.0.2.7 50000 5000\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0F\xC6\x33\x64\x09\xC0\0\x02\x07\xC3\x50\x13\x88\x04\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
];

/// What can happen to a session.
enum Event {
    /// The peer sends so many bytes.
    Send(usize),
    /// The send buffer has room for so many bytes more.
    Room(usize),
    /// The next byte of the peer is urgent: a read stops before it.
    Urgent,
    /// The peer sends `close_notify`; nothing happens without TLS.
    CloseNotify,
    /// The peer's FIN.
    Fin,
    /// The peer resets the connection.
    Reset,
    /// One byte is changed on its way to the daemon. Only with TLS, which must notice it.
    Change(usize),
    /// So many seconds pass.
    Later(u64),
    /// The daemon ends the session.
    Stop,
}

impl Event {
    /// The event that three bytes encode, and whether the daemon handles it at once.
    fn of(bytes: &[u8]) -> (Self, bool) {
        let amount = usize::from(u16::from_le_bytes([bytes[1], bytes[2]]));
        let event = match bytes[0] & 15 {
            0..=4 => Self::Send(amount),
            5..=8 => Self::Room(2 * amount),
            9 => Self::Urgent,
            10 => Self::Later(amount as u64 % 70),
            11 => Self::CloseNotify,
            12 => Self::Fin,
            13 => Self::Stop,
            14 => Self::Reset,
            _ => Self::Change(amount),
        };
        (event, bytes[0] & 0x80 == 0)
    }
}

/// A connection in the kernel.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // They are independent.
struct Kernel {
    /// Bytes from the peer that were not read.
    incoming: Vec<u8>,
    /// The number of bytes before the urgent one.
    urgent: Option<usize>,
    fin: bool,
    reset: bool,
    /// The room in the send buffer.
    room: usize,
    /// Whether a write found too little room.
    full: bool,
    /// Bytes that were written and that the peer has not received.
    outgoing: Vec<u8>,
    /// The number of bytes that were written.
    written: usize,
    /// Whether the FIN was sent.
    ended: bool,
    /// Whether epoll would report an event.
    event: bool,
    /// Whether that event has to be read to the end. It is reported once, although epoll may repeat it.
    to_the_end: bool,
}

impl Kernel {
    /// The state that reads and writes change.
    fn state(&self) -> (usize, usize, bool) {
        (self.incoming.len(), self.written, self.ended)
    }

    /// The peer's bytes arrive.
    fn arrive(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && !self.fin && !self.reset {
            self.incoming.extend_from_slice(bytes);
            self.event = true;
            self.to_the_end |= self.urgent.is_some();
        }
    }
}

/// The socket of the daemon; [`Life`] has the other end.
struct FakeWire(Rc<RefCell<Kernel>>);

impl Read for FakeWire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut kernel = self.0.borrow_mut();
        if kernel.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if kernel.incoming.is_empty() && !kernel.fin {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let there = kernel.urgent.filter(|before| *before > 0).unwrap_or(kernel.incoming.len());
        let count = there.min(buffer.len());
        buffer[..count].copy_from_slice(&kernel.incoming[..count]);
        kernel.incoming.drain(..count);
        kernel.urgent = kernel.urgent.filter(|before| *before > 0).map(|before| before - count);
        Ok(count)
    }
}

impl Write for FakeWire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kernel = self.0.borrow_mut();
        assert!(!kernel.ended, "bytes after the FIN");
        assert!(!bytes.is_empty(), "an empty write");
        if kernel.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = kernel.room.min(bytes.len());
        kernel.full |= count < bytes.len();
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        kernel.room -= count;
        kernel.written += count;
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
}

/// The peer, which sends, and compares what it receives.
struct Peer {
    transport: Transport,
    dialogue: Dialogue,
    /// What comes before everything else: the header of a proxy, and with TLS the `ClientHello`.
    prelude: Vec<u8>,
    wire: Vec<u8>,
    plain: Vec<u8>,
    sealed: Scratch,
    done: bool,
    /// Whether TLS failed, because a byte was changed on the way.
    lost: bool,
}

impl Peer {
    fn new(transport: Transport, dialogue: Dialogue) -> Self {
        Self {
            transport,
            dialogue,
            prelude: Vec::new(),
            wire: vec![0; HELD_MAX],
            plain: Vec::new(),
            sealed: Scratch::default(),
            done: false,
            lost: false,
        }
    }

    /// Receives bytes: what TLS sends in response.
    fn receive(&mut self, bytes: &[u8]) -> &[u8] {
        let Self { transport, dialogue, wire, plain, sealed, .. } = self;
        if self.lost {
            return &[];
        }
        wire.resize(HELD_MAX + bytes.len(), 0);
        let held = transport.restore(wire);
        let new = held..held + bytes.len();
        wire[new.clone()].copy_from_slice(bytes);
        match transport.open(&mut wire[..new.end], plain, sealed) {
            Ok(plaintext) => dialogue.hear(plaintext),
            Err(_) => self.lost = true,
        }
        if matches!(self.transport, Transport::Plain) { &[] } else { self.sealed.filled() }
    }

    /// Sends the next bytes.
    fn send(&mut self, count: usize) -> Vec<u8> {
        if !self.prelude.is_empty() {
            return self.prelude.drain(..self.prelude.len().min(count)).collect();
        }
        if self.done || self.lost || self.transport.is_handshaking() {
            return Vec::new();
        }
        let bytes = self.dialogue.say(count);
        self.sealed.clear();
        self.transport.seal(&bytes, &mut self.sealed).expect("sending is allowed").to_vec()
    }

    fn close_notify(&mut self) -> &[u8] {
        self.sealed.clear();
        if !self.done && !self.lost && !self.transport.is_handshaking() {
            self.transport.finish(&mut self.sealed).expect("sending is allowed");
            self.done = !matches!(self.transport, Transport::Plain);
        }
        self.sealed.filled()
    }
}

struct Life {
    session: Session<FakeWire>,
    kernel: Rc<RefCell<Kernel>>,
    peer: Peer,
    now: Moment,
    buffers: Buffers,
    changed: bool,
    /// Whether the handshake was complete at the last turn.
    established: bool,
    /// What the peer had sent when the daemon ended the session, if all of it had been read.
    owed: Option<usize>,
    stopped: bool,
}

impl Life {
    /// A session of the kind that the bits choose, with a script of this length.
    fn new(bits: u8, length: usize) -> Self {
        let (server, client) = ends(bits);
        let dialogue = Dialogue::new(bits, length);
        let kernel = Rc::<RefCell<Kernel>>::default();
        let now = Moment::now();
        let address = "192.0.2.1:7".parse().expect("an address");
        let wire = FakeWire(Rc::clone(&kernel));
        let service = Service::new(dialogue.service, &Rc::default(), Moment::now());
        let mut peer = Peer::new(client, dialogue);
        let session = if bits & 64 == 0 {
            kernel.borrow_mut().arrive(peer.receive(&[]));
            Session::new(wire, address, server, service, now)
        } else {
            let header = HEADERS[length % HEADERS.len()];
            peer.prelude = [header, peer.receive(&[])].concat();
            Session::behind_proxy(wire, address, server, service, now)
        };
        Self {
            session,
            kernel,
            peer,
            now,
            buffers: Buffers::new(),
            changed: false,
            established: false,
            owed: None,
            stopped: false,
        }
    }

    fn apply(&mut self, event: &Event) {
        let mut kernel = self.kernel.borrow_mut();
        match *event {
            Event::Send(count) if !kernel.fin && !kernel.reset => {
                kernel.arrive(&self.peer.send(count));
            }
            Event::Room(more) => {
                kernel.room += more;
                let had_too_little = more > 0 && kernel.full;
                kernel.event |= had_too_little;
                kernel.full &= !had_too_little;
            }
            Event::Urgent if !kernel.fin => {
                kernel.urgent = Some(kernel.incoming.len());
            }
            Event::CloseNotify if !kernel.fin => kernel.arrive(self.peer.close_notify()),
            Event::Fin => {
                (kernel.fin, kernel.event, kernel.to_the_end) = (true, true, true);
                kernel.urgent = None;
            }
            Event::Reset => {
                (kernel.reset, kernel.event, kernel.to_the_end) = (true, true, true);
            }
            Event::Change(place) if self.session.is_tls() && !kernel.incoming.is_empty() => {
                let place = place % kernel.incoming.len();
                kernel.incoming[place] ^= 1;
                self.changed = true;
            }
            Event::Later(seconds) => self.now += Duration::from_secs(seconds),
            Event::Stop => self.stopped = true,
            _ => {}
        }
    }

    /// The daemon handles what has happened.
    fn handle(&mut self) {
        self.serve();
        if self.stopped && self.owed.is_none() {
            let all = self.peer.dialogue.owed();
            if self.session.is_expecting() {
                let turn = self.session.advance(true, self.now, &mut self.buffers);
                self.follow(turn);
            }
            let turn = self.session.end(CloseReason::Stopping, self.now, &mut self.buffers);
            let is_read = self.kernel.borrow().incoming.is_empty() && self.unsent() == 0;
            self.owed = Some(all.filter(|_| is_read).unwrap_or(0));
            self.follow(turn);
        }
        if self.deadline().is_some_and(|due| due <= self.now) {
            let turn = self.session.expire(self.now, &mut self.buffers);
            self.follow(turn);
        }
        self.serve();
        let kernel = self.kernel.borrow();
        let is_drained = kernel.incoming.is_empty() && self.unsent() == 0;
        if self.peer.done && !self.changed && is_drained {
            assert!(kernel.ended || self.session.is_closed(), "it does not notice close_notify");
        }
        if kernel.reset || kernel.fin && is_drained {
            assert!(self.session.is_closed(), "it does not notice that the peer is gone");
        }
    }

    /// The event loop, as long as there are events.
    fn serve(&mut self) {
        loop {
            let (event, to_the_end) = {
                let mut kernel = self.kernel.borrow_mut();
                (take(&mut kernel.event), take(&mut kernel.to_the_end))
            };
            if !event || self.session.is_closed() {
                return;
            }
            let turn = self.session.advance(to_the_end, self.now, &mut self.buffers);
            self.follow(turn);
        }
    }

    /// Makes the turns that the session asks for, checks the rules, and delivers what was written to the
    /// peer.
    fn follow(&mut self, mut turn: Turn) {
        let mut turns = 0;
        loop {
            turn = match turn {
                Turn::Again => self.session.advance(true, self.now, &mut self.buffers),
                Turn::Admission => self.session.admit(self.now, &mut self.buffers),
                _ => break,
            };
            turns += 1;
            assert!(turns < 1000, "it asks for turns for ever");
        }
        assert_eq!(turn == Turn::Closed, self.session.is_closed());
        let mut most = UNSENT_MAX[usize::from(self.session.is_tls())];
        if self.peer.dialogue.is_websocket {
            most += HEADERS_MAX;
        }
        assert!(self.unsent() <= most, "{} bytes are unsent, more than {most}", self.unsent());
        if !self.session.is_tls() && !self.kernel.borrow().reset {
            let accounted = self.kernel.borrow().written + self.unsent();
            assert_eq!(self.given(), accounted, "{}", self.summary());
        }
        if turn != Turn::Closed {
            self.established = !self.session.is_handshaking() && !self.session.is_expecting();
            let before = self.kernel.borrow().state();
            let turn = self.session.advance(true, self.now, &mut self.buffers);
            assert!(matches!(turn, Turn::Wait | Turn::Unchanged), "it waited, but wants {turn:?}");
            assert_eq!(
                self.kernel.borrow().state(),
                before,
                "it waited although it had work to do"
            );
        }
        let written = take(&mut self.kernel.borrow_mut().outgoing);
        if !written.is_empty() {
            let answer = self.peer.receive(&written);
            self.kernel.borrow_mut().arrive(answer);
            assert!(!self.peer.lost || self.changed, "the peer got invalid TLS");
        }
    }

    /// No more events: time passes until the session ends.
    fn end(&mut self) {
        // Reports every second go on until the kernel has no room.
        let asks = self.peer.dialogue.reports.asks;
        if asks {
            let mut kernel = self.kernel.borrow_mut();
            kernel.room = kernel.room.min(20_000);
        }
        for _ in 0..if asks { 200 } else { 8 } {
            if self.session.is_closed() {
                break;
            }
            self.now = self.now.max(self.deadline().expect("each state has a deadline"));
            self.handle();
        }
        let reason = self.session.reason().expect("it does not end");
        assert_ne!(reason.fault(), Fault::Us, "{reason:?}");
        let dialogue = &self.peer.dialogue;
        let is_done = matches!(
            reason,
            CloseReason::PeerDone
                | CloseReason::PeerTruncated
                | CloseReason::BadRequest(_)
                | CloseReason::BadFrame(_)
        );
        if is_done && !self.changed {
            assert!(dialogue.may_end_for(reason), "{reason:?}");
            let is_read = self.session.received() == dialogue.said as u64;
            assert!(is_read || dialogue.is_over(), "{}", self.summary());
            assert_eq!((dialogue.heard, self.unsent()), (self.given(), 0), "{}", self.summary());
            if let Some(owed) = dialogue.owed() {
                assert_eq!(dialogue.answered(), owed, "{}", self.summary());
            }
            if dialogue.service == ServiceName::Report {
                dialogue.reports.assert_complete(dialogue.said);
            }
        }
        let is_clean = is_done || *reason == CloseReason::Stopping;
        if is_clean
            && self.established
            && self.session.is_tls()
            && !self.changed
            && !self.kernel.borrow().reset
        {
            assert!(self.peer.transport.peer_done(), "an end without close_notify: {reason:?}");
        }
        if let (CloseReason::Stopping, Some(owed), false) = (reason, self.owed, self.changed) {
            let answered = dialogue.answered();
            assert!(answered >= owed, "{answered} of {owed} was answered: {}", self.summary());
            assert!(!dialogue.awaits_goodbye(), "a WebSocket that was not told");
        }
    }

    /// The number of bytes that the service gave to be sent.
    fn given(&self) -> usize {
        usize::try_from(self.session.volume().sent).expect("a small number")
    }

    fn deadline(&self) -> Option<Moment> {
        self.session.deadline(&TIMEOUTS)
    }

    fn summary(&self) -> String {
        let Self { session, .. } = self;
        format!("in={} out={} unsent={}", session.received(), session.sent(), session.unsent())
    }

    fn unsent(&self) -> usize {
        self.session.unsent()
    }
}

/// Simulates the life in `script`, and panics if a rule is violated.
pub(crate) fn live(script: &[u8]) {
    let Some((first, rest)) = script.split_first() else { return };
    let mut life = Life::new(*first, script.len());
    life.kernel.borrow_mut().room = usize::from(*first) * 64;
    if life.session.speaks() {
        life.follow(Turn::Again);
    }
    for bytes in rest.chunks_exact(3) {
        let (event, at_once) = Event::of(bytes);
        life.apply(&event);
        if at_once {
            life.handle();
        }
        if life.session.is_closed() {
            break;
        }
    }
    life.handle();
    life.end();
}
