//! The way to a data directory that no server holds. `verify` and `replay` call these two
//! functions and know nothing else of the journal.

use crate::exit::{Exit, Failure};
use ducat_actors::handle::CurrencyTotal;
use ducat_engine::ids::Lsn;
use ducat_engine::money::Currencies;
use ducat_engine::transfer::AccountView;
use std::path::Path;

/// What looking at every frame of a journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Frames read, each with its checksum and its place in the chain checked.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Accounts opened.
    pub accounts: u64,
    /// Openings for writing.
    pub epochs: u64,
    /// The last event.
    pub last_lsn: Lsn,
    /// Hash of the state that the events lead to.
    pub state_hash: [u8; 32],
    /// Sums by currency.
    pub totals: Vec<CurrencyTotal>,
    /// The currencies, for the codes and digits of the sums.
    pub currencies: Currencies,
    /// Bytes of unacknowledged work at the end that a crash cut off.
    pub dropped_tail_bytes: u64,
}

/// The state at one LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedState {
    /// Every account, in the order of opening.
    pub accounts: Vec<AccountView>,
    /// The currencies known then.
    pub currencies: Currencies,
    /// The moment.
    pub lsn: Lsn,
    /// Hash of the state.
    pub hash: [u8; 32],
    /// Sums by currency.
    pub totals: Vec<CurrencyTotal>,
}

/// Checks the whole journal in a data directory.
pub fn verify(data_dir: &Path) -> Result<VerifyReport, Failure> {
    Err(missing(data_dir))
}

/// The state at `to_lsn`, or at the journal's end.
pub fn replay(data_dir: &Path, _to_lsn: Option<Lsn>) -> Result<ReplayedState, Failure> {
    Err(missing(data_dir))
}

fn missing(data_dir: &Path) -> Failure {
    let message = format!("this build cannot read the journal in {}", data_dir.display());
    Failure::new(Exit::Internal, message)
}
