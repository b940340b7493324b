//! `ducat transfer`: one transfer through a running server, answered when it is durable.

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::hold::HoldAfterLine;
use crate::note::NoteArgs;
use crate::refund::RefundAfterLine;
use crate::terms::{BalancingArgs, RequireArgs, moved_minor, terms};
use crate::{Global, net, output};
use clap::Args;
use ducat_api::client::Connection;
use ducat_api::import::Kind;
use ducat_api::proto;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::format_minor;
use serde::Serialize;

/// Options of `transfer`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --id a new id is made and printed first. Should the answer get lost, run the command
again with that --id: an id moves money once, however often it is sent.

Examples:
  ducat transfer --from 1 --to 2 --amount 100.00 --currency GBP --kind deposit
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP --json \\
        --id 0192f3a4-5b6c-7d8e-9f01-23456789abcd
  ducat transfer --from 2 --to 3 --amount 50.00 --currency GBP --up-to available
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP --require debit.version=17
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP --dry-run
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP --kind payment \\
        --reference INV-2026-117 --description 'two chairs' --value-date 2026-01-31")]
pub struct TransferArgs {
    /// The account that pays.
    #[arg(long, value_name = "ACCOUNT")]
    from: AccountId,
    /// The account that receives.
    #[arg(long, value_name = "ACCOUNT")]
    to: AccountId,
    /// How much, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency of both accounts.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// What it is for. A deposit comes from an external account, a withdrawal goes to one, a transfer
    /// and a payment touch none; of the others one side may be external.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
    /// The transfer's id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
    #[command(flatten)]
    balancing: BalancingArgs,
    #[command(flatten)]
    require: RequireArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    note: NoteArgs,
}

/// An outcome as scripts read it.
#[derive(Serialize)]
pub struct OutcomeLine<'a> {
    id: String,
    posted: bool,
    code: &'static str,
    explanation: String,
    repeat: bool,
    /// It is what would become of it; the LSN is that of the state it was judged in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    lsn: u64,
    time: String,
    time_ns: u64,
    debit: Option<BalanceLine>,
    credit: Option<BalanceLine>,
    /// How the hold stands, after an operation on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldAfterLine<'a>>,
    /// How the original stands, after a refund of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<RefundAfterLine<'a>>,
    /// What is told of one with terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<TermsLine>,
    /// The fee that was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<FeeLine>,
}

/// A fee as scripts read it.
#[derive(Serialize)]
struct FeeLine {
    schedule: u32,
    amount_minor: String,
    amount: Option<String>,
    code: &'static str,
}

/// What is told of terms, as scripts read it.
#[derive(Serialize)]
struct TermsLine {
    moved_minor: String,
    moved: Option<String>,
    /// Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    debit_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_version: Option<u64>,
}

/// A balance as scripts read it: minor units, and decimals where the account's own currency
/// and digits could be asked for. An external account has no limit, so nothing is available.
#[derive(Serialize)]
struct BalanceLine {
    currency: Option<String>,
    posted_minor: String,
    available_minor: String,
    posted: Option<String>,
    available: Option<String>,
}

/// What an account's figures are written in.
pub struct Unit {
    pub currency: String,
    pub digits: u8,
    external: bool,
}

/// The units of both accounts of a transfer, as far as they are known.
#[derive(Default)]
pub struct Units {
    pub debit: Option<Unit>,
    pub credit: Option<Unit>,
}

/// Runs `transfer`.
pub async fn run(global: &Global, args: TransferArgs) -> Done {
    let id = args.dry_run.id(args.id, "transfer")?;
    let request = request(id, &args);
    let mut client = net::ledger(global).await?;
    let response = client.transfer(request).await.map_err(|s| net::failed(&s))?;
    let outcome = response.into_inner().outcome.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an outcome; see its log")
    })?;
    args.dry_run.check(outcome.dry_run)?;
    let units = units(&mut client, &outcome, args.from, args.to).await;
    output::print(&text(&outcome, &units, None, global.json)?)?;
    let posted = outcome.code == proto::Code::Posted as i32;
    Ok(if posted { Exit::Ok } else { Exit::Refused })
}

