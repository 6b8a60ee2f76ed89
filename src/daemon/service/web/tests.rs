//! Requests and their answers, without a session.

use proptest::strategy::Strategy as _;

use super::*;

const REQUESTER: Requester =
    Requester { address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), is_verified: false };

/// A session of a daemon that is ready.
fn web() -> Web {
    let context = Context { allow: vec!["127.0.0.1/32".parse().unwrap()], ..Context::default() };
    context.site.set_ready(true);
    Web::new(context.into())
}

/// The same text at any time.
fn without_time(mut text: String) -> String {
    const DATE: &str = "\r\nDate: ";
    const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    if let Some(place) = text.find(DATE) {
        let start = place + DATE.len();
        text.replace_range(start..start + TIME.len(), TIME);
    }
    text
}

/// What it answers to `bytes`, piece by piece.
fn pieces(web: &mut Web, bytes: &[u8]) -> Vec<String> {
    web.receive(bytes, &mut Vec::new());
    let mut pieces = Vec::new();
    while matches!(web.next(), Next::Answer)
        && !Format::ALL.iter().any(|it| web.context.site.is_asked(*it))
    {
        let mut said = Vec::new();
        web.answer(&REQUESTER, &mut said);
        pieces.push(without_time(String::from_utf8(said).unwrap()));
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_is_answered_whatever_pieces_it_comes_in() {
    let mut web = web();
    let whole = pieces(&mut web, HEALTH.as_bytes());
    let [answer] = whole.as_slice() else { panic!("{whole:?}") };
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"),
        "{answer}"
    );
    let mut apart = Vec::new();
    for byte in HEALTH.as_bytes() {
        apart.extend(pieces(&mut web, &[*byte]));
    }
    assert_eq!(apart, whole);
    assert_eq!((web.requests(), web.sent()), (2, 2 * answer.len() as u64));
    assert_eq!((web.held.capacity(), web.is_probe()), (0, true), "an idle session has no buffer");
}

#[test]
fn requests_that_come_together_are_answered_one_at_a_time() {
    let mut web = web();
    let answers = pieces(&mut web, HEALTH.repeat(3).as_bytes());
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0], answers[2]);
    assert!(matches!(web.next(), Next::Read));
}

#[test]
fn readiness_follows_the_site() {
    let mut web = web();
    let request = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(pieces(&mut web, request)[0].contains("200 OK"));
    web.context.site.set_ready(false);
    assert!(pieces(&mut web, request)[0].contains("503 Service Unavailable"));
    assert!(web.is_probe());
}

