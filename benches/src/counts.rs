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
use crate::servers::{self, Kind, Programs, Transport};
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
    let wanted = |kind: &Kind| kind.is_daemon() || (options.all && !kind.is_extra());
    for kind in servers::ALL.into_iter().filter(wanted) {
        let subject = Subject { kind, programs, identity: &identity };
        let counts = match kind.transport {
            Transport::Plain | Transport::Tls => traced::counts(subject),
            Transport::Udp => datagrams::counts(subject),
        };
        let counts = counts.map_err(|error| format!("{}: {error}", kind.name))?;
        let title = format!("{} {}", kind.name, kind.transport.name());
        if kind.is_daemon() {
            judge.judge(&title, bounds_of(kind), &counts);
            if kind.transport == Transport::Plain {
                judge.judge("echo-alex web", "web", &traced::web_counts(subject)?);
            }
        } else {
            show(&title, &counts);
        }
    }
    Ok(judge.end())
}

/// The table of the bounds of a daemon.
fn bounds_of(kind: Kind) -> &'static str {
    if kind.name == "echo-alex-any" { "udp-any" } else { kind.transport.name() }
}
