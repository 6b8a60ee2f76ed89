//! One session's life over a kernel, a clock and a peer that are all made up, and what must hold in it
//! whatever happens. A life is a string of bytes, three for each thing that happens, so that a seed and
//! a fuzzer write it alike.
//!
//! # What must hold
//!
//! - What comes back is the beginning of what was sent. Plain bytes that were read have been written or
//!   are counted as unsent.
//! - A session that waits has nothing left to do: looked at once more, it does nothing.
//! - It keeps no more than one read's worth, and writes nothing behind its FIN.
//! - A peer that keeps to TLS never gets an error, and `close_notify` in the end.
//! - A peer that is gone is let go at once.
//! - What came before a peer was done, or before the daemon ended the session, comes back.
//! - Every life ends once its deadlines have passed, and it was no fault of ours.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::mem::take;
use std::rc::Rc;
use std::time::Duration;

use echo_alex::config::Timeouts;
use echo_alex::daemon::session::{Session, Turn};
use echo_alex::os::clock::Moment;
use echo_alex::wire::buffers::{Buffers, HELD_MAX, Scratch};
use echo_alex::wire::close::{CloseReason, Fault};
use echo_alex::wire::link::Wire;
use echo_alex::wire::transport::Transport;

use crate::ends::{byte_at, bytes_from, ends};

const TIMEOUTS: Timeouts = Timeouts {
    handshake: Some(Duration::from_secs(10)),
    idle: Some(Duration::from_secs(60)),
    write: Some(Duration::from_secs(30)),
    linger: Some(Duration::from_secs(2)),
};

/// What may wait to be sent, in bytes, without TLS and with it: the numbers of docs/design.md ("What a peer
/// can cost"), not constants of the code.
const UNSENT_MAX: [usize; 2] = [32 * 1024, 51 * 1024];

/// What can happen.
enum Happening {
    /// The peer sends so many bytes.
    Send(usize),
    /// The kernel has room for so many more.
    Room(usize),
    /// What the peer sends next is urgent: a read stops in front of it.
    Urgent,
    /// The peer says `close_notify`; a plain one has no word for it.
    Goodbye,
    /// The peer's FIN.
    Fin,
    /// The peer resets the connection.
    Reset,
    /// One byte is changed on its way to us, if it is TLS that has to notice.
    Change(usize),
    /// So many seconds pass.
    Later(u64),
    /// The daemon ends the session.
    Stop,
}

impl Happening {
    /// What three bytes stand for, and whether the daemon looks at once.
    fn of(bytes: &[u8]) -> (Self, bool) {
        let amount = usize::from(u16::from_le_bytes([bytes[1], bytes[2]]));
        let happening = match bytes[0] & 15 {
            0..=4 => Self::Send(amount),
            5..=8 => Self::Room(2 * amount),
            9 => Self::Urgent,
            10 => Self::Later(amount as u64 % 70),
            11 => Self::Goodbye,
            12 => Self::Fin,
            13 => Self::Stop,
            14 => Self::Reset,
            _ => Self::Change(amount),
        };
        (happening, bytes[0] & 0x80 == 0)
    }
}

/// What the kernel has of a connection.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // The kernel has more.
struct Kernel {
    /// What has come from the peer and was not read.
    incoming: Vec<u8>,
    /// So many bytes stand before the urgent one.
    urgent: Option<usize>,
    fin: bool,
    reset: bool,
    /// How much more it takes from us.
    room: usize,
    /// A write did not find enough of it.
    full: bool,
    /// What it took, and the peer has not got yet.
    outgoing: Vec<u8>,
    /// All that it took.
    taken: usize,
    /// Our FIN was sent.
    ended: bool,
    /// Something has changed that makes an event.
    event: bool,
    /// And it says that reading must go to the end. It says so once, though epoll would say it again.
    to_the_end: bool,
}

