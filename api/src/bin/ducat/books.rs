//! `ducat trial-balance` and `ducat verify-balances`: the books as a whole.

use crate::exit::{Done, Exit, Failure};
use crate::moment::At;
use crate::statement::check_valued;
use crate::status::TotalLine;
use crate::{Global, moment, net, offline, output};
use clap::Args;
use ducat_actors::history::{TrialRow, ValuedLater};
use ducat_actors::replay::{Event, Observer};
use ducat_api::convert::past;
use ducat_api::day;
use ducat_api::proto;
use ducat_api::proto::get_trial_balance_request as trial_request;
use ducat_engine::ids::Slot;
use ducat_engine::ledger::Ledger;
use ducat_engine::note::Day;
use ducat_engine::transfer::AccountView;
use ducat_persistence::BoxError;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `trial-balance`.
#[derive(Args, Debug)]
#[command(after_help = "\
A debit is what accounts are below zero, a credit what they are above it. Both are equal in every
currency, at every moment.

Examples:
  ducat trial-balance                                       # now, of a running server
  ducat trial-balance --at 2026-01-31T23:59:59Z --json
  ducat trial-balance --value-date 2026-01-31               # of the entries valued by then
  ducat trial-balance --at 5000 --data-dir ./ledger         # from the files alone")]
pub struct TrialBalanceArgs {
    /// The moment: an LSN, or a time (RFC 3339). Now when absent.
    #[arg(long, value_name = "MOMENT", value_parser = moment::at)]
    at: Option<At>,
    /// By value date: only entries of this day or an earlier one count, as they were known at the
    /// moment.
    #[arg(long, value_name = "DATE", value_parser = crate::note::parse)]
    value_date: Option<Day>,
    /// Read this data directory, beside a server or without one, and check all of its journal.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Begin with the newest snapshot at or before the moment: quicker, but what lies before it is
    /// not checked.
    #[arg(long, requires = "data_dir", conflicts_with = "value_date")]
    from_snapshot: bool,
}

/// A currency of a trial balance as scripts read it.
#[derive(Serialize)]
struct RowLine<'a> {
    lsn: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    value_date: &'a str,
    currency: &'a str,
    debit: &'a str,
    credit: &'a str,
    internal_debit: &'a str,
    internal_credit: &'a str,
    external_debit: &'a str,
    external_credit: &'a str,
}

/// What verifying found as scripts read it.
#[derive(Serialize)]
struct VerifiedLine {
    sound: bool,
    lsn: u64,
    accounts: u64,
    totals: Vec<TotalLine>,
    differences: Vec<DifferenceLine>,
    difference_count: u64,
    overdrawn: u64,
}

/// A difference as scripts read it.
#[derive(Serialize)]
struct DifferenceLine {
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    what: String,
}

/// Runs `trial-balance`.
pub fn trial_balance(global: &Global, args: &TrialBalanceArgs) -> Done {
    let made = match &args.data_dir {
        Some(dir) => trial_of_files(dir, args)?,
        None => crate::block_on(trial_of_server(global, args))?,
    };
    output::print(&trial_text(&made, global.json)?)?;
    Ok(Exit::Ok)
}

async fn trial_of_server(
    global: &Global,
    args: &TrialBalanceArgs,
) -> Result<proto::GetTrialBalanceResponse, Failure> {
    let at = args.at.map(|at| match at {
        At::Lsn(lsn) => trial_request::At::Lsn(lsn),
        At::Time(time_ns) => trial_request::At::TimeNs(time_ns),
    });
    let mut client = net::ledger(global).await?;
    let value_date = args.value_date.map(day::text).unwrap_or_default();
    let made = client.get_trial_balance(proto::GetTrialBalanceRequest { at, value_date }).await;
    let made = made.map_err(|s| net::failed(&s))?.into_inner();
    check_valued(args.value_date, &made.value_date)?;
    Ok(made)
}

