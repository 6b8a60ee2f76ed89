//! The decoder of `echo-alex-client explain`: any bytes on the wire, any handshake messages and any secrets
//! give a diagram of 80 columns without control characters, a page, JSON and a capture.
#![no_main]

use echo_alex::testing::explain_anything;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| explain_anything(script));
