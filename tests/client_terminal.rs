//! The client on a terminal: what is typed, what arrives meanwhile, Ctrl-D and Ctrl-C.

mod util;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use util::client::{end, run, server, silent};
use util::{Daemon, PATIENCE, PLAIN, field, plain_and_tls, tool};

const CTRL_C: &[u8] = b"\x03";
const CTRL_D: &[u8] = b"\x04";

/// The terminal's session leader, and the client's parent. When a session leader ends, the kernel drops
/// output that was not read yet; therefore it stays until it is killed.
const LEADER: &str = "trap : INT; \"$@\"; echo \"exit code $?\"; read -r _";

/// A client on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Runs the client; `None` where there is no setsid(1) to give it the terminal.
    fn run(arguments: &[&str]) -> Option<Self> {
        Self::run_with(&[], arguments)
    }

    /// Runs the client with these environment variables.
    fn run_with(variables: &[(&str, &str)], arguments: &[&str]) -> Option<Self> {
        let mut command = tool("setsid")?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let child = command
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .args(["--ctty", "--wait", "sh", "-c", LEADER, "sh"])
            .arg(env!("CARGO_BIN_EXE_echo-alex-client"))
            .args(arguments)
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let mut output = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of a terminal is an error (EIO).
            while let Ok(count) = output.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self { child, keyboard, screen, seen: String::new() })
    }

    fn type_in(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits until the screen shows this, after what was waited for before.
    fn wait_for(&mut self, text: &str) {
        let at = self.find(text);
        self.seen.drain(..at + text.len());
    }

    /// Waits until the screen shows this, and returns where.
    fn find(&mut self, text: &str) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                return at;
            }
            match self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(error) => panic!("the screen shows {:?} and not {text:?} ({error})", self.seen),
            }
        }
    }

    /// The client's exit code, and what the screen showed before that was not waited for.
    fn end(&mut self) -> (i32, String) {
        let at = self.find("exit code ");
        let rest = self.seen[..at].to_owned();
        self.wait_for("exit code ");
        let end = self.find("\r\n");
        (self.seen[..end].parse().unwrap(), rest)
    }

    fn exit_code(&mut self) -> i32 {
        self.end().0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port(daemon: &Daemon, listener: &str) -> String {
    daemon.address(listener).port().to_string()
}

/// A client on a terminal, and the server's side of its connection; `None` as for [`Terminal::run`].
fn connected() -> Option<(Terminal, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let terminal = Terminal::run(&["127.0.0.1", &address.port().to_string()])?;
    let (server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    Some((terminal, server))
}

#[test]
fn a_line_comes_back_with_its_byte_counts_and_ctrl_d_waits_for_the_rest() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(&daemon, "plain"), port(&daemon, "tls"));
    let signing = daemon.path("signing.pem");
    let tls = ["--tls", "--ca", signing.to_str().unwrap(), "localhost", &tls];
    for arguments in [&["127.0.0.1", &plain][..], &tls] {
        let Some(mut terminal) = Terminal::run(arguments) else { return };
        terminal.wait_for(&format!("{} is ", arguments[arguments.len() - 2]));
        terminal.wait_for("127.0.0.1");
        terminal.wait_for("connected to 127.0.0.1:");
        if arguments.contains(&"--tls") {
            terminal.wait_for("certificate valid: CN=");
        }
        for line in ["hello, Alex", "and again"] {
            terminal.type_in(format!("{line}\n").as_bytes());
            let bytes = line.len() + 1;
            // The terminal's own echo, ours, and the server's.
            terminal.wait_for(&format!("{line}\r\n"));
            terminal.wait_for(&format!("sent {bytes} bytes\r\n"));
            terminal.wait_for(&format!("{line}\r\nreceived {bytes} bytes\r\n"));
        }
        terminal.type_in(CTRL_D);
        terminal.wait_for("closed by the server: sent 22 bytes, received 22 bytes in ");
        assert_eq!(terminal.exit_code(), 0);
    }
    daemon.wait_for_line(|line| line.contains("listener=tls") && line.contains("reason=peer-done"));
}

