//! Requests from the wire: transfers, and by way of [`super::operations`] the operations on
//! holds. Checks what the engine need not check (shape, ids, currency,
//! decimals) and leaves every rule about money to it. An amount of 0 is well-formed here:
//! the engine refuses it with `AMOUNT_ZERO` and remembers the id.

use super::explain::Told;
use super::{MoneyReader, amount_text, check_count};
use crate::proto;
use crate::violation::{Place, Violations};
use crate::wire_requests::{More, WireRequest};
use ducat_actors::handle::{BATCH_MAX, StoredRequest};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::{Currencies, Currency, CurrencyId, Minor};
use ducat_engine::request::Request;
use ducat_engine::transfer::{TransferKind, TransferRequest};

/// A batch in the engine's terms, in the same order.
///
/// # Errors
/// Everything that is wrong with the batch; nothing of it is to be executed then.
pub fn batch(items: &[WireRequest], currencies: &Currencies) -> Result<Vec<Request>, Violations> {
    check_count("transfers", items.len(), BATCH_MAX)?;
    let mut reader = Reader::new(currencies);
    let mut violations = Violations::default();
    let mut requests = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = Place::Item { list: "transfers", index };
        // A wrong item leaves a hole, which is never seen: the batch is refused below.
        requests.extend(reader.request(item, place, &mut violations));
    }
    let last = items.len() - 1;
    if items[last].linked {
        let place = Place::Item { list: "transfers", index: last };
        violations.add(place, "linked", "LAST_LINKED", || {
            "the last transfer of a batch has no next one to be linked with".to_owned()
        });
    }
    violations.into_result(requests)
}

/// A single request in the engine's terms.
///
/// # Errors
/// Everything that is wrong with it.
pub fn single(item: &WireRequest, currencies: &Currencies) -> Result<Request, Violations> {
    let mut violations = Violations::default();
    let request = Reader::new(currencies).request(item, Place::Request, &mut violations);
    if item.linked {
        violations.add(Place::Request, "linked", "LAST_LINKED", || {
            "a single transfer has no next one to be linked with; use CreateTransfers".to_owned()
        });
    }
    match request {
        Some(request) => violations.into_result(request),
        None => Err(violations),
    }
}

/// Converts requests one by one.
pub(super) struct Reader<'a> {
    pub(super) money: MoneyReader<'a>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(currencies: &'a Currencies) -> Self {
        Self { money: MoneyReader::new(currencies) }
    }

    /// The request, or `None` after adding at least one violation.
    #[inline]
    pub(super) fn request(
        &mut self,
        item: &WireRequest,
        place: Place,
        violations: &mut Violations,
    ) -> Option<Request> {
        match &item.more {
            None => {
                let money = Some((u128::from(item.amount_minor), None));
                self.transfer(item, money, place, violations).map(Request::Transfer)
            }
            Some(more) => self.operation(item, more, place, violations),
        }
    }

    /// What only needs ids and the kind any more.
    #[inline]
    pub(super) fn transfer(
        &self,
        item: &WireRequest,
        money: Option<(u128, Option<CurrencyId>)>,
        place: Place,
        violations: &mut Violations,
    ) -> Option<TransferRequest> {
        let id = TransferId::from_halves(item.id_high, item.id).ok();
        let debit = AccountId::from_halves(item.debit_account_high, item.debit_account).ok();
        let credit = AccountId::from_halves(item.credit_account_high, item.credit_account).ok();
        let kind = kind_from_proto(item.kind);
        if let (Some(id), Some(debit), Some(credit), Some(kind), Some((amount, currency))) =
            (id, debit, credit, kind, money)
        {
            let linked = item.linked;
            return Some(TransferRequest { id, debit, credit, amount, currency, kind, linked });
        }
        for (wrong, field, reason) in [
            (id.is_none(), "id", "TRANSFER_ID_ZERO"),
            (debit.is_none(), "debit_account", "ACCOUNT_ID_ZERO"),
            (credit.is_none(), "credit_account", "ACCOUNT_ID_ZERO"),
        ] {
            if wrong {
                violations.add(place, field, reason, super::zero_id);
            }
        }
        if kind.is_none() {
            violations.add(place, "kind", "KIND_UNKNOWN", || {
                format!("{} is no kind of transfer; known are 0 to 7", item.kind)
            });
        }
        None
    }

    /// Amount and currency; 0 where neither a text nor minor units are set.
    pub(super) fn money(
        &mut self,
        item: &WireRequest,
        more: &More,
        place: Place,
        violations: &mut Violations,
    ) -> Option<(u128, Option<CurrencyId>)> {
        let texts = ["amount", "amount_minor"];
        let given = (item.amount_minor, more.amount.as_str());
        if more.currency.is_empty() {
            return Some((minor_without_currency(texts, given, place, violations)?, None));
        }
        let currency = self.money.currency(&more.currency, place, violations)?;
        Some((minor(texts, given, currency, place, violations)?, Some(currency.id)))
    }

    /// A tolerance, in the currency that [`Self::money`] has read.
    pub(super) fn tolerance(
        &mut self,
        more: &More,
        place: Place,
        violations: &mut Violations,
    ) -> Option<u128> {
        let texts = ["over_capture_max", "over_capture_max_minor"];
        let given = (more.over_capture_max_minor, more.over_capture_max.as_str());
        if more.currency.is_empty() {
            return minor_without_currency(texts, given, place, violations);
        }
        // An unknown one was told of with the amount.
        let currency = self.money.currency(&more.currency, place, &mut Violations::default())?;
        minor(texts, given, currency, place, violations)
    }
}

