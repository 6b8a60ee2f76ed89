//! Files that appear in a folder together: all of them, or none.
//!
//! # All or none
//!
//! For every program that begins with [`settle`] or a [`FileSet`], a folder holds either all files of
//! a set or what was there before: whatever has failed, and wherever a signal or a power cut has ended
//! the program that wrote them. No file is ever half written, and no secret can be read by others.
//!
//! The set waits in a hidden folder of its own, `.echo-alex-certs`, beside its place:
//!
//! 1. It is made with mode 0700, and locked with flock(2), so that one program at a time is at work.
//! 2. Each file is written to `new/`, under the name that it will have, and is on the disk.
//! 3. What can stand in the way, such as a directory, is looked for. Nothing has changed so far.
//! 4. `new/` becomes `commit/`. From here on the set counts: a run that finds `commit/` does the
//!    remaining steps, which may be repeated.
//! 5. File by file, `old/` keeps what is replaced, and the new file is renamed to its place.
//! 6. `commit/` goes, and then the rest. Without `commit/`, the hidden folder is waste.
//!
//! A rename that the system refuses in step 5 takes all of them back. SIGINT, SIGTERM and SIGHUP do not
//! end the program in steps 4 to 6.
//!
//! Between the renames, for some microseconds, a program that knows nothing of this can read the files
//! of two sets. The daemon refuses a key that is not the certificate's, and at a reload keeps those
//! that it has. Swapping the whole folder in one step would spare it that, but a folder can be a mount
//! point or the current directory of a shell, and holds files that belong to others.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;

use crate::exit::{Exit, Failure};
use crate::os::output;

/// Files that are to appear in a folder, all of them or none: see the module. Dropped before
/// [`FileSet::finish`], it leaves nothing.
pub struct FileSet {
    folder: PathBuf,
    force: bool,
    names: Vec<String>,
    /// `None` until the folder exists.
    journal: Option<Journal>,
}

impl FileSet {
    /// Nothing yet, for `folder`, which is made for the first file if it is missing. With `force`,
    /// files that are there already are replaced.
    ///
    /// Until it is dropped, no other program changes the folder in this way.
    pub fn new(folder: &Path, force: bool) -> Result<Self, Failure> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let journal = if folder.is_dir() { Some(Journal::open(folder)?) } else { None };
        Ok(Self { folder: folder.into(), force, names: Vec::new(), journal })
    }

    /// Adds a file that everybody may read.
    pub fn add(&mut self, name: &str, contents: &str) -> Result<(), Failure> {
        self.write(name, contents, 0o644)
    }

    /// Adds a file that only its owner may read, from its first byte on.
    pub fn add_secret(&mut self, name: &str, contents: &str) -> Result<(), Failure> {
        self.write(name, contents, 0o600)
    }

    fn write(&mut self, name: &str, contents: &str, mode: u32) -> Result<(), Failure> {
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
            // The mask of the process does not count.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()
        };
        write().map_err(|error| cannot_write(&self.folder.join(name), &error))?;
        self.names.push(name.into());
        Ok(())
    }

    /// Gives all of them their places.
    pub fn finish(self) -> Result<(), Failure> {
        self.names.iter().try_for_each(|name| self.check(name))?;
        // Until the journal is gone, so made before it.
        let _signals = LateSignals::new();
        let Some(journal) = self.journal else { return Ok(()) };
        journal.commit(self.force).map_err(|error| cannot_write(&journal.path, &error))?;
        journal.install().map_err(|Blocked { path, error }| {
            journal.take_back(&self.names);
            if error.kind() == ErrorKind::AlreadyExists {
                exists(&path)
            } else {
                cannot_write(&path, &error)
            }
        })?;
        journal.forget().map_err(|error| {
            let failure = cannot_remove(&journal.path, &error);
            Failure::new(failure.exit, format!("the files are in their places, but {failure}"))
        })
    }

    /// Fails where something stands in the place of the file.
    fn check(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot_write(&path, &error)),
            Ok(_) if !self.force => Err(exists(&path)),
            Ok(there) if there.is_dir() => Err(Failure::new(
                Exit::Failure,
                format!("{0} is a directory, and a file is to have its place: move it away", {
                    path.display()
                }),
            )),
            Ok(_) => Ok(()),
        }
    }
}

/// Completes or removes what an interrupted program has left in `folder`, and waits for one that is
/// still at work there. Says whether files changed.
pub fn settle(folder: &Path) -> Result<bool, Failure> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !is_unsettled(folder) {
        return Ok(false);
    }
    Journal::open(folder).map(|journal| journal.completed).map_err(|failure| match failure.exit {
        Exit::NoPermission => Failure::new(
            failure.exit,
            format!(
                "{} has the files of a run that was interrupted or is at work, and is not yours: \
                 let the owner of the folder run echo-alex-certs verify",
                folder.join(Journal::NAME).display()
            ),
        ),
        _ => failure,
    })
}

/// Whether a program that wrote a set of files to `folder` is at work, or was interrupted.
pub fn is_unsettled(folder: &Path) -> bool {
    folder.join(Journal::NAME).symlink_metadata().is_ok()
}

