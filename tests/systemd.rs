//! The messages to the service manager (`sd_notify(3)`).

mod util;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use util::{Daemon, PLAIN, assert_echo, plain_and_tls};

#[test]
fn ready_means_that_every_listener_accepts_connections() {
    let daemon = Daemon::launch_in(
        util::folder_with_certificates(),
        &format!("{PLAIN}{}", util::TLS),
        |_| {},
    );
    let first = daemon.notification();
    assert_eq!(first, "READY=1\nSTATUS=0 sessions (0 TLS), 0 bytes echoed\n");
    assert_echo(&mut daemon.connect("plain"), b"at once");
    assert_echo(&mut util::TlsClient::default().connect(&daemon), b"at once");
}

#[test]
fn a_daemon_that_cannot_start_is_never_ready() {
    let config = PLAIN.replace("127.0.0.1:0", "192.0.2.1:5000");
    let mut daemon = Daemon::launch_in(tempfile::tempdir().unwrap(), &config, |_| {});
    assert_eq!(daemon.wait().code(), Some(69));
    assert!(daemon.notifications_so_far().is_empty());
}

#[test]
fn the_status_has_the_current_figures_and_counts_tls() {
    let daemon = plain_and_tls();
    let mut plain = daemon.connect("plain");
    assert_echo(&mut plain, &[1; 1500]);
    let mut tls = util::TlsClient::default().connect(&daemon);
    assert_echo(&mut tls, &[1; 500]);
    daemon.wait_for_notification(|text| text == "STATUS=2 sessions (1 TLS), 2.0 kB echoed\n");
    drop((plain, tls));
    daemon.wait_for_notification(|text| text == "STATUS=0 sessions (0 TLS), 2.0 kB echoed\n");
}

#[test]
fn the_status_is_sent_at_most_once_a_second_and_only_if_it_changed() {
    let daemon = Daemon::start(PLAIN);
    let start = Instant::now();
    let mut stream = daemon.connect("plain");
    let mut messages = vec![String::new()];
    // Busy for as long as five status messages take.
    while messages.len() < 6 {
        assert!(start.elapsed() < util::PATIENCE);
        assert_echo(&mut stream, b"busy");
        for text in daemon.notifications_so_far() {
            assert!(text.starts_with("STATUS=1 session (0 TLS), "), "{text}");
            assert_ne!(Some(&text), messages.last());
            messages.push(text);
        }
    }
    // The first one is sent at any time, and then at most one a second. Late reads make the measured time only
    // longer.
    let between = u32::try_from(messages.len() - 2).unwrap();
    let least = between * Duration::from_millis(950);
    assert!(start.elapsed() > least, "{:?}: {messages:?}", start.elapsed());
    // The last change is sent, and then nothing.
    drop(stream);
    daemon.wait_for_notification(|text| text.starts_with("STATUS=0 sessions "));
    assert!(daemon.statistics().contains(" sessions=0 "));
    assert!(daemon.notifications_so_far().is_empty());
}

#[test]
fn watchdog_messages_are_sent_at_half_of_the_interval() {
    // WATCHDOG_PID must be that of the daemon, which is that of the shell that execs it.
    let launch = |pid: &str| {
        let script = format!("WATCHDOG_PID={pid} WATCHDOG_USEC=1000000 exec \"$@\"");
        Daemon::start_through(tempfile::tempdir().unwrap(), PLAIN, &script)
    };
    // Measured from before the start: from a late read of READY, the time would be too short.
    let start = Instant::now();
    let daemon = launch("$$");
    for _ in 0..4 {
        assert_eq!(daemon.notification(), "WATCHDOG=1\n");
    }
    // There are three intervals of half a second between four messages.
    assert!(start.elapsed() > Duration::from_millis(1400), "{:?}", start.elapsed());

    let others = launch("1");
    assert_echo(&mut others.connect("plain"), b"x");
    others.wait_for_notification(|text| {
        assert!(!text.contains("WATCHDOG"), "{text}");
        text.contains("0 sessions")
    });
}

#[test]
fn stopping_is_sent_before_the_end() {
    let mut daemon = Daemon::start(PLAIN);
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(daemon.notification(), "STOPPING=1\nSTATUS=stopping\n");
}

#[test]
fn without_a_service_manager_all_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::launch_in(folder, PLAIN, |command| {
        command.env_remove("NOTIFY_SOCKET");
    });
    assert_echo(&mut daemon.connect("plain"), b"x");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_line(|line| line.ends_with(" reloaded"));
    assert_echo(&mut daemon.connect("plain"), b"x");
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn a_missing_service_manager_does_not_stop_the_echo() {
    let daemon = Daemon::start(PLAIN);
    std::fs::remove_file(daemon.path("notify")).unwrap();
    let warning = format!(
        " WARN  cannot tell the service manager at {} (NOTIFY_SOCKET): no such file or directory",
        daemon.path("notify").display()
    );
    for reload in 0..3 {
        daemon.signal(rustix::process::Signal::HUP);
        daemon.wait_for_nth_line(reload, |line| line.ends_with(" reloaded"));
    }
    assert_echo(&mut daemon.connect("plain"), b"x");
    let warnings = daemon.seen().iter().filter(|line| line.ends_with(&warning)).count();
    assert_eq!(warnings, 1, "{:#?}", daemon.seen());
}

#[test]
fn a_service_manager_may_have_an_abstract_socket() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let name = format!("echo-alex-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(util::PATIENCE)).unwrap();
    let _daemon = Daemon::launch_in(tempfile::tempdir().unwrap(), PLAIN, |command| {
        command.env("NOTIFY_SOCKET", format!("@{name}"));
    });
    let mut buffer = [0; 100];
    let length = manager.recv(&mut buffer).unwrap();
    assert!(buffer[..length].starts_with(b"READY=1\n"));
}

#[test]
fn the_daemon_needs_no_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo-alex.toml");
    std::fs::write(&file, PLAIN).unwrap();
    let status = Command::new(util::program())
        .arg("--check")
        .arg("-c")
        .arg(&file)
        .env_clear()
        .envs(util::emulator())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
