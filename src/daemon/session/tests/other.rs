//! Scenes of sessions whose service is not the echo.

use super::*;
use crate::daemon::service::web::Context;

fn service(service: config::Service) -> Service {
    Service::new(service, &Rc::default(), Moment::now())
}

#[test]
fn discard_reads_all_and_answers_nothing() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Discard));
    scene.send(&vec![b'x'; 3 * READ]);
    while scene.event() == Turn::Again {}
    assert_eq!(scene.session.received(), 3 * READ as u64);
    assert_eq!((scene.outgoing().len(), scene.buffers.echoed), (0, 0));
    assert_eq!(scene.seconds_left(), 60, "it is idle");
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Closed);
    assert_eq!(scene.counts(), (3 * READ as u64, 0, 0));
}

#[test]
fn chargen_speaks_until_the_kernel_is_full_and_again_when_there_is_room() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Chargen));
    assert!(scene.session.speaks());
    scene.kernel(|kernel| kernel.room = 2 * READ + 1);
    assert_eq!(scene.session.advance(true, scene.now, &mut scene.buffers), Turn::Wait);
    assert_eq!(scene.outgoing().len(), 2 * READ + 1);
    assert_eq!(scene.seconds_left(), 30, "the peer takes nothing");
    // What comes is not read while the peer takes nothing.
    scene.send(b"stop?");
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.session.received(), 0);

    scene.kernel(|kernel| kernel.room = usize::MAX);
    assert_eq!(scene.event(), Turn::Again, "others have their turn too");
    assert_eq!(scene.session.received(), 5);
    scene.kernel(|kernel| kernel.fin = true);
    assert_eq!(scene.event(), Turn::Closed);
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
    let sent = scene.outgoing().len() as u64;
    assert_eq!(scene.session.volume().generated, sent);
    assert_eq!(scene.counts(), (5, sent, 0));
}

#[test]
fn chargen_ends_when_the_daemon_wants_an_end() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Chargen));
    scene.session.advance(true, scene.now, &mut scene.buffers);
    let before = scene.outgoing().len();
    scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    assert!(scene.kernel.borrow().ended && scene.outgoing().len() == before);
}

#[test]
fn chargen_speaks_over_tls_once_the_handshake_is_over() {
    let mut scene = Scene::tls();
    scene.session.service = service(config::Service::Chargen);
    assert!(!scene.session.speaks());
    let mut peer = scene.shake_hands();
    scene.kernel(|kernel| kernel.room = 4 * READ);
    while scene.event() == Turn::Again {}
    let heard = peer.hear(&scene.outgoing());
    assert!(heard.is_empty(), "TLS has nothing to answer");
    assert!(scene.session.volume().generated >= 2 * READ as u64);
}

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_web_session_answers_what_came_before_the_end_of_its_peer() {
    for by_fin in [true, false] {
        let mut scene = Scene::new(Transport::Plain, service(config::Service::Web));
        scene.send(&REQUEST.repeat(20));
        if by_fin {
            scene.kernel(|kernel| kernel.fin = true);
            scene.turns();
        } else {
            scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
        }
        let answers = String::from_utf8(scene.outgoing().clone()).unwrap();
        assert_eq!(answers.matches("200 OK").count(), 20);
        assert_eq!(scene.session.volume().requests, 20);
        assert!(scene.kernel.borrow().ended || scene.session.is_closed());
    }
}

#[test]
fn a_web_session_reads_nothing_while_it_owes_an_answer() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Web));
    scene.kernel(|kernel| kernel.room = 1);
    scene.send(&REQUEST.repeat(10));
    assert_eq!(scene.event(), Turn::Wait);
    scene.send(REQUEST);
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.session.received(), 10 * REQUEST.len() as u64);
    scene.kernel(|kernel| kernel.room = usize::MAX);
    scene.turns();
    assert_eq!(scene.session.volume().requests, 11);
}

#[test]
fn a_web_session_over_tls_answers_before_close_notify_ends_it() {
    let mut scene = Scene::tls();
    scene.session.service = service(config::Service::Web);
    let mut peer = scene.shake_hands();
    let mut bytes = peer.say(&REQUEST.repeat(12));
    peer.sealed.clear();
    peer.transport.finish(&mut peer.sealed).unwrap();
    bytes.extend_from_slice(peer.sealed.filled());
    scene.send(&bytes);
    scene.turns();
    assert_eq!(scene.session.volume().requests, 12);
    assert!(scene.kernel.borrow().ended, "our FIN follows");
}

