//! The file of refused rows: which file and row, why, and the row's own columns, as CSV.

use super::mapping::Encoding;
use crate::exit::{Exit, Failure};
use csv::ByteRecord;
use std::fs::File;
use std::path::{Path, PathBuf};

/// An open file of refused rows.
pub struct Rejects {
    path: PathBuf,
    writer: csv::Writer<File>,
    encoding: Encoding,
}

impl Rejects {
    /// Creates the file, with a header that ends in the transfers' own columns.
    pub fn create(
        path: &Path,
        header: Option<&[String]>,
        encoding: Encoding,
    ) -> Result<Self, Failure> {
        let cannot = |e: csv::Error| cannot_write(path, &e.to_string());
        let mut writer =
            csv::WriterBuilder::new().flexible(true).from_path(path).map_err(cannot)?;
        let own = ["file", "row", "code", "explanation"];
        let names = own.into_iter().chain(header.unwrap_or_default().iter().map(String::as_str));
        writer.write_record(names).map_err(cannot)?;
        Ok(Self { path: path.to_owned(), writer, encoding })
    }

    /// Writes one refused row.
    pub fn write(
        &mut self,
        file: &str,
        row: u64,
        code: &str,
        explanation: &str,
        record: Option<&ByteRecord>,
    ) -> Result<(), Failure> {
        let mut line = ByteRecord::new();
        for field in [file, &row.to_string(), code, explanation] {
            line.push_field(field.as_bytes());
        }
        for field in record.into_iter().flatten() {
            match self.encoding {
                Encoding::Utf8 => line.push_field(field),
                Encoding::Latin1 => {
                    let text: String = field.iter().map(|b| char::from(*b)).collect();
                    line.push_field(text.as_bytes());
                }
            }
        }
        let written = self.writer.write_byte_record(&line);
        written.map_err(|e| cannot_write(&self.path, &e.to_string()))
    }

    /// Writes out what is still buffered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|e| cannot_write(&self.path, &e.to_string()))
    }
}

fn cannot_write(path: &Path, error: &str) -> Failure {
    let text = format!("cannot write refused rows to {}: {error}", path.display());
    Failure::new(Exit::CannotCreate, text)
}
