//! Both sides of a session's transport, with a wire between them that splits bytes where the fuzzer says,
//! and changes them or puts others in between. What comes out is the beginning of what went in, or
//! there is a reason to close; nothing is held beyond its bound.
//!
//! Three bytes an action: what, and how many bytes.
#![no_main]

use echo_alex::wire::buffers::{HELD_MAX, READ_SIZE, Scratch};
use echo_alex::wire::close::Fault;
use echo_alex::wire::transport::Transport;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/simulation/ends.rs"]
mod ends;

use ends::{byte_at, bytes_from, ends};

struct Side {
    transport: Transport,
    plain: Scratch,
    sealed: Scratch,
    /// Bytes on their way to this side.
    wire: Vec<u8>,
    said: usize,
    heard: usize,
    goodbye: bool,
    ended: bool,
}

impl Side {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            plain: Scratch::default(),
            sealed: Scratch::default(),
            wire: Vec::new(),
            said: 0,
            heard: 0,
            goodbye: false,
            ended: false,
        }
    }

    fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Opens the next `count` bytes; gives the answer, and why it is over if it is.
    fn open(&mut self, count: usize, buffer: &mut [u8], clean: bool) -> Vec<u8> {
        let count = count.min(self.wire.len()).min(READ_SIZE);
        let held = self.transport.restore(buffer);
        // The number of docs/design.md, "What a peer can cost".
        assert!(held <= 96 * 1024, "{held} bytes are held");
        buffer[held..held + count].copy_from_slice(&self.wire[..count]);
        self.wire.drain(..count);
        let came = &mut buffer[..held + count];
        match self.transport.open(came, &mut self.plain, &mut self.sealed) {
            Ok(plaintext) => {
                for byte in plaintext {
                    assert!(
                        !clean && !matches!(self.transport, Transport::Tls(_))
                            || *byte == byte_at(self.heard)
                    );
                    self.heard += 1;
                }
            }
            Err(reason) => {
                assert!(!clean, "{reason}");
                assert_ne!(reason.fault(), Fault::Us, "{reason}");
                assert!(!reason.to_string().contains('\n'));
                self.ended = true;
            }
        }
        if self.is_tls() { self.sealed.filled().to_vec() } else { Vec::new() }
    }

    fn say(&mut self, count: usize) -> Vec<u8> {
        if self.goodbye || self.transport.is_handshaking() {
            return Vec::new();
        }
        let bytes = bytes_from(self.said, count);
        self.said += count;
        self.sealed.clear();
        self.transport.seal(&bytes, &mut self.sealed).expect("it may be said").to_vec()
    }

    fn say_goodbye(&mut self) -> Vec<u8> {
        self.sealed.clear();
        if !self.goodbye && !self.transport.is_handshaking() {
            self.goodbye = true;
            self.transport.finish(&mut self.sealed).expect("it may be said");
        }
        self.sealed.filled().to_vec()
    }
}

fuzz_target!(|script: &[u8]| {
    let Some((first, rest)) = script.split_first() else { return };
    let mut buffer = vec![0; HELD_MAX + READ_SIZE];
    let (server, client) = ends(*first);
    let (mut server, mut client) = (Side::new(server), Side::new(client));
    // Nothing was changed on the way so far.
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
            4 => other.wire.extend(one.say(count)),
            // In a debug build, rustls 0.23 asserts that nothing has to be answered by an alert behind
            // `close_notify`: whoever has said it is told the truth.
            5 if clean => other.wire.extend(one.say_goodbye()),
            6 if !one.wire.is_empty() && !one.goodbye => {
                let place = count % one.wire.len();
                one.wire[place] ^= high | 1;
                clean = false;
            }
            // What follows in the script, raw.
            7 if !one.goodbye => {
                let length = count.min(rest.len());
                one.wire.extend(&rest[..length]);
                rest = &rest[length..];
                clean &= length == 0;
            }
            _ => {}
        }
    }
    // What is on its way arrives.
    for _ in 0..1000 {
        if server.wire.is_empty() && client.wire.is_empty() {
            break;
        }
        for turn in [0, 1] {
            let (one, other) =
                if turn == 0 { (&mut server, &mut client) } else { (&mut client, &mut server) };
            if one.ended {
                one.wire.clear();
            } else {
                other.wire.extend(one.open(READ_SIZE, &mut buffer, clean));
            }
        }
    }
    if clean {
        assert_eq!((server.heard, client.heard), (client.said, server.said));
        assert!(!client.transport.is_handshaking() && !server.transport.is_handshaking());
        assert_eq!(server.transport.peer_done(), client.goodbye && client.is_tls());
        assert_eq!(client.transport.peer_done(), server.goodbye && server.is_tls());
    }
});
