//! Transfers from the wire: checks what the engine need not check (shape, ids, currency,
//! decimals) and leaves every rule about money to it. An amount of 0 is well-formed here:
//! the engine refuses it with `AMOUNT_ZERO` and remembers the id.

use super::{MoneyReader, amount_text, check_count};
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_actors::handle::{BATCH_MAX, StoredTransfer};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::{Currencies, CurrencyId, Minor};
use ducat_engine::transfer::{TransferKind, TransferRequest};

/// A batch in the engine's terms, in the same order.
///
/// # Errors
/// Everything that is wrong with the batch; nothing of it is to be executed then.
pub fn batch(
    items: &[proto::TransferRequest],
    currencies: &Currencies,
) -> Result<Vec<TransferRequest>, Violations> {
    check_count("transfers", items.len(), BATCH_MAX)?;
    let mut reader = Reader::new(currencies);
    let mut violations = Violations::default();
    let mut transfers = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = Place::Item { list: "transfers", index };
        // A wrong item leaves a hole, which is never seen: the batch is refused below.
        transfers.extend(reader.transfer(item, place, &mut violations));
    }
    let last = items.len() - 1;
    if items[last].linked {
        let place = Place::Item { list: "transfers", index: last };
        violations.add(place, "linked", "LAST_LINKED", || {
            "the last transfer of a batch has no next one to be linked with".to_owned()
        });
    }
    violations.into_result(transfers)
}

/// A single transfer in the engine's terms.
///
/// # Errors
/// Everything that is wrong with it.
pub fn single(
    item: &proto::TransferRequest,
    currencies: &Currencies,
) -> Result<TransferRequest, Violations> {
    let mut violations = Violations::default();
    let transfer = Reader::new(currencies).transfer(item, Place::Request, &mut violations);
    if item.linked {
        violations.add(Place::Request, "linked", "LAST_LINKED", || {
            "a single transfer has no next one to be linked with; use CreateTransfers".to_owned()
        });
    }
    match transfer {
        Some(transfer) => violations.into_result(transfer),
        None => Err(violations),
    }
}

/// Converts transfers one by one.
pub(super) struct Reader<'a> {
    money: MoneyReader<'a>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(currencies: &'a Currencies) -> Self {
        Self { money: MoneyReader::new(currencies) }
    }

    /// The transfer, or `None` after adding at least one violation.
    pub(super) fn transfer(
        &mut self,
        item: &proto::TransferRequest,
        place: Place,
        violations: &mut Violations,
    ) -> Option<TransferRequest> {
        let id = TransferId::from_halves(item.id_high, item.id).ok();
        let debit = AccountId::from_halves(item.debit_account_high, item.debit_account).ok();
        let credit = AccountId::from_halves(item.credit_account_high, item.credit_account).ok();
        let kind = kind_from_proto(item.kind);
        let money = if item.currency.is_empty() && item.amount.is_empty() {
            Some((u128::from(item.amount_minor), None))
        } else {
            self.money(item, place, violations)
        };
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
                format!("{} is no kind of transfer; known are 0, 1 and 2", item.kind)
            });
        }
        None
    }

    /// Amount and currency of a transfer that sets `currency` or `amount`.
    fn money(
        &mut self,
        item: &proto::TransferRequest,
        place: Place,
        violations: &mut Violations,
    ) -> Option<(u128, Option<CurrencyId>)> {
        if item.amount_minor != 0 && !item.amount.is_empty() {
            violations.add(place, "amount", "AMOUNT_TWICE", || {
                "set either `amount` or `amount_minor`, not both".to_owned()
            });
            return None;
        }
        if item.currency.is_empty() {
            violations.add(place, "currency", "CURRENCY_MISSING", || {
                "an `amount` text needs the `currency` that says how many decimals it may have"
                    .to_owned()
            });
            return None;
        }
        let currency = self.money.currency(&item.currency, place, violations)?;
        let amount = if item.amount.is_empty() {
            u128::from(item.amount_minor)
        } else {
            amount_text(&item.amount, currency, place, "amount", violations)?
        };
        Some((amount, Some(currency.id)))
    }
}

const fn kind_from_proto(kind: i32) -> Option<TransferKind> {
    match kind {
        0 => Some(TransferKind::Transfer),
        1 => Some(TransferKind::Deposit),
        2 => Some(TransferKind::Withdrawal),
        _ => None,
    }
}

const fn kind_to_proto(kind: TransferKind) -> proto::TransferKind {
    match kind {
        TransferKind::Transfer => proto::TransferKind::Transfer,
        TransferKind::Deposit => proto::TransferKind::Deposit,
        TransferKind::Withdrawal => proto::TransferKind::Withdrawal,
    }
}

/// A transfer as the message that asks for it: minor units where they fit into 64 bits, else
/// a decimal text of the currency's digits.
#[must_use]
pub fn to_proto(transfer: &TransferRequest, currencies: &Currencies) -> proto::TransferRequest {
    let currency = transfer.currency.and_then(|id| currencies.by_id(id));
    let (amount_minor, amount) = match u64::try_from(transfer.amount) {
        Ok(minor) => (minor, String::new()),
        Err(_) => {
            let value = i128::try_from(transfer.amount).unwrap_or(i128::MAX);
            let digits = currency.as_ref().map_or(0, |c| c.digits);
            (0, Minor { value, digits }.to_string())
        }
    };
    proto::TransferRequest {
        id: transfer.id.low(),
        id_high: transfer.id.high(),
        debit_account: transfer.debit.low(),
        debit_account_high: transfer.debit.high(),
        credit_account: transfer.credit.low(),
        credit_account_high: transfer.credit.high(),
        amount_minor,
        amount,
        currency: currency.map(|c| c.code).unwrap_or_default(),
        kind: kind_to_proto(transfer.kind) as i32,
        linked: transfer.linked,
    }
}

/// A remembered transfer as a message, with its explanation when it was refused.
#[must_use]
pub fn record_to_proto(stored: &StoredTransfer, currencies: &Currencies) -> proto::TransferRecord {
    proto::TransferRecord {
        transfer: Some(to_proto(&stored.request, currencies)),
        outcome: Some(super::outcomes::one(&stored.outcome, &stored.request, currencies)),
    }
}

#[cfg(test)]
#[path = "transfers_tests.rs"]
mod tests;
