//! Looking back through the door: balances, statements and sums of any moment are those that a
//! replay up to that moment comes to; an audit finds what contradicts, and stops nobody.

mod support;
#[path = "history/value.rs"]
mod value;

use ducat_actors::feed::Subscription;
use ducat_actors::handle::{EntriesPage, Entry, Handle, RequestError};
use ducat_actors::history::{BalanceAt, Moment, StatementQuery, TrialRow};
use ducat_actors::replay::{Until, replay_offline};
use ducat_actors::start::Engine;
use ducat_engine::codec::{decode_all, encode};
use ducat_engine::ids::{Lsn, ShardId, Slot};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::record::Record;
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferRequest};
use ducat_persistence::{
    AppendBuffer, Frame, FrameReader, Journal, JournalError, MemoryJournal, Tail, TrimReport,
    Visitor, Writer,
};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::{BANK, GBP, account, journal, open, start, submit, transfer};

const SHARD: ShardId = ShardId(0);

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(60);

/// Some traffic between accounts 2 to 5, refusals and repeats included; account 6 moves once.
fn traffic(round: u64) -> Vec<TransferRequest> {
    let pair = |id: u64| {
        let (from, to) = (id % 7, id % 3);
        let debit = if from > 3 { BANK } else { 2 + u128::from(from) };
        let credit = 2 + u128::from((from + 1 + to) % 4);
        (debit, if debit == credit { BANK } else { credit })
    };
    let one = |id: u64| {
        let (debit, credit) = pair(id.wrapping_mul(0x9e37_79b9) >> 7);
        transfer(u128::from(id), debit, credit, u128::from(1 + id % 90))
    };
    (round * 50 + 1..=round * 50 + 50).map(one).collect()
}

async fn fill(handle: &Handle) {
    open(handle, 6).await;
    for round in 0..10 {
        submit(handle, traffic(round)).await;
    }
    submit(handle, vec![transfer(1_000_000, BANK, 6, 77)]).await;
    handle
        .set_status(account(5), AccountStatus::Frozen, String::new())
        .await
        .expect("up")
        .expect("known");
    for round in 10..20 {
        submit(handle, traffic(round)).await;
    }
}

/// The ledger right after an event, by replay.
fn replayed(journal: &dyn Journal, until: Until) -> Ledger {
    let mut ledger = Ledger::new(1, 0, REMEMBER_NS).expect("one partition");
    replay_offline(journal, SHARD, &mut ledger, until, &mut (), Box::new(|_| {})).expect("sound");
    ledger
}

