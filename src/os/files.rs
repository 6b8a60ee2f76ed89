//! Reads files that the user names: the configuration, certificates, keys.
//!
//! # A file cannot block or fill the reader
//!
//! Only regular files are read, and only up to a bound. A FIFO without a writer would block the
//! daemon's only thread at a reload, and a device such as `/dev/zero` never ends.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use log::warn;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, plain};

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

/// A file with secrets, which are wiped when it is dropped.
pub struct Secret {
    /// What is in it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// When it was changed last.
    pub changed: SystemTime,
    is_public: bool,
}

impl Secret {
    /// Logs a warning if every user can read it: it was read from `path`, and has `what` in it.
    pub fn warn_if_public(&self, what: &str, path: &Path) {
        if self.is_public {
            let path = path.display();
            warn!("{path}: every user of this machine can read the {what}: chmod o-rwx {path}");
        }
    }
}

/// Reads the regular file at `path`, which may have at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let (file, metadata) = open(path)?;
    read_open(file, &metadata, most)
}

/// Reads `what`, such as "certificate". Where permission is denied, the error names the user and the cure.
pub fn read_named(what: &str, path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    read(path, most).map_err(|why| why.with_cure(what, path))
}

/// The same for secrets.
pub fn read_secret(what: &str, path: &Path, most: u64) -> Result<Secret, Failure> {
    let read = || {
        let (file, metadata) = open(path)?;
        let changed = metadata.modified()?;
        let bytes = Zeroizing::new(read_open(file, &metadata, most)?);
        Ok(Secret { bytes, changed, is_public: metadata.mode() & 0o004 != 0 })
    };
    read().map_err(|why: Unreadable| why.with_cure(what, path))
}

/// Opens a regular file.
fn open(path: &Path) -> Result<(File, Metadata), Unreadable> {
    // Does not wait for the writer of a FIFO, or make a terminal the controlling one.
    #[allow(clippy::cast_possible_wrap)] // Bits.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        return Err(Unreadable::NotRegular(match kind {
            _ if kind.is_dir() => "a directory",
            _ if kind.is_fifo() => "a FIFO",
            _ if kind.is_char_device() || kind.is_block_device() => "a device",
            _ => "something else",
        }));
    }
    Ok((file, metadata))
}

/// Reads what is in `file`. A vector that grows would leave copies of secrets behind.
fn read_open(file: File, metadata: &Metadata, most: u64) -> Result<Vec<u8>, Unreadable> {
    let length = usize::try_from(metadata.len().min(most)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length + 1);
    file.take(most + 1).read_to_end(&mut bytes)?;
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

    /// The failure of reading `what` at `path`. Where permission is denied, it names the user and the cure.
    fn with_cure(&self, what: &str, path: &Path) -> Failure {
        let shown = path.display();
        let failure = self.failure(format_args!("cannot read the {what} {shown}"));
        if failure.exit != Exit::NoPermission {
            return failure;
        }
        let (user, group) =
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Failure::new(
            failure.exit,
            format!(
                "{failure} for user {user} (id -nu {user}); let its group read it: \
                 chgrp {group} {shown} && chmod 640 {shown}, and check the folders above it"
            ),
        )
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
