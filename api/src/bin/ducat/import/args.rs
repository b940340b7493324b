//! The command line of `ducat import`, and how its flags lie over the mapping file.

use super::mapping::{self, Mapping};
use crate::exit::Failure;
use clap::Args;
use ducat_actors::handle::BATCH_MAX;
use std::path::PathBuf;

/// Options of `import`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
A mapping file (TOML) says which column means what; api/mappings/ holds commented ones. Every
transfer gets an id derived from the mapping's namespace and the row's number (or a column), so
after an interruption run the same command again: rows that were decided are answered from
memory and counted as repeats. The server remembers ids for at least 24 hours after the
decision, so do it before: a file imported again after that is posted again.

Ends with 0 when every row got an answer, refused or not; with --strict, with 1 unless every
row was posted; with 65 when a file is cut off or damaged, with 69 when the server goes away or
its memory for ids is full, with 130 after Ctrl-C.

Examples:
  ducat import --map api/mappings/amlsim.toml --accounts nodes.csv.gz \\
        --transfers transactions.csv.gz --rejects refused.csv
  ducat import --map api/mappings/berka.toml --transfers trans.asc.gz --batch-size 5000
  ducat import --map my.toml --transfers may.csv --namespace payments-may --dry-run
  ducat import --map my.toml --transfers f.csv --delimiter ';' --set transfers.amount.column=sum")]
pub struct ImportArgs {
    /// The mapping file.
    #[arg(long, value_name = "FILE.toml")]
    pub map: Option<PathBuf>,
    /// A CSV file of accounts to open, plain or gzip.
    #[arg(long, value_name = "FILE", required_unless_present = "transfers")]
    pub accounts: Option<PathBuf>,
    /// A CSV file of transfers, plain or gzip.
    #[arg(long, value_name = "FILE")]
    pub transfers: Option<PathBuf>,
    /// Rows to a batch.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = batch_size)]
    pub batch_size: usize,
    /// The most batches on their way at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = in_flight)]
    pub in_flight: usize,
    /// Write refused and unconvertible rows here: file, row, code, explanation, own columns.
    #[arg(long, value_name = "FILE.csv")]
    pub rejects: Option<PathBuf>,
    /// Write lines `id,balance_in_minor_units` of the import's accounts here at the end.
    #[arg(long, value_name = "FILE")]
    pub balances_out: Option<PathBuf>,
    /// Say what would become of it in an empty ledger: what would be opened and moved, and what refused and
    /// why (each row in --rejects). Done in memory, with the rules themselves; nothing is sent, no server is
    /// needed. What a ledger in use holds already it does not know.
    #[arg(long)]
    pub dry_run: bool,
    /// End with 1 unless every row was posted.
    #[arg(long)]
    pub strict: bool,
    /// Another name for this import than the mapping's; ids are derived from it.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Overrides `currency` of the mapping.
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// Overrides the character between columns; `\t` for the tabulator.
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<String>,
    /// Overrides the character around quoted columns.
    #[arg(long, value_name = "CHAR")]
    pub quote: Option<String>,
    /// The first line names the columns.
    #[arg(long, conflicts_with = "no_header")]
    pub header: bool,
    /// The first line is data; columns have numbers from 1 on.
    #[arg(long)]
    pub no_header: bool,
    /// Sets any value of the mapping, such as transfers.amount.column=value.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = mapping::setting)]
    pub settings: Vec<(String, toml::Value)>,
}

impl ImportArgs {
    /// The mapping: the file with the flags laid over it.
    pub fn mapping(&self) -> Result<Mapping, Failure> {
        let (name, text) = match &self.map {
            None => ("the flags".to_owned(), String::new()),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    Failure::usage(format!("cannot read the mapping {}: {e}", path.display()))
                })?;
                (path.display().to_string(), text)
            }
        };
        Ok(mapping::read(&name, &text, &self.all_settings())?)
    }

    /// What the flags set, the general `--set` last.
    fn all_settings(&self) -> Vec<(String, toml::Value)> {
        let text = |path: &str, value: &Option<String>| {
            value.as_ref().map(|v| (path.to_owned(), toml::Value::String(v.clone())))
        };
        let header = (self.header || self.no_header)
            .then(|| ("source.header".to_owned(), toml::Value::Boolean(self.header)));
        [
            text("namespace", &self.namespace),
            text("currency", &self.currency),
            text("source.delimiter", &self.delimiter),
            text("source.quote", &self.quote),
            header,
        ]
        .into_iter()
        .flatten()
        .chain(self.settings.iter().cloned())
        .collect()
    }
}

fn batch_size(text: &str) -> Result<usize, String> {
    within(text, BATCH_MAX)
}

fn in_flight(text: &str) -> Result<usize, String> {
    within(text, 1024)
}

fn within(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be 1 to {most}")),
    }
}