fn last_lsn(ledger: &Ledger) -> Lsn {
    Lsn(ledger.coordinator.next_lsn().0 - 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_of_any_moment_is_that_of_a_replay() {
    let kept = journal();
    let engine = start(&kept, 2).await;
    let handle = engine.handle();
    fill(&handle).await;
    let last = handle.status().durable_lsn;
    let balance = async |id, moment| handle.balance_at(account(id), moment).await;
    for lsn in (0..=last.0).step_by(13).chain([last.0]).map(Lsn) {
        let ledger = replayed(&*kept, Until::lsn(lsn));
        for slot in 0..6 {
            let id = u128::from(slot) + 1;
            let found = balance(id, Moment::Lsn(lsn)).await;
            let Some(view) = ledger.view(Slot(slot)) else {
                let opened = Lsn(id as u64);
                let later = RequestError::NotOpened { account: account(id), opened, lsn };
                assert_eq!(found, Err(later));
                continue;
            };
            let expected = BalanceAt {
                account: account(id),
                currency: GBP,
                posted: view.posted,
                lsn,
                entry_lsn: view.last_lsn,
            };
            assert_eq!(found, Ok(Some(expected)), "account {id} at {lsn}");
        }
    }
    // By time: of each frame, and a little before and after.
    let times: Vec<u64> = kept
        .read(SHARD, Lsn(1))
        .expect("reads")
        .map(|frame| frame.expect("sound").header().time_ns)
        .collect();
    for time_ns in times.into_iter().flat_map(|time| [time - 1, time, time + 1]) {
        let ledger = replayed(&*kept, Until { lsn: None, time_ns: Some(time_ns) });
        let expected = ledger.view(Slot(1)).map(|view| (view.posted, last_lsn(&ledger)));
        match balance(2, Moment::Time(time_ns)).await {
            Ok(Some(found)) => assert_eq!(Some((found.posted, found.lsn)), expected),
            Err(RequestError::NotOpened { .. }) => assert_eq!(expected, None),
            other => panic!("{other:?}"),
        }
    }
    let now = balance(2, Moment::Time(u64::MAX)).await.expect("up").expect("known");
    assert_eq!(now.lsn, last);
    assert_eq!(balance(99, Moment::Lsn(last)).await, Ok(None));
    let beyond = balance(2, Moment::Lsn(last.next())).await;
    assert_eq!(beyond, Err(RequestError::NotReached { asked: last.next(), last }));
    engine.shutdown().await.expect("drains");
}

async fn pages(handle: &Handle, id: u128, query: StatementQuery) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let query = StatementQuery { cursor, ..query };
        let page = handle.statement(account(id), query).await.expect("up").expect("known");
        let EntriesPage { entries: some, next, currency } = page;
        assert!(currency == GBP && some.len() <= query.limit);
        assert!(next.is_none() || some.len() == query.limit, "only the last page is short");
        entries.extend(some);
        cursor = next;
        if cursor.is_none() {
            return entries;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_all_entries_between_its_bounds_in_either_order() {
    let kept = journal();
    let engine = start(&kept, 1).await;
    let handle = engine.handle();
    fill(&handle).await;
    let last = handle.status().durable_lsn;
    let all = StatementQuery { limit: 10_000, ..StatementQuery::default() };
    for id in [1, 2, 5, 6] {
        let whole = pages(&handle, id, all).await;
        assert!(whole.is_sorted_by(|a, b| a.lsn > b.lsn) && !whole.is_empty());
        // Each entry says what the entries before it come to.
        let mut balance = 0;
        for entry in whole.iter().rev() {
            balance += entry.amount;
            assert_eq!(entry.balance_after, balance, "{entry:?}");
        }
        let mut times: Vec<u64> = whole.iter().map(|entry| entry.time_ns).collect();
        times.dedup();
        let some_time = |at: usize| Some(Moment::Time(times[at * (times.len() - 1) / 4]));
        let some_lsn = |part: u64| Some(Moment::Lsn(Lsn(last.0 * part / 8)));
        for (from, to) in [
            (None, None),
            (some_lsn(1), None),
            (None, some_lsn(5)),
            (some_lsn(2), some_lsn(3)),
            (some_lsn(3), some_lsn(2)),
            (Some(Moment::Lsn(last.next())), None),
            (None, Some(Moment::Lsn(Lsn(u64::MAX)))),
            (Some(Moment::Time(0)), Some(Moment::Time(u64::MAX))),
            (some_time(3), some_time(1)),
            (some_time(4), some_lsn(6)),
            (some_lsn(4), some_time(2)),
        ] {
            let is_in = |entry: &Entry| {
                let behind = match from {
                    None => true,
                    Some(Moment::Lsn(lsn)) => entry.lsn >= lsn,
                    Some(Moment::Time(time_ns)) => entry.time_ns >= time_ns,
                };
                behind
                    && match to {
                        None => true,
                        Some(Moment::Lsn(lsn)) => entry.lsn <= lsn,
                        Some(Moment::Time(time_ns)) => entry.time_ns <= time_ns,
                    }
            };
            let mut expected: Vec<Entry> =
                whole.iter().filter(|entry| is_in(entry)).cloned().collect();
            for limit in [23, 10_000] {
                let query = StatementQuery { from, to, limit, ..StatementQuery::default() };
                assert_eq!(pages(&handle, id, query).await, expected, "{query:?}");
                let query = StatementQuery { oldest_first: true, ..query };
                expected.reverse();
                assert_eq!(pages(&handle, id, query).await, expected, "{query:?}");
                expected.reverse();
            }
        }
        let one = StatementQuery { limit: 1, to: some_lsn(1), ..all };
        let newest = pages(&handle, id, one).await;
        let mut oldest = pages(&handle, id, StatementQuery { oldest_first: true, ..one }).await;
        oldest.reverse();
        assert_eq!(newest, oldest, "one by one");
        let foreign = StatementQuery { cursor: Some(Lsn(3)), limit: 5, ..all };
        let refused = handle.statement(account(id), foreign).await;
        assert_eq!(refused, Err(RequestError::BadCursor(Lsn(3))));
    }
    engine.shutdown().await.expect("drains");
}

/// The rows of a ledger.
fn rows(ledger: &Ledger) -> Vec<TrialRow> {
    let views = (0..).map_while(|slot| ledger.view(Slot(slot)));
    TrialRow::of(views.map(|view| (view.spec.currency, view.spec.external, view.posted)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_balance_of_any_moment_is_that_of_a_replay() {
    let kept = journal();
    let engine = start(&kept, 1).await;
    let handle = engine.handle();
    let nothing = handle.trial_balance(None).await.expect("up");
    assert_eq!((nothing.lsn, nothing.accounts, nothing.rows), (Lsn::ZERO, 0, Vec::new()));
    fill(&handle).await;
    let last = handle.status().durable_lsn;
    for lsn in (0..=last.0).step_by(101).chain([last.0]).map(Lsn) {
        let made = handle.trial_balance(Some(Moment::Lsn(lsn))).await.expect("up");
        let ledger = replayed(&*kept, Until::lsn(lsn));
        assert_eq!((made.lsn, made.rows), (lsn, rows(&ledger)), "{lsn}");
        assert_eq!((made.accounts, made.began_with), (lsn.0.min(6), Lsn::ZERO));
    }
    let now = handle.trial_balance(None).await.expect("up");
    assert_eq!(now, handle.trial_balance(Some(Moment::Time(u64::MAX))).await.expect("up"));
    assert!(now.lsn == last && now.rows[0].is_balanced() && now.rows[0].internal.credit > 0);
    let beyond = handle.trial_balance(Some(Moment::Lsn(last.next()))).await;
    assert_eq!(beyond, Err(RequestError::NotReached { asked: last.next(), last }));
    engine.shutdown().await.expect("drains");
}

type Doctor = Box<dyn Fn(Frame) -> Frame + Send + Sync>;

/// A journal that shows what it was not given, or waits before it shows anything.
#[derive(Clone)]
struct Doctored {
    journal: Arc<MemoryJournal>,
    doctor: Arc<Mutex<Option<Arc<Doctor>>>>,
    /// Whether reading waits.
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Doctored {
    fn new() -> Self {
        let (doctor, held) = (Arc::default(), Arc::default());
        Self { journal: journal(), doctor, held }
    }

    fn hold(&self, hold: bool) {
        *self.held.0.lock().expect("sound") = hold;
        self.held.1.notify_all();
    }

    fn treat(&self, doctor: impl Fn(Frame) -> Frame + Send + Sync + 'static) {
        *self.doctor.lock().expect("sound") = Some(Arc::new(Box::new(doctor)));
    }
}

impl Journal for Doctored {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.journal.open_writer_with(shard, owner, visit)
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.journal.scan(shard, visit)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        let held = self.held.0.lock().expect("sound");
        drop(self.held.1.wait_while(held, |held| *held).expect("sound"));
        let doctor = self.doctor.lock().expect("sound").clone();
        let frames = self.journal.read(shard, from)?;
        Ok(Box::new(frames.map(move |frame| {
            let frame = frame?;
            Ok(doctor.as_ref().map_or_else(|| frame.clone(), |doctor| doctor(frame.clone())))
        })))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.journal.frame_at(shard, lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.journal.trim(shard, upto)
    }
}

/// The frame with its last record changed.
fn with_last(frame: &Frame, change: impl Fn(&mut Record)) -> Frame {
    let mut records: Vec<Record> =
        decode_all(frame.payload()).collect::<Result<_, _>>().expect("sound");
    change(records.last_mut().expect("there is one"));
    let mut buffer = AppendBuffer::new();
    buffer.begin_batch(frame.header().time_ns);
    for (at, record) in records.iter().enumerate() {
        let lsn = frame.first_lsn().plus(at as u64);
        buffer.push(lsn, |bytes| encode(record, bytes)).expect("small");
    }
    buffer.end_batch();
    buffer.seal(frame.header().shard, frame.header().epoch, frame.header().prev_hash);
    Frame::parse(buffer.as_bytes()).expect("sealed")
}

async fn started(journal: &Doctored) -> Engine {
    let options = ducat_actors::handle::EngineOptions::default();
    let journal: Arc<dyn Journal> = Arc::new(journal.clone());
    Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_verified_while_transfers_go_on() {
    let journal = Doctored::new();
    let engine = started(&journal).await;
    let handle = engine.handle();
    fill(&handle).await;
    // More than a page of accounts.
    let spec =
        |id| AccountSpec { id: account(id), currency: GBP, overdraft_limit: 0, external: false };
    handle.create_accounts((1000..3500).map(spec).collect()).await.expect("up");
    let before = handle.status().durable_lsn;
    journal.hold(true);
    let mut verifying = Box::pin(handle.verify_balances());
    assert!(tokio::time::timeout(Duration::ZERO, verifying.as_mut()).await.is_err());
    // Answered while the audit is in the middle of its work.
    let outcomes = submit(&handle, traffic(100)).await;
    journal.hold(false);
    let writer = tokio::spawn({
        let handle = handle.clone();
        async move {
            for round in 101..200 {
                submit(&handle, traffic(round)).await;
            }
        }
    });
    let found = tokio::time::timeout(HANG, verifying).await.expect("it hangs").expect("up");
    assert_eq!((found.difference_count, found.accounts), (0, 2506), "{:?}", found.differences);
    assert!(found.lsn >= outcomes[49].lsn && outcomes[49].lsn > before && found.totals.len() == 1);
    assert_eq!(found.totals[0].internal + found.totals[0].external, 0);
    writer.await.expect("no panic");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_finds_what_contradicts() {
    let journal = Doctored::new();
    let engine = started(&journal).await;
    let handle = engine.handle();
    fill(&handle).await;
    submit(&handle, vec![transfer(2_000_000, BANK, 2, 500)]).await;
    let last = handle.status().durable_lsn;
    let sound = handle.verify_balances().await.expect("up");
    assert_eq!((sound.difference_count, sound.lsn, sound.accounts), (0, last, 6));
    let now = handle.balance_at(account(2), Moment::Lsn(last)).await.expect("up").expect("known");
    let change_last = |change: fn(&mut Record)| {
        journal.treat(
            move |frame| {
                if frame.last_lsn() == last { with_last(&frame, change) } else { frame }
            },
        );
    };
    // The entry's own figure is not what the entries come to.
    change_last(|record| {
        if let Record::Posted(posted) = record {
            posted.credit_side.posted += 1;
        }
    });
    let found = handle.verify_balances().await.expect("up");
    let accounts: Vec<_> = found.differences.iter().map(|d| (d.lsn, d.account)).collect();
    let mine = (last, Some(account(2)));
    assert_eq!(accounts, [mine, mine, (last, None)], "{:?}", found.differences);
    assert!(found.differences[0].what.contains(&(now.posted + 1).to_string()));
    // An entry that is sound in itself, and of which the engine knows nothing.
    change_last(|record| {
        if let Record::Posted(posted) = record {
            posted.amount += 7;
            posted.debit_side.posted -= 7;
            posted.credit_side.posted += 7;
        }
    });
    let found = handle.verify_balances().await.expect("up");
    let accounts: Vec<_> = found.differences.iter().filter_map(|d| d.account).collect();
    assert_eq!(accounts, [account(1), account(2)], "{:?}", found.differences);
    assert!(found.differences[1].what.contains(&(now.posted + 7).to_string()));
    // A trial balance is refused rather than wrong.
    change_last(|record| {
        if let Record::Posted(posted) = record {
            posted.amount += 1;
        }
    });
    let refused = handle.trial_balance(None).await;
    assert!(matches!(refused, Err(RequestError::ReadFailed(_))), "{refused:?}");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_leaves_a_frame_out_is_believed_by_nobody() {
    let journal = Doctored::new();
    let engine = started(&journal).await;
    let handle = engine.handle();
    fill(&handle).await;
    let frames: Vec<Frame> = {
        let frames = journal.journal.read(SHARD, Lsn(1)).expect("reads");
        frames.map(|frame| frame.expect("sound")).collect()
    };
    let (left_out, next) = (frames[5].first_lsn(), frames[6].clone());
    journal.treat(move |frame| if frame.first_lsn() == left_out { next.clone() } else { frame });
    let mut feed = handle.subscribe(Subscription::default()).await.expect("a place");
    let failed = loop {
        match feed.next().await {
            Ok(batch) => assert!(batch.next_lsn <= left_out, "{left_out}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, RequestError::ReadFailed(_)), "{failed:?}");
    for failed in
        [handle.trial_balance(None).await.map(drop), handle.verify_balances().await.map(drop)]
    {
        assert!(matches!(failed, Err(RequestError::ReadFailed(_))), "{failed:?}");
    }
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_audit_is_made_at_a_time_and_one_that_is_given_up_ends() {
    let journal = Doctored::new();
    let engine = started(&journal).await;
    let handle = engine.handle();
    fill(&handle).await;
    journal.hold(true);
    let mut first = Box::pin(handle.verify_balances());
    // Polled once, it has the turn, and cannot end.
    assert!(tokio::time::timeout(Duration::ZERO, first.as_mut()).await.is_err());
    assert_eq!(handle.trial_balance(None).await, Err(RequestError::AuditRunning));
    assert_eq!(handle.verify_balances().await, Err(RequestError::AuditRunning));
    // Transfers go on meanwhile.
    submit(&handle, traffic(500)).await;
    drop(first);
    assert_eq!(handle.trial_balance(None).await, Err(RequestError::AuditRunning), "not ended yet");
    journal.hold(false);
    let freed = async {
        while handle.verify_balances().await == Err(RequestError::AuditRunning) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(HANG, freed).await.expect("the turn came free");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_trimmed_is_said_and_what_is_left_is_answered() {
    let kept = journal();
    let engine = start(&kept, 1).await;
    let handle = engine.handle();
    fill(&handle).await;
    let last = handle.status().durable_lsn;
    let before: Vec<BalanceAt> = {
        let mut all = Vec::new();
        for lsn in (600..=last.0).step_by(20).map(Lsn) {
            let found = handle.balance_at(account(2), Moment::Lsn(lsn)).await.expect("up");
            all.push(found.expect("known"));
        }
        all
    };
    let first = kept.trim(SHARD, Lsn(550)).expect("trims").first_lsn;
    assert!(first > Lsn(400) && first < Lsn(600), "{first}");
    for expected in before {
        let found = handle.balance_at(account(2), Moment::Lsn(expected.lsn)).await;
        assert_eq!(found, Ok(Some(expected)));
    }
    let is_trimmed = |error: RequestError| matches!(error, RequestError::Trimmed { .. });
    let early = handle.balance_at(account(2), Moment::Lsn(Lsn(100))).await;
    assert!(early.is_err_and(is_trimmed));
    let early = handle.balance_at(account(2), Moment::Time(1)).await;
    assert!(early.is_err_and(is_trimmed));
    let all = StatementQuery { limit: 10_000, ..StatementQuery::default() };
    assert!(handle.statement(account(2), all).await.is_err_and(is_trimmed));
    let left = StatementQuery { from: Some(Moment::Lsn(first)), ..all };
    assert!(!pages(&handle, 2, left).await.is_empty());
    assert!(handle.trial_balance(None).await.is_err_and(is_trimmed));
    assert!(handle.verify_balances().await.is_err_and(is_trimmed));
    engine.shutdown().await.expect("drains");
}
