//! Refunds and reversals, for both clients.

use super::{BatchingClient, Client, ClientError};
use crate::proto::{self, Operation, Outcome, TransferRequest};
use ducat_engine::ids::{Lsn, TransferId};

impl TransferRequest {
    /// A refund of so many minor units of a transfer or a capture. Set `amount` and `currency`
    /// instead of minor units, `original_lsn` for an original whose id is not remembered any more,
    /// `allow_overdraft` to let the payer go below its overdraft limit.
    #[must_use]
    pub fn refund(id: TransferId, of: TransferId, amount_minor: u64) -> Self {
        Self { amount_minor, ..Self::of_original(Operation::Refund, id, of) }
    }

    /// A reversal: all that was not given back yet, once. Fields as of [`Self::refund`], but for the
    /// amount.
    #[must_use]
    pub fn reverse(id: TransferId, of: TransferId) -> Self {
        Self::of_original(Operation::Reverse, id, of)
    }

    fn of_original(operation: Operation, id: TransferId, of: TransferId) -> Self {
        Self {
            id: id.low(),
            id_high: id.high(),
            operation: operation.into(),
            original_id: of.low(),
            original_id_high: of.high(),
            ..Self::default()
        }
    }
}

impl proto::ReverseGroupRequest {
    /// Gives back all of the group that `of` is a member of. Set `original_lsn` where its id is not
    /// remembered any more, `allow_overdraft` to let payers go below their overdraft limits, `dry_run` to
    /// be told only.
    #[must_use]
    pub fn new(id: TransferId, of: TransferId) -> Self {
        let (id, id_high) = (id.low(), id.high());
        let (original_id, original_id_high) = (of.low(), of.high());
        Self { id, id_high, original_id, original_id_high, ..Self::default() }
    }
}

impl Client {
    /// Gives back all that a linked group moved, all or none and once: a refund of each member, the last
    /// one first. Final and durable when it returns, but for a dry run.
    ///
    /// # Errors
    /// [`ClientError`], among them what is no group that can be given back (`ORIGINAL_UNKNOWN`,
    /// `GROUP_HAS_HOLDS` …). A refused group is told in its outcomes.
    pub async fn reverse_group(
        &self,
        request: proto::ReverseGroupRequest,
    ) -> Result<Vec<proto::MemberRefund>, ClientError> {
        Ok(self.ledger.clone().reverse_group(request).await?.into_inner().refunds)
    }

    /// Gives back a part of what a transfer or a capture moved. More is said by
    /// [`TransferRequest::refund`] and [`Self::transfer`]. Final and durable when it returns.
    ///
    /// # Errors
    /// [`ClientError`]. A refused request is an outcome, not an error.
    pub async fn refund(
        &self,
        id: TransferId,
        of: TransferId,
        amount_minor: u64,
    ) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::refund(id, of, amount_minor)).await
    }

    /// Gives back all that was not given back yet, once.
    ///
    /// # Errors
    /// As [`Self::refund`].
    pub async fn reverse(&self, id: TransferId, of: TransferId) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::reverse(id, of)).await
    }

    /// A page of a transfer's refunds, newest first, and how much was given back in all. `lsn` finds
    /// a transfer whose id is not remembered any more.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for a transfer that is not known or moved nothing.
    pub async fn list_refunds(
        &self,
        of: TransferId,
        lsn: Option<Lsn>,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListRefundsResponse, ClientError> {
        let request = proto::ListRefundsRequest {
            id: of.low(),
            id_high: of.high(),
            lsn: lsn.map_or(0, |lsn| lsn.0),
            page_size,
            cursor: cursor.to_owned(),
        };
        Ok(self.ledger.clone().list_refunds(request).await?.into_inner())
    }
}

impl BatchingClient {
    /// Gives back a part of what a transfer or a capture moved.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub async fn refund(
        &self,
        id: TransferId,
        of: TransferId,
        amount_minor: u64,
    ) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::refund(id, of, amount_minor)).await
    }

    /// Gives back all that was not given back yet, once.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub async fn reverse(&self, id: TransferId, of: TransferId) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::reverse(id, of)).await
    }
}
