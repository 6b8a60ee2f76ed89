//! The command `tickets`: the keys of session tickets that several daemons share.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::certs::cli::{PROGRAM, Tickets};
use crate::certs::files::settle_all;
use crate::exit::Failure;
use crate::os::file_set::FileSet;
use crate::os::output;
use crate::tls::certificate::moment;
use crate::tls::tickets::dates::KEY_LIFE;
use crate::tls::tickets::file::KeyFile;

/// The mode of a new file: the daemon reads it as a member of its group.
const MODE: u32 = 0o640;

/// Makes a file of keys, or rotates the keys in one.
pub(super) fn run(options: &Tickets) -> Result<(), Failure> {
    let shown = options.file.display();
    let path = if options.rotate { existing(&options.file)? } else { options.file.clone() };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        return Err(Failure::usage(format!("{shown:?} is not the name of a file")));
    };
    settle_all(PROGRAM, [folder], false)?;
    // From here on, another run waits.
    let mut files = FileSet::new(folder, options.force || options.rotate)?;
    let now = SystemTime::now();
    let (keys, owner, mode, what) = if options.rotate {
        let mut keys = KeyFile::load(&path)?;
        let replaced = keys
            .rotate(seconds(now))
            .map_err(|why| Failure::new(why.exit, format!("{shown}: {why}")))?;
        let there = fs::metadata(&path)
            .map_err(|error| Failure::system(format_args!("cannot read {shown}"), &error))?;
        let what = match replaced {
            0 => "a new key is the last of",
            _ => "all that had ended are replaced, and a new key is the last of",
        };
        (keys, Some((there.uid(), there.gid())), there.mode() & 0o777, what)
    } else {
        (KeyFile::make(seconds(now))?, None, MODE, "made")
    };
    files.add_as(name, &keys.text(), mode, owner)?;
    files.finish()?;
    let end = moment(UNIX_EPOCH + Duration::from_secs(keys.sealing().made) + KEY_LIFE);
    let count = keys.keys.len();
    let summary = format!("{shown}: {what} {count} keys; the last but one seals, until {end}\n");
    let copy = "Copy it to the other machines that share it, then reload each daemon: systemctl reload echo-alex\n";
    output::print(if options.rotate {
        format!("{summary}{copy}")
    } else {
        format!(
            "{summary}\nLet the group of the daemon read it: chgrp echo-alex {shown}\n{copy}\n\
             In the configuration of each (a path is relative to that file):\n  [tickets]\n  file = {:?}\n\n\
             Once a day: echo-alex-certs tickets --rotate {shown}\n",
            options.file.display().to_string()
        )
    })
    .map(drop)
}

/// The file that is to be rotated. The keys of a link are where it points to.
fn existing(file: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(file).map_err(|error| {
        let what = format!("cannot read the ticket keys {}", file.display());
        let failure = Failure::system(what, &error);
        Failure::new(failure.exit, format!("{failure}; without --rotate, the file is made"))
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
