//! Rows that are more than plain transfers: holds and what is asked of them, refunds, terms, and rows
//! that belong together. Read by index like all of a plan; what a row comes to is held against the
//! server's own reading of requests, so that a malformed row is told of alone and costs no batch.

use super::Failure;
use super::common::{Common, Unconvertible};
use super::mapping::Transfers;
use super::notes::TextPlan;
use super::plan::TransferIdPlan;
use crate::convert::transfers::single;
use crate::proto::{Operation, TransferRequest};
use crate::texts::{self, several, timeout_ms};
use crate::wire_requests::WireRequest;
use csv::ByteRecord;
use ducat_engine::ids::TransferId;
use ducat_engine::money::{Currency, format_minor};
use std::borrow::Cow;

/// Where the parts of such rows come from; none of a file of plain transfers.
pub(super) struct OperationPlan {
    operation: Option<TextPlan>,
    hold: Option<TransferIdPlan>,
    original: Option<TransferIdPlan>,
    expires_in: Option<TextPlan>,
    over_capture_max: Option<TextPlan>,
    last: Option<TextPlan>,
    allow_overdraft: Option<TextPlan>,
    up_to: Option<TextPlan>,
    min: Option<TextPlan>,
    require: Option<TextPlan>,
    group: Option<TextPlan>,
}

impl OperationPlan {
    /// Ties the parts of `[transfers]` to a file's columns.
    pub fn of(transfers: &Transfers, header: Option<&[String]>) -> Result<Self, Failure> {
        let text = |text| TextPlan::of(text, header);
        let id = |rule: &Option<_>| {
            rule.as_ref().map(|rule| TransferIdPlan::of_column(rule, header)).transpose()
        };
        Ok(Self {
            operation: text(transfers.operation.as_ref())?,
            hold: id(&transfers.hold)?,
            original: id(&transfers.original)?,
            expires_in: text(transfers.expires_in.as_ref())?,
            over_capture_max: text(transfers.over_capture_max.as_ref())?,
            last: text(transfers.last.as_ref())?,
            allow_overdraft: text(transfers.allow_overdraft.as_ref())?,
            up_to: text(transfers.up_to.as_ref())?,
            min: text(transfers.min.as_ref())?,
            require: text(transfers.require.as_ref())?,
            group: text(transfers.group.as_ref())?,
        })
    }

    /// What the row asks for.
    pub fn operation(
        &self,
        common: &Common,
        record: &ByteRecord,
    ) -> Result<Operation, Unconvertible> {
        let text = read(&self.operation, common, record)?;
        texts::operation(&text).map_err(|why| Unconvertible::new("OPERATION_UNKNOWN", why))
    }

    /// The group that the row belongs to, with those around it; none where it names none.
    pub fn group(
        &self,
        common: &Common,
        record: &ByteRecord,
    ) -> Result<Option<String>, Unconvertible> {
        let text = read(&self.group, common, record)?;
        Ok((!text.is_empty()).then(|| text.into_owned()))
    }

    /// Whether rows have anything beside a plain transfer's columns.
    pub fn is_plain(&self) -> bool {
        let texts = [
            &self.operation,
            &self.expires_in,
            &self.over_capture_max,
            &self.last,
            &self.allow_overdraft,
            &self.up_to,
            &self.min,
            &self.require,
        ];
        texts.iter().all(|text| text.is_none()) && self.hold.is_none() && self.original.is_none()
    }

