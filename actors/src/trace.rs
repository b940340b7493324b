//! What is noted of a sampled call on its way through the engine, for spans.
//!
//! ```text
//! gate ─ scope(Trace) ─▶ service ─▶ Handle ─ Submission ─▶ coordinator ─ Noted ─▶ journal's thread
//!   ▲                                                                                  │ durable
//!   └──────────────── Passages, once the call is over ◀── a Passage of each submission ┘
//! ```
//!
//! A batch is shared by many calls, so its moments are taken once, and only where one of its
//! submissions is sampled; each of these gets them before its answer leaves. Of a submission that is
//! not sampled nothing is noted: it costs one look at an empty place, here and in the coordinator
//! ([decision 43](../../docs/adr/0043-traces.md)).

use ducat_engine::ids::Lsn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Passages kept of one call: refunds and payments go in several turns, all others in one.
pub const PASSAGES_MAX: usize = 8;

/// Rounds of one batch of which the moments are kept; mostly there is one.
pub const ROUNDS_MAX: usize = 4;

/// The trace that a call belongs to.
#[derive(Clone, Debug)]
pub struct Trace {
    /// W3C's id of it.
    pub id: [u8; 16],
    /// Where its way through the engine is noted, if it is sampled.
    pub passages: Option<Arc<Passages>>,
}

/// How the submissions of one call went through the engine.
#[derive(Debug, Default)]
pub struct Passages(Mutex<Vec<Passage>>);

/// How one submission did.
#[derive(Clone, Debug)]
pub struct Passage {
    /// When it was queued.
    pub arrived: Instant,
    /// What it went with.
    pub batch: Arc<Batch>,
}

/// The moments of a batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Requests in it, of all callers.
    pub requests: usize,
    /// When the coordinator had gathered it.
    pub taken: Instant,
    /// Its rounds of two-phase commit, the first [`ROUNDS_MAX`]. None where nothing was to be decided.
    pub rounds: Vec<Round>,
    /// When it was handed to the journal.
    pub handed: Instant,
    /// When it was durable; `None` where it had nothing to write.
    pub durable: Option<Instant>,
    /// The first event of it and the last; `None` where it made none.
    pub events: Option<(Lsn, Lsn)>,
}

/// One round of two-phase commit.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// When phase one began.
    pub begun: Instant,
    /// When all partitions had voted.
    pub prepared: Instant,
    /// When it was decided, and all partitions had done their part.
    pub committed: Instant,
}

impl Passages {
    fn add(&self, passage: Passage) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < PASSAGES_MAX {
            all.push(passage);
        }
    }

    /// All of them so far, in order; none is left.
    #[must_use]
    pub fn take(&self) -> Vec<Passage> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

tokio::task_local! {
    static CURRENT: Trace;
}

/// The work of a call that belongs to this trace. What it spawns does not, unless it is a scope of its
/// own.
pub fn scope<F: Future>(trace: Trace, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, work)
}

/// The id of the trace that the call being worked on belongs to.
#[must_use]
pub fn id() -> Option<[u8; 16]> {
    CURRENT.try_with(|trace| trace.id).ok()
}

/// Where to note the call that is being worked on, if it is sampled.
pub(crate) fn passages() -> Option<Arc<Passages>> {
    CURRENT.try_with(|trace| trace.passages.clone()).ok().flatten()
}

/// Submissions of a batch that are sampled: where each is noted, and when it was queued.
pub(crate) type Sampled = Vec<(Arc<Passages>, Instant)>;

/// The moments of a batch that is under way, and who wants them.
#[derive(Debug)]
pub(crate) struct Noted {
    sampled: Sampled,
    batch: Batch,
}

impl Noted {
    /// A batch with these submissions, gathered now; `None` if there are none. `requests` counts
    /// those of all callers.
    pub fn of(sampled: &mut Sampled, requests: impl FnOnce() -> usize) -> Option<Box<Self>> {
        if sampled.is_empty() {
            return None;
        }
        let (sampled, taken, requests) = (std::mem::take(sampled), Instant::now(), requests());
        let (rounds, durable, events) = (Vec::new(), None, None);
        let batch = Batch { requests, taken, rounds, handed: taken, durable, events };
        Some(Box::new(Self { sampled, batch }))
    }

