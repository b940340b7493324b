//! Dry runs: what would become of requests, without any being done.

use super::{Client, ClientError};
use crate::proto::{self, Outcome, TransferRequest};

/// A server of before there were dry runs does what it is asked.
const DONE: ClientError =
    ClientError::Protocol("the server knows no dry runs: it did what was asked");

impl Client {
    /// What would become of a batch of up to 10,000 requests if it was the next one, linked groups
    /// among them: an outcome for each, in order. Nothing is done, and their ids stay free.
    ///
    /// # Errors
    /// [`ClientError`], as for a batch that is meant.
    pub async fn dry_run(
        &self,
        transfers: Vec<TransferRequest>,
    ) -> Result<Vec<Outcome>, ClientError> {
        let count = transfers.len();
        let request = proto::CreateTransfersRequest { transfers, dry_run: true };
        let outcomes = self.ledger.clone().create_transfers(request).await?.into_inner().outcomes;
        if outcomes.len() != count {
            return Err(ClientError::Protocol("a batch got another number of outcomes"));
        }
        if outcomes.iter().all(|outcome| outcome.dry_run) { Ok(outcomes) } else { Err(DONE) }
    }

    /// What would become of opening up to 10,000 accounts, in order. Changes of one account are tried
    /// by the `dry_run` of their requests.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn dry_run_accounts(
        &self,
        accounts: Vec<proto::NewAccount>,
    ) -> Result<Vec<proto::AccountResult>, ClientError> {
        let request = proto::CreateAccountsRequest { accounts, dry_run: true };
        let answer = self.ledger.clone().create_accounts(request).await?.into_inner();
        if answer.dry_run_lsn > 0 { Ok(answer.results) } else { Err(DONE) }
    }
}