/// A new UUIDv7.
pub fn new_id() -> Result<TransferId, Failure> {
    TransferId::new(uuid::Uuid::now_v7().as_u128())
        .map_err(|e| Failure::new(Exit::Internal, format!("cannot make an id: {e}")))
}

/// The request that the command line stands for.
fn request(id: TransferId, args: &TransferArgs) -> proto::TransferRequest {
    proto::TransferRequest {
        id: id.low(),
        id_high: id.high(),
        debit_account: args.from.low(),
        debit_account_high: args.from.high(),
        credit_account: args.to.low(),
        credit_account_high: args.to.high(),
        amount: args.amount.clone(),
        currency: args.currency.clone(),
        kind: args.kind.wire(),
        terms: terms(&args.balancing, &args.require),
        dry_run: args.dry_run.dry_run,
        note: args.note.wire(),
        ..Default::default()
    }
}

/// Asks for the currencies and digits of the accounts whose balances the outcome tells: they
/// need not be what the command line says. The transfer is decided by now, so an outcome is
/// printed in minor units rather than lost when the server cannot be asked.
pub async fn units(
    client: &mut LedgerClient<Connection>,
    outcome: &proto::Outcome,
    from: AccountId,
    to: AccountId,
) -> Units {
    if outcome.debit.is_none() && outcome.credit.is_none() {
        return Units::default();
    }
    let mut ids = vec![proto::Id { id: from.low(), id_high: from.high() }];
    if from != to {
        ids.push(proto::Id { id: to.low(), id_high: to.high() });
    }
    let accounts = match client.get_accounts(proto::GetAccountsRequest { ids }).await {
        Ok(response) => response.into_inner().accounts,
        Err(status) => {
            let why = net::failed(&status);
            eprintln!("ducat: balances are in minor units, the accounts cannot be read: {why}");
            return Units::default();
        }
    };
    let unit = |id: AccountId| {
        let account = accounts.iter().find(|a| (a.id_high, a.id) == (id.high(), id.low()))?;
        Some(Unit {
            currency: account.currency.clone(),
            digits: u8::try_from(account.digits).ok()?,
            external: account.external,
        })
    };
    Units { debit: unit(from), credit: unit(to) }
}

/// What is printed about an outcome. Of an operation on a hold or a refund, `done` is the word for
/// one that was done.
pub fn text(
    outcome: &proto::Outcome,
    units: &Units,
    done: Option<&'static str>,
    json: bool,
) -> Result<String, Failure> {
    let line = outcome_line(outcome, units);
    if json {
        return output::json(&line);
    }
    Ok(output::facts(facts(line, units, done)))
}

/// What is printed about what would be asked for next: the outcome by the name of `what`, and no id.
pub fn facts_of_next(
    outcome: &proto::Outcome,
    units: &Units,
    what: &'static str,
) -> Vec<(&'static str, String)> {
    let facts = facts(outcome_line(outcome, units), units, None).into_iter();
    let facts = facts.filter(|(name, _)| !matches!(*name, "transfer" | "dry run" | "moved"));
    let named = |(name, fact)| (if name == "outcome" { what } else { name }, fact);
    facts.map(named).collect()
}

