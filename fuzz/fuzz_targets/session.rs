//! The life of a session, in which the fuzzer chooses what happens. tests/simulation/life.rs has the rules
//! that must hold.
#![no_main]

#[path = "../../tests/simulation/dialogue/mod.rs"]
mod dialogue;
#[path = "../../tests/simulation/ends.rs"]
mod ends;
#[path = "../../tests/simulation/life.rs"]
mod life;

libfuzzer_sys::fuzz_target!(|script: &[u8]| life::live(script));
