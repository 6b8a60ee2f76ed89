//! A dialogue of items, each of which is answered.

use std::collections::VecDeque;

use crate::ends::byte_at;

/// How a peer ends a session by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As the protocol provides.
    Closed,
    /// It violates the protocol.
    BadRequest,
    BadFrame,
}

/// A byte that is said.
#[derive(Clone, Copy)]
struct Said {
    byte: u8,
    /// How much has to be answered because of it. The unit is a byte of an answer or of a message, or a
    /// control frame.
    owed: usize,
    /// It ends the session.
    end: Option<End>,
}

/// The bytes that are said next.
#[derive(Default)]
pub(crate) struct Next(VecDeque<Said>);

impl Next {
    /// Says `bytes`, each of which is answered by itself.
    pub(crate) fn say_each(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().map(|byte| Said { byte: *byte, owed: 1, end: None }));
    }

    /// Says `bytes`, which have no answer.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().map(|byte| Said { byte: *byte, owed: 0, end: None }));
    }

    /// Says `bytes`, which are answered as a whole.
    pub(crate) fn say_whole(&mut self, bytes: &[u8], owed: usize, end: Option<End>) {
        self.say(bytes);
        if let Some(last) = self.0.back_mut() {
            (last.owed, last.end) = (owed, end);
        }
    }
}

/// The items of a protocol.
pub(crate) trait Items {
    /// Says an item, and remembers its answer.
    fn say(&mut self, random: &mut Random, next: &mut Next);

    /// Says an item that ends the session.
    fn say_last(&mut self, random: &mut Random, next: &mut Next);

    /// Compares what was heard: how much of what is owed it was.
    fn hear(&mut self, bytes: &[u8]) -> usize;

    /// Whether the daemon has to announce that it ends the session.
    fn awaits_goodbye(&self) -> bool;
}

pub(crate) struct Exchange {
    items: Box<dyn Items>,
    random: Random,
    next: Next,
    /// How many items are said before the last one, if there is a last one.
    left: Option<usize>,
    /// How much has to be answered, and how much was.
    pub(crate) owed: usize,
    pub(crate) answered: usize,
    /// What was said that ends the session.
    pub(crate) end: Option<End>,
}

impl Exchange {
    pub(crate) fn new(items: Box<dyn Items>, mut random: Random, has_end: bool) -> Self {
        let left = has_end.then(|| random.below(20));
        Self { items, random, next: Next::default(), left, owed: 0, answered: 0, end: None }
    }

    /// The next bytes that are said.
    pub(crate) fn say(&mut self, count: usize) -> Vec<u8> {
        let mut is_over = self.next.0.iter().any(|said| said.end.is_some()) || self.end.is_some();
        while self.next.0.len() < count {
            match &mut self.left {
                _ if is_over => self.next.say(b"no answer"),
                Some(0) => {
                    self.items.say_last(&mut self.random, &mut self.next);
                    is_over = true;
                }
                left => {
                    *left = left.map(|left| left - 1);
                    self.items.say(&mut self.random, &mut self.next);
                }
            }
        }
        let said = self.next.0.drain(..count).map(|Said { byte, owed, end }| {
            self.owed += owed;
            self.end = self.end.or(end);
            byte
        });
        said.collect()
    }

    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.answered += self.items.hear(bytes);
    }

    pub(crate) fn awaits_goodbye(&self) -> bool {
        self.items.awaits_goodbye()
    }
}

/// Numbers that look random, the same each time.
pub(crate) struct Random(usize);

impl Random {
    pub(crate) fn new(length: usize, bits: u8) -> Self {
        Self(length * 256 + usize::from(bits))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::from(u16::from_le_bytes([byte_at(self.0), byte_at(!self.0)])) % end
    }
}