/// The hidden folder in which a set waits. It is locked while this lives; unless a set in it counts,
/// it is removed in the end.
struct Journal {
    folder: PathBuf,
    path: PathBuf,
    /// It has completed what another program had begun.
    completed: bool,
    _lock: File,
}

/// What cannot be put in its place, and why.
struct Blocked {
    path: PathBuf,
    error: io::Error,
}

impl Journal {
    const NAME: &str = ".echo-alex-certs";

    /// Makes it in `folder`, or takes over what an interrupted program has left, and settles it.
    fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(Self::NAME);
        let lock = lock(&path).map_err(|error| {
            Failure::system(format_args!("cannot make {}", path.display()), &error)
        })?;
        let mut journal = Self { folder: folder.into(), path, completed: false, _lock: lock };
        if journal.counts() {
            journal.install().map_err(|Blocked { path, error }| {
                let failure = cannot_write(&path, &error);
                Failure::new(
                    failure.exit,
                    format!(
                        "{failure}; {} holds what is missing of a set of files that an interrupted \
                         run began to write: make way for it, then do this again",
                        journal.path.join("commit").display()
                    ),
                )
            })?;
            journal.forget().map_err(|error| cannot_remove(&journal.path, &error))?;
            journal.completed = true;
        }
        journal.clear().map_err(|error| cannot_remove(&journal.path, &error))?;
        Ok(journal)
    }

    /// Whether a set in it counts, as far as it is not yet in its place.
    fn counts(&self) -> bool {
        self.path.join("commit").symlink_metadata().is_ok()
    }

    /// Where files wait until they count.
    fn new_folder(&self) -> io::Result<PathBuf> {
        let path = self.path.join("new");
        make_private(&path)?;
        Ok(path)
    }

    /// From here on, the files in `new/` count. With `replace`, they may replace others.
    fn commit(&self, replace: bool) -> io::Result<()> {
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

    /// Puts the files that count, and are not yet there, in their places.
    fn install(&self) -> Result<(), Blocked> {
        let commit = self.path.join("commit");
        let replace = self.path.join("replace").exists();
        let blocked = |path: &Path, error| Blocked { path: path.into(), error };
        for name in names(&commit).map_err(|error| blocked(&commit, error))? {
            let (new, place) = (commit.join(&name), self.folder.join(&name));
            let installed = if replace {
                let kept = keep(&place, &self.path.join("old").join(&name));
                kept.and_then(|()| fs::rename(&new, &place))
            } else {
                rename_to_nothing(&new, &place)
            };
            installed.map_err(|error| blocked(&place, error))?;
        }
        sync(&self.folder);
        Ok(())
    }

    /// Takes the files called `names` out of their places, and puts back what was there. A program
    /// that is interrupted here leaves a set that counts, and will be completed.
    fn take_back(&self, names: &[String]) {
        let take_back = || {
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
        // Where this fails too, the set still counts, and the next program goes on with it.
        let _: io::Result<()> = take_back();
    }

    /// Every file is in its place.
    fn forget(&self) -> io::Result<()> {
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
        if !self.counts() {
            // What stays is removed by the next program.
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
        // Some network file systems have no locks: there, only one program may run at a time.
        if flock(&folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            output::note(format_args!("waiting for another run in {}", path.display()));
            while flock(&folder, FlockOperation::LockExclusive) == Err(Errno::INTR) {}
        }
        // Whoever had it before has removed it, and another may have been made.
        let ours = folder.metadata()?;
        let is_there = path.symlink_metadata();
        if is_there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(folder);
        }
    }
}

/// A folder that only its owner can look into; it may be there.
fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// The names of the files in a folder, in order.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names = fs::read_dir(folder)?.map(name).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Keeps the file at `place`, if there is one, under the name `old` too. It is moved there only where
/// the file system gives no file two names, as FAT does; then there is a moment without it.
fn keep(place: &Path, old: &Path) -> io::Result<()> {
    match fs::hard_link(place, old) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            Ok(())
        }
        Err(_) => fs::rename(place, old),
    }
}

/// Renames a file to a name that nothing has.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know how.
        Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_err() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(Errno::EXIST.into()),
        renamed => Ok(renamed?),
    }
}

/// A name is on the disk when its folder is. Some file systems cannot be asked.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// While this lives, a signal that would end the program is too late.
struct LateSignals(Arc<AtomicBool>);

impl LateSignals {
    fn new() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // Where this fails, an interruption leaves work for the next program.
            let _ = register_conditional_default(signal, over.clone());
        }
        Self(over)
    }
}

impl Drop for LateSignals {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(Exit::Failure, format!("{path} is there already; --force would replace it"))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("cannot write {}", path.display()), error)
}

fn cannot_remove(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("cannot remove {}", path.display()), error)
}

#[cfg(test)]
mod tests {
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
    fn a_file_that_comes_while_ours_is_written_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = FileSet::new(folder.path(), false).unwrap();
        files.add("one", "ours").unwrap();
        fs::write(folder.path().join("one"), "theirs").unwrap();
        let refused = files.finish().unwrap_err();
        assert!(refused.message.contains("is there already"), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join("one")).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
