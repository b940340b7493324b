//! Opening a CSV file, plain or gzip, and reading its rows while counting the bytes of the
//! file that were taken, for the progress bar.

use super::mapping::Source;
use super::{Failure, FailureKind};
use csv::ByteRecord;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first two bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Rows of an open file, from the first after the header on.
pub struct Rows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    header: Option<Vec<String>>,
    number: u64,
}

/// Counts the bytes read through it.
struct Counting<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The length of a file in bytes.
pub fn length(path: &Path) -> Result<u64, Failure> {
    std::fs::metadata(path).map(|m| m.len()).map_err(|e| cannot_open(path, &e))
}

impl Rows {
    /// Opens a file; `taken` grows by the bytes read from it.
    pub fn open(path: &Path, source: &Source, taken: Arc<AtomicU64>) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|e| cannot_open(path, &e))?;
        let mut plain = BufReader::with_capacity(1 << 16, Counting { inner: file, taken });
        let start = plain.fill_buf().map_err(|e| cannot_open(path, &e))?;
        let gzip = start.starts_with(&GZIP_MAGIC);
        let bytes: Box<dyn Read + Send> =
            if gzip { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(single_byte("delimiter", &source.delimiter)?)
            .quote(single_byte("quote", &source.quote)?)
            .has_headers(source.header)
            .flexible(true)
            .buffer_capacity(1 << 16)
            .from_reader(bytes);
        let header = match source.header {
            false => None,
            true => {
                let names = reader.byte_headers().map_err(|e| damaged(path, 0, &e))?;
                let text = |name: &[u8]| String::from_utf8_lossy(name).trim().to_owned();
                let mut names: Vec<String> = names.iter().map(text).collect();
                if let Some(first) = names.first_mut() {
                    *first = first.trim_start_matches('\u{feff}').to_owned();
                }
                Some(names)
            }
        };
        Ok(Self { path: path.to_owned(), reader, header, number: 0 })
    }

    /// The names of the columns, where the file has a header.
    pub fn header(&self) -> Option<&[String]> {
        self.header.as_deref()
    }

    /// Reads the next row into `record` and returns its number from 1 on; `None` at the end.
    pub fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, Failure> {
        match self.reader.read_byte_record(record) {
            Ok(true) => {
                self.number += 1;
                Ok(Some(self.number))
            }
            Ok(false) => Ok(None),
            Err(e) => Err(damaged(&self.path, self.number, &e)),
        }
    }
}

/// A setting that must be one ASCII character; `\t` may be written for the tabulator.
fn single_byte(name: &str, text: &str) -> Result<u8, Failure> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err(Failure::usage(format!(
            "the {name} must be one ASCII character (or \\t), not `{text}`"
        ))),
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot open {}: {error}", path.display()))
}

fn damaged(path: &Path, row: u64, error: &csv::Error) -> Failure {
    let text = format!(
        "{} cannot be read further after row {row}: {error}. The rows before it may have been \
         imported; once the file is whole, run the same command again",
        path.display()
    );
    Failure::new(FailureKind::Damaged, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn rows_of(bytes: &[u8], source: &Source) -> Result<Vec<Vec<String>>, Failure> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        let taken = Arc::new(AtomicU64::new(0));
        let mut rows = Rows::open(file.path(), source, Arc::clone(&taken))?;
        let mut record = ByteRecord::new();
        let mut all = Vec::new();
        while rows.next(&mut record)?.is_some() {
            all.push(record.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect());
        }
        assert_eq!(taken.load(Ordering::Relaxed), bytes.len() as u64);
        Ok(all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes() {
        let text = b"a,b\n1,\"x,y\"\n2,z\n";
        let expected = vec![vec!["1", "x,y"], vec!["2", "z"]];
        assert_eq!(rows_of(text, &Source::default()).expect("rows"), expected);
        assert_eq!(rows_of(&gzip(text), &Source::default()).expect("rows"), expected);
        // Two gzip files in a row are one file.
        let mut twice = gzip(b"a,b\n1,\"x,y\"\n");
        twice.extend(gzip(b"2,z\n"));
        assert_eq!(rows_of(&twice, &Source::default()).expect("rows"), expected);
    }

    #[test]
    fn a_cut_off_gzip_is_damaged() {
        let mut bytes = gzip(b"a,b\n1,2\n3,4\n");
        bytes.truncate(bytes.len() - 9);
        let failure = rows_of(&bytes, &Source::default()).expect_err("damaged");
        assert_eq!(failure.kind, FailureKind::Damaged);
        assert!(failure.message.contains("run the same command again"), "{failure}");
    }

    #[test]
    fn delimiter_quote_and_header_are_as_told() {
        let source =
            Source { delimiter: ";".into(), quote: "'".into(), header: false, ..Source::default() };
        let rows = rows_of(b"1;'a;b'\n2;c;d\n", &source).expect("rows");
        assert_eq!(rows, vec![vec!["1", "a;b"], vec!["2", "c", "d"]]);
        let wrong = Source { delimiter: "ab".into(), ..Source::default() };
        assert_eq!(rows_of(b"", &wrong).expect_err("wrong").kind, FailureKind::Usage);
    }
}
