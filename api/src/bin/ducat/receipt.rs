//! `ducat receipt`: the proof that one transfer happened as it did, from a server or a
//! directory, and its check by somebody who has the public key alone.

use crate::causes::with_causes;
use crate::exit::{Done, Exit, Failure};
use crate::witness::key_failure;
use crate::{Global, block_on, net, offline, output};
use clap::{Args, Subcommand};
use ducat_actors::proof::offline::Statements;
use ducat_actors::replay::Until;
use ducat_api::{proto, receipt};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::proof::Whose;
use ducat_persistence::witness::{CheckKey, CheckpointStore, SignedCheckpoint};
use serde::Serialize;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Options of `receipt`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
A receipt is JSON. It holds what happened, the path from there to the root of the tree over all
events, and the checkpoint that signs this root. A server signs one that covers the transfer when
there is none yet. docs/RECEIPTS.md describes the format.

Examples:
  ducat receipt 72 -o 72.receipt
  ducat receipt --lsn 5
  ducat receipt 72 --data-dir ./ledger --checkpoints /mnt/witness --public-key ducat.pub
  ducat receipt verify 72.receipt --public-key ducat.pub"
)]
pub struct ReceiptArgs {
    #[command(subcommand)]
    command: Option<ReceiptCommand>,
    /// The transfer's id.
    #[arg(required_unless_present = "lsn", conflicts_with = "lsn")]
    id: Option<TransferId>,
    /// The event at this LSN, of any kind.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    lsn: Option<u64>,
    /// Write it to this file instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// From a data directory, without a server; also for ids that a server has forgotten.
    #[arg(long, value_name = "DIR", requires = "checkpoints", requires = "public_key")]
    data_dir: Option<PathBuf>,
    /// The directory of checkpoints; with --data-dir.
    #[arg(long, value_name = "DIR", requires = "data_dir")]
    checkpoints: Option<PathBuf>,
    /// The public key; with --data-dir.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    public_key: Option<PathBuf>,
}

/// What to do with a receipt.
#[derive(Subcommand, Debug)]
enum ReceiptCommand {
    /// Check a receipt with the public key and nothing else. Ends with 0 when it proves what it
    /// says, 65 when not.
    Verify(VerifyArgs),
}

/// Options of `receipt verify`.
#[derive(Args, Debug)]
struct VerifyArgs {
    /// The receipt; `-` reads stdin.
    file: PathBuf,
    /// The public key of whoever signs the checkpoints.
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
}

/// Runs `receipt`.
pub fn run(global: &Global, args: ReceiptArgs) -> Done {
    match &args.command {
        Some(ReceiptCommand::Verify(verify)) => check(global, verify),
        None => {
            let text = match &args.data_dir {
                Some(data_dir) => from_directory(&args, data_dir)?,
                None => block_on_text(global, &args)?,
            };
            write(&text, args.output.as_deref())
        }
    }
}

fn block_on_text(global: &Global, args: &ReceiptArgs) -> Result<String, Failure> {
    let mut text = String::new();
    block_on(async {
        text = from_server(global, args).await?;
        Ok(Exit::Ok)
    })?;
    Ok(text)
}

async fn from_server(global: &Global, args: &ReceiptArgs) -> Result<String, Failure> {
    let (id, id_high) = args.id.map_or((0, 0), |id| (id.low(), id.high()));
    let request = proto::GetReceiptRequest { id, id_high, lsn: args.lsn.unwrap_or(0) };
    let mut ledger = net::ledger(global).await?;
    let answer = ledger.get_receipt(request).await.map_err(|status| net::failed(&status))?;
    Ok(answer.into_inner().receipt)
}

fn from_directory(args: &ReceiptArgs, data_dir: &Path) -> Result<String, Failure> {
    let (Some(dir), Some(key)) = (&args.checkpoints, &args.public_key) else {
        return Err(Failure::usage("--data-dir needs --checkpoints and --public-key"));
    };
    let key = CheckKey::read(key).map_err(|error| key_failure(&error))?;
    let journal = offline::open(data_dir)?;
    let newest = CheckpointStore::new(dir).newest(&key, journal.ledger()).map_err(|error| {
        let exit = if error.is_damage() { Exit::Damaged } else { Exit::CannotCreate };
        Failure::new(exit, with_causes(&error))
    })?;
    let newest: SignedCheckpoint = newest.ok_or_else(|| {
        Failure::new(Exit::Refused, format!("there are no checkpoints in {}", dir.display()))
    })?;
    let covered = newest.checkpoint.lsn;
    let whose = Whose { ledger: journal.ledger().to_bytes(), shard: offline::SHARD };
    let mut statements = Statements::new(whose, vec![newest.clone()]);
    if let Some(id) = args.id {
        statements = statements.looking_for(id);
    }
    offline::replay(&journal, data_dir, Until::lsn(covered), &mut statements)?;
    if !statements.differ().is_empty() || !statements.ahead().is_empty() {
        let text = format!(
            "the journal does not hold what checkpoint {} signed up to LSN {covered}\n`ducat \
             verify --checkpoints` says more",
            newest.checkpoint.number
        );
        return Err(Failure::new(Exit::Damaged, text));
    }
    let lsn = args.lsn.map(Lsn).filter(|lsn| *lsn <= covered).or(statements.found());
    let lsn = lsn.ok_or_else(|| {
        let what = args.id.map_or_else(|| "the event".to_owned(), |id| format!("transfer {id}"));
        let text = format!("{what} is not among the {covered} events that were signed");
        Failure::new(Exit::Refused, text)
    })?;
    let proved = statements.receipt(&journal, offline::SHARD, lsn, newest);
    let proved = proved.map_err(|error| Failure::new(Exit::Damaged, with_causes(&error)))?;
    receipt::to_text(&proved).map_err(|error| Failure::new(Exit::Internal, with_causes(&error)))
}