#[test]
fn ctrl_c_closes_the_connection_cleanly_and_the_exit_code_is_130() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(&daemon, "plain"), port(&daemon, "tls"));
    for (name, arguments) in [
        ("plain", &["127.0.0.1", &plain][..]),
        ("tls", &["--tls", "--insecure", "127.0.0.1", &tls]),
    ] {
        let Some(mut terminal) = Terminal::run(arguments) else { return };
        terminal.type_in(b"one\n");
        terminal.wait_for("received 4 bytes\r\n");
        terminal.type_in(b"half a li");
        terminal.type_in(CTRL_C);
        terminal.wait_for("interrupted: sent 4 bytes, received 4 bytes in ");
        assert_eq!(terminal.exit_code(), 130);
        let line = daemon.wait_for_line(|line| {
            line.contains(" session listener=") && line.contains(&format!("listener={name} "))
        });
        assert_eq!(field(&line, "reason"), "peer-done", "{line}");
    }
}

#[test]
fn ctrl_d_half_closes_and_the_answer_that_follows_is_read() {
    let Some((mut terminal, mut server)) = connected() else { return };
    terminal.type_in(b"all of it?\n");
    terminal.wait_for("sent 11 bytes\r\n");
    terminal.type_in(CTRL_D);
    // The server answers only after the client has half-closed.
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "all of it?\n");
    server.write_all(b"all of it\n").unwrap();
    terminal.wait_for("all of it\r\nreceived 10 bytes\r\n");
    drop(server);
    terminal.wait_for("closed by the server: sent 11 bytes, received 10 bytes in ");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn ctrl_c_sends_a_fin_and_no_reset() {
    let Some((mut terminal, mut server)) = connected() else { return };
    terminal.wait_for("connected to ");
    terminal.type_in(CTRL_C);
    terminal.wait_for("interrupted: sent 0 bytes, received 0 bytes in ");
    assert_eq!(terminal.exit_code(), 130);
    // A reset would be an error.
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn data_that_arrives_while_a_line_is_typed_is_shown_at_once() {
    let Some((mut terminal, mut server)) = connected() else { return };
    terminal.wait_for("connected to ");
    terminal.type_in(b"GE");
    terminal.wait_for("GE");
    server.write_all(b"are you still there?\n").unwrap();
    terminal.wait_for("are you still there?\r\nreceived 21 bytes\r\n");
    // The line that was half typed continues, and is sent as a whole.
    terminal.type_in(b"T\n");
    let mut line = [0; 4];
    server.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"GET\n");
    terminal.wait_for("sent 4 bytes\r\n");
    // The server closes: the client prints that and exits, without Ctrl-D.
    drop(server);
    terminal.wait_for("closed by the server: sent 4 bytes, received 21 bytes");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn quiet_prints_only_the_conversation() {
    let daemon = Daemon::start(PLAIN);
    let Some(mut terminal) = Terminal::run(&["-q", "127.0.0.1", &port(&daemon, "plain")]) else {
        return;
    };
    terminal.type_in(b"hush\n");
    terminal.wait_for("hush\r\nhush\r\n");
    terminal.type_in(CTRL_D);
    assert_eq!(terminal.end(), (0, String::new()));
}

#[test]
fn a_ping_can_ring_the_bell_at_each_echo() {
    let daemon = Daemon::start(PLAIN);
    let port = port(&daemon, "plain");
    for (bell, rings) in [(&[][..], 0), (&["-a"], 2)] {
        let arguments = [&["ping", "-c2", "-i0.01"], bell, &["127.0.0.1", &port]].concat();
        let Some(mut terminal) = Terminal::run(&arguments) else { return };
        let (code, screen) = terminal.end();
        assert_eq!((code, screen.matches('\x07').count()), (0, rings), "{screen}");
    }
}

#[test]
fn control_characters_of_the_server_are_shown_and_not_obeyed_unless_asked_for() {
    for (options, shown) in [(&[][..], "^[[2Jhi^G^Mho\r\n"), (&["--raw"], "\x1b[2Jhi\x07\rho\r\n")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let Some(mut terminal) = Terminal::run(&[&["-q"], options, &["127.0.0.1", &port]].concat())
        else {
            return;
        };
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"\x1b[2Jhi\x07\rho\r\n").unwrap();
        drop(server);
        let (code, screen) = terminal.end();
        // The terminal makes CR LF of a line feed.
        assert_eq!((code, screen.replace("\r\r\n", "\r\n").as_str()), (0, shown));
    }
}

