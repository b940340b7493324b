//! `ducat verify`: whether everything in a data directory is as it was acknowledged.

use crate::checks::{self, Checked, FaultLine, Scope};
use crate::exit::{Done, Exit, Failure};
use crate::restore::descent;
use crate::status::TotalLine;
use crate::witness::{Witness, WitnessArgs, WitnessLine};
use crate::{Global, balances, offline, output};
use clap::Args;
use ducat_actors::handle::CurrencyTotal;
use ducat_engine::money::{Currencies, format_minor};
use ducat_persistence::RawJournal;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `verify`.
#[derive(Args, Debug)]
#[command(after_help = "\
Checks each frame (checksum, place, hash chain, epochs), that nothing acknowledged is missing,
every figure of every event, the sums of every currency after every event, every id, every
snapshot's state against the journal's, and that the
store gives back what lies in its files (on a private copy, a segment at a time). Writes nothing to
the directory, and works beside a running server: then what was acknowledged when it began is
checked, and the store of the segment being written is not. With --checkpoints it also proves that
the journal holds what was signed: no older copy, no other history.

Ends with 0 when everything is sound, 65 when anything is wrong: each fault is printed with its
kind, LSNs, file and byte.

Examples:
  ducat verify --data-dir ./ledger
  ducat verify --data-dir ./ledger --checkpoints /mnt/witness --public-key ducat.pub
  ducat verify --data-dir ./ledger --json | jq .state_hash")]
pub struct VerifyArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    room: RoomArgs,
    #[command(flatten)]
    witness: WitnessArgs,
}

/// What checking may use.
#[derive(Args, Debug)]
pub struct RoomArgs {
    /// Where a copy of one segment at a time (some hundred MB) and ids beyond --ids-mib go.
    #[arg(long, value_name = "DIR")]
    tmp: Option<PathBuf>,
    /// Memory for checking that every id is there once; 24 bytes each.
    #[arg(long, value_name = "MIB", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    ids_mib: u32,
    /// Do not read copies through the store: the frames alone are checked.
    #[arg(long)]
    skip_store: bool,
}

impl RoomArgs {
    /// The scope of a check.
    pub fn scope<'a>(&'a self, data_dir: &'a Path) -> Scope<'a> {
        Scope {
            data_dir,
            room: self.tmp.as_deref(),
            ids_bytes: self.ids_mib as usize * 1024 * 1024,
            store: !self.skip_store,
        }
    }
}

/// The report as scripts read it.
#[derive(Serialize)]
struct ReportLine {
    sound: bool,
    ledger_id: String,
    origins: Vec<String>,
    live: bool,
    segments: u64,
    frames: u64,
    events: u64,
    accounts: u64,
    ids: u64,
    epochs: u64,
    last_lsn: u64,
    /// The last event before the first fault; the state is that after it.
    sound_lsn: u64,
    unacknowledged: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoints: Option<WitnessLine>,
    dropped_from_lsn: Option<u64>,
    state_hash: String,
    totals: Vec<TotalLine>,
    faults: Vec<FaultLine>,
}

/// Runs `verify`.
pub fn run(global: &Global, args: &VerifyArgs) -> Done {
    let mut witness = args.witness.read(&args.data_dir)?;
    let journal = offline::open(&args.data_dir)?;
    let checked = checks::check(&journal, &args.room.scope(&args.data_dir), witness.as_mut())?;
    let (checkpoints, checked) = hold_against(witness, &journal, checked);
    let faults = checked.faults.len();
    output::print(&text(&report(&journal, checked, checkpoints), global.json)?)?;
    if faults == 0 {
        return Ok(Exit::Ok);
    }
    let (dir, faults) = (args.data_dir.display(), output::count(faults as u64));
    let text = format!(
        "the journal is damaged: {faults} faults\nChange nothing in {dir}, keep a copy of it; \
         `ducat doctor --data-dir {dir}` explains what can be done"
    );
    Err(Failure::new(Exit::Damaged, text))
}

/// What the checkpoints say beside what was found.
fn hold_against(
    witness: Option<Witness>,
    journal: &RawJournal,
    mut checked: Checked,
) -> (Option<WitnessLine>, Checked) {
    let line = witness.map(|witness| {
        let (line, faults) = witness.finish(journal, checked.faults.is_empty());
        checked.faults.extend(faults);
        line
    });
    (line, checked)
}

