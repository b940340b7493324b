//! Ducat's simulator: the real machines and the real journal's parts on a simulated disk, clock
//! and network of mailboxes, single-threaded, by seed.
//!
//! ```text
//! seed ─▶ plan (script, sizes, rates) ─▶ world ─┬─▶ shell: engine machines, mailboxes
//!                                               ├─▶ journal, snapshots ─▶ disk: faults, power cuts
//!                                               └─▶ serial model: equal in every answer and account?
//! ```
//!
//! Everything follows from the seed: the same seed gives the same trace, hashed over every step
//! and answer.

pub mod disk;
pub mod faults;
pub mod journal;
pub mod plan;
pub mod report;
pub mod run;
pub mod shell;
pub mod snapshots;
pub mod world;

/// The machines ask for megabytes at a time and give them back soon, in every run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