#[test]
fn a_task_of_more_than_a_second_shows_its_progress_on_a_terminal() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(&daemon, "plain"), port(&daemon, "tls"));
    let plain = ["127.0.0.1", &plain[..]];
    let tls = ["--tls", "--insecure", "127.0.0.1", &tls];
    for (arguments, words) in [
        (&[&["bench", "--duration=1.3"][..], &plain].concat(), " of 1.3 s, "),
        (&[&["bench", "--loaded-latency", "--duration=1.3"][..], &plain].concat(), " of 1.3 s, "),
        (&[&["handshakes", "--duration=3"][..], &tls].concat(), " resumed handshakes "),
        (&[&["idle", "--max=1.3"][..], &plain].concat(), " sessions known "),
    ] {
        let Some(mut terminal) = Terminal::run(arguments) else { return };
        terminal.wait_for("\r[");
        terminal.wait_for(words);
        terminal.wait_for("\r\x1b[K");
        terminal.exit_code();
    }
    for quiet in [&["bench", "--duration=0.5"][..], &["bench", "--duration=1.3", "-q"]] {
        let Some(mut terminal) = Terminal::run(&[quiet, &plain].concat()) else { return };
        let (_, screen) = terminal.end();
        assert!(!screen.contains("\r["), "{screen:?}");
    }
}

#[test]
fn a_connection_that_is_not_there_after_a_second_shows_what_the_client_waits_for() {
    let (_socket, _queue, address) = silent();
    let silent = address.port().to_string();
    // It accepts, and says nothing.
    let mute = server(|stream| drop(stream.peek(&mut [0; 1]).and_then(|_| end_of(stream))));
    let connecting = ["--timeout=2", "127.0.0.1", &silent];
    let shaking = ["--timeout=2", "--tls", "--insecure", "127.0.0.1", &mute];
    for (arguments, words) in [
        (&connecting[..], "\rconnecting to 127.0.0.1: "),
        (&shaking, "\rTLS handshake with 127.0.0.1: "),
    ] {
        let Some(mut terminal) = Terminal::run(arguments) else { return };
        terminal.wait_for(words);
        // The line is cleared before the error is printed.
        let (code, screen) = terminal.end();
        assert_eq!(code, 4, "{screen:?}");
        let (_, rest) = screen.rsplit_once("\r\x1b[K").unwrap_or_else(|| panic!("{screen:?}"));
        assert!(rest.starts_with("echo-alex-client: "), "{screen:?}");
    }
    let Some(mut terminal) = Terminal::run(&[&["-q"], &connecting[..]].concat()) else { return };
    assert!(!terminal.end().1.contains("connecting"));
    let (_, said) = end(&run(&connecting, b""));
    assert!(!said.contains('\r') && !said.contains("connecting"), "{said:?}");
}

/// Waits for the end of a connection.
fn end_of(mut stream: TcpStream) -> std::io::Result<usize> {
    stream.read_to_end(&mut Vec::new())
}

#[test]
fn a_look_up_that_lasts_is_shown() {
    if util::emulated() {
        eprintln!("skipped: the compiler makes nothing for the emulator");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = util::preload(util::SILENT_RESOLVER, folder.path()) else { return };
    let library = [("LD_PRELOAD", library.to_str().unwrap())];
    let arguments = ["--timeout=2", "alex.invalid"];
    let Some(mut terminal) = Terminal::run_with(&library, &arguments) else { return };
    terminal.wait_for("\rlooking up alex.invalid: ");
    assert_eq!(terminal.exit_code(), 4);
}

#[test]
fn a_diagram_has_colours_on_a_terminal_unless_they_are_not_wanted() {
    let daemon = plain_and_tls();
    let tls = port(&daemon, "tls");
    let arguments = ["explain", "--tls", "--insecure", "127.0.0.1", &tls];
    for (variables, is_coloured) in [
        (&[][..], true),
        (&[("NO_COLOR", "")], true),
        (&[("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let Some(mut terminal) = Terminal::run_with(variables, &arguments) else { return };
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("ClientHello"), "{screen}");
        assert_eq!(screen.contains("\x1b[0m"), is_coloured, "{variables:?}: {screen:?}");
    }
    let piped = run(&arguments, b"");
    assert!(!String::from_utf8(piped.stdout).unwrap().contains('\x1b'));
}
