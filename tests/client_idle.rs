//! `idle`: middleboxes that forget silent sessions, and what the client finds out about them.

mod util;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use util::client::{Client, port, run, stderr};
use util::{Daemon, PLAIN, program, tool};

/// How long the middleboxes remember a silent session.
const MEMORY: Duration = Duration::from_millis(1500);

/// What a middlebox does with a session that it has forgotten.
#[derive(Clone, Copy)]
enum Then {
    /// It ends the session in order as soon as it forgets it.
    Closes,
    /// It answers a message by a reset.
    Resets,
    /// It takes messages and delivers nothing.
    Swallows,
}

/// A middlebox before `server`: its port.
fn middlebox(server: SocketAddr, then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port(listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            thread::spawn(move || forward(&client, &server, then));
        }
    });
    number
}

/// Forwards what comes, both ways, until the session was silent for too long.
fn forward(client: &TcpStream, server: &TcpStream, then: Then) {
    let last = Arc::new(Mutex::new(Instant::now()));
    if let Then::Closes = then {
        let (client, last) = (client.try_clone().unwrap(), last.clone());
        thread::spawn(move || {
            loop {
                let silent = last.lock().unwrap().elapsed();
                if silent >= MEMORY {
                    let _ = client.shutdown(Shutdown::Write);
                    return;
                }
                thread::sleep(MEMORY.saturating_sub(silent));
            }
        });
    }
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = (&*client).read(&mut bytes) {
        let is_forgotten = last.lock().unwrap().elapsed() > MEMORY;
        match then {
            Then::Resets if is_forgotten => {
                util::reset(client.try_clone().unwrap());
                let _ = server.shutdown(Shutdown::Both);
                // The reset is sent when the last descriptor is closed.
                return;
            }
            Then::Swallows if is_forgotten => continue,
            _ => {}
        }
        if (&*server).write_all(&bytes[..count]).is_err() {
            return;
        }
        let mut back = vec![0; count];
        if (&*server).read_exact(&mut back).is_err() || (&*client).write_all(&back).is_err() {
            return;
        }
        *last.lock().unwrap() = Instant::now();
    }
}

fn idle(number: &str, options: &[&str]) -> Value {
    let common = ["idle", "--json", "-q", "--timeout=0.7"];
    let output = run(&[&common[..], options, &["127.0.0.1", number]].concat(), b"");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_memory_of_a_middlebox_is_found_and_what_it_does_then() {
    let daemon = Daemon::start(PLAIN);
    let server = daemon.address("plain");
    thread::scope(|scope| {
        for (then, ended, direction) in [
            (Then::Closes, "closed", "none"),
            (Then::Resets, "forgotten", "both"),
            (Then::Swallows, "no-echo", "down"),
        ] {
            let number = middlebox(server, then);
            scope.spawn(move || {
                let report = idle(&number, &["--max=3"]);
                let [alive, dead] = ["alive_s", "dead_s"].map(|key| report[key].as_f64().unwrap());
                let memory = MEMORY.as_secs_f64();
                assert_eq!(
                    (&report["ended"], &report["direction"]),
                    (&ended.into(), &direction.into()),
                    "{report}"
                );
                assert!(alive <= memory && dead > memory - 0.05, "{report}");
                // On a busy machine, a message may be later than planned.
                assert!(dead < memory + 0.3, "{report}");
                assert!(ended == "closed" || dead - alive < 0.3, "{report}");
            });
        }
    });
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
    // The daemon itself ends silent sessions.
    let impatient = Daemon::start(&format!("[limits]\nidle-timeout = \"1s\"\n{PLAIN}"));
    let number = port(impatient.address("plain"));
    let report = idle(&number, &["--max=5"]);
    assert_eq!(report["ended"], "closed", "{report}");
    let dead = report["dead_s"].as_f64().unwrap();
    assert!((0.9..3.0).contains(&dead), "{report}");
}

#[test]
fn an_interrupted_search_prints_what_is_known() {
    let daemon = Daemon::start(PLAIN);
    let number = port(daemon.address("plain"));
    let mut idle = Client::start(&["idle", "127.0.0.1", &number], |command| {
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
/// 10.9.0.3. A flow to the server that was silent for too long is dropped.
const PACKETS: &str = r#"
import fcntl, os, struct, subprocess, sys, threading, time
memory, daemon, config, client = float(sys.argv[1]), *sys.argv[2:5]
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
    seen = {}
    while True:
        packet = os.read(tun, 65536)
        if packet[0] >> 4 != 4 or packet[9] != 6:
            continue
        length = (packet[0] & 15) * 4
        ports, flags, now = packet[length:length + 4], packet[length + 13], time.monotonic()
        if packet[16:20] == SERVER:
            if not flags & 2 and now - seen.get(ports, 0) > memory:
                continue
            seen[ports] = now
            os.write(tun, rewritten(packet, CLIENT, HERE))
        elif packet[16:20] == CLIENT:
            os.write(tun, rewritten(packet, SERVER, HERE))

threading.Thread(target=forward, daemon=True).start()
server = subprocess.Popen([daemon, "--config", config], stderr=subprocess.PIPE, text=True)
for line in server.stderr:
    if " listening " in line:
        break
threading.Thread(target=server.stderr.read, daemon=True).start()
done = subprocess.run([client, "idle", "--json", "-q", "--max=3", "--timeout=0.7", "10.9.0.2", "5000"])
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
    python.args(namespace).args(["python3", "-c", PACKETS, "1.5", program()]).arg(&config);
    python.arg(util::client::client().get_program());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["ended"], &report["direction"]), (&"unacknowledged".into(), &"up".into()));
    let dead = report["dead_s"].as_f64().unwrap();
    assert!(dead > 1.45 && dead < 1.9, "{report}");
}
