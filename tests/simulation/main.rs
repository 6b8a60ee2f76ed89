//! Thousands of sessions with a simulated kernel, clock and peer. life.rs has the rules that must hold in each.
//! The fuzzer uses the same simulation: fuzz/README.md.

mod dialogue;
mod ends;
mod life;
#[path = "../util/mod.rs"]
mod util;

use std::fs;

use life::live;
use util::noise;

/// Prints how to repeat a life if it fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: ECHO_ALEX_SEED={} cargo test --test simulation", self.0);
        }
    }
}

fn live_by_seed(seed: u64) {
    let seed = Seed(seed);
    let length = noise(1, seed.0 ^ 0xA1EC)[0];
    let mut script = noise(usize::from(length), seed.0);
    if let Some(kind) = script.first_mut() {
        // All kinds of sessions in turn.
        [*kind, ..] = seed.0.to_le_bytes();
    }
    live(&script);
}

#[test]
fn random_lives_lose_no_byte_and_end() {
    if let Ok(seed) = std::env::var("ECHO_ALEX_SEED") {
        return live_by_seed(seed.parse().expect("ECHO_ALEX_SEED is a number"));
    }
    for seed in 1..=3000 {
        live_by_seed(seed);
    }
}

#[test]
fn lives_in_the_corpus_of_the_fuzzer_lose_no_byte_and_end() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/session");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        live(&fs::read(path).unwrap());
    }
}