#[test]
fn nothing_is_answered_behind_a_request_that_ends_the_session() {
    for (first, status) in [
        ("GET /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404 Not Found"),
        ("GET /healthz HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("\0", "400 Bad Request"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "413 Content Too Large"),
    ] {
        let mut web = web();
        let answers = pieces(&mut web, format!("{first}{HEALTH}").as_bytes());
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(matches!(web.next(), Next::End(_)) && !web.is_probe());
        assert!(pieces(&mut web, HEALTH.as_bytes()).is_empty());
        assert!(web.held.is_empty());
    }
}

#[test]
fn a_head_may_have_8_kib_and_64_fields() {
    let with_field = |length: usize| {
        let head = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
        head.replace("X: ", &format!("X: {}", "x".repeat(length - head.len())))
    };
    assert!(pieces(&mut web(), with_field(HEAD_MAX).as_bytes())[0].contains(" 200 OK"));
    let too_long = with_field(HEAD_MAX + 1);
    assert!(pieces(&mut web(), too_long.as_bytes())[0].contains(" 431 "));
    // As soon as it is too long, complete or not.
    let mut slow = web();
    let (front, back) = too_long.as_bytes().split_at(HEAD_MAX - 1);
    assert!(pieces(&mut slow, front).is_empty());
    assert!(pieces(&mut slow, &back[..1])[0].contains(" 431 "));

    let with_fields =
        |count: usize| format!("GET /no HTTP/1.1\r\n{}\r\n", "Host: a\r\n".repeat(count));
    assert!(pieces(&mut web(), with_fields(65).as_bytes())[0].contains(" 431 "));
    let most = with_fields(63).replacen("Host", "Most", 62);
    assert!(pieces(&mut web(), most.as_bytes())[0].contains(" 404 "));
}

#[test]
fn head_has_the_fields_of_get_without_its_body_and_other_methods_are_refused() {
    let mut web = web();
    let get = pieces(&mut web, HEALTH.as_bytes()).remove(0);
    let head = pieces(&mut web, HEALTH.replace("GET", "HEAD").as_bytes()).remove(0);
    assert_eq!(format!("{head}ok\n"), get);
    let other = pieces(&mut web, HEALTH.replace("GET", "DELETE").as_bytes()).remove(0);
    assert!(other.starts_with("HTTP/1.1 405 ") && other.contains("\r\nAllow: GET, HEAD\r\n"));
    assert!(matches!(web.next(), Next::Read), "the session goes on");
}

#[test]
fn metrics_wait_for_the_event_loop_and_go_out_in_pieces_of_a_read() {
    let mut web = web();
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(pieces(&mut web, format!("{request}{HEALTH}").as_bytes()).is_empty());
    let mut said = Vec::new();
    web.answer(&REQUESTER, &mut said);
    assert!(said.is_empty() && matches!(web.next(), Next::Answer), "it waits");
    web.context.site.publish(Format::Text, Some("x".repeat(3 * READ_SIZE)));
    let answers = pieces(&mut web, b"");
    assert_eq!(answers.len(), 5, "its head and four pieces, and the next answer");
    assert!(answers.iter().all(|piece| piece.len() <= READ_SIZE));
    assert_eq!(
        answers.concat().matches('x').count(),
        3 * READ_SIZE + "text/plain".matches('x').count() * 2
    );
    assert!(answers[4].ends_with("ok\n"));
    assert!(!web.is_probe());
}

#[test]
fn the_format_is_openmetrics_for_those_who_accept_it() {
    for (accept, content_type) in [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let mut web = web();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
        assert!(pieces(&mut web, request.as_bytes()).is_empty());
        let format = if accept.is_empty() { Format::Text } else { Format::OpenMetrics };
        web.context.site.publish(format, Some("m".into()));
        let answer = pieces(&mut web, b"").concat();
        assert!(answer.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{answer}");
    }
}

#[test]
fn a_watcher_gets_the_newest_survey_and_misses_those_before() {
    let mut web = web();
    let head = pieces(&mut web, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").concat();
    assert!(head.ends_with("\r\n\r\nretry: 1000\n\n"), "{head}");
    assert!(!head.contains("Content-Length") && head.contains("\r\nConnection: close\r\n"));
    assert!(matches!(web.next(), Next::Read));
    let site = Rc::clone(&web.context.site);
    for uptime in 1..4 {
        site.events.begin();
        assert!(matches!(web.next(), Next::Read), "it is not complete");
        site.events.publish(&events::Overview { uptime, ..Default::default() });
    }
    let events = pieces(&mut web, HEALTH.as_bytes());
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert!(event.starts_with("data: {\"alex\":{") && event.ends_with("}\n\n"), "{event}");
    assert!(event.contains("\"uptime\":3,"), "{event}");
    assert!(matches!(web.next(), Next::Read) && !web.is_probe());
    assert!(web.held.is_empty());
    drop(web);
    assert!(!site.events.are_watched());
}

proptest::proptest! {
    #[test]
    fn any_bytes_stay_within_the_bounds(
        size in proptest::prelude::any::<u8>(),
        pieces in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::sample::select(vec![
                    &b"GET /"[..], b"healthz", b"metrics", b"events", b"echo", b" HTTP/1.1\r\n", b"Host: a\r\n",
                    b"\r\n", b"Content-Length: 1\r\n", b"\x82\xff", b"\x81\x84\0\0\0\0", b"\x88\x80", b"\x89\xfd",
                ]).prop_map(<[u8]>::to_vec),
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            ],
            0..20,
        ),
    ) {
        anything::answer_anything(&[&[size], pieces.concat().as_slice()].concat());
    }
}
