//! `ducat reverse --group`: a whole linked group given back, through a running server.

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use ducat_api::proto;
use serde::Serialize;

/// A refund of a member as scripts read it.
#[derive(Serialize)]
struct MemberLine<'a> {
    id: String,
    original: String,
    original_lsn: u64,
    from: String,
    to: String,
    amount: &'a str,
    currency: &'a str,
    posted: bool,
    code: &'static str,
    explanation: &'a str,
    repeat: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    lsn: u64,
    time: String,
    time_ns: u64,
}

/// Asks for it and prints what became of each member.
pub async fn run(global: &Global, dry: DryRunArg, asked: proto::ReverseGroupRequest) -> Done {
    let mut client = net::ledger(global).await?;
    let response = client.reverse_group(asked).await.map_err(|s| net::failed(&s))?;
    let refunds = response.into_inner().refunds;
    let lines: Option<Vec<MemberLine<'_>>> = refunds.iter().map(line).collect();
    let lines = lines.filter(|lines| !lines.is_empty()).ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an outcome; see its log")
    })?;
    dry.check(lines.iter().all(|line| line.dry_run))?;
    output::print(&text(&lines, global.json)?)?;
    dry.tell(lines.iter().map(|line| line.lsn).max().unwrap_or(0));
    let posted = lines.iter().all(|line| line.posted);
    Ok(if posted { Exit::Ok } else { Exit::Refused })
}

fn line(refund: &proto::MemberRefund) -> Option<MemberLine<'_>> {
    let outcome = refund.outcome.as_ref()?;
    Some(MemberLine {
        id: output::transfer_id(outcome.id_high, outcome.id),
        original: output::transfer_id(refund.original_id_high, refund.original_id),
        original_lsn: refund.original_lsn,
        from: output::account_id(refund.debit_account_high, refund.debit_account),
        to: output::account_id(refund.credit_account_high, refund.credit_account),
        amount: &refund.amount,
        currency: &refund.currency,
        posted: outcome.code == proto::Code::Posted as i32,
        code: output::code_name(outcome.code),
        explanation: &outcome.explanation,
        repeat: outcome.repeat,
        dry_run: outcome.dry_run,
        lsn: outcome.lsn,
        time: output::time(outcome.time_ns),
        time_ns: outcome.time_ns,
    })
}

/// A table, and why the group was refused; or a JSON line for each member.
fn text(lines: &[MemberLine<'_>], json: bool) -> Result<String, Failure> {
    if json {
        let lines = lines.iter().map(output::json).collect::<Result<Vec<_>, _>>()?;
        return Ok(lines.join("\n"));
    }
    let row = |line: &MemberLine<'_>| {
        vec![
            line.id.clone(),
            format!("{} (LSN {})", line.original, line.original_lsn),
            line.from.clone(),
            line.to.clone(),
            format!("{} {}", line.amount, line.currency),
            if line.posted { "REVERSED".to_owned() } else { line.code.to_owned() },
        ]
    };
    let header = ["refund", "of", "from", "to", "amount", "outcome"];
    let mut text = output::table(&header, &[4], lines.iter().map(row).collect());
    let failed = output::code_name(proto::Code::LinkedFailed as i32);
    let why = lines.iter().find(|line| !line.posted && line.code != failed);
    if let Some(line) = why {
        text += &format!("\nbecause {}", line.explanation);
    }
    if lines.iter().all(|line| line.repeat) {
        text += "\nrepeat: this id was decided before, nothing happened anew";
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(id: u64, code: proto::Code, explanation: &str) -> proto::MemberRefund {
        let explanation = explanation.to_owned();
        let outcome = proto::Outcome { id, code: code.into(), explanation, ..Default::default() };
        proto::MemberRefund {
            outcome: Some(outcome),
            original_id: id + 100,
            original_lsn: 7,
            debit_account: 3,
            credit_account: 2,
            amount: "1.00".into(),
            currency: "GBP".into(),
            digits: 2,
            ..Default::default()
        }
    }

    #[test]
    fn the_reason_of_a_refused_group_is_that_of_the_member_that_broke_a_rule() {
        let refunds = [
            refund(1, proto::Code::LinkedFailed, "another one of its group was refused"),
            refund(2, proto::Code::RefundExceeded, "more than remains"),
        ];
        let lines: Vec<_> = refunds.iter().filter_map(line).collect();
        let printed = text(&lines, false).expect("text");
        assert_eq!(
            printed,
            "refund  of           from  to    amount  outcome\n\
             1       101 (LSN 7)  3     2   1.00 GBP  LINKED_FAILED\n\
             2       102 (LSN 7)  3     2   1.00 GBP  REFUND_EXCEEDED\n\
             because more than remains"
        );
        let json = text(&lines, true).expect("text");
        assert!(json.lines().nth(1).is_some_and(|l| l.contains(r#""code":"REFUND_EXCEEDED""#)));
    }
}