    /// Adds to a request what the row says beside accounts, amount and note.
    pub fn complete(
        &self,
        request: &mut TransferRequest,
        operation: Operation,
        currency: &Currency,
        common: &Common,
        record: &ByteRecord,
    ) -> Result<(), Unconvertible> {
        use Operation::{Capture, Extend, Hold, Refund, Reverse, Transfer, Void};
        request.operation = operation.into();
        if matches!(operation, Capture | Void | Extend) {
            let id = other(&self.hold, "hold", common, record)?;
            (request.hold_id, request.hold_id_high) = (id.low(), id.high());
        }
        if matches!(operation, Refund | Reverse) {
            let id = other(&self.original, "original", common, record)?;
            (request.original_id, request.original_id_high) = (id.low(), id.high());
            request.allow_overdraft =
                yes(&self.allow_overdraft, "allow_overdraft", common, record)?;
        }
        if matches!(operation, Hold | Extend) {
            let text = read(&self.expires_in, common, record)?;
            request.timeout_ms = match &*text {
                "" => 0,
                text => timeout_ms(text).map_err(|why| wrong("expires_in", &why))?,
            };
        }
        if operation == Hold {
            request.over_capture_max =
                money(&self.over_capture_max, currency, common, record)?.unwrap_or_default();
        }
        if operation == Capture {
            request.last = yes(&self.last, "last", common, record)?;
        }
        if matches!(operation, Transfer | Hold | Capture) {
            let caps = read(&self.up_to, common, record)?;
            let caps = several(&caps).map_err(|why| wrong("up_to", &why))?;
            let min = money(&self.min, currency, common, record)?.unwrap_or_default();
            let require = read(&self.require, common, record)?;
            let require = several(&require).map_err(|why| wrong("require", &why))?;
            request.terms = texts::terms(&caps, &min, &require);
            // Texts need a currency.
            if request.terms.is_some() {
                request.currency.clone_from(&currency.code);
            }
        }
        check(request, common)
    }
}

fn wrong(name: &str, why: &str) -> Unconvertible {
    let code = match name {
        "expires_in" => "EXPIRES_IN_MALFORMED",
        "last" => "LAST_MALFORMED",
        "allow_overdraft" => "ALLOW_OVERDRAFT_MALFORMED",
        "up_to" => "UP_TO_MALFORMED",
        _ => "REQUIRE_MALFORMED",
    };
    Unconvertible::new(code, why)
}

fn read<'r>(
    plan: &'r Option<TextPlan>,
    common: &Common,
    record: &'r ByteRecord,
) -> Result<Cow<'r, str>, Unconvertible> {
    plan.as_ref().map_or(Ok(Cow::Borrowed("")), |plan| plan.read(common, record))
}

fn yes(
    plan: &Option<TextPlan>,
    name: &str,
    common: &Common,
    record: &ByteRecord,
) -> Result<bool, Unconvertible> {
    texts::yes(&read(plan, common, record)?).map_err(|why| wrong(name, &why))
}

/// An amount as it is sent; none of an empty column.
fn money(
    plan: &Option<TextPlan>,
    currency: &Currency,
    common: &Common,
    record: &ByteRecord,
) -> Result<Option<String>, Unconvertible> {
    let text = read(plan, common, record)?;
    if text.is_empty() {
        return Ok(None);
    }
    let minor = common.money(&text, currency)?;
    Ok(Some(format_minor(minor, currency.digits)))
}

/// The id of another request.
fn other(
    plan: &Option<TransferIdPlan>,
    name: &str,
    common: &Common,
    record: &ByteRecord,
) -> Result<TransferId, Unconvertible> {
    let Some(plan) = plan else {
        let text = format!("the mapping does not say where `{name}` comes from");
        return Err(Unconvertible::new("COLUMN_MISSING", text));
    };
    plan.read(common, record)
}

/// Whether the server would read it: one request that it does not fails the whole batch.
fn check(request: &TransferRequest, common: &Common) -> Result<(), Unconvertible> {
    let read = single(&WireRequest::from(request.clone()), &common.currencies);
    read.map(drop).map_err(|violations| {
        let first = violations.listed().first();
        let code = first.map_or("MALFORMED", |violation| violation.reason);
        let text = first.map(|violation| format!("{}: {}", violation.field, violation.description));
        Unconvertible::new(code, text.unwrap_or_default())
    })
}
