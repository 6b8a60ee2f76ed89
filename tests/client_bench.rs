//! `bench`: the open loop, which does not hide a stall, and what it reports of itself.

mod util;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use util::client::{client, end, port, run, server, stderr};
use util::{Daemon, PLAIN, plain_and_tls};

/// Starts `bench --json`, whose lines are read by [`objects`].
fn start(arguments: &[&str]) -> Child {
    let mut command = client();
    command.args(["bench", "--json", "-q"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The objects that are printed, each on a line.
fn objects(child: &mut Child, mut each: impl FnMut(&Value)) -> Vec<Value> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let objects = lines.map(|line| {
        let object = serde_json::from_str(&line.unwrap()).unwrap();
        each(&object);
        object
    });
    objects.collect()
}

/// Measures for four seconds, and stops the server for the second one of them: the report.
fn beside_a_stall(options: &[&str]) -> Value {
    let daemon = Daemon::start(PLAIN);
    let port = port(daemon.address("plain"));
    let arguments = [&["--duration=4"], options, &["127.0.0.1", &port]].concat();
    let mut bench = start(&arguments);
    let objects = objects(&mut bench, |object| {
        // After the first second.
        if object["mode"] == "interval" && object["start_s"].as_f64().unwrap() < 0.5 {
            daemon.signal(Signal::STOP);
            thread::sleep(Duration::from_secs(1));
            daemon.signal(Signal::CONT);
        }
    });
    util::wait(&mut bench);
    objects.last().unwrap().clone()
}

#[test]
fn an_open_loop_shows_a_stall_of_the_server_that_a_closed_loop_hides() {
    let ms = |report: &Value, key: &str| report["latency"][key].as_f64().unwrap();
    let open = beside_a_stall(&["--rate=1000"]);
    // A quarter of the messages were due in the second without answers, evenly.
    let (p99, messages) = (ms(&open, "p99_ms"), open["messages"].as_u64().unwrap());
    assert!(p99 > 900.0, "{open}");
    assert!(ms(&open, "p50_ms") < p99 / 2.0, "{open}");
    assert_eq!(messages + open["not_sent"].as_u64().unwrap(), 4000, "{open}");
    let closed = beside_a_stall(&["--depth=1"]);
    // One message waited for the second.
    assert!(ms(&closed, "max_ms") > 900.0, "{closed}");
    assert!(ms(&closed, "p99_ms") < p99 / 2.0, "{closed}");
}

#[test]
fn a_rate_is_kept_and_the_lateness_of_the_client_is_reported() {
    let daemon = plain_and_tls();
    let (plain, tls) = (port(daemon.address("plain")), port(daemon.address("tls")));
    let load = ["--rate=300", "--connections=3", "--duration=1.3"];
    let tls = ["--tls", "--insecure", "127.0.0.1", &tls];
    for (target, suite) in [(&["127.0.0.1", &plain][..], false), (&tls, true)] {
        let mut bench = start(&[&load[..], target].concat());
        let objects = objects(&mut bench, |_| {});
        util::wait(&mut bench);
        let (report, intervals) = objects.split_last().unwrap();
        // On a busy machine, some are not sent.
        let count = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(count("messages") + count("not_sent"), 390, "{report}");
        assert_eq!(report["rate_per_s"], 300);
        assert_eq!(report["mode"], "bench");
        assert!(report["late"]["p99_ms"].as_f64().unwrap() > 0.0, "{report}");
        assert!(report["timer_error_ms"].as_f64().unwrap() > 0.0, "{report}");
        assert!(report["client_load"].as_f64().unwrap() > 0.0, "{report}");
        assert!(report["kernel"].as_str().unwrap().starts_with("Linux "), "{report}");
        assert!(report["congestion_control"].is_string(), "{report}");
        assert_eq!(report["cipher_suite"].is_string(), suite, "{report}");
        assert!(!intervals.is_empty(), "{report}");
        let sum: u64 = intervals.iter().map(|it| it["messages"].as_u64().unwrap()).sum();
        assert_eq!(sum, count("messages"));
        assert!(intervals.iter().all(|it| it["mode"] == "interval"), "{intervals:?}");
    }
    let text = run(&[&["bench"], &load[..], &["127.0.0.1", &plain]].concat(), b"").stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("3 sessions, 64 bytes, 300 messages a second, 1.3 s"), "{text}");
    assert!(text.contains("the client sent late by p50 "), "{text}");
}

#[test]
fn a_run_in_which_the_client_is_the_bottleneck_is_not_valid() {
    let daemon = Daemon::start(PLAIN);
    let port = port(daemon.address("plain"));
    let arguments = ["bench", "--rate=10000000", "--duration=0.5", "127.0.0.1", &port];
    let (code, said) = end(&run(&[&arguments[..], &["-q"]].concat(), b""));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("this run is not valid: the client was"), "{said}");
    let output = run(&[&arguments[..], &["--json"]].concat(), b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(report["valid"], false, "{report}");
}

#[test]
fn messages_without_an_echo_are_counted_and_reported() {
    // It echoes the first half of the messages.
    let port = server(|mut stream| {
        let mut message = [0; 64];
        for _ in 0..100 {
            stream.read_exact(&mut message).unwrap();
            stream.write_all(&message).unwrap();
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let options = ["bench", "--json", "--rate=100", "--duration=2", "--timeout=0.3"];
    let output = run(&[&options[..], &["127.0.0.1", &port]].concat(), b"");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    // On a busy machine, some are not sent.
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("not_returned") + count("not_sent"), 100, "{report}");
    assert_eq!(report["bytes_each_way"], 6400, "{report}");
    assert!(report["latency"]["max_ms"].as_f64().unwrap() > 1000.0, "{report}");
    // What is wrong on the command line.
    for (arguments, words) in [
        (&["--rate=0"][..], "from 1 to 10000000"),
        (&["--rate=5", "--depth=2"], "cannot be used with"),
    ] {
        let (code, said) = end(&run(&[&["bench"], arguments, &["h"]].concat(), b""));
        assert!(code == 64 && said.contains(words), "{said}");
    }
    assert!(
        stderr(&run(&["bench", "--rate=1", "-q", "--duration=0.1", "127.0.0.1:1"], b""))
            .contains("refused")
    );
}

/// Echo, discard and chargen, plain and over TLS.
const SERVICES: [&str; 3] = ["echo", "discard", "chargen"];

fn three_services() -> Daemon {
    let mut config = String::new();
    for service in SERVICES {
        for (base, kind) in [(PLAIN, "plain"), (util::TLS, "tls")] {
            let name = format!("name = \"{kind}-{service}\"\nservice = \"{service}\"");
            config += &base.replace(&format!("name = \"{kind}\""), &name);
        }
    }
    Daemon::start_in(util::folder_with_certificates(), &config, |_| {})
}

#[test]
fn the_latency_beside_streams_in_each_direction_is_measured_plain_and_over_tls() {
    let daemon = three_services();
    let options =
        ["bench", "--loaded-latency", "--duration=1.6", "--connections=2", "--json", "-q"];
    for (kind, tls) in [("plain", &[][..]), ("tls", &["--tls", "--insecure"])] {
        let number = |service| port(daemon.address(&format!("{kind}-{service}")));
        let [echo, discard, chargen] = SERVICES.map(number);
        let ports = ["--discard-port", &discard, "--chargen-port", &chargen, "127.0.0.1", &echo];
        let output = run(&[&options[..], tls, &ports].concat(), b"");
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(
            (&report["mode"], report["tls"].as_bool()),
            (&"loaded-latency".into(), Some(kind == "tls"))
        );
        let phases = report["phases"].as_array().unwrap();
        for (phase, (load, up, down)) in phases.iter().zip([
            ("idle", false, false),
            ("up", true, false),
            ("down", false, true),
            ("both", true, true),
        ]) {
            assert_eq!(phase["load"], load, "{report}");
            assert_eq!(phase["up_megabytes_per_s"].as_f64().unwrap() > 0.0, up, "{report}");
            assert_eq!(phase["down_megabytes_per_s"].as_f64().unwrap() > 0.0, down, "{report}");
            // A hundred a second, for three quarters of a fourth of the time.
            assert!((1..=30).contains(&phase["messages"].as_u64().unwrap()), "{report}");
            assert!(phase["latency"]["p50_ms"].as_f64().unwrap() > 0.0, "{report}");
        }
        assert_eq!(phases.len(), 4, "{report}");
    }
    let echo = port(daemon.address("plain-echo"));
    let text =
        run(&["bench", "--loaded-latency", "--duration=0.4", "127.0.0.1", &echo], b"").stdout;
    let text = String::from_utf8(text).unwrap();
    let loads: Vec<&str> = text.lines().skip(2).map(|line| &line[..5]).collect();
    assert_eq!(loads, ["idle ", "both ", "clien"], "{text}");
}

#[test]
fn a_wrong_byte_in_a_stream_that_loads_the_line_is_reported() {
    let daemon = Daemon::start(PLAIN);
    let echo = port(daemon.address("plain"));
    let bad = util::client::server(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.write_all(b" !\"#$%&'()*+,-./0123456788");
        let _ = stream.read(&mut [0]);
    });
    for (option, port, words) in [
        (
            "--chargen-port",
            &bad,
            "session 1: the echo differs at byte 25: sent 0x39, received 0x38",
        ),
        ("--discard-port", &echo, "where nothing was sent"),
    ] {
        let arguments =
            ["bench", "--loaded-latency", "--duration=1", option, port, "127.0.0.1", &echo];
        let (code, said) = end(&run(&arguments, b""));
        assert!(code == 1 && said.contains(words), "{said}");
    }
}

#[test]
fn a_report_in_html_needs_no_other_file_and_no_network() {
    let daemon = Daemon::start(PLAIN);
    let number = port(daemon.address("plain"));
    let file = daemon.path("report.html");
    let file = file.to_str().unwrap();
    std::fs::write(file, "an older report").unwrap();
    let arguments =
        ["bench", "--rate=200", "--duration=2.2", "--report", file, "127.0.0.1", &number];
    let output = run(&arguments, b"");
    assert!(!output.stdout.is_empty(), "{output:?}");
    let html = std::fs::read_to_string(file).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"), "{html}");
    // A histogram, the latency and the throughput over time.
    assert_eq!(html.matches("<svg ").count(), 3, "{html}");
    assert!(html.matches("<rect ").count() > 3 && html.contains("<polyline "), "{html}");
    for words in ["open loop, 200 messages a second", "latency p99", "congestion control", "Linux "]
    {
        assert!(html.contains(words), "{words}: {html}");
    }
    let without_namespace = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for reference in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!without_namespace.contains(reference), "{reference}: {html}");
    }

    // The file cannot be written: this is found before anything is measured.
    for (file, code) in [("/nowhere/report.html", 66), ("/", 1)] {
        let arguments = ["bench", "--duration=60", "--report", file, "127.0.0.1", &number];
        let (is, said) = end(&run(&arguments, b""));
        assert_eq!((is, said.lines().count()), (code, 1), "{said}");
        assert!(said.contains(&format!("cannot write {file}")), "{said}");
    }
    let arguments = ["bench", "--duration=0.1", "--report=/dev/full", "127.0.0.1", &number];
    let output = run(&arguments, b"");
    assert!(
        stderr(&output).contains("cannot write /dev/full: no space left on device"),
        "{output:?}"
    );
    assert!(!output.stdout.is_empty(), "{output:?}");
}

