//! What happens at the engine's bounds and when a part of it dies: abandoned reads, a full
//! memory of ids, a journal thread that panics, a journal that cannot be read back.

mod support;

use ducat_actors::handle::{BATCH_MAX, EngineOptions, RequestError};
use ducat_actors::start::Engine;
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::contract::Visitor;
use ducat_persistence::{
    AppendBuffer, AppendError, Frame, FrameReader, Journal, JournalError, MemoryJournal, Place,
    Tail, TrimReport, Writer,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use support::{account, journal, open, submit, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_nobody_waits_for_hold_nothing_up() {
    let engine = support::start(&journal(), 2).await;
    let handle = engine.handle();
    open(&handle, 1_000).await;
    for _ in 0..20_000 {
        let mut read = std::pin::pin!(handle.summary());
        let mut list = std::pin::pin!(handle.accounts(vec![account(2)]));
        // Begun, so that it is queued, and given up at once.
        let mut context = Context::from_waker(Waker::noop());
        drop(read.as_mut().poll(&mut context));
        drop(list.as_mut().poll(&mut context));
    }
    let outcomes = submit(&handle, vec![transfer(1, 1, 2, 5)]).await;
    assert_eq!(outcomes[0].rejection, None);
    assert_eq!(handle.summary().await.expect("up").lsn, outcomes[0].lsn);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_of_ids_refuses_new_ids_and_still_answers_known_ones() {
    let options = EngineOptions { remembered_ids_max: BATCH_MAX, ..EngineOptions::default() };
    let engine = Engine::start(options, journal(), "test", Box::new(|_| {})).await.expect("up");
    let handle = engine.handle();
    open(&handle, 3).await;
    let batch: Vec<_> = (1..=10_000).map(|id| transfer(id, 1, 2, 1)).collect();
    let first = submit(&handle, batch.clone()).await;
    let full = handle.submit(vec![transfer(10_001, 1, 2, 1)]).expect("room").outcomes().await;
    assert_eq!(full, Err(RequestError::IdsFull { limit: BATCH_MAX }));
    let again = submit(&handle, batch).await;
    assert!(again.iter().zip(&first).all(|(a, b)| a.repeat && a.lsn == b.lsn));
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_thread_that_panics_stops_the_engine() {
    let faulty = Arc::new(Faulty::over(&journal()));
    let engine = start_over(&faulty).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    faulty.panics.store(true, Ordering::SeqCst);
    let lost = handle.submit(vec![transfer(1, 1, 2, 5)]).expect("room").outcomes().await;
    assert!(matches!(lost, Err(RequestError::Stopped(_))), "{lost:?}");
    assert!(engine.failed().await.contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_cannot_be_read_back_is_an_error_of_its_own() {
    let faulty = Arc::new(Faulty::over(&journal()));
    let engine = start_over(&faulty).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    submit(&handle, vec![transfer(1, 1, 2, 5)]).await;
    faulty.unreadable.store(true, Ordering::SeqCst);
    let repeat = handle.submit(vec![transfer(1, 1, 2, 5)]).expect("room").outcomes().await;
    assert!(matches!(repeat, Err(RequestError::ReadFailed(_))), "{repeat:?}");
    let entries = handle.entries(account(2), None, 10).await;
    assert!(matches!(entries, Err(RequestError::ReadFailed(_))), "{entries:?}");
    faulty.unreadable.store(false, Ordering::SeqCst);
    assert!(submit(&handle, vec![transfer(1, 1, 2, 5)]).await[0].repeat);
    engine.shutdown().await.expect("drains");
}

async fn start_over(journal: &Arc<Faulty>) -> Engine {
    let journal: Arc<dyn Journal> = Arc::clone(journal) as _;
    Engine::start(EngineOptions::default(), journal, "test", Box::new(|_| {})).await.expect("up")
}

/// A journal that fails in ways the in-memory one does not.
struct Faulty {
    inner: MemoryJournal,
    panics: Arc<AtomicBool>,
    unreadable: AtomicBool,
}

struct FaultyWriter {
    inner: Box<dyn Writer>,
    panics: Arc<AtomicBool>,
}

impl Faulty {
    fn over(journal: &Arc<MemoryJournal>) -> Self {
        Self { inner: journal.reopen(), panics: Arc::default(), unreadable: AtomicBool::new(false) }
    }
}

impl Writer for FaultyWriter {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn append(&mut self, expected: Lsn, batch: &mut AppendBuffer) -> Result<Lsn, AppendError> {
        assert!(!self.panics.load(Ordering::SeqCst), "planted");
        self.inner.append(expected, batch)
    }
}

impl Journal for Faulty {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        let (inner, tail) = self.inner.open_writer_with(shard, owner, visit)?;
        Ok((Box::new(FaultyWriter { inner, panics: Arc::clone(&self.panics) }), tail))
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.inner.scan(shard, visit)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        self.inner.read(shard, from)
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        if self.unreadable.load(Ordering::SeqCst) {
            let place = Place::new(shard, lsn);
            return Err(JournalError::Store {
                verb: "read a frame",
                place,
                source: "planted".into(),
            });
        }
        self.inner.frame_at(shard, lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.inner.trim(shard, upto)
    }
}
