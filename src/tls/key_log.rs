//! The secrets of TLS sessions, for a file in the format of SSLKEYLOGFILE, which Wireshark reads.
//!
//! The format is one line for each secret: its label, the random value of the `ClientHello`, the secret
//! (draft-ietf-tls-keylogfile). Whoever has the file can read the sessions.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::exit::Failure;
use crate::os::files;
use crate::os::units::hexadecimal;

/// Where the secrets of a client's sessions go.
#[derive(Debug, Default)]
pub struct KeyLog {
    file: Option<(PathBuf, File)>,
    /// They are kept too.
    keeps: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: String,
    /// Why the first line that could not be written was not.
    error: Option<io::Error>,
}

impl KeyLog {
    /// Appends them to the file at `path`. A new file is readable by its owner alone.
    pub fn to_file(path: &Path) -> Result<Self, Failure> {
        let file = files::private().append(true).open(path);
        let file = file.map_err(|error| cannot_write(path, &error))?;
        Ok(Self { file: Some((path.to_owned(), file)), ..Self::default() })
    }

    /// Keeps them too, for [`KeyLog::take`].
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// The file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// The lines that were kept since the last call.
    pub fn take(&self) -> String {
        std::mem::take(&mut self.state().lines)
    }

    /// Fails if a line could not be written.
    pub fn check(&self) -> Result<(), Failure> {
        match (self.state().error.take(), self.path()) {
            (Some(error), Some(path)) => Err(cannot_write(path, &error)),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hexadecimal(client_random), hexadecimal(secret));
        let mut state = self.state();
        if let Some((_, file)) = &self.file
            // In one write: other programs may append to the file at the same time.
            && let Err(error) = (&*file).write_all(line.as_bytes())
        {
            state.error.get_or_insert(error);
        }
        if self.keeps {
            state.lines.push_str(&line);
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format_args!("SSLKEYLOGFILE: cannot write {}", path.display()), error)
}
