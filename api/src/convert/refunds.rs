//! Lists of refunds to the wire.

use super::{cursor, outcomes};
use crate::proto;
use ducat_actors::handle::{RefundView, RefundsPage};
use ducat_engine::ids::TransferId;
use ducat_engine::money::{Currencies, Minor};

/// A page of a transfer's refunds.
#[must_use]
pub fn page(
    id: TransferId,
    page: &RefundsPage,
    currencies: &Currencies,
) -> proto::ListRefundsResponse {
    let currency = currencies.by_id(page.currency);
    let digits = currency.as_ref().map_or(0, |currency| currency.digits);
    proto::ListRefundsResponse {
        refunded: Some(outcomes::state_outcome(id, page.original, &page.state)),
        refunds: page.refunds.iter().map(|refund| refund_to_proto(refund, digits)).collect(),
        next_cursor: page.next.map(|next| cursor::refunds(id, next)).unwrap_or_default(),
        currency: currency.map(|currency| currency.code).unwrap_or_default(),
        digits: u32::from(digits),
        debit_account: page.debit.low(),
        debit_account_high: page.debit.high(),
        credit_account: page.credit.low(),
        credit_account_high: page.credit.high(),
    }
}

fn refund_to_proto(refund: &RefundView, digits: u8) -> proto::Refund {
    let text = |minor: u128| {
        let value = i128::try_from(minor).unwrap_or(i128::MAX);
        Minor { value, digits }.to_string()
    };
    proto::Refund {
        id: refund.id.low(),
        id_high: refund.id.high(),
        lsn: refund.lsn.0,
        time_ns: refund.time_ns,
        amount: text(refund.amount),
        refunded: text(refund.refunded),
        reversal: refund.reversal,
    }
}
