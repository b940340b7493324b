//! Ducat's actors: the shell around the rules of [`ducat_engine`].
//!
//! ```text
//! Handle ─ queue ─▶ coordinator ─ Prepare/Commit ─▶ partitions (accounts)
//!                        │ records, answers
//!                        ▼
//!                  journal writer ─▶ thread: append, sync ─▶ answers leave
//! supervisor: linked to all of them; one failure stops the engine
//! ```
//!
//! [`handle`] is the only door, [`start`] opens and closes it, [`replay`] rebuilds a ledger
//! from its journal, [`upkeep`] archives the journal's oldest part and watches the disk,
//! [`proof`] signs checkpoints of the journal, [`feed`] gives decided events to those who
//! follow, [`history`] looks back, [`audit`] tells who did what, [`trace`]
//! notes where a sampled call spent its time.

mod account_history;
mod accounts;
mod admission;
mod answers;
mod attend;
pub mod audit;
mod background;
mod backlog;
mod clock;
mod coordinator;
pub mod copying;
mod decided;
mod driven;
mod dry_run;
mod entries;
pub mod feed;
pub mod handle;
pub mod history;
mod journal;
pub mod latency;
mod names;
pub mod owners;
mod partition;
pub mod proof;
mod refunds;
pub mod replay;
mod requests;
pub mod snapshots;
mod standings;
pub mod start;
mod stored;
mod supervisor;
mod tasks;
mod threads;
pub mod trace;
pub mod upkeep;