fn facts(
    line: OutcomeLine<'_>,
    units: &Units,
    done: Option<&'static str>,
) -> Vec<(&'static str, String)> {
    let what = if done.is_some() { "request" } else { "transfer" };
    let code = done.filter(|_| line.posted).unwrap_or(line.code);
    let mut facts = vec![(what, line.id), ("outcome", code.to_owned())];
    if !line.explanation.is_empty() {
        facts.push(("because", line.explanation));
    }
    if line.repeat {
        facts.push(("repeat", "yes: this id was decided before, nothing happened anew".into()));
    }
    let decided = if line.dry_run && !line.repeat {
        ("dry run", format!("nothing was done; judged as of LSN {}, {}", line.lsn, line.time))
    } else {
        ("decided", format!("{} at LSN {}", line.time, line.lsn))
    };
    facts.push(decided);
    // Of an operation on a hold, the hold tells.
    if let Some(terms) = line.terms.filter(|_| line.posted && done.is_none()) {
        let unit = units.debit.as_ref().or(units.credit.as_ref());
        let moved = match (terms.moved, unit) {
            (Some(moved), Some(unit)) => format!("{moved} {}", unit.currency),
            _ => format!("{} minor units", terms.moved_minor),
        };
        facts.push(("moved", moved));
    }
    if let Some(fee) = line.fee.filter(|_| line.posted) {
        let unit = units.debit.as_ref().or(units.credit.as_ref());
        let amount = match (fee.amount, unit) {
            (Some(amount), Some(unit)) => format!("{amount} {}", unit.currency),
            _ => format!("{} minor units", fee.amount_minor),
        };
        facts.push(("fee", format!("{amount} by schedule {}", fee.schedule)));
    }
    if let Some(hold) = line.hold {
        facts.extend(hold.facts());
    }
    facts.extend(line.refund.map(RefundAfterLine::fact));
    for (name, balance) in [("debit account", line.debit), ("credit account", line.credit)] {
        if let Some(balance) = balance {
            facts.push((name, balance_text(&balance)));
        }
    }
    facts
}

/// The outcome as a JSON line.
pub fn json_line(outcome: &proto::Outcome, units: &Units) -> Result<String, Failure> {
    output::json(&outcome_line(outcome, units))
}

/// The outcome as scripts read it.
pub fn outcome_line<'a>(outcome: &proto::Outcome, units: &'a Units) -> OutcomeLine<'a> {
    OutcomeLine {
        id: output::transfer_id(outcome.id_high, outcome.id),
        posted: outcome.code == proto::Code::Posted as i32,
        code: output::code_name(outcome.code),
        explanation: outcome.explanation.clone(),
        repeat: outcome.repeat,
        dry_run: outcome.dry_run,
        lsn: outcome.lsn,
        time: output::time(outcome.time_ns),
        time_ns: outcome.time_ns,
        debit: outcome.debit.as_ref().map(|b| balance_line(b, units.debit.as_ref())),
        credit: outcome.credit.as_ref().map(|b| balance_line(b, units.credit.as_ref())),
        hold: outcome.hold.as_ref().map(|hold| HoldAfterLine::new(hold, units.debit.as_ref())),
        refund: outcome.refund.as_ref().map(|r| RefundAfterLine::new(r, units.debit.as_ref())),
        terms: outcome.terms.as_ref().map(|told| terms_line(told, units)),
        fee: outcome.fee.as_ref().map(|told| fee_line(told, units)),
    }
}

fn fee_line(told: &proto::FeeOutcome, units: &Units) -> FeeLine {
    let amount_minor = match told.amount_wide.as_str() {
        "" => told.amount_minor.to_string(),
        wide => wide.to_owned(),
    };
    let unit = units.debit.as_ref().or(units.credit.as_ref());
    let amount = amount_minor.parse().ok().zip(unit);
    FeeLine {
        schedule: told.schedule,
        amount: amount.map(|(minor, unit)| format_minor(minor, unit.digits)),
        amount_minor,
        code: output::code_name(told.code),
    }
}

fn terms_line(told: &proto::TermsOutcome, units: &Units) -> TermsLine {
    let moved_minor = moved_minor(told);
    let unit = units.debit.as_ref().or(units.credit.as_ref());
    let moved = moved_minor.parse().ok().zip(unit);
    let known = |version: u64| Some(version).filter(|version| *version > 0);
    TermsLine {
        moved: moved.map(|(minor, unit)| format_minor(minor, unit.digits)),
        moved_minor,
        debit_version: known(told.debit_version),
        credit_version: known(told.credit_version),
    }
}

