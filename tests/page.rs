//! The page of a web listener, in a browser: Debian's `chromium`.
#![cfg(not(target_arch = "arm"))] // The page is the same there, and its answer is tested in web.rs.

mod util;

use util::browser::Browser;
use util::{Daemon, PLAIN, ReservedPort, WEB, emulated, wait_until};

/// A web listener on a port that stays the same when the daemon is started again.
fn config(port: &ReservedPort) -> String {
    format!("{PLAIN}{}", WEB.replace(":0\"", &format!(":{}\"", port.number)))
}

fn open(port: &ReservedPort) -> Option<Browser> {
    Browser::open(&format!("http://localhost:{}/", port.number))
}

#[test]
fn the_page_measures_shows_what_is_typed_and_survives_a_restart() {
    let port = ReservedPort::new();
    let mut daemon = Daemon::start(&config(&port));
    let Some(mut browser) = open(&port) else { return };
    browser.wait_for_text("state", |text| text == "connected");

    // The graph moves, and the figures are those of round trips.
    browser.wait_for_text("answers", |text| text.parse::<u32>().is_ok_and(|count| count > 3));
    let picture = "document.getElementById('graph').toDataURL()";
    let before = browser.value(picture);
    wait_until("the graph moves", || browser.value(picture) != before);
    let trip: f64 = browser.text("max").trim().parse().unwrap();
    assert!(trip > 0.0);

    // Typed text comes back, with the keyboard alone.
    browser.press("Tab");
    browser.press("gr\u{fc}\u{df}e");
    browser.wait_for_text("hex", |text| text == "67 72 c3 bc c3 9f 65");
    assert_eq!(browser.text("said"), "gr\u{fc}\u{df}e");
    let verdict = browser.text("verdict");
    assert!(verdict.starts_with("7 bytes came back the same after "), "{verdict}");

    // The kernel's round trip time of a session, where it tells.
    let row = |text: &str| text.contains("web") && (text.contains(" ms") || emulated());
    browser.wait_for_text("yours", row);

    // The daemon is away, and comes back.
    daemon.stop();
    browser.wait_for_text("state", |text| text.starts_with("connection lost"));
    let _daemon = Daemon::start(&config(&port));
    browser.wait_for_text("state", |text| text.starts_with("connected again after "));
    let outages = browser.text("outages");
    assert_eq!(outages, "1");
    browser.wait_for_text("verdict", |text| text.contains("came back the same"));
    assert_eq!(browser.text("wrong"), "");

    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    let own = format!("//localhost:{}/", port.number);
    let foreign = |it: &&String| !it.contains(&own) && !it.starts_with("data:");
    let others: Vec<_> = browser.requests.iter().filter(foreign).collect();
    assert!(others.is_empty() && !browser.requests.is_empty(), "{others:?}");
}

#[test]
fn the_page_measures_throughput_and_compares_what_comes_back() {
    let port = ReservedPort::new();
    let _daemon = Daemon::start(&config(&port));
    let Some(mut browser) = open(&port) else { return };
    browser.wait_for_text("state", |text| text == "connected");
    browser.press("Tab");
    browser.press("Tab");
    browser.press("Enter");
    browser.wait_for_text("run", |text| text == "Stop");
    let result = browser.wait_for_text("result", |text| text.contains("came back"));
    assert!(result.ends_with("B came back, every byte the same."), "{result}");
    for id in ["up", "down", "loaded"] {
        let figure: f64 = browser.text(id).parse().unwrap();
        assert!(figure > 0.0, "{id}");
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}
