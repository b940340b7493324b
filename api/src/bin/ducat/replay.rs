//! `ducat replay`: the balances of any past moment, or the events, from a data directory.

use crate::balances::{self, BalanceOf};
use crate::event_line::status_name;
use crate::exit::{Done, Exit, Failure};
use crate::offline::{self, ReplayedState};
use crate::printer::Printer;
use crate::status::TotalLine;
use crate::verify::total_lines;
use crate::{Global, moment, output};
use clap::Args;
use ducat_actors::replay::{Observer, Until};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{Currencies, format_minor};
use ducat_engine::transfer::AccountView;
use ducat_persistence::RawJournal;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `replay`.
#[derive(Args, Debug)]
#[command(after_help = "\
Reads the journal from the beginning and checks all of it; writes nothing to the directory, and
works beside a running server. Ends with 1 and prints no state when the journal ends before
--to-lsn, 65 when data is damaged.

Examples:
  ducat replay --data-dir ./ledger                             # the sums at the end
  ducat replay --data-dir ./ledger --to-lsn 5000 --account 17  # one account back then
  ducat replay --data-dir ./ledger --to-time 2026-01-31T23:59:59Z
  ducat replay --data-dir ./ledger --print --account 17 --json # its events
  ducat replay --data-dir ./ledger --balances-out balances.csv # every account")]
pub struct ReplayArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Stop after this event, which must be there; the journal's end when absent.
    #[arg(long, value_name = "N")]
    to_lsn: Option<u64>,
    /// Stop after the last event decided at this time or before (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns, conflicts_with = "to_lsn")]
    to_time: Option<u64>,
    /// Begin with the newest snapshot at or before the moment: quicker, but what lies before it is
    /// neither checked nor printed.
    #[arg(long)]
    from_snapshot: bool,
    /// Print every event, one to a line, instead of the state: of --account only, if given.
    #[arg(long, conflicts_with = "balances_out")]
    print: bool,
    /// Print events from this one on.
    #[arg(long, value_name = "N", requires = "print")]
    from_lsn: Option<u64>,
    /// Print the balances of these accounts. Ends with 1 when one did not exist then.
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<AccountId>,
    /// Write lines `id,balance_in_minor_units` of all accounts that are not external.
    #[arg(long, value_name = "FILE")]
    balances_out: Option<PathBuf>,
    /// Take this off every numeric id in those lines and their hash: the `offset` of the
    /// mapping that the accounts were imported with, so that ids read as in the source.
    #[arg(long, value_name = "N", default_value_t = 0)]
    id_offset: u64,
}

/// The state as scripts read it.
#[derive(Serialize)]
struct StateLine {
    lsn: u64,
    accounts: usize,
    state_hash: String,
    balances_sha256: String,
    totals: Vec<TotalLine>,
}

/// An account as scripts read it.
#[derive(Serialize)]
struct AccountLine {
    id: String,
    currency: String,
    status: &'static str,
    external: bool,
    posted: String,
    available: Option<String>,
    posted_minor: String,
    opened_lsn: u64,
    last_lsn: u64,
}

/// Runs `replay`.
pub fn run(global: &Global, args: &ReplayArgs) -> Done {
    let journal = offline::open(&args.data_dir)?;
    let until = moment::until(args.to_lsn, args.to_time);
    if args.print {
        let from = Lsn(args.from_lsn.unwrap_or(1));
        let mut printer = Printer::new(global.json, &args.accounts, from);
        let ledger = args.build(&journal, until, &mut printer)?;
        printer.finish().map_err(|e| Failure::new(Exit::CannotCreate, e.to_string()))?;
        moment::check_reached(&ledger, until)?;
        return Ok(Exit::Ok);
    }
    let ledger = args.build(&journal, until, &mut ())?;
    moment::check_reached(&ledger, until)?;
    let state = offline::state_of(&ledger);
    drop(ledger);
    let lines = balances::lines(balances_of(&state, args.id_offset));
    if let Some(path) = &args.balances_out {
        balances::write(path, &lines)?;
    }
    if args.accounts.is_empty() {
        output::print(&state_text(&state, &lines, global.json)?)?;
        return Ok(Exit::Ok);
    }
    let found: Vec<&AccountView> =
        state.accounts.iter().filter(|a| args.accounts.contains(&a.spec.id)).collect();
    if !found.is_empty() {
        output::print(&accounts_text(&found, &state.currencies, global.json)?)?;
    }
    let missing = args.accounts.iter().filter(|id| !found.iter().any(|a| a.spec.id == **id));
    let missing = missing.inspect(|id| {
        eprintln!("ducat: no account had the id {id} at LSN {}", state.lsn);
    });
    Ok(if missing.count() == 0 { Exit::Ok } else { Exit::Refused })
}

impl ReplayArgs {
    fn build(
        &self,
        journal: &RawJournal,
        until: Until,
        observer: &mut impl Observer,
    ) -> Result<Ledger, Failure> {
        let dir = &self.data_dir;
        let replayed = if self.from_snapshot {
            offline::replay_from_snapshot(journal, dir, until, observer)
        } else {
            offline::replay(journal, dir, until, observer)
        };
        replayed.map(|(ledger, _)| ledger)
    }
}

/// The balances of all accounts that are not external, under their ids in the source.
fn balances_of(state: &ReplayedState, id_offset: u64) -> Vec<BalanceOf> {
    let label = |id: AccountId| {
        let number = id.get();
        let small = number <= u128::from(u64::MAX);
        match number.checked_sub(u128::from(id_offset)) {
            Some(source) if small => source.to_string(),
            _ => id.to_string(),
        }
    };
    let internal = state.accounts.iter().filter(|a| !a.spec.external);
    internal.map(|a| BalanceOf { id: label(a.spec.id), minor: a.posted }).collect()
}

