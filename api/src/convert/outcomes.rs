//! Outcomes to the wire. Posted ones are plain figures; only a refusal costs a sentence.

use super::explain::explain;
use super::transfers::Reader;
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_engine::money::Currencies;
use ducat_engine::transfer::{BalanceAfter, Outcome, TransferRequest};

/// The answers to a batch, in its order. `asked` is the batch as it came, from which the
/// sentences of the refusals are made.
#[must_use]
pub fn batch(
    outcomes: &[Outcome],
    asked: &[proto::TransferRequest],
    currencies: &Currencies,
) -> Vec<proto::Outcome> {
    let mut reader = Reader::new(currencies);
    let mut answers = Vec::with_capacity(outcomes.len());
    for (outcome, item) in outcomes.iter().zip(asked) {
        let mut answer = figures(outcome);
        if outcome.rejection.is_some() {
            // Converted once before, so it converts again; twice the work for refusals is
            // cheaper than keeping a copy of every batch in flight.
            let request = reader.transfer(item, Place::Request, &mut Violations::default());
            answer.explanation =
                request.map(|r| explain(outcome, &r, currencies)).unwrap_or_default();
        }
        answers.push(answer);
    }
    answers
}

/// The answer to one transfer.
#[must_use]
pub fn one(
    outcome: &Outcome,
    request: &TransferRequest,
    currencies: &Currencies,
) -> proto::Outcome {
    let mut answer = figures(outcome);
    if outcome.rejection.is_some() {
        answer.explanation = explain(outcome, request, currencies);
    }
    answer
}

/// The outcome without its sentence.
fn figures(outcome: &Outcome) -> proto::Outcome {
    proto::Outcome {
        id: outcome.id.low(),
        id_high: outcome.id.high(),
        lsn: outcome.lsn.0,
        time_ns: outcome.time_ns,
        code: outcome.rejection.map_or(0, |r| i32::from(r.number())),
        repeat: outcome.repeat,
        explanation: String::new(),
        debit: outcome.debit.as_ref().map(balance),
        credit: outcome.credit.as_ref().map(balance),
    }
}

/// An account's figures; all of them as texts when one does not fit into 64 bits.
fn balance(after: &BalanceAfter) -> proto::Balance {
    match (i64::try_from(after.posted), i64::try_from(after.available)) {
        (Ok(posted_minor), Ok(available_minor)) => {
            proto::Balance { posted_minor, available_minor, held_minor: 0, wide: None }
        }
        _ => proto::Balance {
            wide: Some(Box::new(proto::WideBalance {
                posted_minor: after.posted.to_string(),
                available_minor: after.available.to_string(),
                held_minor: "0".to_owned(),
            })),
            ..proto::Balance::default()
        },
    }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
