//! A file of ticket keys, in the form that `HAProxy` reads too (`tls-ticket-keys`).
//!
//! # The form
//!
//! A key is a line of base64 (RFC 4648) for 48 or 80 bytes, the same number in all lines: a name of 16 bytes, then
//! what is secret. There are three or more. The last but one seals, and all open. So a new key, which is added at the
//! end, has come to every machine before it seals, and an old one opens what it sealed for as long as it is there.
//!
//! # The date of a key
//!
//! A name that is made here is `ALEXT`, the time in 40 bits of seconds since 1970, and six random bytes. Another name
//! says nothing, and the date is that of the last change of the file. `HAProxy` ignores what a name says.

use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::dates::{Use, usable};
use crate::exit::{Exit, Failure};
use crate::os::files;

/// The length of a name.
pub(super) const NAME: usize = 16;

/// The length of a key with its name: for AES-128 and AES-256 at `HAProxy`.
const LENGTHS: [usize; 2] = [48, 80];

/// The fewest and the most keys in a file.
const KEYS: std::ops::RangeInclusive<usize> = 3..=16;

/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 4096;

/// How a name begins that has a time.
const DATED: &[u8; 5] = b"ALEXT";

/// The keys of a file, in its order.
#[derive(Debug)]
pub struct KeyFile {
    /// At least three.
    pub keys: Vec<FileKey>,
}

/// A key with its name.
pub struct FileKey {
    bytes: Zeroizing<Vec<u8>>,
    /// Its date, in seconds since 1970.
    pub made: u64,
}

impl KeyFile {
    /// Reads the file at `path`, and logs a warning if every user can read it.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let file = files::read_secret("ticket keys", path, FILE_MAX)?;
        let changed = file.changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let keys = Self::parse(&file.bytes, changed)
            .map_err(|why| Failure::config(format!("{}: {why}", path.display())))?;
        file.warn_if_public("ticket keys", path);
        Ok(keys)
    }

    /// The keys of a file with these bytes that was `changed` then.
    pub fn parse(bytes: &[u8], changed: u64) -> Result<Self, String> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let lines = text.split(|byte| *byte == b'\n').filter(|_| !text.is_empty());
        let mut keys: Vec<FileKey> = Vec::new();
        for (line, number) in lines.zip(1..) {
            let key = FileKey::parse(line.strip_suffix(b"\r").unwrap_or(line), changed)
                .map_err(|why| format!("line {number} {why}"))?;
            if let Some((first, other)) = keys.iter().zip(1..).find(|(it, _)| it.clashes(&key)) {
                let (length, first) = (key.bytes.len(), first.bytes.len());
                return Err(if length == first {
                    format!(
                        "line {number} has the name or the secret of line {other}: each key is random"
                    )
                } else {
                    format!(
                        "line {number} has {length} bytes, and line {other} has {first}: all keys of a file \
                         have the same length"
                    )
                });
            }
            keys.push(key);
        }
        if !KEYS.contains(&keys.len()) {
            let (least, most) = (KEYS.start(), KEYS.end());
            let (count, plural) = (keys.len(), if keys.len() == 1 { "" } else { "s" });
            return Err(format!(
                "it has {count} key{plural}, and needs {least} to {most}: the last but one seals, one before \
                 it opens older tickets, and the last is spread before it seals"
            ));
        }
        Ok(Self { keys })
    }

    /// New keys, made `now`.
    pub fn make(now: u64) -> Result<Self, Failure> {
        let make = |_| FileKey::make(now, LENGTHS[1]);
        Ok(Self { keys: (0..*KEYS.start()).map(make).collect::<Result<_, _>>()? })
    }

    /// Drops the first key and those that have ended, and adds as many new ones at the end. Gives the number of
    /// those that had ended, besides the first.
    pub fn rotate(&mut self, now: u64) -> Result<usize, Failure> {
        let (count, length) = (self.keys.len(), self.keys[0].bytes.len());
        let newest = self.keys.iter().map(|key| key.made).max().unwrap_or(now);
        if usable(newest, now) == Use::Early {
            return Err(Failure::config(
                "the newest key has a date that this machine's clock has not reached: set the clock (a \
                 Raspberry Pi has no clock chip), then rotate",
            ));
        }
        self.keys.remove(0);
        self.keys.retain(|key| usable(key.made, now) == Use::Good);
        let ended = count - 1 - self.keys.len();
        while self.keys.len() < count {
            self.keys.push(FileKey::make(now, length)?);
        }
        Ok(ended)
    }

    /// The file.
    pub fn text(&self) -> Zeroizing<String> {
        // Longer than the text, which must not be moved while it grows.
        let length = self.keys.iter().map(|key| 2 * key.bytes.len()).sum();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for key in &self.keys {
            STANDARD.encode_string(&*key.bytes, &mut text);
            text.push('\n');
        }
        text
    }

    /// The key that seals.
    pub fn sealing(&self) -> &FileKey {
        // There are at least three.
        &self.keys[Self::sealing_of(self.keys.len())]
    }

    /// The place of the key that seals, in a file with so many.
    pub(super) fn sealing_of(keys: usize) -> usize {
        keys.saturating_sub(2)
    }
}

