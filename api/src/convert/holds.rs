//! Holds as they are read: messages of the engine's views.

use super::outcomes::state_to_proto;
use crate::proto;
use ducat_actors::handle::HoldView;
use ducat_engine::money::{Currencies, format_minor};

/// A hold as a message.
#[must_use]
pub fn message(view: &HoldView, currencies: &Currencies) -> proto::Hold {
    let currency = currencies.by_id(view.currency);
    // An id that is not known would be a fault; it shows as its number.
    let (code, digits) =
        currency.map_or_else(|| (format!("#{}", view.currency.0), 0), |c| (c.code, c.digits));
    let text = |minor: u128| format_minor(i128::try_from(minor).unwrap_or(i128::MAX), digits);
    proto::Hold {
        id: view.id.low(),
        id_high: view.id.high(),
        state: state_to_proto(view.closed).into(),
        debit_account: view.debit.low(),
        debit_account_high: view.debit.high(),
        credit_account: view.credit.low(),
        credit_account_high: view.credit.high(),
        currency: code,
        digits: digits.into(),
        amount: text(view.amount),
        remaining: text(view.remaining),
        over_capture_max: text(view.over_capture_max),
        expires_ns: view.expires_ns.unwrap_or(0),
        placed_lsn: view.placed_lsn.0,
        remaining_minor: view.remaining.to_string(),
    }
}
