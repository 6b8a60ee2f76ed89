//! A WebSocket: its opening handshake, and frames that come back.

use std::collections::VecDeque;

use super::exchange::{End, Items, Next, Random};

/// A request for a WebSocket, with the key of RFC 6455 §1.3, and its answer.
const UPGRADE: &[u8] =
    b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;

/// "Going away" (RFC 6455 §7.4.1): the daemon ends the session.
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

#[derive(Default)]
pub(crate) struct WebSocket {
    /// The upgrade was said.
    is_begun: bool,
    state: State,
    /// What was heard and is not yet a whole answer or frame.
    heard: Vec<u8>,
    /// The answers that were not heard yet.
    answers: VecDeque<Answer>,
    /// A fragment of the message at the front was heard.
    is_within: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The upgrade is not answered.
    #[default]
    Opening,
    Open,
    /// A close frame was heard.
    Closed,
}

enum Answer {
    /// What came in one frame comes back in one frame or more.
    Data { opcode: u8, payload: Vec<u8>, is_last: bool },
    /// A whole control frame.
    Control { opcode: u8, payload: Vec<u8> },
}

impl WebSocket {
    /// A message in one frame or more, with pings between them.
    fn message(&mut self, random: &mut Random, next: &mut Next) {
        let opcode = 1 + u8::from(random.below(2) == 0);
        let length = if random.below(16) == 0 { 70_000 } else { random.below(3000) };
        let payload = match opcode {
            TEXT => "aä€😀".chars().cycle().take(length / 2).collect::<String>().into_bytes(),
            _ => (0..length).map(|_| random.below(256).to_le_bytes()[0]).collect(),
        };
        let mut rest = payload.as_slice();
        let mut first = opcode;
        for left in (0..=random.below(3)).rev() {
            let is_last = left == 0;
            let count = if is_last { rest.len() } else { random.below(rest.len() + 1) };
            let (piece, behind) = rest.split_at(count);
            let mask = head(first | if is_last { LAST } else { 0 }, count, random, next);
            next.say_each(&masked(piece, mask));
            self.answers.push_back(Answer::Data { opcode, payload: piece.to_vec(), is_last });
            if !is_last && random.below(2) == 0 {
                self.control(PING, random.below(126), PONG, random, next);
            }
            (first, rest) = (0, behind);
        }
    }

    /// A control frame with this many bytes, and its answer.
    fn control(
        &mut self,
        opcode: u8,
        length: usize,
        answer: u8,
        random: &mut Random,
        next: &mut Next,
    ) {
        let payload = "control ".bytes().cycle().take(length).collect::<Vec<u8>>();
        let mask = head(opcode | LAST, length, random, next);
        next.say_whole(&masked(&payload, mask), 1, None);
        self.answers.push_back(Answer::Control { opcode: answer, payload });
    }

    /// Compares a frame with the next answer: how much of what is owed it was.
    fn frame(&mut self, first: u8, payload: &[u8]) -> usize {
        assert!(self.state == State::Open, "a frame behind a close frame");
        let opcode = first & 15;
        if opcode == CLOSE {
            self.state = State::Closed;
            if payload == GOING_AWAY {
                return 0;
            }
        }
        match self.answers.front_mut().expect("a frame that nothing has caused") {
            Answer::Control { opcode: expected, payload: whole } => {
                assert_eq!((first, payload), (*expected | LAST, whole.as_slice()));
                self.answers.pop_front();
                1
            }
            Answer::Data { opcode: of_message, payload: rest, is_last } => {
                assert_eq!(opcode, if self.is_within { 0 } else { *of_message });
                assert!(rest.starts_with(payload), "another message");
                rest.drain(..payload.len());
                let is_end = rest.is_empty() && *is_last;
                assert_eq!(first & LAST != 0, is_end, "the end of the message");
                self.is_within = !is_end;
                if is_end {
                    self.answers.pop_front();
                }
                payload.len()
            }
        }
    }
}

/// Says the head of a frame: its mask.
fn head(first: u8, length: usize, random: &mut Random, next: &mut Next) -> [u8; 4] {
    let mask = [0; 4].map(|_: u8| random.below(256).to_le_bytes()[0]);
    let mut head = vec![first];
    match length {
        0..=125 => head.push(LAST | u8::try_from(length).expect("it is short")),
        126..=0xffff => {
            head.push(LAST | 0x7e);
            head.extend(u16::try_from(length).expect("it is not long").to_be_bytes());
        }
        _ => {
            head.push(LAST | 0x7f);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head.extend(mask);
    next.say(&head);
    mask
}

fn masked(bytes: &[u8], mask: [u8; 4]) -> Vec<u8> {
    bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// A whole frame of the server at the front of `bytes`: its first byte, and where its payload is.
fn whole_frame(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (start, length) = match bytes {
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 126, ..] => return None,
        [_, 127, ..] => panic!("a frame that is longer than a read"),
        [_, length, ..] => (2, usize::from(*length)),
        _ => return None,
    };
    (bytes.len() >= start + length).then_some((bytes[0], start..start + length))
}

impl Items for WebSocket {
    fn say(&mut self, random: &mut Random, next: &mut Next) {
        if !self.is_begun {
            self.is_begun = true;
            return next.say_whole(UPGRADE, UPGRADED.len(), None);
        }
        match random.below(4) {
            0 => self.control(PING, random.below(126), PONG, random, next),
            // A pong that nobody has asked for has no answer (RFC 6455 §5.5.3).
            1 => {
                let mask = head(LAST | PONG, 5, random, next);
                next.say(&masked(b"alive", mask));
            }
            _ => self.message(random, next),
        }
    }

    fn say_last(&mut self, random: &mut Random, next: &mut Next) {
        if !self.is_begun {
            self.say(random, next);
        }
        let (bytes, code, end): (&[u8], u16, _) = match random.below(6) {
            0 => (b"\x88\x82\0\0\0\0\x03\xe8", 1000, End::Closed),
            1 => (b"\x81\x05", 1002, End::BadFrame),
            2 => (b"\xc2\x80", 1002, End::BadFrame),
            3 => (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002, End::BadFrame),
            4 => (b"\x80\x80\0\0\0\0", 1002, End::BadFrame),
            _ => (b"\x81\x81\0\0\0\0\xff", 1007, End::BadFrame),
        };
        next.say_whole(bytes, 1, Some(end));
        let payload = code.to_be_bytes().to_vec();
        self.answers.push_back(Answer::Control { opcode: CLOSE, payload });
    }

    fn hear(&mut self, bytes: &[u8]) -> usize {
        self.heard.extend_from_slice(bytes);
        let mut answered = 0;
        if self.state == State::Opening && self.heard.len() >= UPGRADED.len() {
            assert!(self.heard.starts_with(UPGRADED), "another answer to the upgrade");
            self.heard.drain(..UPGRADED.len());
            (self.state, answered) = (State::Open, UPGRADED.len());
        }
        while self.state != State::Opening
            && let Some((first, place)) = whole_frame(&self.heard)
        {
            let behind = self.heard.split_off(place.end);
            let frame = std::mem::replace(&mut self.heard, behind);
            // A fragment without a byte has no answer, unless it is the last one.
            while let Some(Answer::Data { payload, is_last: false, .. }) = self.answers.front()
                && payload.is_empty()
            {
                self.answers.pop_front();
            }
            answered += self.frame(first, &frame[place]);
        }
        answered
    }

    fn awaits_goodbye(&self) -> bool {
        self.state == State::Open
    }
}
