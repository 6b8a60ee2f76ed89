//! What a message and a session cost, counted and not timed. A busy machine has the same counts, so
//! they can be held to bounds.

mod bounds;
mod datagrams;
mod emulated;
mod load;
mod traced;

use std::path::Path;
use std::process::ExitCode;

use crate::Result;
use crate::identity::{Identity, KeyType};
use crate::servers::{self, Programs};
use crate::subject::Subject;
use bounds::{Judge, show};

/// What to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The peers too.
    pub(crate) all: bool,
    /// On an emulated Pi.
    pub(crate) arm: bool,
}

/// Counts, compares with the bounds, and prints how many passed.
pub(crate) fn run(options: Options, programs: &Programs, root: &Path) -> Result<ExitCode> {
    let mut judge = Judge::new(&root.join("benches/bounds.toml"))?;
    let folder = tempfile::tempdir()?;
    let identity = Identity::make(folder.path(), KeyType::Ecdsa)?;
    // The cores are not split between server and load: nothing is timed, and both are slow under a
    // tracer.
    if options.arm {
        for (table, counts) in emulated::counts(root, &identity)? {
            judge.judge(table, table, &counts);
        }
        return Ok(judge.end());
    }
    let wanted = |kind: &servers::Kind| kind.is_daemon() || (options.all && !kind.is_extra());
    for kind in servers::ALL.into_iter().filter(wanted) {
        let counts = traced::counts(Subject { kind, programs, identity: &identity })
            .map_err(|error| format!("{}: {error}", kind.name))?;
        let transport = if kind.tls { "tls" } else { "plain" };
        let title = format!("{} {transport}", kind.name);
        if kind.is_daemon() {
            judge.judge(&title, transport, &counts);
            if !kind.tls {
                let counts = traced::web_counts(Subject { kind, programs, identity: &identity })?;
                judge.judge("echo-alex web", "web", &counts);
                let counts = datagrams::counts(Subject { kind, programs, identity: &identity })?;
                judge.judge("echo-alex udp", "udp", &counts);
            }
        } else {
            show(&title, &counts);
        }
    }
    Ok(judge.end())
}
