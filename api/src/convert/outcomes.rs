//! Outcomes to the wire. Batches are encoded in one step (see [`crate::wire`]); only a
//! refusal costs a sentence, and only a balance beyond 64 bits an allocation.

use super::explain::{Explainer, Told};
use super::transfers::Reader;
use crate::proto;
use crate::violation::{Place, Violations};
use crate::wire::{self, Encoded, Small};
use crate::wire_requests::WireRequest;
use ducat_actors::handle::Answers;
use ducat_engine::holds::{Closed, HoldAfter};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::money::Currencies;
use ducat_engine::refunds::{RefundAfter, RefundState};
use ducat_engine::request::Request;
use ducat_engine::transfer::{BalanceAfter, Outcome};
use prost::Message as _;

/// Field numbers of `Outcome`, `Balance` and `HoldOutcome` in the proto; a test compares with
/// prost.
mod field {
    pub const ID: u8 = 1;
    pub const ID_HIGH: u8 = 2;
    pub const LSN: u8 = 3;
    pub const TIME_NS: u8 = 4;
    pub const CODE: u8 = 5;
    pub const REPEAT: u8 = 6;
    pub const EXPLANATION: u8 = 7;
    pub const DEBIT: u8 = 8;
    pub const CREDIT: u8 = 9;
    pub const HOLD: u8 = 10;
    pub const HOLD_ID: u8 = 1;
    pub const HOLD_ID_HIGH: u8 = 2;
    pub const HOLD_STATE: u8 = 3;
    pub const HOLD_CAPTURED_MINOR: u8 = 4;
    pub const HOLD_RELEASED_MINOR: u8 = 5;
    pub const HOLD_REMAINING_MINOR: u8 = 6;
    pub const HOLD_EXPIRES_NS: u8 = 7;
    pub const POSTED_MINOR: u8 = 1;
    pub const AVAILABLE_MINOR: u8 = 2;
    /// `outcomes` in the answer to `CreateTransfers`.
    pub const UNARY_OUTCOMES: u8 = 1;
    /// `tag` in the answer of a stream.
    pub const STREAM_TAG: u8 = 1;
    /// `outcomes` in the answer of a stream.
    pub const STREAM_OUTCOMES: u8 = 2;
}

/// Bytes of a posted outcome, roughly; what the buffer of a batch starts with.
const OUTCOME_BYTES: usize = 64;

/// Memory of a transfer from its admission until its answer is encoded: as asked (with its
/// texts), the engine's outcome, and the outcome's bytes.
const TRANSFER_BYTES: usize = 384;

/// What an operation on a hold takes beyond that: its own fields, as asked and in the engine's
/// terms, and what is told of its hold.
const OPERATION_BYTES: usize = 384;

/// What terms take beyond that: as asked, in the engine's terms twice, and in the record.
const TERMS_BYTES: usize = 1_664;

/// What a note takes beyond that: as asked, in the engine's terms twice, and in the record.
const NOTE_BYTES: usize = 1_536;

/// Memory of a batch and its answer, roughly.
#[must_use]
pub fn batch_bytes(batch: &[Request]) -> usize {
    let operations = batch.iter().filter(|request| !matches!(request, Request::Transfer(_)));
    let terms = |request: &&Request| matches!(request.unnoted(), Request::Termed(_));
    let termed = batch.iter().filter(terms);
    let noted = batch.iter().filter(|request| request.note().is_some());
    batch.len() * TRANSFER_BYTES
        + operations.count() * OPERATION_BYTES
        + termed.count() * TERMS_BYTES
        + noted.count() * NOTE_BYTES
}

/// The encoded `CreateTransfersResponse` to a batch, in its order. `asked` is the batch as it
/// came, from which the sentences of the refusals are made.
#[must_use]
pub fn unary_answer(answers: &Answers, asked: &[WireRequest], currencies: &Currencies) -> Encoded {
    let mut out = Vec::with_capacity(answers.outcomes.len() * OUTCOME_BYTES);
    encode(field::UNARY_OUTCOMES, answers, asked, currencies, &mut out);
    Encoded::from_bytes(out)
}

/// The encoded `StreamTransfersResponse` to the batch with this tag.
#[must_use]
pub fn stream_answer(
    tag: u64,
    answers: &Answers,
    asked: &[WireRequest],
    currencies: &Currencies,
) -> Encoded {
    let mut out = Vec::with_capacity(answers.outcomes.len() * OUTCOME_BYTES + 16);
    let mut head = Small::new();
    head.uint(field::STREAM_TAG, tag);
    out.extend_from_slice(head.as_bytes());
    encode(field::STREAM_OUTCOMES, answers, asked, currencies, &mut out);
    Encoded::from_bytes(out)
}