fn write(text: &str, file: Option<&Path>) -> Done {
    match file {
        None => output::print(text.trim_end())?,
        Some(file) => fs::write(file, text).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("cannot write {}: {error}", file.display()))
        })?,
    }
    Ok(Exit::Ok)
}

/// What was proved, as scripts read it.
#[derive(Serialize)]
struct ProvedLine<'a> {
    valid: bool,
    ledger_id: String,
    lsn: u64,
    event: &'a receipt::Words,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a receipt::NoteWords>,
    checkpoint: u64,
    signed_ns: String,
}

fn check(global: &Global, args: &VerifyArgs) -> Done {
    let key = CheckKey::read(&args.public_key).map_err(|error| key_failure(&error))?;
    let mut bytes = Vec::new();
    let most = receipt::RECEIPT_BYTES_MAX as u64 + 1;
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        fs::File::open(&args.file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", args.file.display())))?;
    let proved = receipt::verify(&bytes, &key).map_err(|error| {
        let text = format!("{} proves nothing: {}", args.file.display(), with_causes(&error));
        Failure::new(Exit::Damaged, text)
    })?;
    output::print(&text(&proved, global.json)?)?;
    Ok(Exit::Ok)
}

/// What was said about it; only that it was, where the receipt does not show it.
fn said(proved: &receipt::Proved) -> Vec<(&'static str, String)> {
    let words = &proved.words;
    let date = words.value_date.clone().map(|day| ("value date", day));
    let texts = match (&proved.note, &words.note_sha256) {
        (Some(note), _) => {
            let texts = [("reference", &note.reference), ("description", &note.description)];
            let said = texts.into_iter().filter(|(_, text)| !text.is_empty());
            said.map(|(name, text)| (name, text.clone())).collect()
        }
        (None, Some(digest)) => vec![("note", format!("not shown, SHA-256 {digest}"))],
        (None, None) => Vec::new(),
    };
    texts.into_iter().chain(date).collect()
}

fn text(proved: &receipt::Proved, json: bool) -> Result<String, Failure> {
    let (checkpoint, words) = (&proved.checkpoint, &proved.words);
    let ledger_id = checkpoint.ledger.to_string();
    if json {
        return output::json(&ProvedLine {
            valid: true,
            ledger_id,
            lsn: proved.statement.lsn.0,
            event: words,
            note: proved.note.as_ref(),
            checkpoint: checkpoint.number,
            signed_ns: checkpoint.signed_ns.to_string(),
        });
    }
    let get = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut facts = vec![
        ("receipt", "valid".to_owned()),
        ("ledger", ledger_id),
        ("event", format!("{} at LSN {}, {}", words.event, proved.statement.lsn, words.time)),
    ];
    if let (Some(debit), Some(credit)) = (&words.debit, &words.credit) {
        let after = |posted: &Option<String>| {
            posted.as_ref().map_or("no such account".to_owned(), |posted| format!("then {posted}"))
        };
        facts.extend([
            ("transfer", format!("{} {}", get(&words.id), get(&words.outcome))),
            ("amount", format!("{} {}", get(&words.amount), get(&words.currency))),
            ("from", format!("{}, {}", debit.account, after(&debit.posted))),
            ("to", format!("{}, {}", credit.account, after(&credit.posted))),
        ]);
        facts.extend(words.kind.clone().map(|kind| ("kind", kind)));
    } else {
        let account = words.account.iter().map(|account| format!("account {account}"));
        let rest = [&words.status, &words.currency].into_iter().flatten().cloned();
        facts.push(("what", account.chain(rest).collect::<Vec<_>>().join(" ")));
    }
    facts.extend(said(proved));
    let signed = output::time(checkpoint.signed_ns);
    facts.push(("signed", format!("checkpoint {}, {signed}", checkpoint.number)));
    Ok(output::facts(facts))
}