fn trial_of_files(
    dir: &Path,
    args: &TrialBalanceArgs,
) -> Result<proto::GetTrialBalanceResponse, Failure> {
    let journal = offline::open(dir)?;
    let until = match args.at {
        Some(At::Lsn(lsn)) => moment::until(Some(lsn), None),
        Some(At::Time(time_ns)) => moment::until(None, Some(time_ns)),
        None => moment::until(None, None),
    };
    let mut later = Later(args.value_date.map(ValuedLater::new));
    let replayed = if args.from_snapshot {
        offline::replay_from_snapshot(&journal, dir, until, &mut ())
    } else {
        offline::replay(&journal, dir, until, &mut later)
    };
    let (ledger, _) = replayed?;
    moment::check_reached(&ledger, until)?;
    let state = offline::state_of(&ledger);
    let posted = |(slot, account): (u32, &AccountView)| {
        let later = later.0.as_ref().map_or(0, |later| later.of(Slot(slot)));
        (account.spec.currency, account.spec.external, account.posted - later)
    };
    let rows = TrialRow::of((0..).zip(&state.accounts).map(posted));
    Ok(proto::GetTrialBalanceResponse {
        lsn: state.lsn.0,
        accounts: state.accounts.len() as u64,
        rows: rows.iter().map(|row| past::trial_row(row, &state.currencies)).collect(),
        value_date: args.value_date.map(day::text).unwrap_or_default(),
    })
}

/// Looks on at a replay for what counts later than a value date, where one was asked for.
struct Later(Option<ValuedLater>);

impl Observer for Later {
    fn event(&mut self, _: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if let Some(later) = &mut self.0 {
            later.take(event.time_ns, event.record);
        }
        Ok(())
    }
}

fn trial_text(made: &proto::GetTrialBalanceResponse, json: bool) -> Result<String, Failure> {
    if json {
        let line = |row: &proto::TrialBalanceRow| {
            output::json(&RowLine {
                lsn: made.lsn,
                value_date: &made.value_date,
                currency: &row.currency,
                debit: &row.debit,
                credit: &row.credit,
                internal_debit: &row.internal_debit,
                internal_credit: &row.internal_credit,
                external_debit: &row.external_debit,
                external_credit: &row.external_credit,
            })
        };
        let lines: Result<Vec<_>, _> = made.rows.iter().map(line).collect();
        return Ok(lines?.join("\n"));
    }
    let header = ["currency", "accounts", "debit", "credit"];
    let mut rows = Vec::new();
    for row in &made.rows {
        for (accounts, debit, credit) in [
            ("internal", &row.internal_debit, &row.internal_credit),
            ("external", &row.external_debit, &row.external_credit),
            ("all", &row.debit, &row.credit),
        ] {
            let cells = [row.currency.as_str(), accounts, debit, credit];
            rows.push(cells.map(str::to_owned).to_vec());
        }
    }
    let table = output::table(&header, &[2, 3], rows);
    let accounts = output::count(made.accounts);
    let valued = match made.value_date.as_str() {
        "" => String::new(),
        day => format!(", by value date {day}"),
    };
    Ok(format!("{table}\n{accounts} accounts at LSN {}{valued}", made.lsn))
}

/// Runs `verify-balances`.
pub async fn verify_balances(global: &Global) -> Done {
    let mut client = net::operator_on(net::connect(global).await?);
    let found = client.verify_balances(proto::VerifyBalancesRequest {}).await;
    let found = found.map_err(|s| net::failed(&s))?.into_inner();
    let exit = if found.sound { Exit::Ok } else { Exit::Damaged };
    output::print(&verified_text(&found, global.json)?)?;
    Ok(exit)
}

