//! Operations on holds, and refunds, from the wire and back. A field that an operation does not have must be
//! empty: what would be ignored is refused, so that nobody believes it was heeded.

use super::transfers::{Reader, money_to_proto, transfer_to_proto};
use super::{notes, terms};
use crate::proto::{self, Operation};
use crate::violation::{Place, Violations};
use crate::wire_requests::{More, WireRequest};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::money::Currencies;
use ducat_engine::note::Noted;
use ducat_engine::request::{
    CaptureRequest, ExtendRequest, HoldRequest, RefundRequest, Request, VoidRequest,
};
use ducat_engine::terms::Termed;

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// Longest time until a hold expires that has an end: what 64 bits of nanoseconds hold.
pub const TIMEOUT_MS_MAX: u64 = u64::MAX / MS - 1;

impl Reader<'_> {
    /// A request that has more than a plain transfer, or `None` after adding at least one
    /// violation.
    #[inline(never)]
    pub(super) fn operation(
        &mut self,
        item: &WireRequest,
        more: &More,
        place: Place,
        violations: &mut Violations,
    ) -> Option<Request> {
        let Some(operation) = more.operation() else {
            violations.add(place, "operation", "OPERATION_UNKNOWN", || {
                format!("{} is no operation; known are 0 to 4, 40 and 41", more.operation)
            });
            return None;
        };
        let before = violations.total();
        let currency = match more.currency.as_str() {
            "" => None,
            // An unknown one is told of with the amount.
            code => self.money.currency(code, place, &mut Violations::default()).cloned(),
        };
        let terms = terms::read(more, operation, currency.as_ref(), place, violations);
        let note = notes::read(more.note.as_deref(), operation, place, violations);
        refuse_foreign(item, more, operation, place, violations);
        if more.dry_run {
            violations.add(place, "dry_run", "DRY_RUN_IN_BATCH", || {
                "a request of a batch is meant or not as the batch is: set the batch's dry_run"
                    .to_owned()
            });
        }
        let request = match operation {
            Operation::Transfer => {
                let money = self.money(item, more, place, violations);
                self.transfer(item, money, place, violations).map(Request::Transfer)
            }
            Operation::Hold => self.hold(item, more, place, violations).map(Request::from),
            Operation::Capture => self.capture(item, more, place, violations).map(Request::from),
            Operation::Void => {
                let ids = ids(item, more, place, violations);
                ids.map(|(id, hold)| VoidRequest { id, hold, linked: item.linked }.into())
            }
            Operation::Extend => {
                let timeout_ns = timeout_ns(more, place, violations);
                let (id, hold) = ids(item, more, place, violations)?;
                let (timeout_ns, linked) = (timeout_ns?, item.linked);
                Some(ExtendRequest { id, hold, timeout_ns, linked }.into())
            }
            Operation::Refund | Operation::Reverse => {
                self.refund(item, more, place, violations).map(Request::from)
            }
        };
        let request = request.filter(|_| violations.total() == before)?;
        let request = match terms {
            None => request,
            Some(terms) => Termed::new(request, terms).ok()?.into(),
        };
        match note {
            None => Some(request),
            Some(note) => Noted::new(request, note).ok().map(Request::from),
        }
    }

    fn hold(
        &mut self,
        item: &WireRequest,
        more: &More,
        place: Place,
        violations: &mut Violations,
    ) -> Option<HoldRequest> {
        let money = self.money(item, more, place, violations);
        let over_capture_max = self.tolerance(more, place, violations);
        let timeout_ns = timeout_ns(more, place, violations);
        let transfer = self.transfer(item, money, place, violations)?;
        let (timeout_ns, over_capture_max) = (timeout_ns?, over_capture_max?);
        let ducat_engine::transfer::TransferRequest {
            id,
            debit,
            credit,
            amount,
            currency,
            kind,
            linked,
        } = transfer;
        Some(HoldRequest {
            id,
            debit,
            credit,
            amount,
            currency,
            kind,
            timeout_ns,
            over_capture_max,
            linked,
        })
    }

    fn capture(
        &mut self,
        item: &WireRequest,
        more: &More,
        place: Place,
        violations: &mut Violations,
    ) -> Option<CaptureRequest> {
        let money = self.money(item, more, place, violations);
        let (id, hold) = ids(item, more, place, violations)?;
        let (amount, currency) = money?;
        // Minor units of 0 look like none, which means all. A text of zero is one, and the
        // engine's to refuse.
        let named = amount > 0 || !more.amount.is_empty();
        let (last, linked) = (more.last, item.linked);
        Some(CaptureRequest { id, hold, amount: named.then_some(amount), currency, last, linked })
    }
}

