//! Replay over the in-memory journal: where it ends, what it tells, and that a journal whose
//! events make no ledger is refused before anything is written to it.

mod support;

use ducat_actors::handle::EngineOptions;
use ducat_actors::replay::{Event, Observer, ReplayFailed, Until, replay_offline};
use ducat_actors::start::{Engine, StartError};
use ducat_engine::codec::encode;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::ledger::Ledger;
use ducat_engine::record::Record;
use ducat_engine::transfer::AccountSpec;
use ducat_persistence::{AppendBuffer, BoxError, Journal, JournalError, MemoryJournal};
use std::sync::Arc;
use support::{GBP, account, journal};

const SHARD: ShardId = ShardId(0);
/// More than a batch of the replay takes, in many frames.
const ACCOUNTS: u64 = 5_000;

/// Openings of accounts 1 to `ACCOUNTS`, one batch for each thousand, decided at 1000, 2000, …;
/// then `last`, decided at 9999.
fn filled(last: Option<Record>) -> MemoryJournal {
    let journal = journal();
    let mut writer = journal.open_writer(SHARD, "test").expect("opens").0;
    let mut batch = AppendBuffer::new();
    for lsn in 1..=ACCOUNTS {
        if lsn % 1_000 == 1 {
            batch.begin_batch((lsn / 1_000 + 1) * 1_000);
        }
        let record = opened(u128::from(lsn));
        batch.push(Lsn(lsn), |out| encode(&record, out)).expect("small");
        if lsn % 1_000 == 0 {
            batch.end_batch();
        }
    }
    writer.append(Lsn(1), &mut batch).expect("appends");
    if let Some(record) = last {
        batch.clear();
        batch.begin_batch(9_999);
        batch.push(Lsn(ACCOUNTS + 1), |out| encode(&record, out)).expect("small");
        batch.end_batch();
        writer.append(Lsn(ACCOUNTS + 1), &mut batch).expect("appends");
    }
    drop(writer);
    journal.reopen()
}

fn opened(id: u128) -> Record {
    let (id, currency) = (account(id), GBP);
    Record::AccountOpened(AccountSpec { id, currency, overdraft_limit: 0, external: false })
}

fn empty() -> Ledger {
    Ledger::new(1, 0, u64::MAX).expect("one partition")
}

#[derive(Default)]
struct Seen(Vec<(u64, u64)>);

impl Observer for Seen {
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        assert_eq!(ledger.coordinator.next_lsn(), event.lsn.next(), "told after it was applied");
        self.0.push((event.lsn.0, event.time_ns));
        Ok(())
    }
}

#[test]
fn a_replay_ends_where_it_is_told_and_tells_every_event_once() {
    let journal = filled(None);
    let at = |lsn: Option<u64>, time_ns| Until { lsn: lsn.map(Lsn), time_ns };
    for (until, last) in [
        (Until::default(), ACCOUNTS),
        (at(Some(0), None), 0),
        (at(Some(1_234), None), 1_234),
        (at(None, Some(3_000)), 3_000),
        (at(None, Some(2_999)), 2_000),
        (at(None, Some(999)), 0),
        (at(Some(1_234), Some(1_500)), 1_000),
    ] {
        let (mut ledger, mut seen) = (empty(), Seen::default());
        let replayed =
            replay_offline(&journal, SHARD, &mut ledger, until, &mut seen, Box::new(|_| {}));
        assert_eq!(replayed.expect("sound").records, ACCOUNTS, "all of it is checked");
        let expected = (1..=last).map(|lsn| (lsn, ((lsn - 1) / 1_000 + 1) * 1_000));
        assert_eq!(seen.0, expected.collect::<Vec<_>>(), "{until:?}");
        assert_eq!(ledger.coordinator.next_lsn(), Lsn(last + 1));
    }
}

struct Refuses;

impl Observer for Refuses {
    fn event(&mut self, _: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if event.lsn == Lsn(1_500) { Err("no more".into()) } else { Ok(()) }
    }
}

#[test]
fn an_observer_that_has_enough_ends_the_replay() {
    let journal = filled(None);
    let replayed = replay_offline(
        &journal,
        SHARD,
        &mut empty(),
        Until::default(),
        &mut Refuses,
        Box::new(|_| {}),
    );
    let Err(ReplayFailed::Journal(JournalError::Replay { lsn, source, .. })) = replayed else {
        panic!("{replayed:?}");
    };
    assert!(lsn <= Lsn(1_500) && lsn > Lsn(1_300), "the frame that holds it, not {lsn}");
    assert_eq!(source.0.to_string(), "no more");
}

#[tokio::test]
async fn an_impossible_event_is_named_and_the_journal_stays_as_it_was() {
    // The last event opens an account that is there already.
    let journal = filled(Some(opened(7)));
    let before = journal.scan(SHARD, &mut |_, _| Ok(())).expect("sound frames");
    let journal = Arc::new(journal);
    let opened: Arc<dyn Journal> = journal.clone();
    let started =
        Engine::start(EngineOptions::default(), opened, "test", Box::new(|_| {})).await.err();
    let Some(StartError::Replay(ReplayFailed::Journal(JournalError::Replay {
        lsn, source, ..
    }))) = started
    else {
        panic!("{started:?}");
    };
    assert_eq!(lsn, Lsn(ACCOUNTS + 1));
    assert!(source.0.to_string().contains(&format!("account {} was opened", account(7))));
    let after = journal.scan(SHARD, &mut |_, _| Ok(())).expect("sound frames");
    assert_eq!(after, before, "no epoch was taken");
}
