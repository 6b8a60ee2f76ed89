//! `idle`: middleboxes that forget silent sessions, and what the client finds out about them.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use socket2::SockRef;
use util::client::{Client, port, run, stderr};
use util::{Daemon, PLAIN, program, tool};

/// The silences with `--max=1.2`, in the order of their connections, in milliseconds: first those that
/// double, and then divisions of what is between 1 s and 1.2 s.
const SILENCES: [u64; 9] = [1000, 1200, 1025, 1050, 1075, 1100, 1125, 1150, 1175];

/// A session that is silent for longer is forgotten. The middleboxes count connections instead of looking
/// at a clock, so that a busy machine changes nothing.
const MEMORY: u64 = 1100;

/// The connections that are remembered.
fn remembered() -> impl Iterator<Item = usize> {
    (0..SILENCES.len()).filter(|number| SILENCES[*number] <= MEMORY)
}

/// What a middlebox does with a session that it forgets.
#[derive(Clone, Copy)]
enum Then {
    /// It answers a message by a reset.
    Resets,
    /// It takes messages and delivers nothing.
    Swallows,
}

/// A middlebox before `server`: its port, and how long each session was silent.
fn middlebox(server: SocketAddr, then: Then) -> (String, Receiver<(usize, Duration)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port(listener.local_addr().unwrap());
    let (sender, silences) = channel();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            let sender = sender.clone();
            thread::spawn(move || forward(number, &client, &server, then, &sender));
        }
    });
    (number, silences)
}

/// Forwards a message and its echo, and one more message after the silence if the session is remembered.
fn forward(
    number: usize,
    client: &TcpStream,
    server: &TcpStream,
    then: Then,
    silences: &Sender<(usize, Duration)>,
) -> Option<()> {
    let silent_since = echo_once(client, server)?;
    client.peek(&mut [0]).ok().filter(|count| *count > 0)?;
    let _ = silences.send((number, silent_since.elapsed()));
    match then {
        _ if remembered().any(|it| it == number) => {
            echo_once(client, server)?;
        }
        Then::Resets => {
            // The reset is sent when the last descriptor is closed.
            util::reset(client.try_clone().unwrap());
            return None;
        }
        Then::Swallows => {}
    }
    (&*client).read_to_end(&mut Vec::new()).ok().map(drop)
}

/// Forwards one message, and its echo; returns a moment before the client has it.
fn echo_once(mut client: &TcpStream, mut server: &TcpStream) -> Option<Instant> {
    let mut bytes = [0; 1024];
    let count = client.read(&mut bytes).ok().filter(|count| *count > 0)?;
    server.write_all(&bytes[..count]).ok()?;
    server.read_exact(&mut bytes[..count]).ok()?;
    let before = Instant::now();
    client.write_all(&bytes[..count]).ok().map(|()| before)
}

fn idle(number: &str, options: &[&str]) -> Value {
    let common = ["idle", "--json", "-q"];
    let output = run(&[&common[..], options, &["127.0.0.1", number]].concat(), b"");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_memory_of_a_middlebox_is_found_and_what_it_does_then() {
    let daemon = Daemon::start(PLAIN);
    let server = daemon.address("plain");
    thread::scope(|scope| {
        for (then, timeout, ended, direction) in [
            (Then::Resets, "--timeout=30", "forgotten", "both"),
            // Only the end of this time shows that nothing comes.
            (Then::Swallows, "--timeout=3", "no-echo", "down"),
        ] {
            let (number, silences) = middlebox(server, then);
            scope.spawn(move || {
                let report = idle(&number, &["--max=1.2", timeout]);
                assert_eq!(
                    (&report["ended"], &report["direction"]),
                    (&ended.into(), &direction.into())
                );
                assert_eq!((&report["alive_s"], &report["dead_s"]), (&1.1.into(), &1.125.into()));
                let silences: Vec<_> = silences.try_iter().collect();
                assert!(silences.len() > remembered().count(), "{silences:?}");
                for (number, silence) in silences {
                    assert!(silence >= Duration::from_millis(SILENCES[number]), "{silence:?}");
                }
            });
        }
    });
}

/// A server that sends its FIN in the segment of its first echo: its port.
fn closing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port(listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut sessions = Vec::new();
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut bytes = [0; 32];
            client.read_exact(&mut bytes).unwrap();
            SockRef::from(&client).set_tcp_cork(true).unwrap();
            client.write_all(&bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            sessions.push(client);
        }
    });
    number
}

#[test]
fn a_session_that_is_closed_while_it_is_silent_ends_the_search() {
    let number = closing();
    let report = idle(&number, &["--max=100"]);
    assert_eq!((&report["ended"], &report["direction"]), (&"closed".into(), &"none".into()));
    assert_eq!(report["alive_s"], 0.0, "{report}");
    let output = run(&["idle", "--max=100", "-q", "127.0.0.1", &number], b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains(" s: closed by the server, or by "), "{output:?}");
}

