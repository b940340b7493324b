//! Proofs for people outside: what happened, as a statement that needs no knowledge of the
//! journal, and the tree that commits to all statements.
//!
//! ```text
//! record ─▶ Names (slots ─▶ ids) ─▶ Statement ─▶ canonical bytes ─▶ leaf ─▶ Tree ─▶ root, path
//! ```
//!
//! The format, for those who write a verifier of their own: `docs/RECEIPTS.md`.

pub mod merkle;
pub mod names;
pub mod statement;
pub mod texts;

pub use merkle::{Hash, Tree};
pub use names::{Names, Unnamed, Whose};
pub use statement::{Statement, StatementError};