#[test]
fn a_web_session_that_waits_for_its_answer_has_no_other_turn_at_once() {
    let context = Context { allow: vec!["192.0.2.0/24".parse().unwrap()], ..Context::default() };
    let context = Rc::new(context);
    for before in 0..20 {
        let web = Service::new(config::Service::Web, &context, Moment::now());
        let mut scene = Scene::new(Transport::Plain, web);
        let metrics = b"GET /metrics HTTP/1.1\r\nHost: 192.0.2.9\r\n\r\n";
        scene.send(&[REQUEST.repeat(before).as_slice(), metrics].concat());
        let mut turns = vec![scene.event()];
        while turns.last() == Some(&Turn::Again) {
            turns.push(scene.session.advance(true, scene.now, &mut scene.buffers));
        }
        assert_eq!(turns.last(), Some(&Turn::Later));
        // A turn has six answers, and the metrics were not rendered.
        assert_eq!(turns.len(), 1 + before / 6, "{before} requests before");
    }
}

#[test]
fn a_web_session_that_was_asked_for_probes_alone_is_a_probe_once_it_has_ended_usually() {
    for (request, is_probe) in
        [(REQUEST, true), (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", false)]
    {
        let mut scene = Scene::new(Transport::Plain, service(config::Service::Web));
        scene.send(request);
        scene.turns();
        assert!(!scene.session.is_probe(), "it has not ended");
        scene.kernel(|kernel| kernel.fin = true);
        scene.turns();
        assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
        assert_eq!(scene.session.is_probe(), is_probe);
    }
    let mut scene = Scene::plain();
    scene.kernel(|kernel| kernel.fin = true);
    scene.turns();
    assert!(scene.session.is_closed() && !scene.session.is_probe());
}

#[test]
fn a_session_watches_from_its_request_for_events_to_its_end() {
    let context = Rc::<Context>::default();
    let web = Service::new(config::Service::Web, &context, Moment::now());
    let mut scene = Scene::new(Transport::Plain, web);
    scene.send(REQUEST);
    scene.turns();
    assert!(!scene.session.is_watching() && !Scene::plain().session.is_watching());
    scene.send(b"GET /events HTTP/1.1\r\nHost: 192.0.2.9\r\n\r\n");
    scene.turns();
    assert!(scene.session.is_watching());
    scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    assert!(!scene.session.is_watching());
}

/// A session that has become a WebSocket.
fn websocket() -> Scene {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Web));
    scene.send(
        b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    scene.turns();
    // The answer to this key is in RFC 6455, section 1.3.
    let answer = std::mem::take(&mut scene.kernel.borrow_mut().outgoing);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("101 ") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    scene
}

#[test]
fn a_websocket_is_told_that_the_daemon_goes_away() {
    let mut scene = websocket();
    scene.session.end(CloseReason::Stopping, scene.now, &mut scene.buffers);
    // A close frame of two bytes: 1001, going away (section 7.4.1).
    assert_eq!(scene.outgoing(), [0x88, 2, 0x03, 0xe9]);
}

#[test]
fn a_websocket_whose_peer_has_ended_is_told_nothing() {
    let mut scene = websocket();
    scene.kernel(|kernel| kernel.fin = true);
    scene.turns();
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
    assert_eq!(scene.outgoing(), b"");
}

#[test]
fn another_service_reads_and_writes_no_more_than_the_echo_does() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Discard));
    scene.send(b"x");
    scene.event();
    assert_eq!(scene.kernel.borrow().calls, (1, 0), "a short count ends reading");

    let mut scene = websocket();
    scene.kernel(|kernel| (kernel.room, kernel.calls) = (0, (0, 0)));
    // A frame of text that is masked with zeros (RFC 6455, section 5.2).
    scene.send(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    assert_eq!(scene.event(), Turn::Wait);
    assert_eq!(scene.kernel.borrow().calls, (1, 1), "a write that is refused is not tried again");
}

