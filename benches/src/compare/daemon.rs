//! What is measured of the daemon alone: how long it takes to start, and whether it sleeps while
//! nothing happens.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Dialler, Handshake};
use crate::report::Alone;
use crate::servers::{self, Programs};
use crate::stats::Spread;
use crate::{Result, machine};

/// Measures the daemon alone; if `quick`, with fewer starts and a shorter time.
pub(super) fn alone(quick: bool, programs: &Programs, remarks: &mut Vec<String>) -> Result<Alone> {
    let (starts, idle_seconds) = if quick { (5, 2) } else { (20, 10) };
    let times = (0..starts).map(|_| ready(programs)).collect::<Result<Vec<_>>>()?;
    let idle_calls = idle_calls(programs, Duration::from_secs(idle_seconds));
    if let Err(error) = &idle_calls {
        remarks.push(format!("system calls of an idle daemon: {error}"));
    }
    Ok(Alone { ready_ms: Spread::of(times), idle_calls: idle_calls.ok(), idle_seconds })
}

/// From the start of the daemon, with listeners like those of the built-in configuration, to READY=1,
/// in milliseconds.
fn ready(programs: &Programs) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("echo-alex.toml");
    fs::write(
        &settings,
        "[[listener]]\nname = \"plain\"\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"tls\"\nlisten = \"127.0.0.1:0\"\n[listener.tls]\n",
    )?;
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(Duration::from_secs(10)))?;
    let start = Instant::now();
    let mut command = Command::new(programs.product.join("echo-alex"));
    command.arg("-c").arg(&settings).env("NOTIFY_SOCKET", &path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = machine::spawn_server(&mut command)?;
    let mut message = [0; 512];
    let time = loop {
        match manager.recv(&mut message) {
            Ok(count) if message[..count].split(|b| *b == b'\n').any(|l| l == b"READY=1") => {
                break Ok(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok(_) => {}
            Err(error) => break Err(format!("no READY=1: {error}").into()),
        }
    };
    machine::terminate(&child);
    child.wait()?;
    time
}

/// System calls in `time` of a daemon with 100 idle sessions.
fn idle_calls(programs: &Programs, time: Duration) -> Result<usize> {
    let calls = tempfile::NamedTempFile::new()?;
    let tracer = ["strace", "-D", "-f", "-o", &calls.path().to_string_lossy()].map(str::to_owned);
    let server = servers::ALL[0].start(programs, None, &tracer)?;
    let _sessions = Dialler::new(&server, None, Handshake::Full)?.sessions(100)?;
    let lines = || Ok::<_, std::io::Error>(fs::read_to_string(calls.path())?.lines().count());
    // Until what the last session caused is over and written down.
    thread::sleep(Duration::from_secs(1));
    let before = lines()?;
    thread::sleep(time);
    Ok(lines()? - before)
}
