//! Reversals of groups between the wire and the engine.

use super::explain::Told;
use super::{notes, outcomes};
use crate::proto::{self, Operation};
use crate::violation::{Place, Violations};
use ducat_actors::handle::{Answers, GroupReversal, Reversal, ReversalLeg};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::money::{Currencies, Minor};

/// What is asked for.
///
/// # Errors
/// What is malformed, field by field.
pub fn asked(request: &proto::ReverseGroupRequest) -> Result<GroupReversal, Violations> {
    let mut violations = Violations::default();
    let mut id = |high, low, field, reason| {
        let id = TransferId::from_halves(high, low).ok();
        if id.is_none() {
            violations.add(Place::Request, field, reason, super::zero_id);
        }
        id
    };
    let own = id(request.id_high, request.id, "id", "ID_ZERO");
    let of = id(request.original_id_high, request.original_id, "original_id", "ORIGINAL_ID_ZERO");
    let note =
        notes::read(request.note.as_ref(), Operation::Reverse, Place::Request, &mut violations);
    let (Some(id), Some(of)) = (own, of) else { return Err(violations) };
    violations.into_result(GroupReversal {
        id,
        of,
        of_lsn: (request.original_lsn > 0).then_some(Lsn(request.original_lsn)),
        allow_overdraft: request.allow_overdraft,
        note: note.unwrap_or_default(),
    })
}

/// What became of it, or would.
#[must_use]
pub fn answer(
    reversal: &Reversal,
    answers: &Answers,
    dry_run: bool,
    currencies: &Currencies,
) -> proto::ReverseGroupResponse {
    let asked = reversal.requests.iter().zip(&reversal.legs);
    let refund = |(at, (outcome, (request, leg)))| {
        let (hold, refund, terms) = (None, answers.refund(at), None);
        let told = Told { hold, refund, terms, fee: answers.fee(at) };
        let outcome = outcomes::one(outcome, told, request, currencies);
        member(leg, proto::Outcome { dry_run, ..outcome }, currencies)
    };
    let refunds = answers.outcomes.iter().zip(asked).enumerate().map(refund).collect();
    proto::ReverseGroupResponse { refunds }
}

fn member(
    leg: &ReversalLeg,
    outcome: proto::Outcome,
    currencies: &Currencies,
) -> proto::MemberRefund {
    let currency = currencies.by_id(leg.currency);
    let digits = currency.as_ref().map_or(0, |currency| currency.digits);
    let value = i128::try_from(leg.amount).unwrap_or(i128::MAX);
    proto::MemberRefund {
        outcome: Some(outcome),
        original_id: leg.original.low(),
        original_id_high: leg.original.high(),
        original_lsn: leg.original_lsn.0,
        debit_account: leg.debit.low(),
        debit_account_high: leg.debit.high(),
        credit_account: leg.credit.low(),
        credit_account_high: leg.credit.high(),
        amount: Minor { value, digits }.to_string(),
        currency: currency.map(|currency| currency.code).unwrap_or_default(),
        digits: u32::from(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_it_is_named() {
        let note = proto::Note { reference: "a\nb".into(), ..Default::default() };
        let request =
            proto::ReverseGroupRequest { original_lsn: 7, note: Some(note), ..Default::default() };
        let error = asked(&request).expect_err("malformed").into_batch_error();
        let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["id", "original_id", "note.reference"]);
        let whole = proto::ReverseGroupRequest { id: 1, original_id_high: 2, ..Default::default() };
        let found = asked(&whole).expect("well-formed");
        assert_eq!((found.id.get(), found.of.get(), found.of_lsn), (1, 2 << 64, None));
    }
}
