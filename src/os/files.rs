//! Reads files that the user names: the configuration, certificates, keys.
//!
//! # A file cannot block or fill the reader
//!
//! Only regular files are read, and only up to a bound. A FIFO without a writer would block the
//! daemon's only thread at a reload, and a device such as `/dev/zero` never ends.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::exit::{Failure, plain};

/// Why a file was not read.
#[derive(Debug)]
pub enum Unreadable {
    /// The system refuses.
    System(io::Error),
    /// It is of this type, and not a regular file.
    NotRegular(&'static str),
    /// It has more bytes than this.
    TooLong(u64),
}

/// Reads the regular file at `path`, which may have at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    // Does not wait for the writer of a FIFO, or make a terminal the controlling one.
    #[allow(clippy::cast_possible_wrap)] // Bits.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        return Err(Unreadable::NotRegular(match kind {
            _ if kind.is_dir() => "a directory",
            _ if kind.is_fifo() => "a FIFO",
            _ if kind.is_char_device() || kind.is_block_device() => "a device",
            _ => "something else",
        }));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Unreadable::TooLong(most));
    }
    Ok(bytes)
}

/// The options to open a file for secrets, to which the caller adds how it writes. A new file is readable
/// by its owner alone. A FIFO that nobody reads is an error, and does not block.
pub fn private() -> OpenOptions {
    #[allow(clippy::cast_possible_wrap)] // Bits.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(flags);
    options
}

impl Unreadable {
    /// The failure of `what`, such as "cannot read certs/alex.key".
    pub fn failure(&self, what: impl fmt::Display) -> Failure {
        match self {
            Self::System(error) => Failure::system(what, error),
            _ => Failure::config(format!("{what}: {self}")),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => f.write_str(&plain(error)),
            Self::NotRegular(kind) => write!(f, "it is {kind}, not a regular file"),
            Self::TooLong(most) => write!(f, "it has more than {most} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(matches!(read(&path, 4), Err(Unreadable::TooLong(4))));
    }

    #[test]
    fn files_that_are_not_regular_are_refused() {
        let kind = |path: &str| read(Path::new(path), 5).unwrap_err().to_string();
        assert_eq!(kind("/dev/zero"), "it is a device, not a regular file");
        assert_eq!(kind("/tmp"), "it is a directory, not a regular file");
        assert_eq!(kind("/no/such/file"), "no such file or directory");
    }
}