fn encode(
    list: u8,
    answers: &Answers,
    asked: &[WireRequest],
    currencies: &Currencies,
    out: &mut Vec<u8>,
) {
    let mut reader = Reader::new(currencies);
    let mut explainer = Explainer::new(currencies);
    let mut sentence = String::new();
    let mut text = Vec::new();
    let mut figures = Small::new();
    let mut holds = answers.holds.iter().peekable();
    let mut refunds = answers.refunds.iter().peekable();
    let mut terms = answers.terms.iter().peekable();
    let mut fees = answers.fees.iter().peekable();
    for (at, (outcome, item)) in answers.outcomes.iter().zip(asked).enumerate() {
        let hold = holds.next_if(|(of, _)| *of == at).map(|(_, hold)| hold);
        let refund = refunds.next_if(|(of, _)| *of == at).map(|(_, refund)| refund);
        let terms = terms.next_if(|(of, _)| *of == at).map(|(_, terms)| terms);
        let fee = fees.next_if(|(of, _)| *of == at).map(|(_, fee)| fee);
        let told = Told { hold, refund, terms, fee };
        let wide = !is_narrow(outcome) || hold.is_some_and(|hold| narrow_hold(hold).is_none());
        if wide || refund.is_some() || terms.is_some() || fee.is_some() {
            // Figures beyond 2^63 minor units, refunds, terms and fees are rare enough to go the long way.
            let request = reader.request(item, Place::Request, &mut Violations::default());
            let message = message(outcome, told, request.as_ref(), &mut explainer);
            wire::delimited(out, list, &[&message.encode_to_vec()]);
            continue;
        }
        figures.clear();
        write_figures(outcome, &mut figures);
        if let Some(hold) = hold {
            write_hold(hold, &mut figures);
        }
        if outcome.rejection.is_none() {
            wire::delimited(out, list, &[figures.as_bytes()]);
            continue;
        }
        // The request was well-formed once, so it is again; reading it twice for refusals is
        // cheaper than keeping a second copy of every batch in flight.
        sentence.clear();
        text.clear();
        if let Some(request) = reader.request(item, Place::Request, &mut Violations::default()) {
            explainer.explain(outcome, told, &request, &mut sentence);
            wire::delimited(&mut text, field::EXPLANATION, &[sentence.as_bytes()]);
        }
        wire::delimited(out, list, &[figures.as_bytes(), &text]);
    }
}

/// Whether every figure fits into 64 bits.
fn is_narrow(outcome: &Outcome) -> bool {
    let fits =
        |balance: &Option<BalanceAfter>| balance.as_ref().is_none_or(|b| narrow(b).is_some());
    fits(&outcome.debit) && fits(&outcome.credit)
}

/// Posted and available where both fit into 64 bits.
fn narrow(after: &BalanceAfter) -> Option<(i64, i64)> {
    Some((i64::try_from(after.posted).ok()?, i64::try_from(after.available).ok()?))
}

/// The encoded outcome without its sentence.
fn write_figures(outcome: &Outcome, to: &mut Small) {
    to.fixed(field::ID, outcome.id.low());
    to.fixed(field::ID_HIGH, outcome.id.high());
    to.uint(field::LSN, outcome.lsn.0);
    to.fixed(field::TIME_NS, outcome.time_ns);
    to.uint(field::CODE, outcome.rejection.map_or(0, |r| u64::from(r.number())));
    to.uint(field::REPEAT, u64::from(outcome.repeat));
    for (field, after) in [(field::DEBIT, &outcome.debit), (field::CREDIT, &outcome.credit)] {
        if let Some((posted, available)) = after.as_ref().and_then(narrow) {
            to.message(field, |to| {
                to.sint(field::POSTED_MINOR, posted);
                to.sint(field::AVAILABLE_MINOR, available);
            });
        }
    }
}

/// What a decision did to a hold and left of it, where it fits into 64 bits: captured, released
/// and remaining.
fn narrow_hold(hold: &HoldAfter) -> Option<[u64; 3]> {
    Some([
        u64::try_from(hold.captured).ok()?,
        u64::try_from(hold.released).ok()?,
        u64::try_from(hold.remaining).ok()?,
    ])
}

/// The encoded outcome's hold.
fn write_hold(hold: &HoldAfter, to: &mut Small) {
    let [captured, released, remaining] = narrow_hold(hold).unwrap_or_default();
    to.message(field::HOLD, |to| {
        to.fixed(field::HOLD_ID, hold.hold.low());
        to.fixed(field::HOLD_ID_HIGH, hold.hold.high());
        to.uint(field::HOLD_STATE, state_to_proto(hold.closed) as u64);
        to.uint(field::HOLD_CAPTURED_MINOR, captured);
        to.uint(field::HOLD_RELEASED_MINOR, released);
        to.uint(field::HOLD_REMAINING_MINOR, remaining);
        to.fixed(field::HOLD_EXPIRES_NS, hold.expires_ns.unwrap_or(0));
    });
}

/// The state of a hold that is open, or ended so.
#[must_use]
pub const fn state_to_proto(closed: Option<Closed>) -> proto::HoldState {
    match closed {
        None => proto::HoldState::Open,
        Some(Closed::Captured) => proto::HoldState::Captured,
        Some(Closed::Voided) => proto::HoldState::Voided,
        Some(Closed::Expired) => proto::HoldState::Expired,
    }
}

