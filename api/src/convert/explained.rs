//! A decided request explained, on its way to the wire.

use super::{accounts, transfers};
use crate::{day, proto};
use ducat_actors::feed::What;
use ducat_actors::handle::{AccountThen, Explained};
use ducat_engine::money::{Currencies, format_minor};

/// The answer; `None` for an event that decided no request.
#[must_use]
pub fn answer(explained: &Explained, currencies: &Currencies) -> Option<proto::ExplainResponse> {
    let What::Decided(decided) = &explained.event.what else { return None };
    let [debit, credit] = explained.accounts;
    let currency = debit.or(credit).and_then(|account| currencies.by_id(account.currency));
    let digits = currency.as_ref().map_or(0, |currency| currency.digits);
    let account = |then: Option<AccountThen>| then.map(|then| account(&then, digits));
    Some(proto::ExplainResponse {
        record: Some(transfers::record_to_proto(decided, currencies)),
        currency: currency.map(|currency| currency.code.clone()).unwrap_or_default(),
        digits: u32::from(digits),
        debit: account(debit),
        credit: account(credit),
        kind: explained.kind.map(|kind| transfers::kind_to_proto(kind).into()),
        value_date: explained.value_date.map(day::text).unwrap_or_default(),
    })
}

fn account(then: &AccountThen, digits: u8) -> proto::AccountThen {
    let text = |minor: i128| format_minor(minor, digits);
    let bound = |bound: Option<i128>| bound.map(text).unwrap_or_default();
    let limits = then.limits;
    let overdraft = i128::try_from(limits.overdraft_limit).unwrap_or(i128::MAX);
    proto::AccountThen {
        id: then.id.low(),
        id_high: then.id.high(),
        external: then.external,
        status: accounts::status_to_proto(then.status) as i32,
        posted: text(then.posted),
        held: text(then.on_hold),
        overdraft_limit: if then.external { String::new() } else { text(overdraft) },
        floor: bound(limits.bounds.floor),
        ceiling: bound(limits.bounds.ceiling),
        available: if then.external { String::new() } else { text(then.available) },
    }
}
