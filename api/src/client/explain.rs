//! Decided requests explained.

use super::{Client, ClientError};
use crate::proto;
use ducat_engine::ids::{Lsn, TransferId};

impl Client {
    /// What became of a request, what it was for and what was said about it, and how its accounts
    /// stood at that moment. `lsn` finds one whose id is not remembered any more; with an id it must
    /// be the event that decided that id.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for a request that is not known, `InvalidArgument` when neither
    /// is named.
    pub async fn explain(
        &self,
        id: Option<TransferId>,
        lsn: Option<Lsn>,
    ) -> Result<proto::ExplainResponse, ClientError> {
        let request = proto::ExplainRequest {
            id: id.map_or(0, TransferId::low),
            id_high: id.map_or(0, TransferId::high),
            lsn: lsn.map_or(0, |lsn| lsn.0),
        };
        Ok(self.ledger.clone().explain(request).await?.into_inner())
    }
}