/// `87.66 GBP posted, 587.66 available`.
fn balance_text(balance: &BalanceLine) -> String {
    match (&balance.currency, &balance.posted, &balance.available) {
        (Some(currency), Some(posted), Some(available)) => {
            format!("{posted} {currency} posted, {available} available")
        }
        (Some(currency), Some(posted), None) => format!("{posted} {currency} posted, no limit"),
        _ => format!(
            "{} minor units posted, {} available",
            balance.posted_minor, balance.available_minor
        ),
    }
}

fn balance_line(balance: &proto::Balance, unit: Option<&Unit>) -> BalanceLine {
    let (posted, available) = match &balance.wide {
        Some(wide) => (wide.posted_minor.clone(), wide.available_minor.clone()),
        None => (balance.posted_minor.to_string(), balance.available_minor.to_string()),
    };
    let decimal =
        |minor: &str, unit: Option<&Unit>| Some(format_minor(minor.parse().ok()?, unit?.digits));
    BalanceLine {
        currency: unit.map(|u| u.currency.clone()),
        posted: decimal(&posted, unit),
        available: decimal(&available, unit.filter(|u| !u.external)),
        posted_minor: posted,
        available_minor: available,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> proto::Outcome {
        proto::Outcome {
            id: 5,
            lsn: 12,
            time_ns: 1_735_689_600_000_000_000,
            code: proto::Code::InsufficientFunds as i32,
            explanation: "available 1.00, needed 12.34".into(),
            debit: Some(proto::Balance {
                posted_minor: 100,
                available_minor: 100,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn unit(currency: &str, digits: u8, external: bool) -> Option<Unit> {
        Some(Unit { currency: currency.into(), digits, external })
    }

    fn debit_in(currency: &str, digits: u8) -> Units {
        Units { debit: unit(currency, digits, false), credit: None }
    }

    #[test]
    fn a_refusal_prints_its_code_and_explanation() {
        assert_eq!(
            text(&refused(), &debit_in("GBP", 2), None, false).expect("text"),
            "transfer       5\n\
             outcome        INSUFFICIENT_FUNDS\n\
             because        available 1.00, needed 12.34\n\
             decided        2025-01-01T00:00:00.000000000Z at LSN 12\n\
             debit account  1.00 GBP posted, 1.00 available"
        );
        assert_eq!(
            text(&refused(), &debit_in("GBP", 2), None, true).expect("text"),
            concat!(
                r#"{"id":"5","posted":false,"code":"INSUFFICIENT_FUNDS","#,
                r#""explanation":"available 1.00, needed 12.34","repeat":false,"lsn":12,"#,
                r#""time":"2025-01-01T00:00:00.000000000Z","time_ns":1735689600000000000,"#,
                r#""debit":{"currency":"GBP","posted_minor":"100","available_minor":"100","posted":"1.00","#,
                r#""available":"1.00"},"credit":null}"#
            )
        );
    }

    #[test]
    fn each_balance_is_in_its_accounts_own_currency() {
        let mut outcome = refused();
        outcome.code = proto::Code::CurrencyMismatch as i32;
        outcome.credit = Some(proto::Balance { posted_minor: 5000, ..Default::default() });
        let units = Units { debit: unit("POINTS", 1, false), credit: unit("JPY", 0, true) };
        let printed = text(&outcome, &units, None, false).expect("text");
        assert!(
            printed.contains("debit account   10.0 POINTS posted, 10.0 available"),
            "{printed}"
        );
        assert!(printed.contains("credit account  5000 JPY posted, no limit"), "{printed}");
        let unknown = text(&outcome, &Units::default(), None, false).expect("text");
        assert!(unknown.contains("5000 minor units posted"), "{unknown}");
    }

    #[test]
    fn new_ids_are_uuids_of_version_7_and_read_back() {
        let id = new_id().expect("id");
        assert_eq!((id.get() >> 76) & 0xf, 7);
        assert_eq!(id.to_string().parse::<TransferId>(), Ok(id));
    }
}
