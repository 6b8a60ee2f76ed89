//! What is shipped for Prometheus and Grafana fits the daemon: alerts, the dashboard and docs/monitoring.md
//! name metrics that exist.
#![cfg(not(target_arch = "arm"))] // The files are the same there.

mod util;

use std::io::{Read, Write};

use util::documents::{Words, path, read};
use util::{Daemon, TLS, WEB, folder_with_certificates, tool};

const RULES: &str = "packaging/prometheus/echo-alex.rules.yml";
const DASHBOARD: &str = "packaging/grafana/echo-alex.json";

/// The metrics of a daemon that has a web, a UDP and a TLS listener.
fn families() -> Vec<(String, String)> {
    let udp = TLS.replace("\"tls\"", "\"udp\"");
    let udp = udp.split("[listener.tls]").next().unwrap().to_owned() + "transport = \"udp\"\n";
    let config = format!("{WEB}{udp}{TLS}");
    let daemon = Daemon::start_in(folder_with_certificates(), &config, |_| {});
    let mut stream = daemon.connect("web");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The names of all samples.
fn samples(families: &[(String, String)]) -> Words {
    let of = |(name, kind): &(String, String)| match kind.as_str() {
        "histogram" => ["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")).to_vec(),
        _ => vec![name.clone()],
    };
    families.iter().flat_map(of).collect()
}

/// The metrics that `text` names.
fn named(text: &str) -> Words {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("echo_alex_") || word.starts_with("process_"))
        .map(Into::into)
        .collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let samples = samples(&families());
    assert!(samples.len() > 20, "{samples:?}");
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let named = named(query);
            assert!(!named.is_empty() && named.is_subset(&samples), "{query}");
        }
    }
    for file in [RULES, DASHBOARD] {
        let named = named(&read(file));
        assert!(named.len() > 5 && named.is_subset(&samples), "{file}: {:?}", &named - &samples);
    }
}

#[test]
fn the_document_lists_all_metrics_and_no_others() {
    let document = read("docs/monitoring.md");
    let families: Words = families().into_iter().map(|(name, _)| name).collect();
    assert_eq!(named(&document), families);
}

#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    for (command, file) in
        [("check", RULES.to_owned()), ("test", RULES.replace(".yml", ".test.yml"))]
    {
        let Some(mut promtool) = tool("promtool") else { return };
        let output = promtool.args([command, "rules"]).arg(path(&file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
