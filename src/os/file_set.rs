//! Writes a set of files to a folder: all of them appear, or none.
//!
//! # All or none
//!
//! For every program that starts with [`settle`] or a [`FileSet`], a folder holds either all files of
//! a set or what it held before: whatever failed, and wherever a signal or a power failure ended the
//! program that wrote them. No file is ever half written, and no other user can read a secret.
//!
//! The set is prepared in a hidden folder, `.echo-alex-certs`, inside the folder that it is for:
//!
//! 1. The hidden folder is made with mode 0700 and locked with flock(2): one program at a time works.
//! 2. Each file is written to `new/` under its final name, and synced to the disk.
//! 3. Obstacles, such as a directory of that name, are looked for. Nothing has changed so far.
//! 4. `new/` is renamed to `commit/`. From here on the set is committed: a program that finds `commit/`
//!    does the remaining steps, which can be repeated.
//! 5. For each file, `old/` keeps the file that is replaced, and the new one is renamed to its place.
//! 6. `commit/` is removed, and then the rest. Without `commit/`, the hidden folder can be removed.
//!
//! If the system refuses a rename in step 5, all are undone. SIGINT, SIGTERM and SIGHUP do not end the
//! program in steps 4 to 6.
//!
//! Between the renames, for some microseconds, a program that does not use this module can read the
//! files of two sets. The daemon refuses a key that does not belong to the certificate, and at a reload
//! keeps the pair that it has. Exchanging the whole folder in one step would avoid that, but a folder
//! can be a mount point or the current directory of a shell, and holds other files too.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;

use crate::exit::{Exit, Failure};

mod journal;
mod steps;

use journal::{Blocked, Journal, cannot_remove, cannot_write};
use steps::make_folder;

/// Files that are to appear in a folder, all of them or none. If it is dropped before
/// [`FileSet::finish`], nothing has changed.
pub struct FileSet {
    folder: PathBuf,
    force: bool,
    names: Vec<String>,
    /// `None` until the folder exists.
    journal: Option<Journal>,
}

impl FileSet {
    /// An empty set for `folder`, which is made for the first file if it does not exist. With `force`,
    /// existing files are replaced.
    ///
    /// Until it is dropped, other programs that use this module wait.
    pub fn new(folder: &Path, force: bool) -> Result<Self, Failure> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let journal = if folder.is_dir() { Some(Journal::open(folder)?) } else { None };
        Ok(Self { folder: folder.into(), force, names: Vec::new(), journal })
    }

    /// Adds a file that every user may read.
    pub fn add(&mut self, name: &str, contents: &str) -> Result<(), Failure> {
        self.add_as(name, contents, 0o644, None)
    }

    /// Adds a file that only its owner may read, from its first byte on.
    pub fn add_secret(&mut self, name: &str, contents: &str) -> Result<(), Failure> {
        self.add_as(name, contents, 0o600, None)
    }

    /// Adds a file with this mode, and for this user and group instead of those of the program.
    pub fn add_as(
        &mut self,
        name: &str,
        contents: &str,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Failure> {
        self.check(name)?;
        let journal = match &mut self.journal {
            Some(journal) => journal,
            none => {
                make_folder(&self.folder).map_err(|error| {
                    Failure::system(format_args!("cannot make {}", self.folder.display()), &error)
                })?;
                none.insert(Journal::open(&self.folder)?)
            }
        };
        let write = || {
            let path = journal.new_folder()?.join(name);
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(contents.as_bytes())?;
            if let Some((user, group)) = owner {
                fchown(&file, Some(user), Some(group))?;
            }
            // Whatever the umask is.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()
        };
        write().map_err(|error| cannot_write(&self.folder.join(name), &error))?;
        self.names.push(name.into());
        Ok(())
    }

    /// Puts all files in their places.
    pub fn finish(self) -> Result<(), Failure> {
        self.names.iter().try_for_each(|name| self.check(name))?;
        // Dropped after the journal.
        let _signals = IgnoredSignals::new();
        let Some(journal) = self.journal else { return Ok(()) };
        journal.commit(self.force).map_err(|error| cannot_write(&journal.path, &error))?;
        journal.install().map_err(|Blocked { path, error }| {
            journal.undo(&self.names);
            if error.kind() == ErrorKind::AlreadyExists {
                exists(&path)
            } else {
                cannot_write(&path, &error)
            }
        })?;
        journal.end_commit().map_err(|error| {
            let failure = cannot_remove(&journal.path, &error);
            Failure::new(failure.exit, format!("the files are in their places, but {failure}"))
        })
    }

    /// Fails if something is in the place of the file.
    fn check(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot_write(&path, &error)),
            Ok(_) if !self.force => Err(exists(&path)),
            Ok(there) if there.is_dir() => Err(Failure::new(
                Exit::Failure,
                format!("{0} is a directory, and a file is to be written there: move it away", {
                    path.display()
                }),
            )),
            Ok(_) => Ok(()),
        }
    }
}

/// Completes or removes what an interrupted program left in `folder`, and waits for a program that is
/// writing there. Returns whether files changed.
pub fn settle(folder: &Path) -> Result<bool, Failure> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !is_unsettled(folder) {
        return Ok(false);
    }
    Journal::open(folder).map(|journal| journal.completed).map_err(|failure| match failure.exit {
        Exit::NoPermission => Failure::new(
            failure.exit,
            format!(
                "{} has the files of a run that was interrupted or has not ended, and is not yours: \
                 let the owner of the folder run echo-alex-certs verify",
                folder.join(Journal::NAME).display()
            ),
        ),
        _ => failure,
    })
}

/// Whether a program is writing a set of files to `folder`, or was interrupted.
pub fn is_unsettled(folder: &Path) -> bool {
    folder.join(Journal::NAME).symlink_metadata().is_ok()
}

/// While it lives, SIGHUP, SIGINT and SIGTERM do not end the program.
struct IgnoredSignals(Arc<AtomicBool>);

impl IgnoredSignals {
    fn new() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // If this fails, an interruption leaves work for the next program.
            let _ = register_conditional_default(signal, over.clone());
        }
        Self(over)
    }
}

impl Drop for IgnoredSignals {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(Exit::Failure, format!("{path} exists already; --force would replace it"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_appear_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = FileSet::new(folder.path(), false).unwrap();
        files.add("one", "1").unwrap();
        files.add_secret("two", "2").unwrap();
        assert!(!folder.path().join("one").exists());
        drop(files);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = FileSet::new(folder.path(), false).unwrap();
        files.add("one", "ours").unwrap();
        fs::write(folder.path().join("one"), "theirs").unwrap();
        let refused = files.finish().unwrap_err();
        assert!(refused.message.contains("exists already"), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join("one")).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
