//! Ducat's history checker: takes every request and every reply that clients saw, and the
//! journal, and finds whatever should never happen.
//!
//! It believes neither side. The journal's events are replayed by LSN with the rules written
//! down once more ([`books`]), each is held against the request that asked for it, and each
//! reply against the event it speaks of. What happened before what is told by the clients' own
//! clock: a request that was sent after an answer had arrived comes after what was answered.
//!
//! ```text
//! clients ─▶ History (requests, replies, moments) ─┬─▶ order: LSNs and reads in real time
//!                                                  ▼
//! journal ─▶ Checker::event, by LSN ─▶ replay ─▶ faults
//!                      └ group by group: who asked ▸ what the rules say ▸ figures ▸ replies
//! ```
//!
//! What it finds is listed in [`Kind`]; `tests/planted.rs` plants each of them. It is linear in
//! what it is given, apart from sorting, and holds some 25 bytes for each request that it is
//! given: `examples/speed.rs` checks ten million.

mod answers;
mod around;
pub mod books;
mod calls;
mod check;
mod duplicates;
pub mod event;
pub mod fault;
mod fees;
pub mod history;
mod holds;
mod index;
mod judge;
mod log;
mod order;
mod reads;
mod refunds;
mod repeats;
mod terms;

pub use check::{CheckError, Checker, Options, check_journal};
pub use event::Event;
pub use fault::{Fault, Kind, Report};
pub use history::{BadHistory, Beside, History, Span, Told};