impl Reader<'_> {
    fn refund(
        &mut self,
        item: &WireRequest,
        more: &More,
        place: Place,
        violations: &mut Violations,
    ) -> Option<RefundRequest> {
        let money = self.money(item, more, place, violations);
        let id = TransferId::from_halves(item.id_high, item.id).ok();
        let of = TransferId::from_halves(more.original_id_high, more.original_id).ok();
        if id.is_none() {
            violations.add(place, "id", "TRANSFER_ID_ZERO", super::zero_id);
        }
        if of.is_none() {
            violations.add(place, "original_id", "ORIGINAL_ID_ZERO", super::zero_id);
        }
        let (amount, currency) = money?;
        Some(RefundRequest {
            id: id?,
            of: of?,
            of_lsn: (more.original_lsn > 0).then_some(Lsn(more.original_lsn)),
            amount: (more.operation() == Some(Operation::Refund)).then_some(amount),
            currency,
            allow_overdraft: more.allow_overdraft,
            linked: item.linked,
            original: None,
        })
    }
}

/// The request's id and the hold's.
fn ids(
    item: &WireRequest,
    more: &More,
    place: Place,
    violations: &mut Violations,
) -> Option<(TransferId, TransferId)> {
    let id = TransferId::from_halves(item.id_high, item.id).ok();
    let hold = TransferId::from_halves(more.hold_id_high, more.hold_id).ok();
    if id.is_none() {
        violations.add(place, "id", "TRANSFER_ID_ZERO", super::zero_id);
    }
    if hold.is_none() {
        violations.add(place, "hold_id", "HOLD_ID_ZERO", super::zero_id);
    }
    Some((id?, hold?))
}

fn timeout_ns(more: &More, place: Place, violations: &mut Violations) -> Option<u64> {
    if more.timeout_ms <= TIMEOUT_MS_MAX {
        return Some(more.timeout_ms * MS);
    }
    violations.add(place, "timeout_ms", "TIMEOUT_TOO_LARGE", || {
        format!(
            "a hold expires within at most {TIMEOUT_MS_MAX} milliseconds, not {}; 0 for never",
            more.timeout_ms
        )
    });
    None
}

/// Refuses each field that is set and that the operation does not have.
fn refuse_foreign(
    item: &WireRequest,
    more: &More,
    operation: Operation,
    place: Place,
    violations: &mut Violations,
) {
    use Operation::{Capture, Extend, Hold, Refund, Reverse, Transfer, Void};
    let moves: &[Operation] = &[Transfer, Hold];
    let names_amount: &[Operation] = &[Transfer, Hold, Capture, Refund];
    let names_currency: &[Operation] = &[Transfer, Hold, Capture, Refund, Reverse];
    let gives_back: &[Operation] = &[Refund, Reverse];
    let of_open: &[Operation] = &[Capture, Void, Extend];
    let fields: [(&str, bool, &[Operation]); 14] = [
        ("debit_account", item.debit_account | item.debit_account_high != 0, moves),
        ("credit_account", item.credit_account | item.credit_account_high != 0, moves),
        ("amount_minor", item.amount_minor != 0, names_amount),
        ("amount", !more.amount.is_empty(), names_amount),
        ("currency", !more.currency.is_empty(), names_currency),
        ("kind", item.kind != 0, moves),
        ("hold_id", more.hold_id | more.hold_id_high != 0, of_open),
        ("timeout_ms", more.timeout_ms != 0, &[Hold, Extend]),
        ("over_capture_max", !more.over_capture_max.is_empty(), &[Hold]),
        ("over_capture_max_minor", more.over_capture_max_minor != 0, &[Hold]),
        ("last", more.last, &[Capture]),
        ("original_id", more.original_id | more.original_id_high != 0, gives_back),
        ("original_lsn", more.original_lsn != 0, gives_back),
        ("allow_overdraft", more.allow_overdraft, gives_back),
    ];
    for (field, is_set, belongs_to) in fields {
        if is_set && !belongs_to.contains(&operation) {
            violations.add(place, field, "FIELD_NOT_OF_OPERATION", || {
                format!("{} has no `{field}`; leave it empty", words(operation))
            });
        }
    }
}

