//! Notes on the command line: `--reference`, `--description` and `--value-date`.

use clap::Args;
use ducat_api::{day, proto};
use ducat_engine::note::Day;

/// What is said about a request.
#[derive(Args, Debug, Default)]
pub struct NoteArgs {
    /// Your own name for it, such as an invoice's number: at most 64 bytes.
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    /// What it is, in words: at most 256 bytes.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The day on which it counts, such as 2026-01-31; the day of its decision when absent.
    #[arg(long, value_name = "DATE", value_parser = parse)]
    value_date: Option<Day>,
}

/// A day as the command line names it.
pub fn parse(text: &str) -> Result<Day, String> {
    day::parse(text).ok_or_else(|| format!("`{text}` is no date; write it as 2026-01-31"))
}

impl NoteArgs {
    /// The note as the request has it; none where nothing is said.
    pub fn wire(&self) -> Option<Box<proto::Note>> {
        let note = proto::Note {
            reference: self.reference.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            value_date: self.value_date.map(day::text).unwrap_or_default(),
        };
        (note != proto::Note::default()).then(|| Box::new(note))
    }
}
