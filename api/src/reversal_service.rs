//! The part of the service `Ledger` that gives whole groups back: the engine's door takes the group apart
//! ([`ducat_actors::handle::Handle::reversal`]), and from there on its refunds are a batch like others.

use crate::convert::{outcomes, reversals};
use crate::identity::factor::Standing;
use crate::identity::{Caller, checks, danger};
use crate::ledger_service::{LedgerService, answered};
use crate::proto;
use crate::rates;
use crate::status::{self, Refusal};
use ducat_actors::handle::{GroupFault, GroupReversal, Reversal, ReversalError};
use prost::Message as _;
use std::time::Instant;
use tonic::{Code, Response, Status};

/// Memory of one refund of an answer while it is made, beside its outcome: accounts, amount, currency.
const MEMBER_BYTES: usize = 512;

impl LedgerService {
    pub(crate) async fn reverse_one_group(
        &self,
        caller: &Caller,
        standing: Option<&Standing>,
        deadline: Option<Instant>,
        request: proto::ReverseGroupRequest,
    ) -> Result<Response<proto::ReverseGroupResponse>, Status> {
        let asked = reversals::asked(&request)?;
        let reversal = self.taken_apart(caller, &asked).await?;
        let permit =
            checks::reversal::group(self.handle(), caller, asked.of, &reversal.legs).await?;
        let legs = reversal.legs.len();
        if let Some(limits) = self.limits()
            && legs > 1
        {
            limits.take(Some(caller), rates::REVERSAL, legs - 1)?;
        }
        let bytes = outcomes::batch_bytes(&reversal.requests) + legs * MEMBER_BYTES;
        let room = self.room(bytes).await?;
        if request.allow_overdraft && !request.dry_run {
            let bytes = || request.encode_to_vec();
            danger::reversal(self.handle(), standing, &reversal.legs, bytes)?;
        }
        let (batch, dry_run) = (reversal.requests.clone(), request.dry_run);
        let mut answers = if dry_run {
            self.handle().dry_run(batch).await.map_err(status::request)?.answers
        } else {
            let pending = self.handle().submit_owned(batch, deadline, permit.owners());
            let answers = pending.map_err(status::request)?.answers().await;
            let answers = answers.map_err(status::request)?;
            self.count(&answers.outcomes);
            answers
        };
        permit.hide(&mut answers.outcomes);
        if answers.outcomes.len() != legs {
            return Err(status::internal("a group got another number of outcomes"));
        }
        let answer = reversals::answer(&reversal, &answers, dry_run, &self.handle().currencies());
        Ok(answered(answer, room))
    }

    async fn taken_apart(
        &self,
        caller: &Caller,
        asked: &GroupReversal,
    ) -> Result<Reversal, Status> {
        match self.handle().reversal(asked).await {
            Ok(reversal) => Ok(reversal),
            Err(ReversalError::Group(fault)) => {
                let (of, lsn) = (asked.of, asked.of_lsn);
                checks::reversal::fault(self.handle(), caller, of, lsn).await?;
                Err(refusal(fault).into())
            }
            Err(ReversalError::Note(fault)) => Err(status::internal(&fault.to_string())),
            Err(ReversalError::Request(error)) => Err(status::request(error)),
        }
    }
}

/// What is no group that can be given back, with its stable reason.
fn refusal(fault: GroupFault) -> Refusal {
    let (code, reason) = match fault {
        GroupFault::Unknown(_) => (Code::NotFound, "ORIGINAL_UNKNOWN"),
        GroupFault::Refused(_) => (Code::FailedPrecondition, "ORIGINAL_REFUSED"),
        GroupFault::Refund(_) => (Code::FailedPrecondition, "ORIGINAL_IS_REFUND"),
        GroupFault::Hold(_) => (Code::FailedPrecondition, "GROUP_HAS_HOLDS"),
        GroupFault::MovedNothing(_) => (Code::FailedPrecondition, "ORIGINAL_MOVED_NOTHING"),
        GroupFault::TooLarge(_) => (Code::OutOfRange, "GROUP_TOO_LARGE"),
    };
    Refusal::new(code, reason, fault.to_string())
}