fn verified_text(found: &proto::VerifyBalancesResponse, json: bool) -> Result<String, Failure> {
    let account = |d: &proto::BalanceDifference| {
        ((d.id, d.id_high) != (0, 0)).then(|| output::account_id(d.id_high, d.id))
    };
    if json {
        let difference = |d: &proto::BalanceDifference| DifferenceLine {
            lsn: d.lsn,
            account: account(d),
            what: d.what.clone(),
        };
        return output::json(&VerifiedLine {
            sound: found.sound,
            lsn: found.lsn,
            accounts: found.accounts,
            totals: found.totals.iter().map(TotalLine::from).collect(),
            differences: found.differences.iter().map(difference).collect(),
            difference_count: found.difference_count,
            overdrawn: found.overdrawn,
        });
    }
    let (accounts, lsn) = (output::count(found.accounts), found.lsn);
    let mut text = if found.sound {
        format!("sound: {accounts} accounts are what {lsn} events come to")
    } else {
        let count = output::count(found.difference_count);
        format!("NOT SOUND: {count} differences in {accounts} accounts and {lsn} events")
    };
    for total in &found.totals {
        let (internal, external) = (&total.internal, &total.external);
        text += &format!("\n{}: {internal} in accounts, {external} outside", total.currency);
    }
    for difference in &found.differences {
        let whose = account(difference).map(|id| format!(", account {id}")).unwrap_or_default();
        text += &format!("\nevent {}{whose}: {}", difference.lsn, difference.what);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_balance_prints_both_ways() {
        let row = proto::TrialBalanceRow {
            currency: "GBP".into(),
            internal_debit: "5.00".into(),
            internal_credit: "25.00".into(),
            external_debit: "20.00".into(),
            external_credit: "0.00".into(),
            debit: "25.00".into(),
            credit: "25.00".into(),
        };
        let made = proto::GetTrialBalanceResponse {
            lsn: 9,
            accounts: 1234,
            rows: vec![row],
            ..Default::default()
        };
        assert_eq!(
            trial_text(&made, false).expect("text"),
            "currency  accounts  debit  credit\n\
             GBP       internal   5.00   25.00\n\
             GBP       external  20.00    0.00\n\
             GBP       all       25.00   25.00\n\
             1,234 accounts at LSN 9"
        );
        assert_eq!(
            trial_text(&made, true).expect("text"),
            concat!(
                r#"{"lsn":9,"currency":"GBP","debit":"25.00","credit":"25.00","#,
                r#""internal_debit":"5.00","internal_credit":"25.00","#,
                r#""external_debit":"20.00","external_credit":"0.00"}"#
            )
        );
    }

    #[test]
    fn what_was_found_wrong_is_printed() {
        let total = proto::CurrencyTotal {
            currency: "GBP".into(),
            internal: "12.34".into(),
            external: "-12.34".into(),
        };
        let sound = proto::VerifyBalancesResponse {
            sound: true,
            lsn: 9,
            accounts: 3,
            totals: vec![total],
            ..Default::default()
        };
        assert_eq!(
            verified_text(&sound, false).expect("text"),
            "sound: 3 accounts are what 9 events come to\nGBP: 12.34 in accounts, -12.34 outside"
        );
        let what = "its balance is 5".to_owned();
        let differences = vec![proto::BalanceDifference { lsn: 7, id: 2, id_high: 0, what }];
        let wrong = proto::VerifyBalancesResponse {
            sound: false,
            totals: vec![],
            differences,
            difference_count: 1,
            overdrawn: 0,
            ..sound
        };
        assert_eq!(
            verified_text(&wrong, false).expect("text"),
            "NOT SOUND: 1 differences in 3 accounts and 9 events\n\
             event 7, account 2: its balance is 5"
        );
        assert_eq!(
            verified_text(&wrong, true).expect("text"),
            concat!(
                r#"{"sound":false,"lsn":9,"accounts":3,"totals":[],"#,
                r#""differences":[{"lsn":7,"account":"2","what":"its balance is 5"}],"#,
                r#""difference_count":1,"overdrawn":0}"#
            )
        );
    }
}
