//! The way to a data directory without a server: its journal read from the files alone, and the
//! ledger that its events lead to. The directory is never written to, and a server may be
//! working on it: then what it had acknowledged when the command began is read.

use crate::causes::{damaged_restore, with_causes};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::serve::replay_bar;
use crate::vault;
use ducat_actors::handle::CurrencyTotal;
use ducat_actors::replay::{
    Observer, Progress, ReplayFailed, Until, replay_behind, replay_offline,
};
use ducat_api::compose::{self, OpenError, OpenJournal, Opening};
use ducat_engine::ids::{Lsn, ShardId, Slot};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::Currencies;
use ducat_engine::transfer::AccountView;
use ducat_persistence::snapshot::{SnapshotHeader, SnapshotStore};
use ducat_persistence::{DataDir, DataDirError, RawJournal, Tail, Vault};
use std::path::Path;
use std::time::{Duration, Instant};

/// The only shard there is.
pub const SHARD: ShardId = ShardId(0);

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

/// Opens the journal of a directory for reading.
pub fn open(data_dir: &Path) -> Result<RawJournal, Failure> {
    let keys = vault::of(data_dir)?;
    let opened = compose::open_to_read_with(data_dir, keys.as_deref());
    opened.map_err(|e| open_failure(&e, data_dir))
}

/// The keys of the ledger in a directory, if it is encrypted.
pub fn unlock(data_dir: &Path) -> Result<Option<Vault>, Failure> {
    let keys = vault::of(data_dir)?;
    DataDir::unlock(data_dir, keys.as_deref()).map_err(|e| open_failure(&e.into(), data_dir))
}

/// The snapshots in a directory, to read them.
pub fn snapshots(data_dir: &Path) -> Result<SnapshotStore, Failure> {
    let store = SnapshotStore::read_only(data_dir, SHARD);
    let store = store.map_err(|e| open_failure(&e.into(), data_dir))?;
    Ok(store.with_vault(unlock(data_dir)?))
}

/// Opens a ledger to write beside it, as it is: encrypted or not.
pub fn open_existing(data_dir: &Path) -> Result<Result<OpenJournal, OpenError>, Failure> {
    let opening = Opening { keys: vault::of(data_dir)?, ..Opening::default() };
    Ok(compose::open_existing_with(data_dir, opening))
}

/// An empty ledger to replay into.
pub fn empty() -> Result<Ledger, Failure> {
    Ledger::new(1, 0, REMEMBER_NS)
        .ok_or_else(|| Failure::new(Exit::Internal, "a ledger of one partition was refused"))
}

/// The ledger as far as `until`, and where the journal ends. The whole journal is checked.
pub fn replay(
    journal: &RawJournal,
    data_dir: &Path,
    until: Until,
    observer: &mut impl Observer,
) -> Result<(Ledger, Tail), Failure> {
    let mut ledger = empty()?;
    let timer = Timer::start();
    let tail = replay_offline(journal, SHARD, &mut ledger, until, observer, replay_bar::progress())
        .map_err(|e| replay_failure(&e, data_dir))?;
    timer.tell(&tail);
    Ok((ledger, tail))
}

/// As [`replay`], from the newest snapshot at or before the moment that can be used: quicker, and
/// what lies before it is not looked at. From the beginning when there is none.
pub fn replay_from_snapshot(
    journal: &RawJournal,
    data_dir: &Path,
    until: Until,
    observer: &mut impl Observer,
) -> Result<(Ledger, Tail), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::CannotCreate, format!("cannot list the snapshots: {error}"))
    };
    let store = snapshots(data_dir)?;
    for listed in store.list().map_err(|e| failed(&e))? {
        let early = |header: &SnapshotHeader| {
            until.includes(header.state.lsn, header.state.time_ns)
                && header.state.lsn <= journal.mark().durable.lsn
        };
        if listed.header.as_ref().is_ok_and(|header| !early(header)) {
            continue;
        }
        match store.load(listed.lsn, 1, 0, REMEMBER_NS) {
            Ok((mut ledger, summary)) => {
                eprintln!("from the snapshot at LSN {}", listed.lsn);
                let (after, timer) = (Some(summary.header.anchor), Timer::start());
                let bar = replay_bar::progress();
                let tail = replay_behind(journal, SHARD, &mut ledger, after, until, observer, bar)
                    .map_err(|e| replay_failure(&e, data_dir))?;
                timer.tell(&tail);
                return Ok((ledger, tail));
            }
            Err(error) => {
                eprintln!("ducat: {} was not used: {}", listed.path.display(), with_causes(&error));
            }
        }
    }
    eprintln!("there is no snapshot to begin with: from the beginning");
    replay(journal, data_dir, until, observer)
}

