//! The client's calls about fees, and notes on requests.

use super::{Client, ClientError};
use crate::proto::{self, Note, TransferRequest};

impl Client {
    /// Defines a schedule of fees, or changes the one of its name; the LSN of the event, 0 when it was
    /// so already.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn define_fee(&self, schedule: proto::FeeSchedule) -> Result<u64, ClientError> {
        let schedule = Some(schedule);
        let request = proto::DefineFeeRequest { schedule, ..Default::default() };
        Ok(self.operator.clone().define_fee(request).await?.into_inner().lsn)
    }

    /// Attaches a schedule, or takes away what is attached when `name` is empty; likewise.
    ///
    /// # Errors
    /// As [`Self::define_fee`].
    pub async fn attach_fee(
        &self,
        target: proto::FeeTarget,
        name: &str,
    ) -> Result<u64, ClientError> {
        let (target, name) = (Some(target), name.to_owned());
        let request = proto::AttachFeeRequest { target, name, dry_run: false };
        Ok(self.operator.clone().attach_fee(request).await?.into_inner().lsn)
    }

    /// All schedules, and a page of what they are attached to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_fees(
        &self,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListFeesResponse, ClientError> {
        let request = proto::ListFeesRequest { page_size, cursor: cursor.to_owned() };
        Ok(self.operator.clone().list_fees(request).await?.into_inner())
    }

    /// What a transfer would cost the account that pays it.
    ///
    /// # Errors
    /// As [`Self::define_fee`].
    pub async fn quote_fee(
        &self,
        request: proto::QuoteFeeRequest,
    ) -> Result<proto::QuoteFeeResponse, ClientError> {
        Ok(self.operator.clone().quote_fee(request).await?.into_inner())
    }
}

impl TransferRequest {
    /// The request with this note.
    #[must_use]
    pub fn with_note(self, note: Note) -> Self {
        Self { note: Some(Box::new(note)), ..self }
    }
}