fn report(journal: &RawJournal, checked: Checked, checkpoints: Option<WitnessLine>) -> ReportLine {
    let Checked { faults, found, ledger, ids, .. } = checked;
    let state = offline::state_of(&ledger);
    ReportLine {
        sound: faults.is_empty(),
        ledger_id: journal.ledger().to_string(),
        origins: descent(journal.origins()),
        live: journal.is_live(),
        segments: found.segments.len() as u64,
        frames: found.frames,
        events: found.records,
        accounts: state.accounts.len() as u64,
        ids,
        epochs: journal.mark().epoch.0,
        last_lsn: found.last_lsn.0,
        sound_lsn: state.lsn.0,
        unacknowledged: found.unacknowledged,
        checkpoints,
        dropped_from_lsn: found.torn.map(|torn| torn.first_lsn.0),
        state_hash: balances::hex(&state.hash),
        totals: total_lines(&state.totals, &state.currencies),
        faults,
    }
}

/// What is printed about a report.
fn text(line: &ReportLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(line);
    }
    let mut facts = vec![
        ("journal", if line.sound { "sound" } else { "DAMAGED" }.to_owned()),
        ("ledger", line.ledger_id.clone()),
    ];
    facts.extend(line.origins.iter().map(|origin| ("made from", origin.clone())));
    facts.extend([
        ("segments", output::count(line.segments)),
        ("frames", output::count(line.frames)),
        ("events", output::count(line.events)),
        ("accounts", output::count(line.accounts)),
        ("ids, once each", output::count(line.ids)),
        ("epochs", output::count(line.epochs)),
        ("last LSN", line.last_lsn.to_string()),
    ]);
    if line.live {
        facts.push(("beside a server", "what it had acknowledged was checked".to_owned()));
    }
    if !line.sound {
        facts.push(("sound up to LSN", line.sound_lsn.to_string()));
    }
    facts.push(("state hash", line.state_hash.clone()));
    if line.unacknowledged > 0 {
        let text = format!("{} events at the end that nobody was told of", line.unacknowledged);
        facts.push(("kept", text));
    }
    if let Some(from) = line.dropped_from_lsn {
        let text = format!("a torn end from LSN {from} on that nobody was told of");
        facts.push(("not counted", text));
    }
    for t in &line.totals {
        let sums = format!("{} {} inside, {} outside", t.internal, t.currency, t.external);
        facts.push(("sum", sums));
    }
    if let Some(witness) = &line.checkpoints {
        let (count, number) = (output::count(witness.checkpoints), witness.number);
        let text = format!("{count} signed, the last is number {number} up to LSN {}", witness.lsn);
        facts.push(("checkpoints", text));
    }
    facts.extend(line.faults.iter().map(|fault| ("FAULT", fault.text())));
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

    fn report() -> ReportLine {
        let total = CurrencyTotal {
            currency: ducat_engine::money::CurrencyId(826),
            internal: 1234,
            external: -1234,
        };
        ReportLine {
            sound: true,
            ledger_id: "ab".into(),
            origins: vec![],
            live: false,
            segments: 1,
            frames: 2,
            events: 1200,
            accounts: 3,
            ids: 1197,
            epochs: 1,
            last_lsn: 1200,
            sound_lsn: 1200,
            unacknowledged: 0,
            checkpoints: None,
            dropped_from_lsn: Some(1201),
            state_hash: "cd".repeat(32),
            totals: total_lines(&[total], &Currencies::new()),
            faults: vec![],
        }
    }

    #[test]
    fn a_sound_journal_prints_both_ways() {
        let hash = "cd".repeat(32);
        assert_eq!(
            text(&report(), false).expect("text"),
            format!(
                "journal         sound\nledger          ab\nsegments        1\nframes          2\n\
                 events          1,200\naccounts        3\nids, once each  1,197\n\
                 epochs          1\nlast LSN        1200\nstate hash      {hash}\n\
                 not counted     a torn end from LSN 1201 on that nobody was told of\n\
                 sum             12.34 GBP inside, -12.34 outside"
            )
        );
        let json = text(&report(), true).expect("text");
        assert!(json.starts_with(r#"{"sound":true,"ledger_id":"ab","origins":[],"#), "{json}");
    }

    #[test]
    fn a_fault_names_its_place() {
        let mut report = report();
        report.sound = false;
        report.faults.push(FaultLine {
            kind: "gap",
            lsn: 7,
            last_lsn: 9,
            file: Some("db".into()),
            offset: Some(80),
            what: "gone".into(),
        });
        let text = text(&report, false).expect("text");
        assert!(text.contains("DAMAGED") && text.contains("sound up to LSN  1200"), "{text}");
        assert!(text.ends_with("FAULT            gap: LSN 7 to 9, db, byte 80: gone"), "{text}");
    }
}