#[test]
fn two_runs_are_compared_unless_they_differ_in_settings() {
    let daemon = Daemon::start(PLAIN);
    let number = port(daemon.address("plain"));
    let file = |name: &str, options: &[&str]| {
        let path = daemon.path(name).to_str().unwrap().to_owned();
        let arguments = [&["bench", "--json", "-q", "--duration=0.3"], options].concat();
        let output = run(&[&arguments[..], &["127.0.0.1", &number]].concat(), b"");
        std::fs::write(&path, output.stdout).unwrap();
        path
    };
    let (first, second) = (file("a.json", &[]), file("b.json", &[]));
    let larger = file("c.json", &["--size=3000"]);
    let doubtful = file("d.json", &["--rate=10000000"]);
    let output = run(&["diff", &first, &second], b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let line = text.lines().find(|line| line.starts_with("latency.p99_ms ")).unwrap();
    assert!(line.ends_with('%'), "{text}");
    assert!(text.contains("\nmessages_per_s ") && !text.contains("size_bytes"), "{text}");
    let both = [&first[..], &larger];
    let (code, said) = end(&run(&[&["diff"], &both[..]].concat(), b""));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("the runs do not compare: size_bytes is 64 and 3000"), "{said}");
    let forced = run(&[&["diff", "--force"], &both[..]].concat(), b"");
    let text = String::from_utf8(forced.stdout.clone()).unwrap();
    assert!(
        forced.status.success() && text.starts_with("note: size_bytes is 64 and 3000\n"),
        "{text}"
    );
    let (code, said) = end(&run(&["diff", &doubtful, &doubtful], b""));
    assert!(code == 1 && said.contains("d.json is of a run that is not valid"), "{said}");

    let junk = daemon.path("junk");
    std::fs::write(&junk, "{\"mode\":").unwrap();
    let interval = daemon.path("interval");
    std::fs::write(&interval, "{\"mode\":\"interval\"}\n").unwrap();
    for (bad, code) in
        [(junk.to_str().unwrap(), 78), (interval.to_str().unwrap(), 78), ("/nowhere", 66)]
    {
        let (is, said) = end(&run(&["diff", &first, bad], b""));
        assert_eq!((is, said.lines().count()), (code, 1), "{said}");
    }
}
