//! `ducat explain`: what became of a request and why, with the figures of that moment.

use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use clap::Args;
use ducat_api::proto;
use ducat_engine::ids::TransferId;
use ducat_engine::transfer::TransferKind;
use serde::Serialize;

/// Options of `explain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ducat explain 0192f3a4-5b6c-7d8e-9f01-23456789abcd
  ducat explain --lsn 5001             # one whose id is not remembered any more")]
pub struct ExplainArgs {
    /// The id of the transfer, the operation on a hold or the refund.
    #[arg(required_unless_present = "lsn")]
    id: Option<TransferId>,
    /// Its place in the journal.
    #[arg(long)]
    lsn: Option<u64>,
}

/// A request explained, as scripts read it.
#[derive(Serialize)]
struct ExplainedLine<'a> {
    id: String,
    code: &'static str,
    explanation: &'a str,
    lsn: u64,
    time: String,
    time_ns: u64,
    /// Of what moves or was to move money.
    kind: Option<&'static str>,
    reference: &'a str,
    description: &'a str,
    /// The one named, or the day of the decision.
    value_date: &'a str,
    currency: &'a str,
    debit: Option<AccountLine<'a>>,
    credit: Option<AccountLine<'a>>,
}

/// An account of that moment, as scripts read it.
#[derive(Serialize)]
struct AccountLine<'a> {
    id: String,
    status: &'static str,
    external: bool,
    posted: &'a str,
    held: &'a str,
    overdraft_limit: &'a str,
    floor: &'a str,
    ceiling: &'a str,
    available: &'a str,
}

/// Runs `explain`.
pub async fn run(global: &Global, args: ExplainArgs) -> Done {
    let request = proto::ExplainRequest {
        id: args.id.map_or(0, TransferId::low),
        id_high: args.id.map_or(0, TransferId::high),
        lsn: args.lsn.unwrap_or(0),
    };
    let mut client = net::ledger(global).await?;
    let answer = client.explain(request).await.map_err(|s| net::failed(&s))?.into_inner();
    output::print(&text(&answer, global.json)?)?;
    Ok(Exit::Ok)
}

fn text(answer: &proto::ExplainResponse, json: bool) -> Result<String, Failure> {
    let outcome = answer.record.as_ref().and_then(|record| record.outcome.as_ref());
    let outcome = outcome.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an outcome; see its log")
    })?;
    let transfer = answer.record.as_ref().and_then(|record| record.transfer.as_ref());
    let note = transfer.and_then(|transfer| transfer.note.as_deref());
    let line = ExplainedLine {
        id: output::transfer_id(outcome.id_high, outcome.id),
        code: output::code_name(outcome.code),
        explanation: &outcome.explanation,
        lsn: outcome.lsn,
        time: output::time(outcome.time_ns),
        time_ns: outcome.time_ns,
        kind: answer.kind.map(|_| kind_name(answer.kind())),
        reference: note.map_or("", |note| &note.reference),
        description: note.map_or("", |note| &note.description),
        value_date: &answer.value_date,
        currency: &answer.currency,
        debit: answer.debit.as_ref().map(AccountLine::new),
        credit: answer.credit.as_ref().map(AccountLine::new),
    };
    if json {
        return output::json(&line);
    }
    let mut facts = vec![("request", line.id), ("outcome", line.code.to_owned())];
    if !line.explanation.is_empty() {
        facts.push(("because", line.explanation.to_owned()));
    }
    facts.extend(line.kind.map(|kind| ("kind", kind.to_owned())));
    // Where no day was named it is that of the decision, which follows.
    let named = note.map_or("", |note| &note.value_date);
    let said =
        [("reference", line.reference), ("description", line.description), ("value date", named)];
    facts.extend(
        said.map(|(name, text)| (name, text.to_owned())).into_iter().filter(|f| !f.1.is_empty()),
    );
    facts.push(("decided", format!("{} at LSN {}", line.time, line.lsn)));
    for (name, account) in [("debit account", line.debit), ("credit account", line.credit)] {
        facts.extend(account.map(|account| (name, account.text(line.currency))));
    }
    Ok(output::facts(facts))
}

/// As the command line names it.
pub fn kind_name(kind: proto::TransferKind) -> &'static str {
    TransferKind::from_number(kind as u8).map_or("unknown", TransferKind::name)
}

impl<'a> AccountLine<'a> {
    fn new(then: &'a proto::AccountThen) -> Self {
        Self {
            id: output::account_id(then.id_high, then.id),
            status: crate::account::status_name(then.status()),
            external: then.external,
            posted: &then.posted,
            held: &then.held,
            overdraft_limit: &then.overdraft_limit,
            floor: &then.floor,
            ceiling: &then.ceiling,
            available: &then.available,
        }
    }

    /// `2, active: 100.00 GBP posted, 60.00 on hold, overdraft limit 0.00: 40.00 available`.
    fn text(&self, currency: &str) -> String {
        let Self { id, status, posted, held, overdraft_limit, available, .. } = self;
        let mut text = format!("{id}, {status}: {posted} {currency} posted, {held} on hold");
        if self.external {
            return text + ", no limit";
        }
        text += &format!(", overdraft limit {overdraft_limit}: {available} available");
        for (name, bound) in [("floor", self.floor), ("ceiling", self.ceiling)] {
            if !bound.is_empty() {
                text += &format!(", {name} {bound}");
            }
        }
        text
    }
}
