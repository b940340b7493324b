//! Schedules of fees through the door: defined, attached, listed, quoted.

use super::{Handle, RequestError};
use crate::tasks::{FeeChange, FeeResult, Read, Reply, Task};
use ducat_engine::coordinator::{FeeQuote, FeeTarget};
use ducat_engine::fees::{FeeFault, Schedule, Target};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::transfer::TransferKind;

/// A schedule that is attached to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeAttached {
    /// To what.
    pub target: FeeTarget,
    /// The schedule's number.
    pub schedule: u32,
}

/// Schedules of fees as of one durable LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeesPage {
    /// All schedules, in the order of their numbers from 0 on.
    pub schedules: Vec<Schedule>,
    /// What they are attached to, from the place asked for on.
    pub attached: Vec<FeeAttached>,
    /// Where the next page of those begins; `None` when this is the last.
    pub next: Option<usize>,
    /// The moment.
    pub lsn: Lsn,
}

impl Handle {
    /// Defines a schedule of fees, or changes the one of its name, from its event on; durable when
    /// it returns. `None` when it was so already.
    ///
    /// # Errors
    /// [`RequestError`]; a fault of the schedule is a part of the answer.
    pub async fn define_fee(
        &self,
        schedule: Schedule,
    ) -> Result<Result<Option<Lsn>, FeeFault>, RequestError> {
        self.change_fees(FeeChange::Define(schedule)).await
    }

    /// Attaches the schedule of this name, or none any more; likewise.
    ///
    /// # Errors
    /// As [`Self::define_fee`].
    pub async fn attach_fee(
        &self,
        target: FeeTarget,
        name: Option<String>,
    ) -> Result<Result<Option<Lsn>, FeeFault>, RequestError> {
        self.change_fees(FeeChange::Attach(target, name)).await
    }

    async fn change_fees(&self, change: FeeChange) -> Result<FeeResult, RequestError> {
        self.check_disk()?;
        let permit = self.take_room(1)?;
        let task = |reply: Reply<FeeResult>| Task::ChangeFees { change, reply, permit };
        self.ask(task).await
    }

    /// What would be due for a transfer of this kind and amount that this account pays, and by which
    /// schedule; `Ok(None)` where none is attached.
    ///
    /// # Errors
    /// [`RequestError`]; an unknown account is a part of the answer.
    pub async fn quote_fee(
        &self,
        kind: TransferKind,
        debit: AccountId,
        amount: u128,
    ) -> Result<Result<Option<(FeeQuote, Schedule)>, FeeFault>, RequestError> {
        let quote = self.read(|reply| Read::Quote { kind, debit, amount, reply }).await?.what;
        let quote = match quote {
            Ok(Some(quote)) => quote,
            Ok(None) => return Ok(Ok(None)),
            Err(fault) => return Ok(Err(fault)),
        };
        // Schedules are never taken away, and their numbers stay.
        let fees = self.read(|reply| Read::Fees { reply }).await?.what;
        Ok(Ok(fees.get(quote.schedule).map(|schedule| (quote, schedule.clone()))))
    }

    /// All schedules, and at most `limit` of what they are attached to, from place `from` on.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn fees(&self, from: usize, limit: usize) -> Result<FeesPage, RequestError> {
        let found = self.read(|reply| Read::Fees { reply }).await?;
        let (fees, lsn) = (found.what, found.lsn);
        let limit = limit.clamp(1, super::BATCH_MAX);
        let mut attached: Vec<_> = fees.attachments().skip(from).take(limit + 1).collect();
        let next = (attached.len() > limit).then_some(from + limit);
        attached.truncate(limit);
        let slots = attached.iter().filter_map(|(target, _)| match target {
            Target::Account(slot) => Some(*slot),
            Target::Kind { .. } => None,
        });
        self.shared.names.learn(self, slots.collect()).await?;
        let known = self.shared.names.known();
        let named = |(target, schedule): (Target, u32)| {
            let target = match target {
                Target::Kind { kind, currency } => {
                    FeeTarget::Kind(TransferKind::from_number(kind)?, currency)
                }
                Target::Account(slot) => FeeTarget::Account(known.get(slot)?.id),
            };
            Some(FeeAttached { target, schedule })
        };
        let attached = attached.into_iter().filter_map(named).collect();
        Ok(FeesPage { schedules: fees.schedules().cloned().collect(), attached, next, lsn })
    }
}
