//! Holds as they are read: messages of the engine's views.

use super::outcomes::state_to_proto;
use super::transfers::kind_to_proto;
use crate::proto;
use ducat_actors::handle::{HoldView, StoredRequest};
use ducat_engine::holds::Closed;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currencies, CurrencyId, format_minor};
use ducat_engine::request::Request;

/// An open hold as a message.
#[must_use]
pub fn open(view: &HoldView, currencies: &Currencies) -> proto::Hold {
    let hold = &view.hold;
    let (currency, digits) = named(hold.currency, currencies);
    let text = text(digits);
    proto::Hold {
        id: hold.id.low(),
        id_high: hold.id.high(),
        state: state_to_proto(None).into(),
        currency,
        digits: digits.into(),
        amount: text(hold.amount),
        remaining: text(hold.remaining),
        over_capture_max: text(hold.over_capture_max),
        expires_ns: hold.expires_ns,
        placed_lsn: hold.placed_lsn.0,
        remaining_minor: hold.remaining.to_string(),
        kind: kind_to_proto(view.kind).into(),
        ..between(view.debit, view.credit)
    }
}

/// A closed hold as a message, by the request that placed it; `None` when its id stands for
/// another request by now.
#[must_use]
pub fn closed(
    placed: &StoredRequest,
    closed: Closed,
    currencies: &Currencies,
) -> Option<proto::Hold> {
    let Request::Hold(hold) = placed.request.plain() else { return None };
    let (currency, digits) = named(hold.currency?, currencies);
    let text = text(digits);
    Some(proto::Hold {
        id: hold.id.low(),
        id_high: hold.id.high(),
        state: state_to_proto(Some(closed)).into(),
        currency,
        digits: digits.into(),
        amount: text(hold.amount),
        remaining: text(0),
        over_capture_max: text(hold.over_capture_max),
        expires_ns: 0,
        placed_lsn: placed.outcome.lsn.0,
        remaining_minor: "0".to_owned(),
        kind: kind_to_proto(hold.kind).into(),
        ..between(hold.debit, hold.credit)
    })
}

fn between(debit: AccountId, credit: AccountId) -> proto::Hold {
    proto::Hold {
        debit_account: debit.low(),
        debit_account_high: debit.high(),
        credit_account: credit.low(),
        credit_account_high: credit.high(),
        ..proto::Hold::default()
    }
}

/// Code and digits. An id that is not known would be a fault; it shows as its number.
fn named(id: CurrencyId, currencies: &Currencies) -> (String, u8) {
    let known = currencies.by_id(id);
    known.map_or_else(|| (format!("#{}", id.0), 0), |known| (known.code, known.digits))
}

fn text(digits: u8) -> impl Fn(u128) -> String {
    move |minor| format_minor(i128::try_from(minor).unwrap_or(i128::MAX), digits)
}
