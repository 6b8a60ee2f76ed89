//! The C client from a class works: several at the same time, each with its own echo.

mod util;

use std::path::Path;
use std::process::Command;

use util::{Daemon, PLAIN, Running, field, tool, wait};

/// Compiles the client, if there is a compiler.
fn compile(target: &Path) -> Option<()> {
    let mut compiler = tool("cc")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seed/client.c");
    let mut compiler =
        compiler.args(["-Wall", "-Werror", "-o"]).arg(target).arg(source).spawn().unwrap();
    assert!(wait(&mut compiler).success());
    Some(())
}

#[test]
fn three_simultaneous_clients_each_get_their_echo() {
    let daemon = Daemon::start(PLAIN);
    let program = daemon.path("client");
    let Some(()) = compile(&program) else { return };
    let port = daemon.address("plain").port().to_string();
    let mut clients: Vec<Running> = (0..3)
        .map(|_| {
            let mut command = Command::new(&program);
            command.args(["localhost", &port]);
            Running::start(command)
        })
        .collect();
    for client in &mut clients {
        assert_eq!(client.read_to("\n"), "Connected\n");
    }
    // The last to connect is answered first: no client waits for another to end.
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate().rev() {
            let line = format!("client {number}, round {round}\n");
            client.write(line.as_bytes());
            // The NUL at the end of a string in C is echoed too.
            let expected = format!("Received {} bytes: {line}", line.len() + 1);
            assert_eq!(client.read_to("\n"), expected);
        }
    }
    // All at the same time.
    for client in &mut clients {
        client.write(b"together\n");
    }
    for client in &mut clients {
        assert_eq!(client.read_to("\n"), "Received 10 bytes: together\n");
        assert!(client.child.try_wait().unwrap().is_none(), "a client has ended");
    }
    daemon.statistics();
    assert!(
        !daemon.seen().iter().any(|line| line.contains(" session listener=")),
        "a session has ended"
    );
    for client in &mut clients {
        assert!(client.finish().success());
    }
    let mut daemon = daemon;
    assert!(daemon.stop().success());
    let log = daemon.whole_log();
    let ends: Vec<&String> =
        log.iter().filter(|line| line.contains(" session listener=")).collect();
    assert_eq!(ends.len(), 3, "{log:#?}");
    for line in ends {
        assert_eq!(field(line, "reason"), "peer-done", "{line}");
        assert_eq!(field(line, "in"), field(line, "out"), "{line}");
    }
}
