//! The way to a data directory that no server holds. `verify` and `replay` call these two
//! functions and know nothing else of the journal.
//!
//! Both scan the whole journal, which checks every frame, and apply its events with the same
//! rules as the running engine.

use crate::causes::{damaged_restore, with_causes};
use crate::exit::{Exit, Failure};
use ducat_actors::handle::CurrencyTotal;
use ducat_actors::replay::{Progress, ReplayFailed, replay_offline};
use ducat_api::compose::{self, OpenError};
use ducat_engine::ids::{Lsn, ShardId, Slot};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::Currencies;
use ducat_engine::transfer::AccountView;
use ducat_persistence::{DataDirError, Tail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Duration;

/// The only shard there is.
const SHARD: ShardId = ShardId(0);

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
    /// Where an end begins that a crash tore and nobody was told of; it is not counted.
    pub dropped_from: Option<Lsn>,
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

/// Checks the whole journal in a data directory. Sums that are not zero are damage too.
pub fn verify(data_dir: &Path) -> Result<VerifyReport, Failure> {
    let (ledger, tail) = scan(data_dir, None)?;
    let state = state_of(&ledger);
    Ok(VerifyReport {
        frames: tail.frames,
        events: tail.records,
        accounts: state.accounts.len() as u64,
        epochs: tail.epoch.0,
        last_lsn: state.lsn,
        state_hash: state.hash,
        totals: state.totals,
        currencies: state.currencies,
        dropped_from: tail.dropped.map(|dropped| dropped.first_lsn),
    })
}

/// The state at `to_lsn`, or at the journal's end.
pub fn replay(data_dir: &Path, to_lsn: Option<Lsn>) -> Result<ReplayedState, Failure> {
    scan(data_dir, to_lsn).map(|(ledger, _)| state_of(&ledger))
}

/// Opens the journal and applies its events as far as `to`.
fn scan(data_dir: &Path, to: Option<Lsn>) -> Result<(Ledger, Tail), Failure> {
    let opened = compose::open_existing(data_dir).map_err(|e| open_failure(&e, data_dir))?;
    let mut ledger = Ledger::new(1, 0, REMEMBER_NS)
        .ok_or_else(|| Failure::new(Exit::Internal, "a ledger of one partition was refused"))?;
    let (bar, progress) = progress();
    let tail = replay_offline(&*opened.journal, SHARD, &mut ledger, to, progress);
    bar.finish_and_clear();
    Ok((ledger, tail.map_err(|e| replay_failure(&e, data_dir))?))
}

/// A ledger in figures.
fn state_of(ledger: &Ledger) -> ReplayedState {
    let (hash, totals) = ledger.summary();
    let total = |(currency, t): (_, ducat_engine::ledger::Totals)| CurrencyTotal {
        currency,
        internal: t.internal,
        external: t.external,
    };
    ReplayedState {
        accounts: (0..).map_while(|slot| ledger.view(Slot(slot))).collect(),
        currencies: ledger.coordinator.currencies().clone(),
        lsn: Lsn(ledger.coordinator.next_lsn().0.saturating_sub(1)),
        hash,
        totals: totals.into_iter().map(total).collect(),
    }
}

/// A bar, and what moves it.
pub fn progress() -> (ProgressBar, Progress) {
    let bar = progress_bar();
    let shown = bar.clone();
    let progress = Box::new(move |at: &ducat_persistence::ScanProgress| {
        shown.set_length(at.goal_lsn.0.max(at.lsn.0));
        shown.set_position(at.lsn.0);
    });
    (bar, progress)
}

/// A bar on stderr that shows itself only when the replay takes a while.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("replaying [{wide_bar}] {human_pos} of {human_len}");
    let bar = ProgressBar::new(0);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

/// How a data directory that cannot be opened ends a command that looks into it.
pub fn open_failure(error: &OpenError, data_dir: &Path) -> Failure {
    let exit = match error {
        error if error.is_in_use() => Exit::Held,
        // Its text says what to restore.
        OpenError::DataDir(DataDirError::Format { .. }) => Exit::Damaged,
        error if error.is_damage() => return damaged_restore(error, data_dir),
        OpenError::DataDir(DataDirError::NotFound(_) | DataDirError::Foreign { .. }) => Exit::Usage,
        OpenError::DataDir(_) => Exit::CannotCreate,
        OpenError::Journal(_) => Exit::Internal,
    };
    Failure::new(exit, with_causes(error))
}

fn replay_failure(error: &ReplayFailed, data_dir: &Path) -> Failure {
    if compose::is_replay_damage(error) {
        return damaged_restore(error, data_dir);
    }
    Failure::new(Exit::Internal, with_causes(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_persistence::{JournalError, ReplayError};

    #[test]
    fn a_directory_without_a_ledger_is_wrong_usage() {
        let dir = tempfile::tempdir().expect("a directory");
        let failure = verify(dir.path()).expect_err("nothing there");
        assert_eq!(failure.exit, Exit::Usage);
        let failure = replay(&dir.path().join("missing"), None).expect_err("nothing there");
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn a_directory_that_is_held_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = compose::create_or_open(dir.path()).expect("created");
        assert_eq!(verify(dir.path()).expect_err("held").exit, Exit::Held);
        drop(held);
        let report = verify(dir.path()).expect("an empty journal is sound");
        assert_eq!((report.frames, report.accounts, report.last_lsn), (0, 0, Lsn::ZERO));
    }

    #[test]
    fn whatever_is_wrong_with_the_journal_is_damage() {
        let lsn = Lsn(7);
        let impossible = || ReplayError::new("the account is not there");
        for error in [
            ReplayFailed::NotConserved { currency: 826, sum: 1 },
            ReplayFailed::End { journal: lsn, ledger: Lsn(8) },
            JournalError::Replay { shard: SHARD, lsn, source: impossible() }.into(),
        ] {
            let failure = replay_failure(&error, Path::new("./ledger"));
            assert_eq!(failure.exit, Exit::Damaged, "{failure}");
            assert!(failure.message.contains("restore it from a copy"), "{failure}");
        }
        let trimmed = JournalError::Trimmed { shard: SHARD, wanted: lsn, first: Lsn(9) };
        assert_eq!(replay_failure(&trimmed.into(), Path::new(".")).exit, Exit::Internal);
    }

    #[test]
    fn a_damaged_format_names_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(compose::create_or_open(dir.path()).expect("created"));
        std::fs::write(dir.path().join("FORMAT"), "x").expect("written");
        let failure = verify(dir.path()).expect_err("damaged");
        assert_eq!(failure.exit, Exit::Damaged);
        let copy = format!("from a copy of {}", dir.path().display());
        assert!(failure.message.ends_with(&copy), "{failure}");
    }
}
