//! The hidden folder in which a set of files is prepared and committed; the parent module has the steps.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::exit::Failure;
use crate::os::file_set::steps::{keep, make_private, names, rename_to_free_name, sync};
use crate::os::output;

/// The hidden folder in which a set is prepared, locked. When it is dropped, the folder is removed,
/// unless a set in it is committed.
pub(super) struct Journal {
    folder: PathBuf,
    pub(super) path: PathBuf,
    /// It completed what another program had begun.
    pub(super) completed: bool,
    _lock: File,
}

/// A file that cannot be put in its place, and why.
pub(super) struct Blocked {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

impl Journal {
    pub(super) const NAME: &str = ".echo-alex-certs";

    /// Makes it in `folder`, or takes over what an interrupted program left, and completes or removes
    /// that.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(Self::NAME);
        let lock = lock(&path).map_err(|error| {
            Failure::system(format_args!("cannot make {}", path.display()), &error)
        })?;
        let mut journal = Self { folder: folder.into(), path, completed: false, _lock: lock };
        if journal.is_committed() {
            journal.install().map_err(|Blocked { path, error }| {
                let failure = cannot_write(&path, &error);
                Failure::new(
                    failure.exit,
                    format!(
                        "{failure}; {} holds the rest of a set of files that an interrupted run began to \
                         write: move the obstacle away, then run this again",
                        journal.path.join("commit").display()
                    ),
                )
            })?;
            journal.end_commit().map_err(|error| cannot_remove(&journal.path, &error))?;
            journal.completed = true;
        }
        journal.clear().map_err(|error| cannot_remove(&journal.path, &error))?;
        Ok(journal)
    }

    /// Whether a set in it is committed, and not yet wholly in its place.
    fn is_committed(&self) -> bool {
        self.path.join("commit").symlink_metadata().is_ok()
    }

    /// The folder for files that are not committed yet.
    pub(super) fn new_folder(&self) -> io::Result<PathBuf> {
        let path = self.path.join("new");
        make_private(&path)?;
        Ok(path)
    }

    /// Commits the files in `new/`. With `replace`, they may replace existing files.
    pub(super) fn commit(&self, replace: bool) -> io::Result<()> {
        if replace {
            make_private(&self.path.join("replace"))?;
        }
        make_private(&self.path.join("old"))?;
        sync(&self.path.join("new"));
        sync(&self.path);
        sync(&self.folder);
        fs::rename(self.path.join("new"), self.path.join("commit"))?;
        sync(&self.path);
        Ok(())
    }

    /// Puts the committed files that are not in their places there.
    pub(super) fn install(&self) -> Result<(), Blocked> {
        let commit = self.path.join("commit");
        let replace = self.path.join("replace").exists();
        let blocked = |path: &Path, error| Blocked { path: path.into(), error };
        for name in names(&commit).map_err(|error| blocked(&commit, error))? {
            let (new, place) = (commit.join(&name), self.folder.join(&name));
            let installed = if replace {
                let kept = keep(&place, &self.path.join("old").join(&name));
                kept.and_then(|()| fs::rename(&new, &place))
            } else {
                rename_to_free_name(&new, &place)
            };
            installed.map_err(|error| blocked(&place, error))?;
        }
        sync(&self.folder);
        Ok(())
    }

    /// Takes the files `names` out of their places, and restores what was there. A program that is
    /// interrupted here leaves a committed set, which the next program completes.
    pub(super) fn undo(&self, names: &[String]) {
        let undo = || {
            for name in names {
                let (new, place) = (self.path.join("commit").join(name), self.folder.join(name));
                let old = self.path.join("old").join(name);
                if new.symlink_metadata().is_err() {
                    fs::rename(&place, new)?;
                }
                if old.symlink_metadata().is_ok() {
                    fs::rename(old, place)?;
                }
            }
            sync(&self.folder);
            fs::rename(self.path.join("commit"), self.path.join("new"))
        };
        // If this fails too, the set stays committed, and the next program continues with it.
        let _: io::Result<()> = undo();
    }

    /// Ends the commit: every file is in its place.
    pub(super) fn end_commit(&self) -> io::Result<()> {
        fs::remove_dir(self.path.join("commit"))
    }

    /// Removes what is in it.
    fn clear(&self) -> io::Result<()> {
        for name in ["new", "old", "replace"] {
            match fs::remove_dir_all(self.path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.is_committed() {
            // The next program removes what is left.
            let _ = self.clear();
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Makes the hidden folder at `path`, or finds it, and waits until no other process has it locked.
fn lock(path: &Path) -> io::Result<File> {
    #[allow(clippy::cast_possible_wrap)] // Bits.
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits() as i32;
    loop {
        make_private(path)?;
        let folder = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        // Some network file systems have no locks: there, the user must run one program at a time.
        if flock(&folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            output::note(format_args!("waiting for another run in {}", path.display()));
            while flock(&folder, FlockOperation::LockExclusive) == Err(Errno::INTR) {}
        }
        // The program that had the lock may have removed it, and another may have made a new one.
        let ours = folder.metadata()?;
        let is_there = path.symlink_metadata();
        if is_there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(folder);
        }
    }
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("cannot write {}", path.display()), error)
}

pub(super) fn cannot_remove(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("cannot remove {}", path.display()), error)
}
