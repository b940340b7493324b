//! The feed of events, for as long as somebody reads: a broken connection, a restarted server, a
//! reader that was away too long are gone on from behind the last answer, after a pause.
//!
//! Before it goes on, the ledger is asked who it is. Another one, or one that has lost events that
//! were given, ends the feed: what a reader built from it would contradict what comes.

use super::batching::pauses::Pauses;
use super::{BatchingOptions, Client, ClientError};
use crate::proto::{EventKind, SubscribeRequest, SubscribeResponse, TransferKind};
use ducat_engine::ids::AccountId;
use tonic::{Code, Streaming};

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Those that touch one of these accounts, at most 1,000, opened or not; all when empty.
    pub accounts: Vec<AccountId>,
    /// Those of these kinds; all when empty.
    pub kinds: Vec<EventKind>,
    /// Of those, only events about money that is for one of these (see
    /// [`SubscribeRequest::transfer_kinds`]); all when empty. A server that does not know this filter
    /// gives all.
    pub transfer_kinds: Vec<TransferKind>,
}

impl EventFilter {
    /// Posted transfers only.
    #[must_use]
    pub fn only_posted(self) -> Self {
        Self { kinds: vec![EventKind::Posted], ..self }
    }
}

/// Events as they come, each once and in order as long as this lives. Whoever goes on in another
/// process gets again what came behind the place that was kept.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    asked: SubscribeRequest,
    answers: Option<Streaming<SubscribeResponse>>,
    /// The ledger that it began with.
    ledger: String,
    pauses: Pauses,
    resumed: u64,
}

impl EventStream {
    pub(super) async fn open(
        client: Client,
        from_lsn: u64,
        filter: &EventFilter,
    ) -> Result<Self, ClientError> {
        let asked = SubscribeRequest {
            from_lsn,
            accounts: filter.accounts.iter().map(|&id| id.into()).collect(),
            kinds: filter.kinds.iter().map(|&kind| kind as i32).collect(),
            transfer_kinds: filter.transfer_kinds.iter().map(|&kind| kind as i32).collect(),
        };
        let ledger = client.get_status(false).await?.ledger_id;
        let answers = client.ledger.clone().subscribe(asked.clone()).await?.into_inner();
        let pauses = Pauses::new(&BatchingOptions::default());
        Ok(Self { client, asked, answers: Some(answers), ledger, pauses, resumed: 0 })
    }

    /// The next answer: some events, or a sign of life without any. Waits as long as it takes.
    /// Safe to cancel.
    ///
    /// # Errors
    /// What waiting does not help against: [`ClientError::OtherLedger`],
    /// [`ClientError::LedgerForgot`], events that were trimmed or cannot be read.
    pub async fn next(&mut self) -> Result<SubscribeResponse, ClientError> {
        loop {
            let error = match self.answer().await {
                Ok(answer) => {
                    self.pauses.reset();
                    self.asked.from_lsn = answer.next_lsn;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.answers = None;
            if is_final(&error) {
                return Err(error);
            }
            tracing::debug!(%error, from_lsn = self.asked.from_lsn, "the feed broke; it goes on");
            let pause = self.pauses.next();
            tokio::time::sleep(pause).await;
        }
    }

    /// The place to keep: everything before it was given, or is not wanted. 0 until the first
    /// answer of a feed that began with "from now on".
    #[must_use]
    pub const fn next_lsn(&self) -> u64 {
        self.asked.from_lsn
    }

    /// How often it went on after a break.
    #[must_use]
    pub const fn resumed(&self) -> u64 {
        self.resumed
    }

    async fn answer(&mut self) -> Result<SubscribeResponse, ClientError> {
        if self.answers.is_none() {
            self.check_ledger().await?;
            let asked = self.asked.clone();
            let answers = self.client.ledger.clone().subscribe(asked).await?.into_inner();
            self.answers = Some(answers);
            self.resumed += 1;
        }
        let answers = self.answers.as_mut().ok_or(ClientError::StreamEnded)?;
        let answer = answers.message().await?.ok_or(ClientError::StreamEnded)?;
        let from = self.asked.from_lsn;
        if answer.next_lsn < from || answer.events.iter().any(|event| event.lsn < from) {
            return Err(ClientError::Protocol("events came again within one feed"));
        }
        Ok(answer)
    }

    async fn check_ledger(&self) -> Result<(), ClientError> {
        let status = self.client.get_status(false).await?;
        if status.ledger_id != self.ledger {
            let (known, found) = (self.ledger.clone(), status.ledger_id);
            return Err(ClientError::OtherLedger { known, found });
        }
        let answered_lsn = self.asked.from_lsn.saturating_sub(1);
        if status.durable_lsn < answered_lsn {
            let durable_lsn = status.durable_lsn;
            return Err(ClientError::LedgerForgot { answered_lsn, durable_lsn });
        }
        Ok(())
    }
}

/// Whether going on makes no sense.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(refused) => match refused.code {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => true,
            // With a reason it comes from the server, else from the connection.
            Code::Internal => !refused.reason.is_empty(),
            _ => false,
        },
        ClientError::Connect { .. } | ClientError::StreamEnded => false,
        _ => true,
    }
}
