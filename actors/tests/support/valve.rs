//! A journal that writes when the test lets it, so that what waits, waits.

use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::contract::Visitor;
use ducat_persistence::{
    AppendBuffer, AppendError, Frame, FrameReader, Journal, JournalError, MemoryJournal, Tail,
    TrimReport, Writer,
};
use std::sync::{Arc, Condvar, Mutex};

/// Holds the journal's appends up while it is closed.
#[derive(Clone, Default)]
pub struct Valve(Arc<(Mutex<bool>, Condvar)>);

impl Valve {
    fn set(&self, closed: bool) {
        *self.0.0.lock().expect("no panic") = closed;
        self.0.1.notify_all();
    }

    pub fn close(&self) {
        self.set(true);
    }

    pub fn open(&self) {
        self.set(false);
    }

    fn pass(&self) {
        let closed = self.0.0.lock().expect("no panic");
        drop(self.0.1.wait_while(closed, |closed| *closed).expect("no panic"));
    }
}

/// A journal in memory behind a valve.
pub struct Valved {
    inner: Arc<MemoryJournal>,
    valve: Valve,
}

impl Valved {
    pub fn new(inner: Arc<MemoryJournal>, valve: &Valve) -> Self {
        Self { inner, valve: valve.clone() }
    }
}

struct ValvedWriter {
    inner: Box<dyn Writer>,
    valve: Valve,
}

impl Writer for ValvedWriter {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn append(&mut self, expected: Lsn, batch: &mut AppendBuffer) -> Result<Lsn, AppendError> {
        self.valve.pass();
        self.inner.append(expected, batch)
    }
}

impl Journal for Valved {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        let (inner, tail) = self.inner.open_writer_with(shard, owner, visit)?;
        Ok((Box::new(ValvedWriter { inner, valve: self.valve.clone() }), tail))
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.inner.scan(shard, visit)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        self.inner.read(shard, from)
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.inner.frame_at(shard, lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.inner.trim(shard, upto)
    }
}