impl Kernel {
    /// What can change by reading and writing.
    fn state(&self) -> (usize, usize, bool) {
        (self.incoming.len(), self.taken, self.ended)
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

/// One end of it; the life keeps the other.
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
        assert!(!kernel.ended, "bytes behind the FIN");
        assert!(!bytes.is_empty(), "a call for nothing");
        if kernel.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = kernel.room.min(bytes.len());
        kernel.full |= count < bytes.len();
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        kernel.room -= count;
        kernel.taken += count;
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

/// The other side: it sends, and compares what comes back.
struct Peer {
    transport: Transport,
    wire: Vec<u8>,
    plain: Scratch,
    sealed: Scratch,
    sent: usize,
    heard: usize,
    done: bool,
    /// What came was no TLS, for a byte was changed on the way.
    lost: bool,
}

impl Peer {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            wire: vec![0; HELD_MAX],
            plain: Scratch::default(),
            sealed: Scratch::default(),
            sent: 0,
            heard: 0,
            done: false,
            lost: false,
        }
    }

    /// Takes what came, and gives its answer, that of TLS.
    fn hear(&mut self, bytes: &[u8]) -> &[u8] {
        let Self { transport, wire, plain, sealed, .. } = self;
        if self.lost {
            return &[];
        }
        wire.resize(HELD_MAX + bytes.len(), 0);
        let held = transport.restore(wire);
        let came = held..held + bytes.len();
        wire[came.clone()].copy_from_slice(bytes);
        match transport.open(&mut wire[..came.end], plain, sealed) {
            Ok(plaintext) => {
                for byte in plaintext {
                    assert_eq!(*byte, byte_at(self.heard), "another byte at {}", self.heard);
                    self.heard += 1;
                }
                assert!(self.heard <= self.sent, "more came back than was sent");
            }
            Err(_) => self.lost = true,
        }
        if matches!(self.transport, Transport::Plain) { &[] } else { self.sealed.filled() }
    }

    /// Says the next bytes.
    fn say(&mut self, count: usize) -> Vec<u8> {
        if self.done || self.lost || self.transport.is_handshaking() {
            return Vec::new();
        }
        let bytes = bytes_from(self.sent, count);
        self.sent += count;
        self.sealed.clear();
        self.transport.seal(&bytes, &mut self.sealed).expect("it may be said").to_vec()
    }