/// What is printed about the whole state.
fn state_text(state: &ReplayedState, lines: &str, json: bool) -> Result<String, Failure> {
    let line = StateLine {
        lsn: state.lsn.0,
        accounts: state.accounts.len(),
        state_hash: balances::hex(&state.hash),
        balances_sha256: balances::sha256(lines),
        totals: total_lines(&state.totals, &state.currencies),
    };
    if json {
        return output::json(&line);
    }
    let mut facts = vec![
        ("LSN", line.lsn.to_string()),
        ("accounts", output::count(line.accounts as u64)),
        ("state hash", line.state_hash),
        ("balances SHA-256", line.balances_sha256),
    ];
    for t in &line.totals {
        let sums = format!("{} {} inside, {} outside", t.internal, t.currency, t.external);
        facts.push(("sum", sums));
    }
    Ok(output::facts(facts))
}

/// Accounts as a table or as JSON lines.
fn accounts_text(
    accounts: &[&AccountView],
    currencies: &Currencies,
    json: bool,
) -> Result<String, Failure> {
    let lines: Vec<AccountLine> = accounts.iter().map(|a| account_line(a, currencies)).collect();
    if json {
        let lines: Result<Vec<_>, _> = lines.iter().map(output::json).collect();
        return Ok(lines?.join("\n"));
    }
    let header = ["id", "currency", "status", "posted", "available"];
    let rows = lines
        .into_iter()
        .map(|a| {
            let status = if a.external { "external" } else { a.status };
            let available = a.available.unwrap_or_else(|| "no limit".to_owned());
            vec![a.id, a.currency, status.to_owned(), a.posted, available]
        })
        .collect();
    Ok(output::table(&header, &[0, 3, 4], rows))
}

fn account_line(a: &AccountView, currencies: &Currencies) -> AccountLine {
    let currency = currencies.by_id(a.spec.currency);
    let digits = currency.as_ref().map_or(0, |c| c.digits);
    AccountLine {
        id: a.spec.id.to_string(),
        currency: currency.map_or_else(|| format!("#{}", a.spec.currency.0), |c| c.code),
        status: status_name(a.status),
        external: a.spec.external,
        posted: format_minor(a.posted, digits),
        available: (!a.spec.external).then(|| format_minor(a.available, digits)),
        posted_minor: a.posted.to_string(),
        opened_lsn: a.opened_lsn.0,
        last_lsn: a.last_lsn.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_actors::handle::CurrencyTotal;
    use ducat_engine::money::CurrencyId;
    use ducat_engine::transfer::{AccountSpec, AccountStatus};

    fn view(id: u128, posted: i128, external: bool) -> AccountView {
        AccountView {
            spec: AccountSpec {
                id: AccountId::new(id).expect("not zero"),
                currency: CurrencyId(826),
                overdraft_limit: 0,
                external,
            },
            status: AccountStatus::Active,
            bounds: ducat_engine::limits::Bounds::default(),
            posted,
            on_hold: 0,
            held: 0,
            incoming: 0,
            available: posted,
            opened_lsn: Lsn(1),
            last_lsn: Lsn(5),
            version: Lsn(9),
        }
    }

    fn state() -> ReplayedState {
        let total = CurrencyTotal { currency: CurrencyId(826), internal: 1500, external: -1500 };
        ReplayedState {
            accounts: vec![view(1 << 80, -1500, true), view(11, 1000, false), view(2, 500, false)],
            currencies: Currencies::new(),
            lsn: Lsn(5),
            hash: [1; 32],
            totals: vec![total],
        }
    }

    #[test]
    fn balances_leave_out_the_outside_and_take_the_offset_off() {
        assert_eq!(balances::lines(balances_of(&state(), 0)), "2,500\n11,1000");
        assert_eq!(balances::lines(balances_of(&state(), 1)), "1,500\n10,1000");
    }

    #[test]
    fn a_state_prints_both_ways() {
        let hash = "01".repeat(32);
        let sha = balances::sha256("2,500\n11,1000");
        assert_eq!(
            state_text(&state(), "2,500\n11,1000", false).expect("text"),
            format!(
                "LSN               5\naccounts          3\nstate hash        {hash}\n\
                 balances SHA-256  {sha}\nsum               15.00 GBP inside, -15.00 outside"
            )
        );
        let json = state_text(&state(), "2,500\n11,1000", true).expect("text");
        assert!(json.starts_with(r#"{"lsn":5,"accounts":3,"state_hash":"0101"#), "{json}");
    }

    #[test]
    fn accounts_print_both_ways() {
        let state = state();
        let accounts = [&state.accounts[0], &state.accounts[1]];
        assert_eq!(
            accounts_text(&accounts, &state.currencies, false).expect("text"),
            "                                  id  currency  status    posted  available\n\
             00000000-0001-0000-0000-000000000000  GBP       external  -15.00   no limit\n\
             \u{20}                                 11  GBP       active     10.00      10.00"
        );
        assert_eq!(
            accounts_text(&accounts[1..], &state.currencies, true).expect("text"),
            concat!(
                r#"{"id":"11","currency":"GBP","status":"active","external":false,"#,
                r#""posted":"10.00","available":"10.00","posted_minor":"1000","#,
                r#""opened_lsn":1,"last_lsn":5}"#
            )
        );
    }
}
