//! Peers of all kinds, plain and TLS: [`play`] sends, reads, stops, resumes and ends as its [`Plan`] says, and
//! compares each byte of the echo.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::util::{PATIENCE, STUCK, noise, reset};

/// Pseudorandom numbers from a seed (xorshift64*, Marsaglia 2003).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must begin differently.
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next()).unwrap() % most
    }

    /// A size up to `most`, with every order of magnitude equally likely.
    pub fn size(&mut self, most: usize) -> usize {
        let magnitude = self.below(most.ilog2() as usize + 1);
        1 + self.below(most.min(2 << magnitude))
    }
}

/// The address that a peer connects to, over TLS if there is a configuration.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
}

/// The behaviour of a peer.
pub struct Plan {
    /// The number of bytes that it sends.
    pub length: usize,
    pub seed: u64,
    /// The largest write.
    pub piece: usize,
    /// The pause between two writes.
    pub rest: Duration,
    /// The numbers of received bytes after which it stops reading until it is stuck.
    pub stops: Vec<usize>,
    /// Whether it updates its keys before each write (TLS 1.3).
    pub new_keys: bool,
    pub end: End,
}

/// How a peer ends its session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It half-closes, and reads to the end.
    Done,
    /// It resets the connection after so many bytes.
    Reset(usize),
    /// It closes the connection after so many bytes.
    Close(usize),
    /// It never reads again after its first stop, and stays until the daemon closes.
    Stay,
}

impl Plan {
    /// Sends all bytes and reads the whole echo.
    pub fn whole(length: usize, seed: u64) -> Self {
        let (piece, rest) = (64 << 10, Duration::ZERO);
        Self { length, seed, piece, rest, stops: Vec::new(), new_keys: false, end: End::Done }
    }

    /// Random size, writes, pauses and stops.
    pub fn any(dice: &mut Dice, most: usize) -> Self {
        let mut plan = Self::whole(dice.size(most), dice.next());
        plan.piece = dice.size(64 << 10);
        if dice.below(3) == 0 {
            // Up to 50 writes with pauses.
            plan.piece = plan.piece.max(plan.length / 50);
            plan.rest = Duration::from_millis(dice.next() % 20);
        } else {
            plan.piece = plan.piece.max(plan.length / 1000);
        }
        if dice.below(8) == 0 {
            plan.stops.push(dice.below(plan.length));
        }
        plan
    }

    /// The same, and one in three closes or resets early.
    pub fn any_end(dice: &mut Dice, most: usize) -> Self {
        let mut plan = Self::any(dice, most);
        let cut = dice.below(plan.length);
        plan.end = match dice.below(6) {
            0 => End::Reset(cut),
            1 => End::Close(cut),
            _ => End::Done,
        };
        plan
    }
}

/// The result of a session for its peer.
pub struct Outcome {
    pub peer: Option<SocketAddr>,
    pub sent: usize,
    pub received: usize,
    /// Received bytes that differ from what was sent, or were never sent.
    pub wrong: usize,
    pub resumed: bool,
    pub ended: io::Result<()>,
}

impl Outcome {
    /// Whether every byte was echoed, followed by a clean end.
    pub fn is_whole(&self, plan: &Plan) -> bool {
        self.ended.is_ok() && self.wrong == 0 && self.received == plan.length
    }
}

/// Runs a session as planned.
pub fn play(target: &Target, plan: &Plan) -> Outcome {
    let mut outcome =
        Outcome { peer: None, sent: 0, received: 0, wrong: 0, resumed: false, ended: Ok(()) };
    outcome.ended = Peer::connect(target).and_then(|mut peer| {
        outcome.peer = Some(peer.socket.local_addr()?);
        let ended = peer.live(plan, &mut outcome);
        outcome.resumed = peer.is_resumed();
        if matches!(plan.end, End::Reset(_)) {
            reset(peer.socket);
        }
        ended
    });
    outcome
}

struct Peer {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    buffer: Vec<u8>,
}