    fn say_goodbye(&mut self) -> &[u8] {
        self.sealed.clear();
        if !self.done && !self.lost && !self.transport.is_handshaking() {
            self.transport.finish(&mut self.sealed).expect("it may be said");
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
    /// It was past the handshake when it was last looked at.
    established: bool,
    /// What the peer had sent when the daemon ended the session, if all of it was read.
    owed: Option<usize>,
    stopped: bool,
}

impl Life {
    fn new(bits: u8) -> Self {
        let (server, client) = ends(bits);
        let kernel = Rc::<RefCell<Kernel>>::default();
        let now = Moment::now();
        let address = "192.0.2.1:7".parse().expect("an address");
        let session = Session::new(FakeWire(Rc::clone(&kernel)), address, server, now);
        let mut peer = Peer::new(client);
        kernel.borrow_mut().arrive(peer.hear(&[]));
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

    fn happen(&mut self, happening: &Happening) {
        let mut kernel = self.kernel.borrow_mut();
        match *happening {
            Happening::Send(count) if !kernel.fin && !kernel.reset => {
                kernel.arrive(&self.peer.say(count));
            }
            Happening::Room(more) => {
                kernel.room += more;
                let had_too_little = more > 0 && kernel.full;
                kernel.event |= had_too_little;
                kernel.full &= !had_too_little;
            }
            Happening::Urgent if !kernel.fin => {
                kernel.urgent = Some(kernel.incoming.len());
            }
            Happening::Goodbye if !kernel.fin => kernel.arrive(self.peer.say_goodbye()),
            Happening::Fin => {
                (kernel.fin, kernel.event, kernel.to_the_end) = (true, true, true);
                kernel.urgent = None;
            }
            Happening::Reset => {
                (kernel.reset, kernel.event, kernel.to_the_end) = (true, true, true);
            }
            Happening::Change(place) if self.session.is_tls() && !kernel.incoming.is_empty() => {
                let place = place % kernel.incoming.len();
                kernel.incoming[place] ^= 1;
                self.changed = true;
            }
            Happening::Later(seconds) => self.now += Duration::from_secs(seconds),
            Happening::Stop => self.stopped = true,
            _ => {}
        }
    }

    /// The daemon looks at what has happened.
    fn look(&mut self) {
        self.serve();
        if self.stopped && self.owed.is_none() {
            let all = self.peer.sent;
            let turn = self.session.end(CloseReason::Stopping, self.now, &mut self.buffers);
            let is_read = self.kernel.borrow().incoming.is_empty() && self.unsent() == 0;
            self.owed = Some(if is_read { all } else { 0 });
            self.follow(turn);
        }
        if self.deadline().is_some_and(|due| due <= self.now) {
            let turn = self.session.expire(self.now, &mut self.buffers);
            self.follow(turn);
        }
        self.serve();
        let kernel = self.kernel.borrow();
        let all_is_out = kernel.incoming.is_empty() && self.unsent() == 0;
        if kernel.reset || kernel.fin && all_is_out {
            assert!(self.session.is_closed(), "it does not see that the peer is gone");
        }
    }

    /// The loop, as long as there are events.
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

    /// Gives the turns that are asked for, looks whether all is as it must be, and lets the peer have
    /// what was sent.
    fn follow(&mut self, mut turn: Turn) {
        let mut turns = 0;
        while turn == Turn::Again {
            turn = self.session.advance(true, self.now, &mut self.buffers);
            turns += 1;
            assert!(turns < 1000, "it asks for turns without end");
        }
        assert_eq!(turn == Turn::Closed, self.session.is_closed());
        let most = UNSENT_MAX[usize::from(self.session.is_tls())];
        assert!(self.unsent() <= most, "{} bytes wait, more than {most}", self.unsent());
        if !self.session.is_tls() && !self.kernel.borrow().reset {
            let accounted = self.kernel.borrow().taken + self.unsent();
            assert_eq!(self.session.received(), accounted as u64, "{}", self.summary());
        }
        if turn != Turn::Closed {
            self.established = !self.session.is_handshaking();
            let before = self.kernel.borrow().state();
            let turn = self.session.advance(true, self.now, &mut self.buffers);
            assert!(matches!(turn, Turn::Wait | Turn::Unchanged), "it waited, and wants {turn:?}");
            assert_eq!(self.kernel.borrow().state(), before, "it waited with work to do");
        }
        let came = take(&mut self.kernel.borrow_mut().outgoing);
        if !came.is_empty() {
            let answer = self.peer.hear(&came);
            self.kernel.borrow_mut().arrive(answer);
            assert!(!self.peer.lost || self.changed, "the peer does not understand us");
        }
    }

    /// Nothing more happens, but time passes.
    fn end(&mut self) {
        for _ in 0..8 {
            if self.session.is_closed() {
                break;
            }
            self.now = self.now.max(self.deadline().expect("each state has one"));
            self.look();
        }
        let reason = self.session.reason().expect("it does not end");
        assert_ne!(reason.fault(), Fault::Us, "{reason}");
        let (sent, heard) = (self.peer.sent, self.peer.heard);
        let is_done = matches!(reason, CloseReason::PeerDone | CloseReason::PeerTruncated);
        if is_done && !self.changed {
            assert_eq!((heard, self.unsent()), (sent, 0), "{}", self.summary());
        }
        let says_goodbye = is_done || *reason == CloseReason::Stopping;
        if says_goodbye
            && self.established
            && self.session.is_tls()
            && !self.changed
            && !self.kernel.borrow().reset
        {
            assert!(self.peer.transport.peer_done(), "an end without close_notify: {reason}");
        }
        if let (CloseReason::Stopping, Some(owed), false) = (reason, self.owed, self.changed) {
            assert!(heard >= owed, "{heard} of {owed} bytes came back: {}", self.summary());
        }
    }

    fn deadline(&self) -> Option<Moment> {
        self.session.deadline(&TIMEOUTS)
    }

    fn summary(&self) -> String {
        self.session.summary(self.now)
    }

    /// As the log has it.
    fn unsent(&self) -> usize {
        let summary = self.summary();
        let unsent = summary.split(' ').find_map(|pair| pair.strip_prefix("unsent="));
        unsent.map_or(0, |number| number.parse().expect("a number"))
    }
}

/// Lives the life that `script` tells, and panics where something does not hold.
pub(crate) fn live(script: &[u8]) {
    let Some((first, rest)) = script.split_first() else { return };
    let mut life = Life::new(*first);
    life.kernel.borrow_mut().room = usize::from(*first) * 64;
    for bytes in rest.chunks_exact(3) {
        let (happening, at_once) = Happening::of(bytes);
        life.happen(&happening);
        if at_once {
            life.look();
        }
        if life.session.is_closed() {
            break;
        }
    }
    life.look();
    life.end();
}
