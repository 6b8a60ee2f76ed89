//! Frames and their echo, in any pieces.

use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [1, 2, 3, 200];

/// A frame of a client: the first byte, and the payload behind a mask.
fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(false, 0, payload.len(), &mut bytes);
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What comes back to `bytes`, in pieces of these sizes, and how it ends.
fn back(bytes: &[u8], sizes: &[usize]) -> (Vec<u8>, Option<End>) {
    let (mut socket, mut said, mut rest) = (WebSocket::default(), Vec::new(), bytes);
    for size in sizes.iter().chain([&usize::MAX]) {
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        rest = behind;
        if let Some(end) = socket.receive(piece, &mut said) {
            return (said, Some(end));
        }
    }
    (said, None)
}

/// The messages in frames of a server: opcode and payload, their fragments joined.
fn messages(mut frames: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open: Option<(u8, Vec<u8>)> = None;
    while let [first, second, rest @ ..] = frames {
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => {
                let length = u64::from_be_bytes(rest[..8].try_into().unwrap());
                (usize::try_from(length).unwrap(), &rest[8..])
            }
            short => (usize::from(*short), rest),
        };
        let (payload, behind) = rest.split_at(length);
        frames = behind;
        match first & 15 {
            0 => open.as_mut().unwrap().1.extend_from_slice(payload),
            opcode @ (1 | 2) => {
                assert!(open.is_none(), "a message within another one");
                open = Some((opcode, payload.to_vec()));
            }
            control => {
                assert_eq!(first & 0x80, 0x80, "a control frame is no fragment");
                all.push((control, payload.to_vec()));
                continue;
            }
        }
        if first & 0x80 != 0 {
            all.extend(open.take());
        }
    }
    assert!(frames.is_empty() && open.is_none());
    all
}

#[test]
fn messages_of_any_length_come_back() {
    for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
        let payload = vec![b'x'; length];
        for opcode in [TEXT, BINARY] {
            let (said, end) = back(&client(0x80 | opcode, &payload), &[]);
            assert_eq!(end, None);
            assert_eq!(messages(&said), [(opcode, payload.clone())]);
        }
    }
}

#[test]
fn what_has_come_of_a_message_goes_back_at_once() {
    let mut socket = WebSocket::default();
    let frame = client(0x82, b"hello");
    let mut said = Vec::new();
    assert_eq!(socket.receive(&frame[..8], &mut said), None);
    assert_eq!(said, b"\x02\x02he", "a fragment");
    said.clear();
    assert_eq!(socket.receive(&frame[8..], &mut said), None);
    assert_eq!(said, b"\x80\x03llo", "the rest");
}

#[test]
fn a_frame_of_2_to_the_63_minus_1_is_streamed_and_one_of_2_to_the_63_refused() {
    let mut frame = vec![0x82, 0xff, 0x7f];
    frame.extend_from_slice(&[0xff; 7]);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(b"begin");
    assert_eq!(back(&frame, &[]), (b"\x02\x05begin".to_vec(), None));
    frame[2] = 0x80;
    let (said, end) = back(&frame, &[]);
    assert_eq!(said, b"\x88\x02\x03\xea");
    assert_eq!(end, Some(End::Failed("a length that is not in its shortest form")));
}

#[test]
fn pings_are_answered_also_within_a_message() {
    let bytes = [
        client(0x01, b"a"),
        client(0x89, b"ping"),
        client(0x8a, b"an unsolicited pong"),
        client(0x80, b"b"),
    ]
    .concat();
    let expected = [(PONG, b"ping".to_vec()), (TEXT, b"ab".to_vec())];
    assert_eq!(messages(&back(&bytes, &[]).0), expected);
    assert_eq!(messages(&back(&bytes, &[1; 60]).0), expected);
}

#[test]
fn each_violation_has_its_close_code() {
    let close = |code: u16, reason: &[u8]| client(0x88, &[&code.to_be_bytes(), reason].concat());
    for (bytes, code) in [
        (b"\x81\x01x".to_vec(), 1002),
        (client(0xc1, b"x"), 1002),
        (client(0x83, b"x"), 1002),
        (client(0x8b, b"x"), 1002),
        (client(0x80, b"x"), 1002),
        ([client(0x01, b"x"), client(0x81, b"x")].concat(), 1002),
        (client(0x09, b"x"), 1002),
        (client(0x89, &[b'x'; 126]), 1002),
        (b"\x81\xfe\x00\x01\x00\x00\x00\x00x".to_vec(), 1002),
        (client(0x88, b"x"), 1002),
        (close(1004, b""), 1002),
        (close(1005, b""), 1002),
        (close(999, b""), 1002),
        (close(5000, b""), 1002),
        (close(1000, b"\xff"), 1007),
        (client(0x81, b"\xff"), 1007),
        (client(0x81, b"\xe2\x82"), 1007),
        ([client(0x01, b"\xe2"), client(0x80, b"x")].concat(), 1007),
    ] {
        for sizes in [&[][..], &[1; 200]] {
            let (said, end) = back(&bytes, sizes);
            assert!(matches!(end, Some(End::Failed(_))), "{bytes:?}: {end:?}");
            assert_eq!(&said[said.len() - 4..], [&[0x88, 2][..], &u16::to_be_bytes(code)].concat());
        }
    }
}

#[test]
fn a_close_frame_comes_back_and_nothing_behind_it() {
    for payload in [&b""[..], b"\x03\xe8", b"\x0f\xa0because"] {
        let bytes = [client(0x88, payload), client(0x81, b"x")].concat();
        let (said, end) = back(&bytes, &[]);
        assert_eq!(end, Some(End::Closed));
        assert_eq!(messages(&said), [(CLOSE, payload.to_vec())]);
    }
}

#[test]
fn an_idle_session_owns_no_memory() {
    let mut socket = WebSocket::default();
    let bytes = [client(0x89, b"ping"), client(0x81, b"text")].concat();
    socket.receive(&bytes, &mut Vec::new());
    assert_eq!(socket.control.capacity(), 0);
    assert!(size_of::<WebSocket>() <= 120, "{}", size_of::<WebSocket>());
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        payloads in prop::collection::vec((0..3u8, prop::collection::vec(any::<u8>(), 0..300)), 0..6),
        sizes in prop::collection::vec(1..200usize, 0..40),
    ) {
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for (kind, payload) in payloads {
            let (opcode, payload) = match kind {
                0 => (TEXT, String::from_utf8_lossy(&payload).into_owned().into_bytes()),
                1 => (BINARY, payload),
                _ => (PING, payload.into_iter().take(125).collect()),
            };
            bytes.extend(client(0x80 | opcode, &payload));
            sent.push((if opcode == PING { PONG } else { opcode }, payload));
        }
        let (said, end) = back(&bytes, &sizes);
        prop_assert_eq!(end, None);
        prop_assert_eq!(messages(&said), sent);
    }
}
