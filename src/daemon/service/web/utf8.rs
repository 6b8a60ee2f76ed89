//! UTF-8 that comes in pieces, which may end within a character.

use std::str::from_utf8;

/// The longest character, in bytes.
const CHARACTER_MAX: usize = 4;

/// The beginning of a character.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    held: [u8; CHARACTER_MAX],
    length: usize,
}

impl Utf8 {
    /// Whether what has come, with `bytes`, is UTF-8 so far, and where `is_end`, as a whole.
    pub(super) fn takes(&mut self, mut bytes: &[u8], is_end: bool) -> bool {
        while self.length > 0
            && let [first, rest @ ..] = bytes
        {
            // An incomplete character of four bytes does not exist, so there is room for one more.
            self.held[self.length] = *first;
            self.length += 1;
            bytes = rest;
            match from_utf8(&self.held[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        if let Err(error) = from_utf8(bytes) {
            if error.error_len().is_some() {
                return false;
            }
            let rest = &bytes[error.valid_up_to()..];
            self.held[..rest.len()].copy_from_slice(rest);
            self.length = rest.len();
        }
        !is_end || self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `bytes` are UTF-8, if they come in pieces of `size`.
    fn in_pieces(bytes: &[u8], size: usize) -> bool {
        let mut text = Utf8::default();
        bytes.chunks(size).all(|piece| text.takes(piece, false)) && text.takes(&[], true)
    }

    #[test]
    fn pieces_make_no_difference() {
        let texts: [&[u8]; 9] = [
            "aä€😀 Ελληνικά".as_bytes(),
            b"",
            b"\xc3",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"a\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xc0\xaf",
        ];
        for text in texts {
            for size in 1..8 {
                assert_eq!(in_pieces(text, size), from_utf8(text).is_ok(), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_found_before_the_end_of_its_character() {
        let mut text = Utf8::default();
        assert!(text.takes(b"\xf4", false));
        // U+110000 does not exist, whatever follows.
        assert!(!text.takes(b"\x90", false));
    }
}
