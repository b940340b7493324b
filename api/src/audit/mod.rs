//! The audit trail: who did what, from the gate to the journal, and back to those who ask.
//!
//! ```text
//! gate ▸ Auditor::seed ▸ service, Handle ─────────▶ journal, with what it did
//!   └ over: refused, read, commanded ▸ masks ▸ flood ▸ Auditor::run ─▶ journal
//! Audit service, `ducat audit` ◀─ convert ◀─ pages ◀─ journal and archive
//! ```
//!
//! What is written is masked first ([`masking`]), and what comes in floods is counted instead of written
//! ([`flood`]); see [decision 38](../../../docs/adr/0038-audit.md).

mod auditor;
pub mod calls;
pub mod convert;
mod flood;
mod line;
pub mod masking;
mod service;
mod summary;

pub use auditor::{Auditor, Call, Options};
pub use line::{Line, Unread, csv_header};
pub use service::AuditService;
pub use summary::Summary;
