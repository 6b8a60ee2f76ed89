//! What rustls puts into a ticket, as far as it decides who may resume the session.
//!
//! # The form is rustls's own
//!
//! It is not documented. If a later version has another one, there are no tickets, or no session is resumed, and
//! the tests fail: `tests/tickets.rs` and the unit tests beside this file use sessions of rustls.

/// A session in a ticket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Session<'a> {
    /// The server's name that the client asked for.
    pub(super) name: Option<&'a str>,
    /// The client's certificate chain, or nothing.
    pub(super) chain: Vec<&'a [u8]>,
}

impl<'a> Session<'a> {
    /// What these bytes say; `None` if they are not a session.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let name = match rest.number(1)? {
            0 => None,
            _ => Some(str::from_utf8(rest.field(1)?).ok()?),
        };
        let (_version, _cipher_suite) = (rest.number(2)?, rest.number(2)?);
        let _secret = rest.field(1)?;
        let _extended = rest.number(1)?;
        let mut chain = Vec::new();
        if rest.number(1)? != 0 {
            let mut all = Reader(rest.field(3)?);
            while !all.0.is_empty() {
                chain.push(all.field(3)?);
            }
        }
        Some(Self { name, chain })
    }
}

/// Reads numbers, and fields with their length before them.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        Some(self.take(length)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A field whose length has so many bytes.
    fn field(&mut self, length: usize) -> Option<&'a [u8]> {
        let length = self.number(length)?;
        self.take(length)
    }
}