/// Says on stderr how fast a replay was, when it took long enough to ask.
pub struct Timer(Instant);

impl Timer {
    /// Begins to count.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What was replayed.
    pub fn tell(&self, tail: &Tail) {
        self.tell_events(tail.records);
    }

    /// So many events were replayed.
    #[allow(clippy::cast_precision_loss)]
    pub fn tell_events(&self, events: u64) {
        let took = self.0.elapsed();
        if took >= Duration::from_secs(1) {
            let rate = events as f64 / took.as_secs_f64() / 1e6;
            let (events, seconds) = (output::count(events), took.as_secs_f64());
            eprintln!("replayed {events} events in {seconds:.1} s, {rate:.2} million a second");
        }
    }
}

/// What shows how far a replay has come.
pub fn progress() -> Progress {
    replay_bar::progress()
}

/// A ledger in figures.
pub fn state_of(ledger: &Ledger) -> ReplayedState {
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

/// How a directory that cannot be opened ends the command.
pub fn open_failure(error: &OpenError, data_dir: &Path) -> Failure {
    let exit = match error {
        error if error.is_in_use() => Exit::Held,
        OpenError::DataDir(DataDirError::Keys(error)) => return vault::failure(error),
        // Its text says what to restore.
        OpenError::DataDir(DataDirError::Format { .. }) => Exit::Damaged,
        error if error.is_damage() => return damaged_restore(error, data_dir),
        OpenError::DataDir(DataDirError::NotFound(_) | DataDirError::Foreign { .. }) => Exit::Usage,
        OpenError::DataDir(_) => Exit::CannotCreate,
        OpenError::Journal(_) => Exit::Internal,
    };
    Failure::new(exit, with_causes(error))
}

/// How a replay that stopped ends the command.
pub fn replay_failure(error: &ReplayFailed, data_dir: &Path) -> Failure {
    if compose::is_replay_damage(error) {
        return damaged_restore(error, data_dir);
    }
    let exit = if matches!(error, ReplayFailed::Target { .. }) {
        Exit::CannotCreate
    } else {
        Exit::Internal
    };
    Failure::new(exit, with_causes(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_persistence::{JournalError, ReplayError};

    #[test]
    fn a_directory_without_a_ledger_is_wrong_usage() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(open(dir.path()).expect_err("nothing there").exit, Exit::Usage);
        let failure = open(&dir.path().join("missing")).expect_err("nothing there");
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn a_directory_that_is_held_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = compose::create_or_open(dir.path()).expect("created");
        assert!(open(dir.path()).expect("opens").is_live());
        drop(held);
        let journal = open(dir.path()).expect("opens");
        assert!(!journal.is_live());
        let (ledger, tail) =
            replay(&journal, dir.path(), Until::default(), &mut ()).expect("sound");
        assert_eq!((tail.frames, state_of(&ledger).lsn), (0, Lsn::ZERO));
        let refused = compose::open_existing(dir.path()).err().expect("no server meanwhile");
        assert!(refused.is_in_use());
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
        let failure = open(dir.path()).expect_err("damaged");
        assert_eq!(failure.exit, Exit::Damaged);
        let copy = format!("from a copy of {}", dir.path().display());
        assert!(failure.message.ends_with(&copy), "{failure}");
    }
}