    /// A round that has begun, as far as anybody wants to know.
    pub fn round(noted: Option<&mut Box<Self>>) -> Noting<'_> {
        let noted = noted.filter(|noted| noted.batch.rounds.len() < ROUNDS_MAX);
        Noting(noted.map(|noted| {
            let now = Instant::now();
            noted.batch.rounds.push(Round { begun: now, prepared: now, committed: now });
            let last = noted.batch.rounds.len() - 1;
            &mut noted.batch.rounds[last]
        }))
    }

    /// It is decided, has made the events from `first` to the one before `next`, and goes to the journal.
    pub fn handed(&mut self, first: Lsn, next: Lsn) {
        self.batch.handed = Instant::now();
        self.batch.events = (next > first).then(|| (first, Lsn(next.0 - 1)));
    }

    /// All of it is durable, or had not to be: everybody who wants to know is told.
    pub fn over(mut self, durable: Option<Instant>) {
        self.batch.durable = durable;
        let batch = Arc::new(self.batch);
        for (passages, arrived) in self.sampled {
            passages.add(Passage { arrived, batch: Arc::clone(&batch) });
        }
    }
}

/// A round under way.
pub(crate) struct Noting<'a>(Option<&'a mut Round>);

impl Noting<'_> {
    /// All partitions have voted.
    pub fn prepared(&mut self) {
        if let Some(round) = &mut self.0 {
            let now = Instant::now();
            (round.prepared, round.committed) = (now, now);
        }
    }

    /// All partitions have done their part.
    pub fn committed(&mut self) {
        if let Some(round) = &mut self.0 {
            round.committed = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_noted_of_batches_without_sampled_submissions() {
        assert!(Noted::of(&mut Vec::new(), || panic!("nothing is counted")).is_none());
        let mut round = Noted::round(None);
        round.prepared();
        round.committed();
        assert!(round.0.is_none());
        assert!(passages().is_none() && id().is_none(), "outside of calls");
    }

    #[test]
    fn all_sampled_submissions_of_a_batch_share_its_moments() {
        let (one, two) = (Arc::<Passages>::default(), Arc::<Passages>::default());
        let arrived = Instant::now();
        let mut sampled = vec![(Arc::clone(&one), arrived), (Arc::clone(&two), arrived)];
        let mut noted = Noted::of(&mut sampled, || 9).expect("sampled");
        assert!(sampled.is_empty(), "the next batch begins without them");
        for _ in 0..ROUNDS_MAX + 2 {
            let mut round = Noted::round(Some(&mut noted));
            round.prepared();
            round.committed();
        }
        noted.handed(Lsn(5), Lsn(8));
        noted.over(Some(Instant::now()));
        let (one, two) = (one.take(), two.take());
        assert!(Arc::ptr_eq(&one[0].batch, &two[0].batch));
        let batch = &one[0].batch;
        assert_eq!((batch.requests, batch.rounds.len()), (9, ROUNDS_MAX));
        assert_eq!(batch.events, Some((Lsn(5), Lsn(7))));
        let mut moments = vec![arrived, batch.taken];
        for round in &batch.rounds {
            moments.extend([round.begun, round.prepared, round.committed]);
        }
        moments.extend([batch.handed, batch.durable.expect("durable")]);
        assert!(moments.is_sorted(), "{moments:?}");
    }

    #[test]
    fn a_call_keeps_a_bounded_number_of_passages() {
        let passages = Arc::<Passages>::default();
        for _ in 0..PASSAGES_MAX + 5 {
            let mut sampled = vec![(Arc::clone(&passages), Instant::now())];
            let noted = Noted::of(&mut sampled, || 1).expect("sampled");
            noted.over(None);
        }
        assert_eq!(passages.take().len(), PASSAGES_MAX);
        assert!(passages.take().is_empty());
    }
}
