//! The transports of a client and a server, connected by a wire on which the fuzzer splits, changes and
//! inserts bytes. Each side receives the beginning of what the other sent, and then possibly an error; held
//! bytes stay below their bound.
//!
//! An action is three bytes of the script: what to do, and a number of bytes.
#![no_main]

use echo_alex::testing::{Fault, HELD_MAX, READ_SIZE, Scratch, Transport};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/simulation/ends.rs"]
mod ends;

use ends::{byte_at, bytes_from, ends};

struct Side {
    transport: Transport,
    plain: Vec<u8>,
    sealed: Scratch,
    /// Bytes on their way to this side.
    wire: Vec<u8>,
    sent: usize,
    received: usize,
    finished: bool,
    ended: bool,
}

impl Side {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            plain: Vec::new(),
            sealed: Scratch::default(),
            wire: Vec::new(),
            sent: 0,
            received: 0,
            finished: false,
            ended: false,
        }
    }

    fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Opens the next `count` bytes: the bytes to send in response.
    fn open(&mut self, count: usize, buffer: &mut [u8], clean: bool) -> Vec<u8> {
        let count = count.min(self.wire.len()).min(READ_SIZE);
        let held = self.transport.restore(buffer);
        // The bound in docs/design.md, "What a peer can cost".
        assert!(held <= 96 * 1024, "{held} bytes are held");
        buffer[held..held + count].copy_from_slice(&self.wire[..count]);
        self.wire.drain(..count);
        let came = &mut buffer[..held + count];
        match self.transport.open(came, &mut self.plain, &mut self.sealed) {
            Ok(plaintext) => {
                for byte in plaintext {
                    assert!(
                        !clean && !matches!(self.transport, Transport::Tls(_))
                            || *byte == byte_at(self.received)
                    );
                    self.received += 1;
                }
            }
            Err(reason) => {
                assert!(!clean, "{reason:?}");
                assert_ne!(reason.fault(), Fault::Us, "{reason:?}");
                assert!(!reason.detail().unwrap_or_default().contains('\n'));
                self.ended = true;
            }
        }
        if self.is_tls() { self.sealed.filled().to_vec() } else { Vec::new() }
    }

    fn send(&mut self, count: usize) -> Vec<u8> {
        if self.finished || self.transport.is_handshaking() {
            return Vec::new();
        }
        let bytes = bytes_from(self.sent, count);
        self.sent += count;
        self.sealed.clear();
        self.transport.seal(&bytes, &mut self.sealed).expect("sending is allowed").to_vec()
    }

    fn finish(&mut self) -> Vec<u8> {
        self.sealed.clear();
        if !self.finished && !self.transport.is_handshaking() {
            self.finished = true;
            self.transport.finish(&mut self.sealed).expect("sending is allowed");
        }
        self.sealed.filled().to_vec()
    }
}

fuzz_target!(|script: &[u8]| {
    let Some((first, rest)) = script.split_first() else { return };
    let mut buffer = vec![0; HELD_MAX + READ_SIZE];
    let (server, client) = ends(*first);
    let (mut server, mut client) = (Side::new(server), Side::new(client));
    // Whether all bytes so far arrived unchanged.
    let mut clean = true;
    server.wire = client.open(0, &mut buffer, true);
    let mut rest = rest;
    while let Some((&[what, low, high], more)) = rest.split_first_chunk() {
        rest = more;
        let count = usize::from(u16::from_le_bytes([low, high]));
        let (one, other) =
            if what & 0x80 == 0 { (&mut server, &mut client) } else { (&mut client, &mut server) };
        if one.ended {
            continue;
        }
        match what & 7 {
            0..=2 => other.wire.extend(one.open(count, &mut buffer, clean)),
            3 => other.wire.extend(one.open(READ_SIZE, &mut buffer, clean)),
            4 => other.wire.extend(one.send(count)),
            // In a debug build, rustls 0.23 asserts that no alert has to follow `close_notify`, so a side
            // that has sent it receives no changed bytes.
            5 if clean => other.wire.extend(one.finish()),
            6 if !one.wire.is_empty() && !one.finished => {
                let place = count % one.wire.len();
                one.wire[place] ^= high | 1;
                clean = false;
            }
            // Inserts the next bytes of the script.
            7 if !one.finished => {
                let length = count.min(rest.len());
                one.wire.extend(&rest[..length]);
                rest = &rest[length..];
                clean &= length == 0;
            }
            _ => {}
        }
    }
    // Everything on its way arrives.
    for _ in 0..1000 {
        if server.wire.is_empty() && client.wire.is_empty() {
            break;
        }
        for direction in [0, 1] {
            let (one, other) = if direction == 0 {
                (&mut server, &mut client)
            } else {
                (&mut client, &mut server)
            };
            if one.ended {
                one.wire.clear();
            } else {
                other.wire.extend(one.open(READ_SIZE, &mut buffer, clean));
            }
        }
    }
    if clean {
        assert_eq!((server.received, client.received), (client.sent, server.sent));
        assert!(!client.transport.is_handshaking() && !server.transport.is_handshaking());
        assert_eq!(server.transport.peer_done(), client.finished && client.is_tls());
        assert_eq!(client.transport.peer_done(), server.finished && server.is_tls());
    }
});
