//! Ducat's rules, pure: no clock, no thread, no socket, no file.
//!
//! Everything that decides about money lives here, as state machines that take messages and
//! return effects. The other rooms carry the messages about, make the effects durable and
//! talk to the world.
//!
//! ```text
//! requests ─▶ coordinator ─ Batch ─▶ partitions (accounts) ─ votes ─▶ coordinator
//!                        ◀─ legs ── partitions ◀─ verdicts ──┘
//!             coordinator ─▶ records (journal) and outcomes (callers)
//! records ─▶ ledger::apply ─▶ the same accounts, on restart
//! ```

pub mod account;
pub mod account_event;
mod accounts;
pub mod ahead;
pub mod audit;
pub mod batch;
pub mod codec;
pub mod coordinator;
pub mod directory;
pub mod driven;
pub mod dry_run;
pub mod effects;
pub mod fees;
pub mod holds;
mod id_table;
pub mod ids;
pub mod known;
pub mod ledger;
pub mod limits;
pub mod model;
pub mod money;
pub mod note;
pub mod partition;
pub mod plan;
pub mod prefetch;
pub mod profile;
pub mod proof;
pub mod record;
pub mod refunds;
pub mod rejection;
pub mod repeat;
pub mod request;
pub mod rounds;
pub mod sagas;
pub mod schedules;
pub mod shares;
pub mod snapshot;
pub mod terms;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transfer;
pub mod undurable;
mod varint;
mod waiting;
pub mod watch;
