//! A session's life: what happens in it is what the fuzzer says. What must hold stands in
//! tests/simulation/life.rs.
#![no_main]

#[path = "../../tests/simulation/ends.rs"]
mod ends;
#[path = "../../tests/simulation/life.rs"]
mod life;

libfuzzer_sys::fuzz_target!(|script: &[u8]| life::live(script));