/// Minor units of what may be given as such or as a text: the fields' names are `[text, minor]`.
pub(super) fn minor(
    fields: [&'static str; 2],
    (minor, text): (u64, &str),
    currency: &Currency,
    place: Place,
    violations: &mut Violations,
) -> Option<u128> {
    if text.is_empty() {
        return Some(u128::from(minor));
    }
    if minor != 0 {
        twice(fields, place, violations);
        return None;
    }
    amount_text(text, currency, place, fields[0], violations)
}

pub(super) fn minor_without_currency(
    fields: [&'static str; 2],
    (minor, text): (u64, &str),
    place: Place,
    violations: &mut Violations,
) -> Option<u128> {
    if text.is_empty() {
        return Some(u128::from(minor));
    }
    if minor != 0 {
        twice(fields, place, violations);
    } else {
        violations.add(place, "currency", "CURRENCY_MISSING", || {
            let field = fields[0];
            format!(
                "an `{field}` text needs the `currency` that says how many decimals it may have"
            )
        });
    }
    None
}

pub(super) fn twice([text, minor]: [&'static str; 2], place: Place, violations: &mut Violations) {
    violations
        .add(place, text, "AMOUNT_TWICE", || format!("set either `{text}` or `{minor}`, not both"));
}

pub(super) const fn kind_from_proto(kind: i32) -> Option<TransferKind> {
    match kind {
        0 => Some(TransferKind::Transfer),
        1 => Some(TransferKind::Deposit),
        2 => Some(TransferKind::Withdrawal),
        3 => Some(TransferKind::Payment),
        4 => Some(TransferKind::Refund),
        5 => Some(TransferKind::Fee),
        6 => Some(TransferKind::Adjustment),
        7 => Some(TransferKind::Interest),
        _ => None,
    }
}

pub(super) const fn kind_to_proto(kind: TransferKind) -> proto::TransferKind {
    match kind {
        TransferKind::Transfer => proto::TransferKind::Transfer,
        TransferKind::Deposit => proto::TransferKind::Deposit,
        TransferKind::Withdrawal => proto::TransferKind::Withdrawal,
        TransferKind::Payment => proto::TransferKind::Payment,
        TransferKind::Refund => proto::TransferKind::Refund,
        TransferKind::Fee => proto::TransferKind::Fee,
        TransferKind::Adjustment => proto::TransferKind::Adjustment,
        TransferKind::Interest => proto::TransferKind::Interest,
    }
}

/// A request as the message that asks for it: minor units where they fit into 64 bits, else
/// a decimal text of the currency's digits.
#[must_use]
pub fn to_proto(request: &Request, currencies: &Currencies) -> proto::TransferRequest {
    match request {
        Request::Transfer(transfer) => transfer_to_proto(transfer, currencies),
        operation => super::operations::to_proto(operation, currencies),
    }
}

pub(super) fn transfer_to_proto(
    transfer: &TransferRequest,
    currencies: &Currencies,
) -> proto::TransferRequest {
    let (amount_minor, amount, currency) =
        money_to_proto(transfer.amount, transfer.currency, currencies);
    proto::TransferRequest {
        id: transfer.id.low(),
        id_high: transfer.id.high(),
        debit_account: transfer.debit.low(),
        debit_account_high: transfer.debit.high(),
        credit_account: transfer.credit.low(),
        credit_account_high: transfer.credit.high(),
        amount_minor,
        amount,
        currency,
        kind: kind_to_proto(transfer.kind) as i32,
        linked: transfer.linked,
        ..proto::TransferRequest::default()
    }
}

/// Minor units, or a text where they do not fit, and the currency's code.
pub(super) fn money_to_proto(
    amount: u128,
    currency: Option<CurrencyId>,
    currencies: &Currencies,
) -> (u64, String, String) {
    let currency = currency.and_then(|id| currencies.by_id(id));
    let (minor, text) = match u64::try_from(amount) {
        Ok(minor) => (minor, String::new()),
        Err(_) => {
            let value = i128::try_from(amount).unwrap_or(i128::MAX);
            let digits = currency.as_ref().map_or(0, |c| c.digits);
            (0, Minor { value, digits }.to_string())
        }
    };
    (minor, text, currency.map(|c| c.code).unwrap_or_default())
}

/// A remembered request as a message, with its explanation when it was refused.
#[must_use]
pub fn record_to_proto(stored: &StoredRequest, currencies: &Currencies) -> proto::TransferRecord {
    let mut transfer = to_proto(&stored.request, currencies);
    if let Some(kind) = stored.captured_as {
        transfer.kind = kind_to_proto(kind) as i32;
    }
    proto::TransferRecord {
        transfer: Some(transfer),
        outcome: Some(super::outcomes::one(
            &stored.outcome,
            Told {
                hold: stored.hold.as_ref(),
                refund: stored.refund.as_ref(),
                terms: stored.terms.as_ref(),
                fee: stored.fee.as_ref(),
            },
            &stored.request,
            currencies,
        )),
        refunded: stored.refunded.map(|state| {
            super::outcomes::state_outcome(stored.outcome.id, stored.outcome.lsn, &state)
        }),
        status: super::life::status(stored) as i32,
    }
}

#[cfg(test)]
#[path = "transfers_tests.rs"]
mod tests;
