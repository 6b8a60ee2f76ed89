//! Has the C library return memory to the system when many sessions have ended.
//!
//! glibc does not merge a freed block with its neighbours as long as it keeps the block for the next request
//! of that size, and one such block at the end of the heap holds all that is free below it: 18 MB after 5,000
//! TLS sessions. There are two kinds of them:
//!
//! - The cache of each thread. It can be turned off before `main` alone, by the environment, because the call
//!   for it, mallopt(3), is not safe in Rust. Therefore the daemon executes itself again at its start: the
//!   same process, with the same id, descriptors and signal mask.
//! - The fast bins. They make TLS messages cheap, so they stay on, and are emptied when no session is left.
//!
//! `Environment=` in the unit would turn the cache off for that unit alone, and not for a daemon in a container
//! or a shell. jemalloc returns memory too, but needs a C build of its own, adds 0.25 MB on a Pi, and does not
//! run where a page is larger than on the machine that built it, as on a Raspberry Pi 5.

use std::env;
use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Where glibc looks for its tunables.
pub const VARIABLE: &str = "GLIBC_TUNABLES";

/// The tunables that the daemon needs.
pub const TUNABLES: &str = "glibc.malloc.tcache_count=0";

/// Its presence says that this is the second start. [`VARIABLE`] cannot say so: glibc removes it from the
/// environment of a program with file capabilities, which would start again for ever.
const STARTED_AGAIN: &str = "ECHO_ALEX_STARTED_AGAIN";

/// Executes this program again with the tunables, if it does not have them yet. Where that is not possible,
/// the daemon goes on as it is: it works the same, and keeps more memory.
pub fn start_again_with_tunables() {
    if cfg!(target_env = "gnu") && env::var_os(STARTED_AGAIN).is_none() {
        let theirs = env::var(VARIABLE).unwrap_or_default();
        if let Some(tunables) = beside(&theirs) {
            execute_again(&tunables);
        }
    }
}

/// Our tunables with those of the operator; `None` if the operator has decided about the cache.
fn beside(theirs: &str) -> Option<String> {
    let (name, _) = TUNABLES.split_once('=')?;
    match theirs {
        "" => Some(TUNABLES.into()),
        _ if theirs.contains(name) => None,
        _ => Some(format!("{theirs}:{TUNABLES}")),
    }
}

/// Returns only if it fails.
fn execute_again(tunables: &str) {
    // By its path, because the process is named after it; /proc/self/exe would make that "exe".
    let Ok(program) = env::current_exe() else { return };
    if is_loader(&program) {
        return;
    }
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let _ = command.args(arguments).env(VARIABLE, tunables).env(STARTED_AGAIN, "1").exec();
}

/// Whether the program is ld.so(8), as in `/lib/ld-linux-armhf.so.3 ./echo-alex`: it would take our arguments
/// for its own.
fn is_loader(program: &Path) -> bool {
    program.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with("ld") && name.contains(".so")
    })
}

/// Empties the fast bins, and returns the free end of the heap. glibc does the one when it allocates a large
/// block and the other when it frees a block of 64 KiB or more, but none that is mapped by itself, from
/// 128 KiB on.
pub fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(64 * 1024)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_tunables_are_kept() {
        assert_eq!(beside(""), Some(TUNABLES.into()));
        assert_eq!(
            beside("glibc.malloc.perturb=1"),
            Some(format!("glibc.malloc.perturb=1:{TUNABLES}"))
        );
        assert_eq!(beside("glibc.malloc.perturb=1:glibc.malloc.tcache_count=7"), None);
    }

    #[test]
    fn the_loader_is_not_started_again() {
        assert!(is_loader(Path::new("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")));
        assert!(is_loader(Path::new("/lib/ld-2.31.so")));
        assert!(!is_loader(Path::new("/usr/sbin/echo-alex")));
    }
}