impl FileKey {
    /// A new key, made `now`.
    fn make(now: u64, length: usize) -> Result<Self, Failure> {
        let mut bytes = Zeroizing::new(vec![0; length.max(NAME)]);
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Failure::new(Exit::Failure, "the system gives no random numbers"))?;
        let [_, _, _, time @ ..] = now.to_be_bytes();
        for (byte, dated) in bytes.iter_mut().zip(DATED.iter().chain(&time)) {
            *byte = *dated;
        }
        Ok(Self { bytes, made: now })
    }

    fn parse(line: &[u8], changed: u64) -> Result<Self, String> {
        let mut bytes = Zeroizing::new(vec![0; line.len()]);
        let length = STANDARD
            .decode_slice(line, &mut bytes)
            .map_err(|_| "is not a key in base64 (RFC 4648) and nothing else")?;
        bytes.truncate(length);
        if !LENGTHS.contains(&length) {
            return Err(format!(
                "has {length} bytes, not 48 or 80: echo-alex-certs tickets makes such a file"
            ));
        }
        let key = Self { made: dated(&bytes).unwrap_or(changed), bytes };
        match key.secret() {
            [first, rest @ ..] if rest.iter().all(|byte| byte == first) => {
                Err("has a secret that is not random".into())
            }
            _ => Ok(key),
        }
    }

    /// Whether both cannot be in one file.
    fn clashes(&self, other: &Self) -> bool {
        self.bytes.len() != other.bytes.len()
            || self.name() == other.name()
            || self.secret() == other.secret()
    }

    /// Its name, which is in no ticket.
    pub(super) fn name(&self) -> &[u8] {
        &self.bytes[..NAME]
    }

    /// What is secret.
    pub(super) fn secret(&self) -> &[u8] {
        &self.bytes[NAME..]
    }
}

/// No secret is shown.
impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileKey(made {})", self.made)
    }
}

/// The time in the name of a key.
fn dated(bytes: &[u8]) -> Option<u64> {
    let time = bytes.strip_prefix(DATED)?.first_chunk::<5>()?;
    Some(time.iter().fold(0, |time, byte| time << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line for `length` bytes that begin with `name`.
    fn line(name: &[u8], length: usize, seed: u8) -> String {
        let mut bytes: Vec<u8> =
            (0..length).map(|place| place.to_le_bytes()[0].wrapping_mul(7) ^ seed).collect();
        bytes[..name.len()].copy_from_slice(name);
        STANDARD.encode(bytes) + "\n"
    }

    fn three(length: usize) -> String {
        (0..3).map(|seed| line(&[], length, seed)).collect()
    }

    fn refused(text: &str) -> String {
        KeyFile::parse(text.as_bytes(), 0).unwrap_err()
    }

    #[test]
    fn a_file_in_the_form_of_haproxy_is_read() {
        for length in LENGTHS {
            let file = KeyFile::parse(three(length).as_bytes(), 5).unwrap();
            assert_eq!(file.keys.len(), 3);
            assert_eq!(file.sealing().name(), file.keys[1].name());
            assert!(file.keys.iter().all(|key| key.made == 5), "the date is that of the file");
            // The last line may lack its end, or all may have that of another system.
            let text = three(length);
            assert!(KeyFile::parse(text.trim_end().as_bytes(), 5).is_ok());
            assert!(KeyFile::parse(text.replace('\n', "\r\n").as_bytes(), 5).is_ok());
        }
        let sixteen: String = (0..16).map(|seed| line(&[], 48, seed)).collect();
        let file = KeyFile::parse(sixteen.as_bytes(), 0).unwrap();
        assert_eq!(file.sealing().name(), file.keys[14].name());
    }

    #[test]
    fn the_name_of_a_key_has_its_date() {
        let dated = line(b"ALEXT\x00\x6b\x49\xd2\x00", 48, 9);
        let text = three(48) + &dated;
        let file = KeyFile::parse(text.as_bytes(), 5).unwrap();
        let made: Vec<u64> = file.keys.iter().map(|key| key.made).collect();
        assert_eq!(made, [5, 5, 5, 1_800_000_000]);
        assert_eq!(format!("{:?}", file.keys[3]), "FileKey(made 1800000000)", "no secret is shown");
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let first = line(&[], 48, 0);
        let same_name = line(&STANDARD.decode(first.trim()).unwrap()[..16], 48, 1);
        let zeros = STANDARD.encode([0; 48]) + "\n";
        let two: String = (0..2).map(|seed| line(&[], 48, seed)).collect();
        for (text, message) in [
            ("", "it has 0 keys, and needs 3 to 16: "),
            (&*first, "it has 1 key, and needs 3 to 16: "),
            (
                &*two,
                "it has 2 keys, and needs 3 to 16: the last but one seals, one before it opens",
            ),
            (&*(0..17).map(|seed| line(&[], 48, seed)).collect::<String>(), "it has 17 keys, "),
            (&*(two.clone() + "# key 3\n"), "line 3 is not a key in base64"),
            (&*(two.clone() + &first[1..]), "line 3 is not a key in base64"),
            (&*(two.clone() + " " + &line(&[], 48, 2)), "line 3 is not a key in base64"),
            ("\n", "it has 0 keys, "),
            (&*(two.clone() + "\n\n"), "line 3 has 0 bytes, not 48 or 80: "),
            (
                &*(two.clone() + &line(&[], 32, 2)),
                "line 3 has 32 bytes, not 48 or 80: echo-alex-certs",
            ),
            (
                &*(two.clone() + &line(&[], 80, 2)),
                "line 3 has 80 bytes, and line 1 has 48: all keys",
            ),
            (&*(two.clone() + &first), "line 3 has the name or the secret of line 1"),
            (&*(two.clone() + &same_name), "line 3 has the name or the secret of line 1"),
            (&*(two.clone() + &zeros), "line 3 has a secret that is not random"),
        ] {
            let refused = refused(text);
            assert!(refused.starts_with(message), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..500), cut in 0..330_usize) {
            let _ = KeyFile::parse(&bytes, 0);
            let text = three(80).into_bytes();
            let file = KeyFile::parse(&[&text[..cut.min(text.len())], &bytes].concat(), u64::MAX);
            prop_assert!(file.is_err() || bytes.is_empty() || bytes == b"\n");
        }
    }
}
