//! What becomes of transfers without terms: their records and outcomes follow from the decided batch
//! alone. So a batch that holds nothing else need not be concluded where the coordinator is, which
//! goes on with the next one meanwhile.

use super::{Answer, fresh, noted, room};
use crate::batch::{Batch, Item};
use crate::ids::Lsn;
use crate::partition::{Leg, Legs, merge};
use crate::plan::{Place, Plan};
use crate::record::{Party, Posted, PostedSide, Record, Refused};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::transfer::{Outcome, TransferRequest};

/// A decided batch.
pub(super) struct Plain<'b> {
    pub plan: &'b Plan,
    pub batch: &'b Batch,
    /// What each partition answered to the commit.
    pub legs: &'b [Vec<Legs>],
}

/// As [`super::Coordinator::conclude`], for a batch of transfers without terms, by whoever has it in
/// his hands.
///
/// # Panics
/// When the batch is not decided, or [not plain](Plan::is_plain).
pub fn conclude_plain<'a>(
    plan: &Plan,
    batch: &Batch,
    submissions: impl Iterator<Item = &'a [Request]>,
    legs: &[Vec<Legs>],
    mut emit: impl FnMut(Lsn, &Record),
) -> Vec<Answer> {
    assert!(plan.undecided.is_empty(), "only a decided batch is concluded");
    assert!(plan.is_plain(), "what concerns the coordinator is concluded there");
    let put = Plain { plan, batch, legs };
    let mut places = plan.places.iter();
    submissions
        .map(|requests| {
            let mut answer = Answer::default();
            answer.outcomes.reserve_exact(requests.len());
            for request in requests {
                let place = places.next().expect("a place for every request");
                put.conclude(place, request, &mut answer, &mut emit);
            }
            answer
        })
        .collect()
}

impl Plain<'_> {
    /// Puts what became of a transfer, or of a known id, into the answer.
    #[inline]
    pub fn conclude(
        &self,
        place: &Place,
        request: &Request,
        answer: &mut Answer,
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        match (place, request) {
            (Place::Fresh { item, currency }, Request::Transfer(transfer)) => {
                let at = *item as usize;
                let legs = merge(self.legs, at);
                let rejection = self.plan.verdicts[at];
                let lsn = self.batch.lsn(at);
                let mut event = record(transfer, &self.batch.items[at], lsn, rejection, &legs);
                let fee = self.plan.fee_of(at);
                noted::keep(&mut event, transfer.kind, fee);
                emit(lsn, &event);
                answer.fees.extend(fee.map(|fee| (answer.outcomes.len(), fee)));
                let outcome = fresh(self.plan, request, lsn, rejection, *currency, &legs);
                answer.outcomes.push(outcome);
            }
            (Place::Fresh { .. }, _) => unreachable!("new ones other than transfers are not plain"),
            (Place::Known { lsn, asked }, _) => {
                answer.repeats.push((answer.outcomes.len(), *lsn, asked.clone()));
                answer.outcomes.push(not_read_yet(request, *lsn));
            }
        }
    }
}

/// Stands where the outcome of a known id goes once its record is read.
fn not_read_yet(request: &Request, lsn: Lsn) -> Outcome {
    Outcome {
        id: request.id(),
        lsn,
        time_ns: 0,
        rejection: Some(Rejection::IdReused),
        repeat: true,
        currency: None,
        debit: None,
        credit: None,
    }
}

/// The event of a decided transfer.
pub(super) fn record(
    request: &TransferRequest,
    item: &Item,
    lsn: Lsn,
    rejection: Option<Rejection>,
    legs: &Legs,
) -> Record {
    let Some(rejection) = rejection else {
        let side = |leg: Option<Leg>| {
            let leg = leg.expect("a posted transfer has both legs");
            PostedSide { back: leg.back(lsn), posted: leg.after.posted, room: room(leg) }
        };
        let posted = Posted {
            id: request.id,
            debit: item.debit,
            credit: item.credit,
            // What a balanced transfer moves is its item's by now.
            amount: item.amount,
            debit_side: side(legs.debit),
            credit_side: side(legs.credit),
        };
        return if request.linked { Record::PostedLinked(posted) } else { Record::Posted(posted) };
    };
    let party = |leg: Option<Leg>, slot, id| match leg {
        Some(leg) => Party::Known { slot, posted: leg.after.posted, room: room(leg) },
        None => Party::Unknown(id),
    };
    let refused = Refused {
        id: request.id,
        rejection,
        debit: party(legs.debit, item.debit, request.debit),
        credit: party(legs.credit, item.credit, request.credit),
        amount: request.amount,
        currency: request.currency,
        kind: request.kind,
    };
    if request.linked { Record::RefusedLinked(refused) } else { Record::Refused(refused) }
}
