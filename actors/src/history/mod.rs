//! Looking back: balances, statements and sums of any past moment, and whether the balances of
//! now are what the journal's events come to.
//!
//! ```text
//! moment ─ moment ─▶ LSN ─ search ─▶ the account's entry there ─ statement ─▶ balance, page
//!                     └─ books: figures of all accounts, event by event ─▶ trial, audit
//! ```
//!
//! Everything is read from the journal and what stands beside it (archive, snapshots); the path of
//! a transfer keeps nothing for it and is not asked
//! ([decision 18](../../../docs/adr/0018-looking-back-by-search.md)).

mod alone;
mod audit;
mod books;
mod moment;
mod search;
mod statement;
mod trial;
mod value;

pub use audit::{BalancesVerified, Difference};
pub use moment::Moment;
pub use statement::{BalanceAt, StatementQuery};
pub use trial::{Sides, TrialBalance, TrialRow};
pub use value::{ValueQuery, ValuedLater};

pub(crate) use audit::verify_balances;
pub(crate) use moment::last_decided_at;
pub(crate) use statement::{balance_at, page};
pub(crate) use trial::trial_balance;
pub(crate) use value::{balance as balance_by_value, page as value_page};