/// What a session of `report` has sent, each line.
fn reports(scene: &Scene) -> Vec<serde_json::Value> {
    let text = String::from_utf8(scene.outgoing()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_report_is_what_a_peer_gets_that_ends_its_side_and_says_what_came_until_then() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Report));
    scene.send(b"hello");
    scene.turns();
    assert_eq!(reports(&scene), Vec::<serde_json::Value>::new());
    scene.later(2);
    scene.send(b"last words");
    scene.kernel(|kernel| kernel.fin = true);
    scene.turns();
    assert_eq!(scene.session.reason(), Some(&CloseReason::PeerDone));
    let [report] = &reports(&scene)[..] else { panic!() };
    assert_eq!(
        (&report["reason"], &report["received"]["bytes"]),
        (&"peer-done".into(), &15.into())
    );
    assert_eq!(report["chunks"][1], serde_json::json!({"seconds": 2.0, "bytes": 10}));
    assert_eq!(report["peer"]["address"], "192.0.2.1");
    assert_eq!(report["tcp"]["rtt_us"], 1234);
    assert_eq!(scene.session.tcp_info().map(|info| info.rtt_us), Some(1234));
}

#[test]
fn a_report_comes_before_the_end_too_when_the_daemon_ends_the_session() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Report));
    scene.later(60);
    scene.session.expire(scene.now, &mut scene.buffers);
    assert!(scene.kernel.borrow().ended);
    assert_eq!(reports(&scene)[0]["reason"], "idle-timeout");
}

#[test]
fn a_report_every_second_comes_without_an_event_and_only_to_a_peer_that_reads() {
    let mut scene = Scene::new(Transport::Plain, service(config::Service::Report));
    scene.send(b"every second\n");
    assert_ne!(scene.event(), Turn::Unchanged, "its deadline is earlier now");
    assert_eq!((reports(&scene).len(), scene.seconds_left()), (1, 1));
    for _ in 0..3 {
        scene.later(1);
        assert_eq!(scene.session.expire(scene.now, &mut scene.buffers), Turn::Wait);
        assert_eq!(scene.seconds_left(), 1);
    }
    assert_eq!(reports(&scene).len(), 4);
    assert_eq!(reports(&scene)[3]["seconds"], 3.0);

    // A peer that does not read.
    scene.kernel(|kernel| kernel.room = 10);
    scene.later(1);
    scene.session.expire(scene.now, &mut scene.buffers);
    assert_eq!(scene.seconds_left(), 30, "nothing more is due");
    scene.later(5);
    scene.kernel(|kernel| kernel.room = usize::MAX);
    scene.event();
    assert_eq!((reports(&scene).len(), scene.seconds_left()), (5, 0));
    scene.session.expire(scene.now, &mut scene.buffers);
    scene.kernel(|kernel| kernel.fin = true);
    scene.turns();
    let reports = reports(&scene);
    assert_eq!(reports.len(), 7, "what was missed meanwhile is not made up for");
    assert_eq!(
        (&reports[5]["reason"], &reports[6]["reason"]),
        (&serde_json::Value::Null, &"peer-done".into())
    );
    assert_eq!(scene.session.volume().reports, 7);
}

#[test]
fn a_report_over_tls_has_what_the_handshake_offered_and_what_it_agreed() {
    let mut scene = Scene::tls();
    scene.session.service = service(config::Service::Report);
    let mut peer = TlsPeer::new();
    let hello = peer.hear(&[]);
    // In pieces: the report is of the whole.
    let (first, second) = hello.split_at(100);
    for part in [first, second] {
        scene.send(part);
        scene.event();
    }
    let answer = peer.hear(&std::mem::take(&mut scene.kernel.borrow_mut().outgoing));
    scene.send(&answer);
    scene.event();
    let tickets = std::mem::take(&mut scene.kernel.borrow_mut().outgoing);
    peer.hear(&tickets);
    let mut bytes = peer.say(b"hello");
    peer.sealed.clear();
    peer.transport.finish(&mut peer.sealed).unwrap();
    bytes.extend_from_slice(peer.sealed.filled());
    scene.send(&bytes);
    scene.turns();
    peer.hear(&scene.outgoing());
    let report: serde_json::Value = serde_json::from_slice(&peer.plain).unwrap();
    let agreed = peer.transport.agreed().unwrap();
    assert_eq!(report["received"]["bytes"], 5);
    assert_eq!(report["tls"]["version"], agreed.version);
    assert_eq!(report["tls"]["cipher_suite"], agreed.cipher_suite);
    assert_eq!(report["tls"]["group"], "X25519");
    assert_eq!(report["tls"]["sni"], "localhost");
    // The message in one record, behind its header.
    let hash = crate::tls::hello::sha256(&hello[5..]);
    assert_eq!(report["tls"]["client_hello_sha256"], hash);
    let schemes = report["tls"]["signature_schemes_offered"].as_array().unwrap();
    assert!(schemes.contains(&"ED25519".into()), "{schemes:?}");
}