impl Peer {
    fn connect(target: &Target) -> io::Result<Self> {
        let socket = TcpStream::connect(target.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let tls = target.tls.as_ref().map(|config| {
            let name = ServerName::try_from("localhost").unwrap();
            ClientConnection::new(config.clone(), name).unwrap()
        });
        Ok(Self { socket, tls, buffer: vec![0; 64 << 10] })
    }

    fn is_resumed(&self) -> bool {
        let kind = self.tls.as_ref().and_then(|tls| tls.handshake_kind());
        kind == Some(rustls::HandshakeKind::Resumed)
    }

    fn live(&mut self, plan: &Plan, outcome: &mut Outcome) -> io::Result<()> {
        let bytes = noise(plan.length, plan.seed);
        let mut stops = plan.stops.iter().copied().peekable();
        let forever = plan.end == End::Stay;
        let (mut reading, mut half_closed) = (true, false);
        let mut next_piece = Instant::now();
        loop {
            if let End::Reset(cut) | End::Close(cut) = plan.end
                && outcome.sent >= cut
            {
                return Ok(());
            }
            while reading {
                let due = |stop: &usize| *stop <= outcome.received;
                if !self.is_handshaking() && stops.next_if(due).is_some() {
                    reading = false;
                    break;
                }
                let Some(count) = self.read()? else { break };
                if count == 0 {
                    let early = || ErrorKind::UnexpectedEof.into();
                    return half_closed.then_some(()).ok_or_else(early);
                }
                let expected = bytes[..outcome.sent].iter().skip(outcome.received);
                let right = expected.zip(&self.buffer[..count]).filter(|(a, b)| a == b).count();
                outcome.received += count;
                outcome.wrong += count - right;
            }
            if outcome.sent == bytes.len() && !half_closed && !forever {
                self.half_close()?;
                half_closed = true;
            }

            let pauses = Instant::now() < next_piece;
            let sends = outcome.sent < bytes.len() && !pauses && !self.is_handshaking();
            let mut interest = if reading { PollFlags::IN } else { PollFlags::RDHUP };
            interest.set(PollFlags::OUT, sends || self.wants_write());
            // A peer that has sent everything cannot get stuck, or notice that the daemon has closed.
            let waits = reading || (forever && outcome.sent < bytes.len());
            let patience = match (pauses, waits) {
                (true, _) => next_piece.saturating_duration_since(Instant::now()),
                (false, true) => PATIENCE,
                (false, false) => STUCK,
            };
            let ready = self.poll(interest, patience)?;
            if ready.is_empty() && !pauses {
                if waits {
                    return Err(ErrorKind::TimedOut.into());
                }
                reading = true;
            }
            if ready.contains(PollFlags::OUT) {
                let most = (outcome.sent + plan.piece).min(bytes.len());
                let piece = if sends { &bytes[outcome.sent..most] } else { &[] };
                outcome.sent += self.write(piece, plan.new_keys)?;
                if sends {
                    next_piece = Instant::now() + plan.rest;
                }
            }
            // The session has ended; reading shows how.
            reading |= ready.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::RDHUP);
        }
    }

    fn poll(&self, interest: PollFlags, patience: Duration) -> io::Result<PollFlags> {
        let mut wanted = [PollFd::new(&self.socket, interest)];
        let patience = Timespec::try_from(patience).unwrap();
        poll(&mut wanted, Some(&patience))?;
        Ok(wanted[0].revents())
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Half-closes.
    fn half_close(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.shutdown(Shutdown::Write),
            Some(tls) => {
                tls.send_close_notify();
                Ok(())
            }
        }
    }

