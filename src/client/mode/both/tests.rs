//! A report can be anything, and what is printed of it is safe.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tls::certificate::escape::is_unprintable;

/// A whole report.
fn report() -> Value {
    json!({
        "type": "report",
        "listener": "report",
        "peer": {"address": "192.0.2.1", "port": 50000},
        "local": {"address": "192.0.2.7", "port": 5007},
        "accepted": "2026-11-27T17:38:20.123456Z",
        "seconds": 1.234_567,
        "received": {"bytes": 128, "chunks": 2, "first_seconds": 0.1, "last_seconds": 0.2},
        "chunks": [{"seconds": 0.1, "bytes": 64}, {"seconds": 0.2, "bytes": 64}],
        "chunks_left_out": 0,
        "tcp": {
            "rtt_us": 100, "rtt_variance_us": 50, "min_rtt_us": 80, "retransmits": 0,
            "out_of_order": 0, "reordering": 3, "timestamps": true, "send_mss": 1448,
            "receive_mss": 536, "advertised_mss": 1448, "path_mtu": 1500,
            "congestion_control": "cubic", "congestion_window": 10
        },
        "tls": {
            "version": "1.3", "cipher_suite": "AES_128_GCM_SHA256", "group": "X25519",
            "sni": "localhost", "alpn_offered": ["echo/1"], "alpn": null,
            "signature_schemes_offered": ["ED25519"], "resumed": false, "retried": false,
            "client_certificate": "CN=laptop", "client_hello_sha256": "00112233445566778899"
        },
    })
}

/// The places of all values in `value`, as JSON pointers.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    found.push(place.to_owned());
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, it)| places(it, &format!("{place}/{key}"), found));
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(key, it)| places(it, &format!("{place}/{key}"), found));
        }
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just("\u{1b}[2J\u{9b}31m\u{202e}\r\n".into()),
        Just("9999-12-31T23:59:59.999999999Z".into()),
        Just("1970-01-01T00:00:00Z".into()),
        Just("fe80::1".into()),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["x", 1])),
    ]
}

/// Reads what a server sent, and draws it beside itself and beside what a client saw.
fn read_and_draw(text: &[u8]) {
    let is_safe = |text: &str| !text.contains(|c: char| c != '\n' && is_unprintable(c));
    let seen = match Report::read(text) {
        Ok(seen) => seen,
        Err(reason) => {
            assert!(is_safe(&reason) && !reason.contains('\n'), "{reason:?}");
            assert!(reason.chars().count() <= 10 * 300, "{reason:?}");
            return;
        }
    };
    let own = Report::read(report().to_string().as_bytes()).unwrap();
    let sample = Sample { sent: own.accepted, round_trip: Duration::from_millis(5) };
    let times = Times::new(&[sample; 3], 64, seen.accepted, &seen.chunks);
    for rows in [rows(&own.view, &seen.view), rows(&seen.view, &seen.view)] {
        let drawn = text::draw(&rows, times.as_ref(), Colours(false));
        assert!(is_safe(&drawn), "{drawn:?}");
        assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{drawn}");
    }
    assert!(serde_json::to_string(&(&seen.view, &times)).is_ok_and(|json| is_safe(&json)));
}

#[test]
fn a_whole_report_agrees_with_itself() {
    let seen = Report::read(format!("{}\nmore", report()).as_bytes()).unwrap();
    assert!(rows(&seen.view, &seen.view).iter().all(|row| row.finding.is_none()));
    assert_eq!(seen.chunks.len(), 2);
    read_and_draw(report().to_string().as_bytes());
}

proptest! {
    #[test]
    fn a_report_with_other_values_is_refused_or_safe_to_print(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4)
    ) {
        let mut changed = report();
        for (index, value) in changes {
            let mut all = Vec::new();
            places(&changed, "", &mut all);
            *changed.pointer_mut(&all[index.index(all.len())]).unwrap() = value;
        }
        read_and_draw(changed.to_string().as_bytes());
    }

    #[test]
    fn a_report_with_other_bytes_is_refused_or_safe_to_print(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut text = report().to_string().into_bytes();
        for (index, byte) in changes {
            let place = index.index(text.len());
            text[place] = byte;
        }
        read_and_draw(&text);
        text.truncate(length.index(text.len()));
        read_and_draw(&text);
    }
}
