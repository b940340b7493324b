//! `ducat import`: real data from CSV files into a running ledger.
//!
//! ```text
//! mapping.toml + flags, files ─▶ ducat_api::import ─▶ chunks of rows
//!   accounts (opened, opening balances) ─▶ pipeline (stream, many batches in flight)
//!                                        ─▶ tally, rejects ─▶ summary
//! ```
//!
//! A dry run goes the same way, into an empty ledger of this process's own (`rehearsal.rs`).
//!
//! Every id is taken from the file or derived from the mapping's namespace and the row, so a
//! second run sends the same ids and doubles nothing.

mod accounts;
mod args;
mod pipeline;
mod rehearsal;
mod rejects;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

pub use args::ImportArgs;

use crate::exit::{Done, Exit, Failure};
use crate::{Global, balances, net, output};
use accounts::{AccountLine, Book, CHUNK, Opened};
use common::Common;
use csv::ByteRecord;
use ducat_api::client::Connection;
use ducat_api::import::{common, mapping, plan, reader, source};
use ducat_api::proto;
use ducat_api::proto::ledger_client::LedgerClient;
use indicatif::{ProgressBar, ProgressStyle};
use mapping::Mapping;
use pipeline::Pipeline;
use plan::{AccountPlan, TransferPlan};
use rehearsal::Rehearsal;
use rejects::Rejects;
use source::Rows;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use summary::Summary;
use tally::{Group, Row, Tally};

/// Runs `import`.
pub async fn run(global: &Global, args: ImportArgs) -> Done {
    let mapping = args.mapping()?;
    let import = Import { common: Arc::new(Common::of(&mapping)?), mapping, args };
    let summary = tokio::select! {
        summary = import.run(global) => summary?,
        heard = tokio::signal::ctrl_c() => return Err(interrupted(import.args.dry_run, heard)),
    };
    output::print(&summary.text(global.json)?)?;
    summary_notes(&summary);
    let strict = import.args.strict && !summary.all_posted();
    Ok(if strict { Exit::Refused } else { Exit::Ok })
}

/// The end by Ctrl-C, or by a system that does not tell of it.
fn interrupted(dry_run: bool, heard: std::io::Result<()>) -> Failure {
    if let Err(error) = heard {
        return Failure::new(Exit::Internal, format!("cannot listen for Ctrl-C: {error}"));
    }
    let text = match dry_run {
        true => "interrupted; nothing was sent",
        false => {
            "the import was interrupted; what was sent may be posted. To go on, run the same \
             command again within 24 hours: rows already decided are known by their ids and \
             nothing is doubled"
        }
    };
    Failure::new(Exit::Interrupted, text)
}

/// What deserves a word beside the summary.
fn summary_notes(summary: &Summary) {
    if summary.batches_out_of_order > 0 {
        eprintln!(
            "ducat: the engine was full and {} batches were decided before one ahead of them in \
             the file; where order matters, import into an empty ledger with a smaller --in-flight",
            summary.batches_out_of_order
        );
    }
    if summary.transfers.refused_by_code.contains_key("ID_REUSED") {
        eprintln!(
            "ducat: some ids were used before for other content. Another file under the same \
             mapping needs a namespace of its own: --namespace NAME"
        );
    }
    if summary.accounts_unknown > 0 {
        eprintln!(
            "ducat: the ledger does not know {} of the accounts that the transfers name; \
             open_from_transfers = true in [accounts] opens them",
            summary.accounts_unknown
        );
    }
}

/// What came of a rehearsal and of its ledger's end. Why the import stopped is told first: the end of a ledger that
/// has failed says no more than that.
fn rehearsed<T>(ended: Result<T, Failure>, stopped: Result<(), Failure>) -> Result<T, Failure> {
    match (ended, stopped) {
        (Err(why), Err(also)) => {
            Err(Failure { message: format!("{}; {}", why.message, also.message), ..why })
        }
        (ended, stopped) => {
            let done = ended?;
            stopped.map(|()| done)
        }
    }
}

/// One import: what to read and how.
struct Import {
    args: ImportArgs,
    mapping: Mapping,
    common: Arc<Common>,
}

impl Import {
    /// Imports into the server's ledger, or for a dry run into an empty one of its own.
    async fn run(&self, global: &Global) -> Result<Summary, Failure> {
        if !self.args.dry_run {
            return self.transfer_to_ledger(net::connect(global).await?).await;
        }
        let (rehearsal, channel) = Rehearsal::start().await?;
        let ended = self.transfer_to_ledger(channel).await;
        let summary = rehearsed(ended, rehearsal.end().await)?;
        // A state that nobody has is compared with nothing.
        Ok(Summary { dry_run: true, state_hash: None, state_lsn: None, ..summary })
    }