    /// Writes without blocking: the number of bytes that were accepted.
    fn write(&mut self, bytes: &[u8], new_keys: bool) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return none_if_blocked((&self.socket).write(bytes));
        };
        // Buffered records go first, or the buffer would grow without limit.
        let mut taken = 0;
        if !bytes.is_empty() && !tls.wants_write() {
            if new_keys {
                tls.refresh_traffic_keys().map_err(io::Error::other)?;
            }
            taken = tls.writer().write(bytes)?;
        }
        while tls.wants_write() {
            if none_if_blocked(tls.write_tls(&mut self.socket))? == 0 {
                break;
            }
        }
        Ok(taken)
    }

    /// Reads into the buffer: the number of bytes, 0 at a clean end.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let would_block = |result: io::Result<usize>| match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        };
        let Some(tls) = &mut self.tls else {
            return would_block((&self.socket).read(&mut self.buffer));
        };
        // Buffered plaintext comes first: rustls reads no more above its limit.
        if let Some(count @ 1..) = would_block(tls.reader().read(&mut self.buffer))? {
            return Ok(Some(count));
        }
        would_block(tls.read_tls(&mut self.socket))?;
        tls.process_new_packets().map_err(io::Error::other)?;
        would_block(tls.reader().read(&mut self.buffer))
    }
}

fn none_if_blocked(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// The results of many sessions.
#[derive(Default)]
pub struct Totals {
    /// All sessions.
    pub sessions: AtomicU64,
    /// Sessions that should end well, and did.
    pub whole: AtomicU64,
    /// Echoed bytes.
    pub received: AtomicU64,
    /// Wrong bytes.
    pub wrong: AtomicU64,
    /// Bytes that were not echoed in sessions that should end well.
    pub lost: AtomicU64,
    /// Sessions that should end well, and did not.
    pub broken: AtomicU64,
}

impl Totals {
    pub fn add(&self, plan: &Plan, outcome: &Outcome) {
        let add = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        add(&self.sessions, 1);
        add(&self.received, outcome.received);
        add(&self.wrong, outcome.wrong);
        if plan.end == End::Done {
            let whole = outcome.is_whole(plan);
            add(&self.whole, usize::from(whole));
            add(&self.broken, usize::from(!whole));
            add(&self.lost, plan.length.saturating_sub(outcome.received));
            if !whole {
                eprintln!(
                    "broken: {:?}, {} bytes, {} sent, {} received, {} wrong: {:?}",
                    outcome.peer,
                    plan.length,
                    outcome.sent,
                    outcome.received,
                    outcome.wrong,
                    outcome.ended
                );
            }
        }
    }

    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Asserts that no byte was lost or wrong, and that there was a load.
    pub fn assert_well(&self) {
        assert_eq!(Self::get(&self.wrong), 0, "wrong bytes");
        assert_eq!(Self::get(&self.lost), 0, "lost bytes");
        assert_eq!(Self::get(&self.broken), 0, "broken sessions");
        assert!(Self::get(&self.whole) > 0, "there was no load");
    }
}

/// Peers that run one session after the other, each in a thread of its own, until they are stopped.
pub struct Load {
    stopped: Arc<AtomicBool>,
    pub totals: Arc<Totals>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts a peer for each target, with plans from `plan`. `look` is called with the result of each
    /// session.
    pub fn start(
        targets: impl IntoIterator<Item = Target>,
        seed: u64,
        plan: fn(&mut Dice) -> Plan,
        look: impl Fn(&Plan, &Outcome) + Send + Clone + 'static,
    ) -> Self {
        let (stopped, totals) = <(Arc<AtomicBool>, Arc<Totals>)>::default();
        let one = |(number, target): (usize, Target)| {
            let (stopped, totals, look) = (stopped.clone(), totals.clone(), look.clone());
            let mut dice = Dice::new(seed.wrapping_add(number as u64));
            std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let plan = plan(&mut dice);
                    let outcome = play(&target, &plan);
                    totals.add(&plan, &outcome);
                    look(&plan, &outcome);
                }
            })
        };
        let threads = targets.into_iter().enumerate().map(one).collect();
        Self { stopped, totals, threads }
    }

    /// Waits for the end of the current sessions, and starts no more: the results.
    pub fn stop(mut self) -> Arc<Totals> {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        self.totals.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