/// The answer to one request, as a message, with what is told beside its outcome.
#[must_use]
pub fn one(
    outcome: &Outcome,
    told: Told<'_>,
    request: &Request,
    currencies: &Currencies,
) -> proto::Outcome {
    message(outcome, told, Some(request), &mut Explainer::new(currencies))
}

/// The answers to a batch of a dry run, as messages, in its order.
#[must_use]
pub fn dry(
    answers: &Answers,
    asked: &[WireRequest],
    currencies: &Currencies,
) -> Vec<proto::Outcome> {
    let mut reader = Reader::new(currencies);
    let mut explainer = Explainer::new(currencies);
    let outcome = |(at, (outcome, item)): (usize, (&Outcome, &WireRequest))| {
        let (hold, refund, terms) = (answers.hold(at), answers.refund(at), answers.terms(at));
        let told = Told { hold, refund, terms, fee: answers.fee(at) };
        let request = reader.request(item, Place::Request, &mut Violations::default());
        let message = message(outcome, told, request.as_ref(), &mut explainer);
        proto::Outcome { dry_run: true, ..message }
    };
    answers.outcomes.iter().zip(asked).enumerate().map(outcome).collect()
}

fn message(
    outcome: &Outcome,
    told: Told<'_>,
    request: Option<&Request>,
    explainer: &mut Explainer<'_>,
) -> proto::Outcome {
    let mut explanation = String::new();
    if let Some(request) = request {
        explainer.explain(outcome, told, request, &mut explanation);
    }
    proto::Outcome {
        id: outcome.id.low(),
        id_high: outcome.id.high(),
        lsn: outcome.lsn.0,
        time_ns: outcome.time_ns,
        code: outcome.rejection.map_or(0, |r| i32::from(r.number())),
        repeat: outcome.repeat,
        explanation,
        debit: outcome.debit.as_ref().map(balance),
        credit: outcome.credit.as_ref().map(balance),
        hold: told.hold.map(|hold| Box::new(hold_outcome(hold))),
        refund: told.refund.map(|refund| Box::new(refund_outcome(refund))),
        terms: told.terms.map(|terms| Box::new(super::terms::outcome(terms))),
        fee: told.fee.map(|fee| Box::new(super::fees::outcome(fee))),
        dry_run: false,
    }
}

/// How much of a transfer was given back.
#[must_use]
pub fn state_outcome(id: TransferId, lsn: Lsn, state: &RefundState) -> proto::RefundOutcome {
    refund_outcome(&state.told(id, lsn))
}

/// How the original of a refund stands; its amounts all as texts when one does not fit into 64
/// bits.
fn refund_outcome(refund: &RefundAfter) -> proto::RefundOutcome {
    let RefundAfter { of, of_lsn, amount, moved, refunded, reversed } = *refund;
    // No part of it is larger than what was moved.
    let narrow = u64::try_from(moved).is_ok();
    let minor = |figure: u128| u64::try_from(figure).ok().filter(|_| narrow).unwrap_or(0);
    let wide = || proto::WideRefund {
        moved_minor: moved.to_string(),
        refunded_minor: refunded.to_string(),
        amount_minor: amount.to_string(),
    };
    proto::RefundOutcome {
        original_id: of.low(),
        original_id_high: of.high(),
        original_lsn: of_lsn.0,
        moved_minor: minor(moved),
        refunded_minor: minor(refunded),
        amount_minor: minor(amount),
        reversed,
        wide: (!narrow).then(wide),
    }
}

/// How a hold stands; its amounts all as texts when one does not fit into 64 bits.
fn hold_outcome(hold: &HoldAfter) -> proto::HoldOutcome {
    let mut message = proto::HoldOutcome {
        id: hold.hold.low(),
        id_high: hold.hold.high(),
        state: state_to_proto(hold.closed).into(),
        expires_ns: hold.expires_ns.unwrap_or(0),
        ..proto::HoldOutcome::default()
    };
    if let Some([captured, released, remaining]) = narrow_hold(hold) {
        message.captured_minor = captured;
        message.released_minor = released;
        message.remaining_minor = remaining;
    } else {
        message.wide = Some(Box::new(proto::WideHold {
            captured_minor: hold.captured.to_string(),
            released_minor: hold.released.to_string(),
            remaining_minor: hold.remaining.to_string(),
        }));
    }
    message
}

/// An account's figures; all of them as texts when one does not fit into 64 bits.
fn balance(after: &BalanceAfter) -> proto::Balance {
    if let Some((posted_minor, available_minor)) = narrow(after) {
        return proto::Balance { posted_minor, available_minor, held_minor: 0, wide: None };
    }
    let wide = proto::WideBalance {
        posted_minor: after.posted.to_string(),
        available_minor: after.available.to_string(),
        held_minor: "0".to_owned(),
    };
    proto::Balance { wide: Some(Box::new(wide)), ..proto::Balance::default() }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
