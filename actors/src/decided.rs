//! What the coordinator has decided, on its way to the journal's thread; and the memory that comes back
//! from there.
//!
//! Of a batch of transfers alone ([`Plan::is_plain`]) the records and outcomes are made there, while the
//! coordinator puts the next batch in order; what concerns holds, refunds or terms is made by the
//! coordinator, who has to know of it.

use crate::answers::{Leaving, Release};
use crate::audit::{self, Group};
use crate::tasks::Submission;
use crate::trace::Noted;
use crossbeam::channel;
use ducat_engine::batch::Batch;
use ducat_engine::codec;
use ducat_engine::coordinator::conclude_plain;
use ducat_engine::partition::Legs;
use ducat_engine::plan::Plan;
use ducat_engine::record::Record;
use ducat_engine::rounds::Rounds;
use ducat_persistence::{AppendBuffer, RecordTooLarge};
use std::sync::Arc;

/// Most buffers of each sort that are kept to be used again.
const KEPT: usize = 16;

/// Events that are decided, and the answers that wait for them.
pub(crate) enum Decided {
    /// Records in LSN order. None: the answers wait for what came before.
    Made {
        records: AppendBuffer,
        releases: Vec<Release>,
        /// Where its time went, if anybody wants to know.
        noted: Option<Box<Noted>>,
    },
    /// A batch of transfers.
    Plain(Box<PlainBatch>),
}

/// A batch of transfers that is decided and committed.
pub(crate) struct PlainBatch {
    pub plan: Plan,
    pub batch: Arc<Batch>,
    /// All of the submissions was taken up in one round.
    pub rounds: Rounds,
    pub submissions: Vec<Submission>,
    /// Those of them that are told of.
    pub audits: Vec<Group>,
    /// What each partition answered to the commit.
    pub legs: Arc<Vec<Vec<Legs>>>,
    /// Where its time went, if anybody wants to know.
    pub noted: Option<Box<Noted>>,
}

impl PlainBatch {
    /// Adds its records to the others, and its answers. Gives back who wants to know of its time.
    ///
    /// # Errors
    /// [`RecordTooLarge`]: no transfer's record is.
    pub fn conclude(
        self,
        records: &mut AppendBuffer,
        releases: &mut Vec<Release>,
    ) -> Result<Option<Box<Noted>>, RecordTooLarge> {
        let Self { plan, batch, mut rounds, submissions, audits, legs, noted } = self;
        let mut failed = None;
        records.begin_batch(plan.time_ns());
        let parts = rounds.parts(|submission| &submissions[submission].requests[..]);
        let answers = conclude_plain(&plan, &batch, parts, &legs, |lsn, record| {
            if let Err(error) = records.push(lsn, |bytes| codec::encode(record, bytes)) {
                failed = Some(error);
            }
        });
        rounds.collect(answers);
        let answers = rounds.answers();
        for group in &audits {
            let event = Record::Audit(audit::told(group, &submissions, &answers));
            records.push(group.lsn, |bytes| codec::encode(&event, bytes))?;
        }
        records.end_batch();
        releases.extend(answers.into_iter().zip(submissions).map(
            |((answer, left), submission)| {
                assert!(left.is_none(), "transfers wait for nothing to be read");
                let Submission { reply, permit, .. } = submission;
                Release::Outcomes(Leaving { answer, reply, permit, rest: None })
            },
        ));
        failed.map_or(Ok(noted), Err)
    }
}

/// Where memory goes to be used again.
#[derive(Clone)]
pub(crate) struct Used {
    buffers: channel::Sender<AppendBuffer>,
    legs: channel::Sender<Vec<Vec<Legs>>>,
}

/// Where it is found.
pub(crate) struct Reused {
    buffers: channel::Receiver<AppendBuffer>,
    legs: channel::Receiver<Vec<Vec<Legs>>>,
}

/// Both ends.
pub(crate) fn pools() -> (Used, Reused) {
    let (buffers, buffers_back) = channel::bounded(KEPT);
    let (legs, legs_back) = channel::bounded(KEPT);
    (Used { buffers, legs }, Reused { buffers: buffers_back, legs: legs_back })
}

impl Used {
    /// A buffer of which nothing is needed any more.
    pub fn buffer(&self, mut records: AppendBuffer) {
        records.clear();
        // Enough are kept already.
        drop(self.buffers.try_send(records));
    }

    /// Vectors for legs.
    pub fn legs(&self, legs: Vec<Vec<Legs>>) {
        drop(self.legs.try_send(legs));
    }
}

impl Reused {
    /// An empty buffer for records.
    pub fn buffer(&self) -> AppendBuffer {
        self.buffers.try_recv().unwrap_or_default()
    }

    /// Vectors for the legs of so many partitions; what is in them is overwritten.
    pub fn legs(&self, partitions: usize) -> Vec<Vec<Legs>> {
        self.legs.try_recv().unwrap_or_else(|_none| vec![Vec::new(); partitions])
    }
}
