//! Clients of others get their messages back from `/echo`, over ws and wss: Python's websockets and ws for
//! Node, from Debian's packages or from anywhere else.

mod util;

use std::process::{Command, Output};

use util::{Daemon, TLS_WEB, WEB, folder_with_certificates, installed};

/// Text, bytes, an empty message, one of 1 MB, fragments and a ping.
const PYTHON: &str = r#"
import asyncio, os, ssl, sys
from websockets import connect

async def main(url, ca):
    options = {"ssl": ssl.create_default_context(cafile=ca)} if url.startswith("wss") else {}
    async with connect(url, max_size=None, **options) as socket:
        for message in ["grüße", "", b"\0\xff" * 9, os.urandom(1 << 20), "😀" * 70000]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["in ", "three ", "pieces"])
        assert await socket.recv() == "in three pieces"
        await asyncio.wait_for(await socket.ping(), 10)
    assert socket.close_code == 1000, socket.close_code

asyncio.run(main(sys.argv[1], sys.argv[2]))
"#;

/// The same without fragments, which ws does not send.
const NODE: &str = r#"
const { WebSocket } = require("ws");
const [url, ca] = process.argv.slice(1);
const socket = new WebSocket(url, { ca: require("fs").readFileSync(ca) });
const messages = ["grüße", "", Buffer.from([0, 255]), Buffer.alloc(1 << 20, "x"), "😀".repeat(70000)];
let next = 0;
let ponged = false;
socket.on("open", () => { socket.ping("alive"); socket.send(messages[0]) });
socket.on("pong", (data) => { ponged = data.toString() == "alive" });
socket.on("message", (data, isBinary) => {
  const sent = messages[next++];
  if (isBinary != (typeof sent != "string") || !data.equals(Buffer.from(sent))) throw new Error(`message ${next}`);
  if (next < messages.length) socket.send(messages[next]); else socket.close(1000);
});
socket.on("close", (code) => { if (code != 1000 || next != messages.length || !ponged) process.exit(1) });
"#;

/// Runs `client`, with a URL and the file of a CA, over ws and wss, and over wss with another CA.
fn assert_echoed(client: impl Fn() -> Command) {
    let daemon = Daemon::start_in(folder_with_certificates(), &format!("{WEB}{TLS_WEB}"), |_| {});
    let others = folder_with_certificates();
    let plain = format!("ws://{}/echo", daemon.address("web"));
    let tls = format!("wss://localhost:{}/echo", daemon.address("tls").port());
    let run = |url: &str, ca| -> Output { client().arg(url).arg(ca).output().unwrap() };
    for url in [&plain, &tls] {
        let output = run(url, daemon.path("signing.pem"));
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = run(&tls, others.path().join("signing.pem"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("certificate"), "{said}");
}

/// Whether an interpreter has run its code to the end.
fn succeeds(interpreter: &mut Command) -> bool {
    interpreter.output().is_ok_and(|output| output.status.success())
}

fn python(program: &str, code: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-c", code]);
    command
}

fn node(code: &str) -> Command {
    let mut command = Command::new("node");
    // Where Debian and npm install libraries.
    let folders = ["/usr/share/nodejs", "/usr/lib/node_modules", "/usr/local/lib/node_modules"];
    command.args(["-e", code]).env("NODE_PATH", folders.join(":"));
    command
}

#[test]
fn websockets_of_python_get_their_messages_back() {
    // Debian's own interpreter finds Debian's packages.
    let mut programs = ["python3", "/usr/bin/python3"].into_iter();
    let found = programs.find(|program| succeeds(&mut python(program, "import websockets")));
    let Some(program) = installed("websockets for Python", found) else { return };
    assert_echoed(|| python(program, PYTHON));
}

#[test]
fn ws_of_node_gets_its_messages_back() {
    let found = succeeds(&mut node("require('ws')")).then_some(());
    if installed("ws for Node", found).is_some() {
        assert_echoed(|| node(NODE));
    }
}
