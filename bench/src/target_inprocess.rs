//! The port into an engine of this very process: no gRPC, no encoding, only the engine's
//! handle. Shows what the ledger itself costs.

use crate::generator::{Batch, HOLD_TIMEOUT_MS, Item, Kind, Operation};
use crate::target::{Failure, REPEAT, Reply, Told, hash_id};
use ducat_actors::handle::{Answers, Handle, RequestError};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::terms::Termed;
use ducat_engine::transfer::{Outcome, TransferKind, TransferRequest};
use std::sync::Arc;

/// A clone of the engine's handle.
#[derive(Clone)]
pub struct HandlePort {
    handle: Handle,
}

impl HandlePort {
    /// The port through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Submits one batch, waiting for room, and waits until it is decided (and durable).
    pub async fn call(&self, batch: &Arc<Batch>) -> Result<Reply, Failure> {
        let requests = requests(batch).map_err(|e| Failure {
            class: "INVALID_ARGUMENT".into(),
            in_doubt: false,
            message: e.to_string(),
        })?;
        let pending = self.handle.submit_when_room(requests).await.map_err(failure)?;
        Ok(reply(&pending.answers().await.map_err(failure)?))
    }
}

impl HandlePort {
    /// Reads these accounts; what was read is durable.
    pub async fn read(&self, ids: &[u64]) -> Result<u64, Failure> {
        let id = |id: &u64| AccountId::from_halves(0, *id);
        let ids = ids.iter().map(id).collect::<Result<_, _>>().map_err(|e| Failure {
            class: "INVALID_ARGUMENT".into(),
            in_doubt: false,
            message: e.to_string(),
        })?;
        let found = self.handle.accounts(ids).await.map_err(failure)?;
        Ok(found.accounts.iter().flatten().fold(0, |hash, a| hash_id(hash, a.view.spec.id.low())))
    }
}

/// Why an item is no request.
type Unfit = Box<dyn std::error::Error + Send + Sync>;

fn requests(batch: &Batch) -> Result<Vec<Request>, Unfit> {
    let mut requests = Vec::with_capacity(batch.items.len());
    for item in &batch.items {
        let transfer = TransferRequest {
            id: TransferId::from_halves(batch.id_high, item.id)?,
            debit: AccountId::from_halves(0, item.debit)?,
            credit: AccountId::from_halves(0, item.credit)?,
            amount: u128::from(item.amount),
            currency: None,
            kind: match item.kind {
                Kind::Transfer => TransferKind::Transfer,
                Kind::Deposit => TransferKind::Deposit,
                Kind::Withdrawal => TransferKind::Withdrawal,
                Kind::Payment => TransferKind::Payment,
            },
            linked: item.linked,
        };
        requests.push(request(transfer, batch.id_high, item)?);
    }
    Ok(requests)
}

/// The transfer, or the operation on a hold that the item stands for.
fn request(transfer: TransferRequest, id_high: u64, item: &Item) -> Result<Request, Unfit> {
    let TransferRequest { id, debit, credit, amount, currency, kind, linked } = transfer;
    Ok(match item.operation {
        Operation::Transfer => match item.terms.of_engine(item.argument) {
            None => transfer.into(),
            Some(terms) => Request::Termed(Box::new(Termed::new(transfer, terms)?)),
        },
        Operation::Hold => {
            let (timeout_ns, over_capture_max) = (HOLD_TIMEOUT_MS * 1_000_000, 0);
            HoldRequest {
                id,
                debit,
                credit,
                amount,
                currency,
                kind,
                timeout_ns,
                over_capture_max,
                linked,
            }
            .into()
        }
        Operation::Capture => {
            let hold = TransferId::from_halves(id_high, item.argument)?;
            let (amount, last) = (None, false);
            CaptureRequest { id, hold, amount, currency, last, linked }.into()
        }
        Operation::Void => {
            let hold = TransferId::from_halves(id_high, item.argument)?;
            VoidRequest { id, hold, linked }.into()
        }
        Operation::Refund => {
            let of = TransferId::from_halves(id_high, item.argument)?;
            RefundRequest { linked, ..RefundRequest::plain(id, of, Some(amount)) }.into()
        }
    })
}

fn reply(answers: &Answers) -> Reply {
    let outcomes = &answers.outcomes;
    let answer = |outcome: &Outcome| {
        let code = outcome.rejection.map_or(0, |rejection| rejection.number());
        if outcome.repeat { code | REPEAT } else { code }
    };
    Reply {
        answers: outcomes.iter().map(answer).collect(),
        ids_hash: outcomes.iter().fold(0, |hash, o| hash_id(hash, o.id.low())),
        told: told(answers),
        ..Reply::default()
    }
}

/// What is told besides. No transfer of a workload is on terms and has a fee, and no amount of a
/// run needs more than 64 bits.
fn told(answers: &Answers) -> Vec<Told> {
    let terms = answers.terms.iter();
    let moved = terms.map(|(at, t)| Told { at: *at, moved: Some(t.moved as u64), fee: None });
    let fees = answers.fees.iter();
    let due = fees.map(|(at, f)| Told { at: *at, moved: None, fee: Some(f.amount as u64) });
    moved.chain(due).collect()
}

fn failure(error: RequestError) -> Failure {
    let (class, in_doubt) = match error {
        RequestError::Overloaded { .. } | RequestError::DiskFull { .. } => {
            ("RESOURCE_EXHAUSTED", false)
        }
        RequestError::Expired => ("DEADLINE_EXCEEDED", false),
        RequestError::Busy { .. } | RequestError::IdsFull { .. } => ("RESOURCE_EXHAUSTED", false),
        RequestError::BatchSize(_) | RequestError::OpenGroup | RequestError::BadCursor(_) => {
            ("INVALID_ARGUMENT", false)
        }
        // A dry run touches nothing.
        RequestError::Contradiction(_) => ("INTERNAL", false),
        RequestError::ReadFailed(_) => ("INTERNAL", true),
        // Of those who look back, which no workload does.
        RequestError::Trimmed { .. }
        | RequestError::NotReached { .. }
        | RequestError::NotOpened { .. } => ("FAILED_PRECONDITION", false),
        RequestError::AuditRunning | RequestError::SubscribersFull { .. } => {
            ("RESOURCE_EXHAUSTED", false)
        }
        RequestError::NoCheckpoints => ("FAILED_PRECONDITION", false),
        RequestError::OwnerChanged(_) => ("UNAVAILABLE", false),
        RequestError::NotSigned(_) => ("UNAVAILABLE", false),
        RequestError::Stopped(_) => ("UNAVAILABLE", true),
    };
    Failure { class: class.into(), in_doubt, message: error.to_string() }
}
