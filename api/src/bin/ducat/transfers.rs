//! `ducat transfers`: how requests stand by now, up to a hundred in one call.

use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use clap::Args;
use ducat_api::proto::{self, Operation, TransferStatus};
use ducat_engine::ids::TransferId;
use ducat_engine::money::{Currencies, format_minor};
use serde::Serialize;

/// Options of `transfers`.
#[derive(Args, Debug)]
#[command(after_help = "\
Statuses: pending and processing (a hold, captured in part), completed, cancelled (a hold voided or
expired), refunded (all of it), failed (refused). Ids that are not known come last, and end it with 1.

Examples:
  ducat transfers 71 72 73
  ducat explain 72                     # one of them, with the figures of its moment")]
pub struct TransfersArgs {
    /// Ids of transfers, operations on holds and refunds.
    #[arg(required = true, num_args = 1..=100)]
    ids: Vec<TransferId>,
}

/// A request as scripts read it.
#[derive(Serialize)]
struct TransferLine<'a> {
    id: String,
    /// `unknown` of an id that is not remembered; the rest is then empty.
    status: &'static str,
    what: &'static str,
    debit: String,
    credit: String,
    /// As a decimal where the currency is of ISO 4217; empty where nothing moves.
    amount: String,
    currency: &'a str,
    code: &'static str,
    /// Given back of it by now.
    refunded: String,
    reference: &'a str,
    lsn: u64,
}

/// Runs `transfers`.
pub async fn run(global: &Global, args: TransfersArgs) -> Done {
    let ids = args.ids.iter().map(|id| proto::Id { id: id.low(), id_high: id.high() });
    let request = proto::GetTransfersRequest { ids: ids.collect() };
    let mut client = net::ledger(global).await?;
    let answer = client.get_transfers(request).await.map_err(|s| net::failed(&s))?.into_inner();
    output::print(&text(&answer, global.json)?)?;
    Ok(if answer.unknown.is_empty() { Exit::Ok } else { Exit::Refused })
}

fn text(answer: &proto::GetTransfersResponse, json: bool) -> Result<String, Failure> {
    let known = answer.transfers.iter().filter_map(TransferLine::new);
    let lines = known.chain(answer.unknown.iter().map(TransferLine::unknown));
    if json {
        let lines: Result<Vec<_>, _> = lines.map(|line| output::json(&line)).collect();
        return Ok(lines?.join("\n"));
    }
    let header =
        ["id", "status", "what", "from", "to", "amount", "refunded", "outcome", "reference"];
    let row = |line: TransferLine<'_>| {
        let amount = match (&line.amount[..], line.currency) {
            ("", _) => String::new(),
            (amount, "") => format!("{amount} minor units"),
            (amount, currency) => format!("{amount} {currency}"),
        };
        let (status, what, code) = (line.status.into(), line.what.into(), line.code.into());
        let reference = line.reference.into();
        vec![line.id, status, what, line.debit, line.credit, amount, line.refunded, code, reference]
    };
    Ok(output::table(&header, &[5, 6], lines.map(row).collect()))
}

impl<'a> TransferLine<'a> {
    /// Of a request that is known; `None` for an answer without content.
    fn new(record: &'a proto::TransferRecord) -> Option<Self> {
        let (asked, outcome) = (record.transfer.as_ref()?, record.outcome.as_ref()?);
        let account = |high, low| match (high, low) {
            (0, 0) => String::new(),
            (high, low) => output::account_id(high, low),
        };
        let refunded = record.refunded.as_ref().filter(|refund| refund.refunded_minor > 0);
        let decimal = |minor: u64| decimal(minor, &asked.currency);
        Some(Self {
            id: output::transfer_id(asked.id_high, asked.id),
            status: status_name(record.status()),
            what: what(asked.operation(), asked.kind()),
            debit: account(asked.debit_account_high, asked.debit_account),
            credit: account(asked.credit_account_high, asked.credit_account),
            amount: amount(asked, outcome).map_or_else(|| asked.amount.clone(), decimal),
            currency: &asked.currency,
            code: output::code_name(outcome.code),
            refunded: refunded.map(|refund| decimal(refund.refunded_minor)).unwrap_or_default(),
            reference: asked.note.as_deref().map_or("", |note| &note.reference),
            lsn: outcome.lsn,
        })
    }

    fn unknown(id: &'a proto::Id) -> Self {
        Self {
            id: output::transfer_id(id.id_high, id.id),
            status: "unknown",
            what: "",
            debit: String::new(),
            credit: String::new(),
            amount: String::new(),
            currency: "",
            code: "",
            refunded: String::new(),
            reference: "",
            lsn: 0,
        }
    }
}

