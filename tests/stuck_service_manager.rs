//! A stuck service manager does not block the daemon, and receives READY=1 later.

mod util;

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use util::{Daemon, PATIENCE, PLAIN, assert_echo};

#[test]
fn a_stuck_service_manager_blocks_nothing_and_receives_ready_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stuck");
    let manager = UnixDatagram::bind(&path).unwrap();
    let other_service = UnixDatagram::unbound().unwrap();
    other_service.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = other_service.send_to(b"WATCHDOG=1", &path) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);

    let daemon = Daemon::launch_in(folder, PLAIN, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_echo(&mut daemon.connect("plain"), b"nobody waits");

    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = manager.recv(&mut buffer).expect("READY=1 was not sent again");
        if buffer[..length].starts_with(b"READY=1\n") {
            break;
        }
    }
}
