//! Any bytes for a listener with the service `web`: requests of HTTP, and frames of a WebSocket, in pieces.
#![no_main]

use echo_alex::testing::answer_anything;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| answer_anything(script));
