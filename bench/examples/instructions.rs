//! Does one part again and again, for callgrind to count its instructions: see
//! `.ci/instructions`, which runs it. The parts are those of the benchmarks.
//!
//! ```text
//! instructions                           the parts: name, a tab, elements per repetition
//! instructions PART REPETITIONS          does it
//! ```
//!
//! Which functions they are in:
//!
//! ```text
//! valgrind --tool=callgrind --collect-atstart=no '--toggle-collect=*ducat_measured*' \
//!     --callgrind-out-file=path.out \
//!     target/release/examples/instructions 'path/bytes to bytes/8192 of 10k' 8
//! callgrind_annotate --auto=no path.out
//! callgrind_annotate --auto=no --inclusive=yes path.out
//! ```

#[path = "../benches/parts/mod.rs"]
mod parts;

use parts::{Meter, Part, append, batch, codec, dedupe, frame, path, replay};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            for part in counted() {
                println!("{}\t{}", part.full_name(), part.elements);
            }
            ExitCode::SUCCESS
        }
        [name, repetitions] => match (find(name), repetitions.parse::<u32>()) {
            (Some(part), Ok(repetitions)) => {
                let mut repeat = part.make();
                repeat(&mut Meter::off());
                (0..repetitions).for_each(|_| repeat(&mut Meter::on()));
                ExitCode::SUCCESS
            }
            (None, _) => usage(&format!("no part is called {name}")),
            (_, Err(error)) => usage(&format!("{repetitions} repetitions: {error}")),
        },
        _ => usage("too many or too few arguments"),
    }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("error: {what}\nusage: instructions [PART REPETITIONS]");
    ExitCode::from(2)
}

/// The pure parts: no disk, no threads, the same instructions in every run.
fn counted() -> Vec<Part> {
    let mut parts = codec::parts();
    parts.extend(dedupe::counted());
    parts.extend(batch::counted());
    parts.extend(frame::parts());
    parts.extend(append::counted());
    parts.extend(replay::counted());
    parts.extend(path::parts());
    parts
}

fn find(name: &str) -> Option<Part> {
    counted().into_iter().find(|part| part.full_name() == name)
}
