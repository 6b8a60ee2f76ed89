//! Sessions by the thousand whose peers, kernels and clocks are made up: life.rs says what
//! must hold in each. Fuzzing goes on from here: fuzz/README.md.

mod ends;
mod life;
#[path = "../util/mod.rs"]
mod util;

use std::fs;

use life::live;
use util::noise;

/// Says how to repeat a life, if it fails.
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
    live(&noise(usize::from(length), seed.0));
}

#[test]
fn whatever_happens_no_byte_is_lost_and_every_session_ends() {
    if let Ok(seed) = std::env::var("ECHO_ALEX_SEED") {
        return live_by_seed(seed.parse().expect("ECHO_ALEX_SEED is a number"));
    }
    for seed in 1..=2000 {
        live_by_seed(seed);
    }
}

#[test]
fn lives_that_the_fuzzer_found_go_well() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/session");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        live(&fs::read(path).unwrap());
    }
}