    /// Imports into the ledger behind `channel`.
    async fn transfer_to_ledger(&self, channel: Connection) -> Result<Summary, Failure> {
        let mut client = net::ledger_on(channel.clone());
        let mut rejects = self.rejects()?;
        let mut summary = Summary::default();
        let mut book = Book::default();
        for (code, digits) in &self.mapping.assets {
            let request =
                proto::DefineAssetRequest { code: code.clone(), digits: *digits, dry_run: false };
            client.define_asset(request).await.map_err(|s| net::failed(&s))?;
        }
        accounts::open_externals(&mut client, &self.common).await?;
        if let Some(path) = &self.args.accounts {
            let opened = &mut summary.accounts;
            self.open_from_file(&mut client, path, &mut book, opened, rejects.as_mut()).await?;
        }
        if let Some(path) = &self.args.transfers {
            self.open_from_transfers(&mut client, path, &mut book, &mut summary.accounts).await?;
            let (chunks, bar) = self.transfer_chunks(path)?;
            let started = Instant::now();
            let mut pipeline = Pipeline {
                client: client.clone(),
                in_flight_max: self.args.in_flight,
                tally: Tally::default(),
                rejects: rejects.as_mut(),
                bar,
                overtakers: 0,
            };
            let ended = pipeline.run(chunks).await;
            summary.transfers = std::mem::take(&mut pipeline.tally);
            summary.batches_out_of_order = pipeline.overtakers;
            summary.time(started.elapsed());
            flush(rejects.as_mut())?;
            ended?;
        }
        flush(rejects.as_mut())?;
        self.look_back(channel, &mut client, &book, &mut summary).await?;
        Ok(summary)
    }

