//! Fuzzing of every decoder: bytes from outside become a value or a typed error, never a panic, a
//! hang or memory without bound; and what was decoded encodes to what decodes to it again.
//!
//! ```text
//! corpus/NAME/* ─┬─▶ tests/short.rs: mutations for a few seconds, in the gate ──┐
//!                └─▶ libfuzzer/: cargo fuzz, guided by coverage, for ten minutes ┴─▶ TARGETS[NAME]
//! ```
//!
//! Both forms run the same bodies. Checksums would stop every mutation at the door, so bodies
//! also try the bytes with their checksums made right. Run by `.ci/fuzz`.

mod directory;
mod import;
mod journal;
mod proof;
pub mod seeds;
mod wire;

/// A decoder under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its corpus, and of its binary for cargo fuzz.
    pub name: &'static str,
    /// Decodes these bytes; panics when a property does not hold.
    pub body: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", body: journal::frame, seeds: seeds::frames },
    Target { name: "records", body: journal::records, seeds: seeds::records },
    Target { name: "apply", body: journal::apply, seeds: seeds::records },
    Target { name: "archive", body: journal::archive, seeds: seeds::archives },
    Target { name: "manifest", body: journal::manifest, seeds: seeds::manifests },
    Target { name: "backup", body: journal::backup, seeds: seeds::backups },
    Target { name: "mark", body: directory::mark, seeds: seeds::marks },
    Target { name: "format", body: directory::format, seeds: seeds::formats },
    Target { name: "statement", body: proof::statement, seeds: proof::statements },
    Target { name: "checkpoint", body: proof::checkpoint, seeds: proof::checkpoints },
    Target { name: "receipt", body: proof::receipt, seeds: proof::receipts },
    Target { name: "mapping", body: import::mapping, seeds: seeds::mappings },
    Target { name: "transfers", body: wire::transfers, seeds: seeds::transfers },
    Target { name: "accounts", body: wire::accounts, seeds: seeds::accounts },
    Target { name: "requests", body: wire::requests, seeds: seeds::requests },
];

/// Runs the target of this name on these bytes.
///
/// # Panics
/// When there is no such target, or when a property does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target is called {name}")).body)(bytes);
}