/// What was moved or set aside, or should have been, in minor units; `None` where that is a text, or
/// nothing.
fn amount(asked: &proto::TransferRequest, outcome: &proto::Outcome) -> Option<u64> {
    let done = outcome.code() == proto::Code::Posted;
    let told = match asked.operation() {
        Operation::Capture => outcome.hold.as_ref().map(|hold| hold.captured_minor),
        Operation::Refund | Operation::Reverse => {
            outcome.refund.as_ref().map(|refund| refund.amount_minor)
        }
        _ => outcome.terms.as_ref().map(|terms| terms.moved_minor),
    };
    told.filter(|minor| done && *minor > 0).or(Some(asked.amount_minor).filter(|minor| *minor > 0))
}

/// As a decimal, where it is known how many digits the currency has.
fn decimal(minor: u64, currency: &str) -> String {
    match Currencies::new().by_code(currency) {
        Ok(currency) => format_minor(i128::from(minor), currency.digits),
        Err(_) => minor.to_string(),
    }
}

fn what(operation: Operation, kind: proto::TransferKind) -> &'static str {
    match operation {
        Operation::Transfer => crate::explain::kind_name(kind),
        Operation::Hold => "hold",
        Operation::Capture => "capture",
        Operation::Void => "void",
        Operation::Extend => "extension",
        Operation::Refund => "refund",
        Operation::Reverse => "reversal",
    }
}

fn status_name(status: TransferStatus) -> &'static str {
    match status {
        TransferStatus::Unspecified => "not told",
        TransferStatus::Pending => "pending",
        TransferStatus::Processing => "processing",
        TransferStatus::Completed => "completed",
        TransferStatus::Failed => "failed",
        TransferStatus::Cancelled => "cancelled",
        TransferStatus::Refunded => "refunded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(asked: proto::TransferRequest, code: proto::Code) -> proto::TransferRecord {
        let outcome =
            proto::Outcome { id: asked.id, code: code.into(), lsn: 5, ..Default::default() };
        proto::TransferRecord {
            transfer: Some(asked),
            outcome: Some(outcome),
            refunded: None,
            status: TransferStatus::Completed.into(),
        }
    }

    fn answer() -> proto::GetTransfersResponse {
        let asked = proto::TransferRequest {
            id: 71,
            debit_account: 2,
            credit_account: 3,
            amount_minor: 1250,
            currency: "GBP".to_owned(),
            kind: proto::TransferKind::Payment.into(),
            note: Some(Box::new(proto::Note { reference: "INV-1".into(), ..Default::default() })),
            ..Default::default()
        };
        let mut given_back = record(asked.clone(), proto::Code::Posted);
        let refunded = proto::RefundOutcome { refunded_minor: 50, ..Default::default() };
        given_back.refunded = Some(refunded);
        let points =
            proto::TransferRequest { id: 72, currency: "POINTS".into(), note: None, ..asked };
        let mut refused = record(points, proto::Code::InsufficientFunds);
        refused.status = TransferStatus::Failed.into();
        let hold = proto::HoldOutcome { captured_minor: 300, ..Default::default() };
        let capture = proto::TransferRequest {
            id: 73,
            operation: Operation::Capture.into(),
            currency: "GBP".into(),
            ..Default::default()
        };
        let mut captured = record(capture, proto::Code::Posted);
        captured.outcome.as_mut().expect("set").hold = Some(Box::new(hold));
        proto::GetTransfersResponse {
            transfers: vec![given_back, refused, captured],
            unknown: vec![proto::Id { id: 99, id_high: 0 }],
        }
    }

    #[test]
    fn each_stands_in_a_line_and_those_unknown_come_last() {
        assert_eq!(
            text(&answer(), false).expect("text"),
            "id  status     what     from  to       amount  refunded  outcome             reference\n\
             71  completed  payment  2     3     12.50 GBP      0.50  POSTED              INV-1\n\
             72  failed     payment  2     3   1250 POINTS            INSUFFICIENT_FUNDS\n\
             73  completed  capture               3.00 GBP            POSTED\n\
             99  unknown"
        );
        let json = text(&answer(), true).expect("text");
        let lines: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((lines.len(), &lines[3]["status"]), (4, &"unknown".into()));
        assert_eq!((&lines[0]["amount"], &lines[0]["code"]), (&"12.50".into(), &"POSTED".into()));
    }
}
