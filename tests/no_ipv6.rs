//! On a kernel without IPv6, a port number listens on every IPv4 address, at the start and after a reload.

mod util;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use util::{Daemon, assert_echo, connect, tool, wait_until};

#[test]
fn a_port_number_listens_on_ipv4_alone_without_ipv6_in_the_kernel() {
    if tool("strace").is_none() {
        return;
    }
    let config = "[[listener]]\nname = \"plain\"\nlisten = 0\n";
    // Finds the number of its first socket for IPv6.
    let mut seen = Daemon::start_through(
        tempfile::tempdir().unwrap(),
        config,
        "exec strace -D -f -e trace=socket -o \"$(dirname \"$3\")/trace\" \"$@\"",
    );
    let trace = seen.path("trace");
    assert!(seen.stop().success());
    let read = || fs::read_to_string(&trace).unwrap_or_default();
    wait_until("the trace of a socket for IPv6", || read().contains("AF_INET6"));
    let calls = read();
    let calls: Vec<&str> = calls.lines().filter(|line| line.contains("socket(")).collect();
    let first = calls.iter().position(|call| call.contains("AF_INET6")).unwrap() + 1;

    // From that one on, strace makes the call fail as in a kernel without IPv6.
    let daemon = Daemon::start_through(
        tempfile::tempdir().unwrap(),
        config,
        &format!(
            "exec strace -D -f -qq -e trace=socket -e inject=socket:error=EAFNOSUPPORT:when={first}+ \
             -o /dev/null \"$@\""
        ),
    );
    let address = daemon.address("plain");
    assert_eq!(address, SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())));
    daemon.statistics();
    assert!(daemon.seen().iter().all(|line| !line.contains("[::]")));
    let mut stream = connect((Ipv4Addr::LOCALHOST, address.port()).into());
    assert_echo(&mut stream, b"IPv4 alone");

    assert!(daemon.reload().ends_with(" reloaded"));
    assert_echo(&mut stream, b"still there");
}
