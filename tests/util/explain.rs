//! `explain` at work, and what it found.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::client::client;
use super::tool;

/// Explains a connection to `port` as `localhost`, in `folder`.
pub fn explain(folder: &Path, port: u16, arguments: &[&str]) -> Output {
    let mut command = explaining(folder, port);
    command.args(arguments).output().unwrap()
}

pub fn explaining(folder: &Path, port: u16) -> Command {
    let mut command = client();
    command.current_dir(folder).env_remove("SSLKEYLOGFILE").stdin(Stdio::null());
    command.args(["explain", "127.0.0.1", &port.to_string()]);
    command
}

pub const TLS_OPTIONS: [&str; 4] =
    ["--tls", "--ca=signing.pem", "--name=localhost", "--format=json"];

pub fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {output:?}"))
}

/// A message as `> ClientHello` or `< ServerHello`, of those that belong to TLS.
pub fn messages(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    let message = |step: &Value| {
        let name = step["name"].as_str()?;
        let way = match step["direction"].as_str()? {
            "sent" => ">",
            _ => "<",
        };
        let is_of_tcp = ["SYN", "SYN, ACK"].contains(&name) || name.starts_with("FIN");
        (!is_of_tcp).then(|| format!("{way} {name}"))
    };
    steps.filter_map(message).collect()
}

/// The details of the first step with this name.
pub fn details<'a>(report: &'a Value, name: &str) -> Vec<(&'a str, &'a str)> {
    let mut steps = report["steps"].as_array().unwrap().iter();
    let step =
        steps.find(|step| step["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
    let details = step["details"].as_array().unwrap().iter();
    details.map(|it| (it["name"].as_str().unwrap(), it["value"].as_str().unwrap())).collect()
}

/// tshark, which reads a capture of a TLS session.
pub fn tshark(file: &Path) -> Option<Command> {
    let mut tshark = tool("tshark")?;
    // The kernel may choose a port that tshark knows from another protocol.
    tshark.arg("-r").arg(file).args(["-d", "tcp.port==1-65535,tls"]);
    Some(tshark)
}

/// What it shows of the data, as text.
pub fn decrypted(file: &Path) -> Option<String> {
    let output = tshark(file)?.args(["-q", "-z", "follow,tls,ascii,0"]).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
