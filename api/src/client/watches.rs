//! Watches, for the client.

use super::{Client, ClientError};
use crate::proto::{self, WatchCondition, watch_condition::When};
use ducat_engine::ids::AccountId;

impl Client {
    /// Watches an account for a condition, under a name of its own. The same one again changes
    /// nothing. [`crate::proto::Event::triggered`] tells when it becomes true.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound`, `AlreadyExists` and `FailedPrecondition` as the interface says.
    pub async fn add_watch(
        &self,
        account: AccountId,
        name: &str,
        when: When,
    ) -> Result<proto::Watch, ClientError> {
        let request = proto::AddWatchRequest {
            id: account.low(),
            id_high: account.high(),
            name: name.to_owned(),
            condition: Some(WatchCondition { when: Some(when) }),
            dry_run: false,
        };
        let answer = self.ledger.clone().add_watch(request).await?.into_inner();
        answer.watch.ok_or(ClientError::Protocol("an answer came without its watch"))
    }

    /// Removes a watch.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for one that is not there.
    pub async fn remove_watch(&self, account: AccountId, name: &str) -> Result<(), ClientError> {
        let request = proto::RemoveWatchRequest {
            id: account.low(),
            id_high: account.high(),
            name: name.to_owned(),
            dry_run: false,
        };
        self.ledger.clone().remove_watch(request).await?;
        Ok(())
    }

    /// An account's watches, in the order in which they were defined.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown account.
    pub async fn list_watches(&self, account: AccountId) -> Result<Vec<proto::Watch>, ClientError> {
        let request = proto::ListWatchesRequest { id: account.low(), id_high: account.high() };
        Ok(self.ledger.clone().list_watches(request).await?.into_inner().watches)
    }
}