const fn words(operation: Operation) -> &'static str {
    match operation {
        Operation::Transfer => "a transfer",
        Operation::Hold => "a hold to be placed",
        Operation::Capture => "a capture",
        Operation::Void => "a void",
        Operation::Extend => "an extension",
        Operation::Refund => "a refund",
        Operation::Reverse => "a reversal",
    }
}

/// An operation as the message that asks for it. A plain transfer is written as such.
#[must_use]
pub(super) fn to_proto(request: &Request, currencies: &Currencies) -> proto::TransferRequest {
    let id = request.id();
    let of = |operation: Operation, hold: TransferId| proto::TransferRequest {
        id: id.low(),
        id_high: id.high(),
        operation: operation.into(),
        hold_id: hold.low(),
        hold_id_high: hold.high(),
        linked: request.linked(),
        ..proto::TransferRequest::default()
    };
    match request {
        Request::Noted(noted) => proto::TransferRequest {
            note: Some(Box::new(notes::to_proto(noted.note()))),
            ..to_proto(noted.request(), currencies)
        },
        Request::Termed(termed) => {
            let plain = to_proto(termed.request(), currencies);
            let terms =
                Some(Box::new(terms::to_proto(termed.terms(), &plain.currency, currencies)));
            proto::TransferRequest { terms, ..plain }
        }
        Request::Transfer(transfer) => transfer_to_proto(transfer, currencies),
        Request::Hold(hold) => {
            let (over_capture_max_minor, over_capture_max, _) =
                money_to_proto(hold.over_capture_max, hold.currency, currencies);
            proto::TransferRequest {
                operation: Operation::Hold.into(),
                timeout_ms: timeout_ms(hold.timeout_ns),
                over_capture_max,
                over_capture_max_minor,
                ..transfer_to_proto(&hold.transfer(), currencies)
            }
        }
        Request::Capture(capture) => {
            let (amount_minor, mut amount, currency) =
                money_to_proto(capture.amount.unwrap_or(0), capture.currency, currencies);
            if capture.amount == Some(0) {
                amount = "0".to_owned();
            }
            let last = capture.last;
            let asked = of(Operation::Capture, capture.hold);
            proto::TransferRequest { amount_minor, amount, currency, last, ..asked }
        }
        Request::Void(void) => of(Operation::Void, void.hold),
        Request::Extend(extend) => {
            let timeout_ms = timeout_ms(extend.timeout_ns);
            proto::TransferRequest { timeout_ms, ..of(Operation::Extend, extend.hold) }
        }
        Request::Refund(refund) => refund_to_proto(refund, currencies),
    }
}

fn refund_to_proto(refund: &RefundRequest, currencies: &Currencies) -> proto::TransferRequest {
    let operation = match refund.amount {
        Some(_) => Operation::Refund,
        None => Operation::Reverse,
    };
    let (amount_minor, amount, currency) =
        money_to_proto(refund.amount.unwrap_or(0), refund.currency, currencies);
    proto::TransferRequest {
        id: refund.id.low(),
        id_high: refund.id.high(),
        operation: operation.into(),
        original_id: refund.of.low(),
        original_id_high: refund.of.high(),
        original_lsn: refund.of_lsn.map_or(0, |lsn| lsn.0),
        amount_minor,
        amount,
        currency,
        allow_overdraft: refund.allow_overdraft,
        linked: refund.linked,
        ..proto::TransferRequest::default()
    }
}

/// What came over the wire was whole milliseconds; what did not shows as at least one, since 0
/// stands for never.
fn timeout_ms(timeout_ns: u64) -> u64 {
    timeout_ns.div_ceil(MS)
}

#[cfg(test)]
#[path = "operations_tests.rs"]
mod tests;
