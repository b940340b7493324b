//! `ducat verify`: reads a whole data directory that no server holds and says whether every
//! frame is sound, the chain unbroken and the sum of all money zero.

use crate::exit::{Done, Exit, Failure};
use crate::offline::{self, VerifyReport};
use crate::status::TotalLine;
use crate::{Global, balances, output};
use clap::Args;
use ducat_actors::handle::CurrencyTotal;
use ducat_engine::money::{Currencies, format_minor};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `verify`.
#[derive(Args, Debug)]
#[command(after_help = "\
Ends with 0 when everything is sound, 65 when data is damaged or the sums of a currency do not
add up to 0 (and says where), 75 when a server holds the directory.

Examples:
  ducat verify --data-dir ./ledger
  ducat verify --data-dir ./ledger --json | jq .state_hash")]
pub struct VerifyArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// The report as scripts read it. There is one only of a sound journal.
#[derive(Serialize)]
struct ReportLine {
    sound: bool,
    frames: u64,
    events: u64,
    accounts: u64,
    epochs: u64,
    last_lsn: u64,
    dropped_from_lsn: Option<u64>,
    state_hash: String,
    totals: Vec<TotalLine>,
}

/// Runs `verify`.
pub fn run(global: &Global, args: &VerifyArgs) -> Done {
    let report = offline::verify(&args.data_dir)?;
    output::print(&text(&report, global.json)?)?;
    Ok(Exit::Ok)
}

/// What is printed about a report.
fn text(report: &VerifyReport, json: bool) -> Result<String, Failure> {
    let line = ReportLine {
        sound: true,
        frames: report.frames,
        events: report.events,
        accounts: report.accounts,
        epochs: report.epochs,
        last_lsn: report.last_lsn.0,
        dropped_from_lsn: report.dropped_from.map(|lsn| lsn.0),
        state_hash: balances::hex(&report.state_hash),
        totals: total_lines(&report.totals, &report.currencies),
    };
    if json {
        return output::json(&line);
    }
    let mut facts = vec![
        ("journal", "sound".to_owned()),
        ("frames", output::count(line.frames)),
        ("events", output::count(line.events)),
        ("accounts", output::count(line.accounts)),
        ("epochs", output::count(line.epochs)),
        ("last LSN", line.last_lsn.to_string()),
        ("state hash", line.state_hash),
    ];
    if let Some(from) = line.dropped_from_lsn {
        let text = format!("a torn end from LSN {from} on that nobody was told of");
        facts.push(("not counted", text));
    }
    for t in &line.totals {
        let sums = format!("{} {} inside, {} outside", t.internal, t.currency, t.external);
        facts.push(("sum", sums));
    }
    Ok(output::facts(facts))
}

/// Sums by currency as decimal texts; minor units where a currency is not known.
pub fn total_lines(totals: &[CurrencyTotal], currencies: &Currencies) -> Vec<TotalLine> {
    let line = |t: &CurrencyTotal| {
        let currency = currencies.by_id(t.currency);
        let digits = currency.as_ref().map_or(0, |c| c.digits);
        TotalLine {
            currency: currency.map_or_else(|| format!("#{}", t.currency.0), |c| c.code),
            internal: format_minor(t.internal, digits),
            external: format_minor(t.external, digits),
        }
    };
    totals.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::ids::Lsn;
    use ducat_engine::money::CurrencyId;

    fn report() -> VerifyReport {
        VerifyReport {
            frames: 2,
            events: 1200,
            accounts: 3,
            epochs: 1,
            last_lsn: Lsn(1200),
            state_hash: [0xab; 32],
            totals: vec![CurrencyTotal {
                currency: CurrencyId(826),
                internal: 1234,
                external: -1234,
            }],
            currencies: Currencies::new(),
            dropped_from: Some(Lsn(1201)),
        }
    }

    #[test]
    fn a_sound_journal_prints_both_ways() {
        let hash = "ab".repeat(32);
        assert_eq!(
            text(&report(), false).expect("text"),
            format!(
                "journal      sound\nframes       2\nevents       1,200\naccounts     3\n\
                 epochs       1\nlast LSN     1200\nstate hash   {hash}\n\
                 not counted  a torn end from LSN 1201 on that nobody was told of\n\
                 sum          12.34 GBP inside, -12.34 outside"
            )
        );
        let json = text(&report(), true).expect("text");
        assert!(json.starts_with(r#"{"sound":true,"frames":2,"events":1200,"#), "{json}");
    }
}
