//! The short form of fuzzing, for the gate: every target over its corpus, then over mutations of
//! it. No coverage guides it; `.ci/fuzz` runs the same bodies with that.
//!
//! `DUCAT_FUZZ_RUNS` sets how many mutations (default 20,000 a target), `DUCAT_SEED` which ones: the
//! same in every run unless told otherwise, so that a gate that fails has found something in the
//! change. An input that fails is written down, and its file named.

use ducat_fuzz::TARGETS;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// No input grows beyond this, in bytes.
const INPUT_BYTES_MAX: usize = 16 << 10;

#[test]
fn every_target_stands_mutations_of_its_corpus() {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, no number")),
        Err(_) => default,
    };
    let runs = number("DUCAT_FUZZ_RUNS", 20_000);
    let seed = number("DUCAT_SEED", 20_261_127);
    say(&format!("DUCAT_SEED={seed}"));
    for target in TARGETS {
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let mut rng = StdRng::seed_from_u64(seed);
        for input in &corpus {
            run(target.name, input);
        }
        for _ in 0..runs {
            run(target.name, &mutated(&corpus, &mut rng));
        }
        say(&format!("{}: {} inputs and {runs} mutations of them", target.name, corpus.len()));
    }
}

/// The seeds in the tree are those that the code makes: whoever changes a format writes new ones
/// beside them, and the old ones stay.
#[test]
fn the_corpus_holds_the_seeds_of_today() {
    for target in TARGETS {
        let corpus = corpus(target.name);
        for (number, seed) in (target.seeds)().iter().enumerate() {
            // A new directory's FORMAT names a ledger drawn at random.
            let known = target.name == "format" || corpus.contains(seed);
            assert!(known, "{} {number}: cargo run -p ducat-fuzz --example seeds", target.name);
        }
    }
}

fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("readable")).collect()
}

fn run(name: &str, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| ducat_fuzz::run(name, input))) {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = dir.join(format!("fuzz-{name}-{}", std::process::id()));
        std::fs::write(&file, input).expect("the target directory is writable");
        say(&format!("{name} fails on {}", file.display()));
        std::panic::resume_unwind(panic);
    }
}

/// One input, changed in a few places.
fn mutated(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        mutate(&mut input, corpus, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// Numbers at the edge of something.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, u64::MAX - 1, u64::MAX];

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut StdRng) {
    let at = rng.random_range(0..=input.len());
    let end = rng.random_range(at..=input.len().min(at + 32));
    match rng.random_range(0..8) {
        0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
        1 if at < input.len() => input[at] = rng.random(),
        2 => drop(input.drain(at..end)),
        3 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        4 => {
            let edge = EDGES[rng.random_range(0..EDGES.len())].to_le_bytes();
            let bytes = [1, 2, 4, 8][rng.random_range(0..4)].min(input.len() - at);
            input[at..at + bytes].copy_from_slice(&edge[..bytes]);
        }
        5 => {
            let other = &corpus[rng.random_range(0..corpus.len())];
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        6 => input.truncate(at),
        _ => {
            let noise: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
            input.splice(at..at, noise);
        }
    }
}
