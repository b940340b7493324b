//! Crash attacks on the real binary: it is started on a data directory, loaded by clients that
//! write down every request and every answer, killed in some way, started again, and must
//! still stand by every answer it gave: transfers, operations on holds, changes of accounts.
//!
//! ```text
//! load ─ requests, answers ─▶ history ─┐
//!   │                                  ├─▶ checker ─▶ faults (none, or the test fails)
//!   ▼        kill, cut, damage         │      ▲
//! server ─────────────▶ server ─ observe ─────┘ model: the rules once more, one at a time
//! ```
//!
//! Numbers of tries come from the environment (`DUCAT_KILLS`, `DUCAT_POWER_CUTS`,
//! `DUCAT_DAMAGES`); without it the short form runs. What needs root or a tool that is not
//! there prints `skipped: …`. Every test prints its seed; `DUCAT_SEED` runs that one again.

mod archived;
mod attack;
mod backups;
mod changes;
mod checker;
mod checker_tests;
mod clock;
mod damage;
mod disk_guard;
mod drain;
mod driven;
mod failing_disk;
mod faults;
mod frames;
mod good_run;
mod history;
mod kill;
mod ledger;
mod load;
mod model;
mod money;
mod money_load;
mod mounts;
mod observe;
mod older;
mod power_cut;
mod replay;
mod seen;
mod server;
mod snapshots;
mod standing;
mod table;
mod traffic;
mod traffic_tests;
mod two_servers;