    /// Opens the accounts of a file, with their opening balances.
    async fn open_from_file(
        &self,
        client: &mut LedgerClient<Connection>,
        path: &Path,
        book: &mut Book,
        opened: &mut Opened,
        mut rejects: Option<&mut Rejects>,
    ) -> Result<(), Failure> {
        let (mut chunks, bar) = self.account_chunks(path)?;
        while let Some(chunk) = chunks.recv().await {
            accounts::open_rows(client, chunk?, book, opened, rejects.as_deref_mut()).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Collects the accounts that the transfers name, in a first pass over the file, and opens
    /// them if the mapping says so. Not needed when a file of accounts names them all.
    async fn open_from_transfers(
        &self,
        client: &mut LedgerClient<Connection>,
        path: &Path,
        book: &mut Book,
        opened: &mut Opened,
    ) -> Result<(), Failure> {
        let section = self.mapping.accounts.as_ref();
        let open = section.is_some_and(|a| a.open_from_transfers);
        if !open && self.args.accounts.is_some() {
            return Ok(());
        }
        let known_before = book.all.len();
        let (rows, bar) = self.rows(path, "accounts")?;
        let plan = TransferPlan::of(&self.mapping, &self.common, rows.header())?;
        let common = Arc::clone(&self.common);
        let mut chunks = reader::chunks(rows, CHUNK, move |number, record| {
            let line = plan.line(&common, number, record).ok()?;
            Some((line.accounts?, line.currency.id))
        })?;
        while let Some(chunk) = chunks.recv().await {
            for (accounts, currency) in chunk?.into_iter().flatten() {
                accounts.into_iter().for_each(|account| book.add(account, currency));
            }
        }
        bar.finish_and_clear();
        let Some(section) = section.filter(|_| open) else { return Ok(()) };
        let overdraft = plan::fixed_overdraft(section)?;
        for chunk in book.all[known_before..].chunks(CHUNK) {
            let account = |known: &accounts::Known| {
                let currency = self.common.currencies.by_id(known.currency);
                let code = currency.map(|c| c.code).unwrap_or_default();
                accounts::new_account(known.id, &code, &overdraft)
            };
            accounts::open(client, chunk.iter().map(account).collect(), opened).await?;
        }
        Ok(())
    }

    /// Reads back balances, sums and the state hash.
    async fn look_back(
        &self,
        channel: Connection,
        client: &mut LedgerClient<Connection>,
        book: &Book,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let end = accounts::read_balances(client, book, &self.common).await?;
        let lines = balances::lines(end.balances);
        if let Some(path) = &self.args.balances_out {
            balances::write(path, &lines)?;
        }
        summary.balances = end.sums;
        summary.accounts_unknown = end.unknown;
        summary.balances_sha256 = Some(balances::sha256(&lines));
        let request = proto::GetStatusRequest { with_state_hash: true };
        let status = net::operator_on(channel).get_status(request).await;
        let status = status.map_err(|s| net::failed(&s))?.into_inner();
        summary.totals = status.totals.iter().map(Into::into).collect();
        summary.state_hash = Some(status.state_hash);
        summary.state_lsn = Some(status.state_lsn);
        Ok(())
    }

    /// The rows of a file of accounts, converted.
    fn account_chunks(&self, path: &Path) -> Result<(Chunks<AccountLine>, ProgressBar), Failure> {
        let (rows, bar) = self.rows(path, "opening")?;
        let plan = AccountPlan::of(&self.mapping, &self.common, rows.header())?;
        let common = Arc::clone(&self.common);
        let keep = self.args.rejects.is_some();
        let chunks = reader::chunks(rows, CHUNK, move |number, record| AccountLine {
            number,
            record: keep.then(|| record.clone()),
            result: plan.read(&common, record),
        })?;
        Ok((chunks, bar))
    }

    /// The rows of a file of transfers, converted.
    fn transfer_chunks(&self, path: &Path) -> Result<(Chunks<Row>, ProgressBar), Failure> {
        let (rows, bar) = self.rows(path, "transfers")?;
        let plan = TransferPlan::of(&self.mapping, &self.common, rows.header())?;
        let common = Arc::clone(&self.common);
        let keep = self.args.rejects.is_some();
        let convert = move |number: u64, record: &ByteRecord| {
            let line = plan.line(&common, number, record);
            // A row that cannot be converted is of its group all the same.
            let group = match plan.group(&common, record) {
                Ok(None) => Group::Alone,
                Ok(Some(name)) => Group::Of(name),
                Err(_) => Group::Unreadable,
            };
            let record = keep.then(|| record.clone());
            Row { number, record, result: line.map(|line| line.request), group }
        };
        let size = self.args.batch_size;
        let chunks = reader::grouped(rows, size, convert, Row::grouping())?;
        Ok((chunks, bar))
    }

    /// Opens a file with a progress bar that follows the reading.
    fn rows(&self, path: &Path, what: &'static str) -> Result<(Rows, ProgressBar), Failure> {
        let taken = Arc::new(AtomicU64::new(0));
        let bar = progress_bar(source::length(path)?, what, Arc::clone(&taken));
        Ok((Rows::open(path, &self.mapping.source, taken)?, bar))
    }

    /// The file of refused rows, when one is asked for.
    fn rejects(&self) -> Result<Option<Rejects>, Failure> {
        let Some(path) = &self.args.rejects else { return Ok(None) };
        let header = match &self.args.transfers {
            Some(transfers) => {
                let taken = Arc::new(AtomicU64::new(0));
                let rows = Rows::open(transfers, &self.mapping.source, taken)?;
                rows.header().map(<[String]>::to_vec)
            }
            None => None,
        };
        Rejects::create(path, header.as_deref(), self.mapping.source.encoding).map(Some)
    }
}

/// Converted rows on their way from the reading thread.
type Chunks<T> = tokio::sync::mpsc::Receiver<Result<Vec<T>, ducat_api::import::Failure>>;

impl Summary {
    /// Notes how long the transfers took.
    fn time(&mut self, elapsed: Duration) {
        self.duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let rate = self.transfers.rows as f64 / elapsed.as_secs_f64().max(1e-9);
        self.rows_per_second = rate as u64;
    }
}

fn flush(rejects: Option<&mut Rejects>) -> Result<(), Failure> {
    rejects.map_or(Ok(()), Rejects::flush)
}

/// A bar over the bytes of a file, on stderr; invisible where stderr is no terminal.
fn progress_bar(bytes: u64, what: &'static str, taken: Arc<AtomicU64>) -> ProgressBar {
    let style = "{prefix:>10} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(bytes).with_style(style.progress_chars("=> ")).with_prefix(what);
    let follower = bar.downgrade();
    // The bar follows the reading thread; the task ends with the bar.
    tokio::spawn(async move {
        while let Some(bar) = follower.upgrade().filter(|bar| !bar.is_finished()) {
            bar.set_position(taken.load(Ordering::Relaxed));
            drop(bar);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    bar
}