#[test]
fn a_session_that_lives_as_long_as_asked_for_is_reported_as_such() {
    let daemon = Daemon::start(PLAIN);
    let number = port(daemon.address("plain"));
    let output = run(&["idle", "--max=1.2", "-q", "127.0.0.1", &number], b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(text, "a silent session lives 1.2 s or longer\n");
    let report = idle(&number, &["--max=0.2"]);
    assert_eq!((report["alive_s"].as_f64(), report["dead_s"].is_null()), (Some(0.2), true));
}

#[test]
fn an_interrupted_search_prints_what_is_known() {
    let daemon = Daemon::start(PLAIN);
    // Of the sessions, only the first comes to an end.
    let (number, _silences) = middlebox(daemon.address("plain"), Then::Swallows);
    let arguments = ["idle", "--max=1.2", "--timeout=600", "127.0.0.1", &number];
    let mut idle = Client::start(&arguments, |command| {
        command.stdout(Stdio::piped());
    });
    idle.wait_for("silent for 1.0 s: alive");
    idle.signal(Signal::INT);
    assert_eq!(idle.end(), 130);
    let mut text = String::new();
    idle.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "a silent session lives 1.0 s or longer; the search did not end\n");
}

/// A middlebox for packets, in a network namespace: packets to 10.9.0.2 come to this machine, and from
/// 10.9.0.3. Of the flows to the server that are not remembered, it drops the data after the first 32 bytes.
const PACKETS: &str = r#"
import fcntl, os, struct, subprocess, sys, threading
remembered, daemon, config, client = eval(sys.argv[1]), *sys.argv[2:5]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH", b"tun0", 0x1001))
for line in ["addr add 10.9.0.1/24 dev tun0", "link set tun0 up", "link set lo up"]:
    subprocess.run(["ip", *line.split()], check=True)
SERVER, CLIENT = bytes([10, 9, 0, 2]), bytes([10, 9, 0, 3])
HERE = bytes([10, 9, 0, 1])

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("!H", ~total & 0xffff)

def rewritten(packet, source, target):
    length = (packet[0] & 15) * 4
    head = packet[:10] + b"\0\0" + source + target + packet[20:length]
    head = head[:10] + checksum(head) + head[12:]
    body = packet[length:]
    body = body[:16] + b"\0\0" + body[18:]
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(body))
    sum_ = checksum(pseudo + body + b"\0" * (len(body) % 2))
    return head + body[:16] + sum_ + body[18:]

def forward():
    numbers, first = {}, {}
    while True:
        packet = os.read(tun, 65536)
        if packet[0] >> 4 != 4 or packet[9] != 6:
            continue
        length = (packet[0] & 15) * 4
        ports, sequence = struct.unpack("!LL", packet[length:length + 8])
        has_data = len(packet) > length + (packet[length + 12] >> 4) * 4
        if packet[16:20] == SERVER:
            number = numbers.setdefault(ports, len(numbers))
            is_first = has_data and sequence == first.setdefault(ports, sequence)
            if has_data and not is_first and number not in remembered:
                continue
            os.write(tun, rewritten(packet, CLIENT, HERE))
        elif packet[16:20] == CLIENT:
            os.write(tun, rewritten(packet, SERVER, HERE))

threading.Thread(target=forward, daemon=True).start()
server = subprocess.Popen([daemon, "--config", config], stderr=subprocess.PIPE, text=True)
for line in server.stderr:
    if " listening " in line:
        break
threading.Thread(target=server.stderr.read, daemon=True).start()
done = subprocess.run([client, "idle", "--json", "-q", "--max=1.2", "--timeout=3", "10.9.0.2", "5000"])
server.terminate()
sys.exit(done.returncode)
"#;

#[test]
fn a_way_to_the_server_that_drops_packets_is_told_from_a_way_back() {
    if !Path::new("/dev/net/tun").exists() || util::emulated() {
        eprintln!("skipped: there is no /dev/net/tun");
        return;
    }
    let (Some(mut probe), Some(mut python)) = (tool("unshare"), tool("unshare")) else { return };
    if tool("python3").is_none() || tool("ip").is_none() {
        return;
    }
    let script = "exec 3<>/dev/net/tun && ip tuntap add probe mode tun";
    let namespace = ["--user", "--map-root-user", "--net"];
    let namespace: &[&str] =
        if rustix::process::geteuid().is_root() { &["--net"] } else { &namespace };
    if !probe.args(namespace).args(["sh", "-c", script]).output().unwrap().status.success() {
        eprintln!("skipped: the kernel gives no tun device in a namespace");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("echo-alex.toml");
    std::fs::write(&config, "[[listener]]\nname = \"plain\"\nlisten = \"0.0.0.0:5000\"\n").unwrap();
    let list = format!("{:?}", remembered().collect::<Vec<_>>());
    python.args(namespace).args(["python3", "-c", PACKETS, &list, program()]).arg(&config);
    python.arg(util::client::client().get_program());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["ended"], &report["direction"]), (&"unacknowledged".into(), &"up".into()));
    assert_eq!((&report["alive_s"], &report["dead_s"]), (&1.1.into(), &1.125.into()));
}
