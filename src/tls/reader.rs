//! Reads numbers and vectors as TLS encodes them (RFC 8446 §3).

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether everything was read.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of one byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.number(1).and_then(|number| number.try_into().ok())
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.number(2).and_then(|number| number.try_into().ok())
    }

    /// A number of `bytes` bytes, which are at most eight.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A vector whose length is in front of it, in `bytes` bytes.
    pub fn vector(&mut self, bytes: usize) -> Option<Reader<'a>> {
        let length = usize::try_from(self.number(bytes)?).ok()?;
        self.take(length).map(Reader)
    }

    /// The rest, as numbers of two bytes.
    pub fn numbers(mut self) -> Vec<u16> {
        let mut numbers = Vec::new();
        while let Some(number) = self.u16() {
            numbers.push(number);
        }
        numbers
    }

    /// The extensions: each its type and its content.
    pub fn extensions(&mut self) -> Option<Vec<(u16, Reader<'a>)>> {
        let mut extensions = Vec::new();
        if self.is_empty() {
            return Some(extensions);
        }
        let mut all = self.vector(2)?;
        while !all.is_empty() {
            extensions.push((all.u16()?, all.vector(2)?));
        }
        Some(extensions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_short_is_nothing() {
        let mut reader = Reader(&[0, 2, 7, 8, 9]);
        assert_eq!(reader.vector(2).unwrap().numbers(), [0x0708]);
        assert_eq!((reader.u16(), reader.u8(), reader.u8()), (None, Some(9), None));
        assert!(Reader(&[5, 1]).vector(1).is_none());
        assert!(Reader(&[0, 4, 0, 1, 0, 9]).extensions().is_none());
        assert_eq!(Reader(&[]).extensions().map(|it| it.len()), Some(0));
    }
}
