//! Which codes were taken, in a file of the data directory: no restart makes a code good again.
//!
//! One line a person who has a second factor, of the step of their last code; replaced whole, and durable before
//! the call goes on that the code was for. Codes are given by people, a few a day each, so what that costs is
//! nothing to the ledger. Only a code that is right is written down.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Its name in the data directory.
pub const FILE: &str = "CODES";

/// What it is called until it is whole.
const NEW: &str = "CODES.new";

/// More than the file ever has, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Steps that are further ahead of the clock are not kept over a start: a clock that was wrong when a code was
/// taken, and was put right, would lock its owner out for as long as it was wrong.
const STEPS_AHEAD_MAX: u64 = 20;

/// Why it cannot be used.
#[derive(Debug, Error)]
pub enum UsedError {
    /// The operating system refused.
    #[error("could not read the codes that were used, in {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "{} is not the list of codes that were used; without the file, codes of the last 90 seconds can come again",
        .0.display()
    )]
    Unusable(PathBuf),
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    used: BTreeMap<String, u64>,
}

/// The file.
#[derive(Debug)]
pub struct Used {
    dir: PathBuf,
}

impl Used {
    /// That of a data directory, which its process alone works on, and what it says: the step of the last code of
    /// each person. A file that is not there says nothing.
    ///
    /// # Errors
    /// [`UsedError`].
    pub fn open(dir: &Path, now_step: u64) -> Result<(Self, BTreeMap<String, u64>), UsedError> {
        let path = dir.join(FILE);
        let text = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(UsedError::Unusable(path));
            }
            read => read.map_err(|source| UsedError::File { path: path.clone(), source })?,
        };
        let written: Written = toml::from_str(&text).map_err(|_| UsedError::Unusable(path))?;
        let mut used = written.used;
        let before = used.len();
        used.retain(|_, step| *step <= now_step.saturating_add(STEPS_AHEAD_MAX));
        if used.len() < before {
            tracing::warn!("codes were taken under a clock that was far ahead; they are forgotten");
        }
        Ok((Self { dir: dir.to_owned() }, used))
    }

    /// Writes all of them, durably.
    ///
    /// # Errors
    /// Whatever the operating system refuses; the file is the old one then.
    pub fn write(&self, used: BTreeMap<String, u64>) -> io::Result<()> {
        let text = toml::to_string(&Written { used }).map_err(io::Error::other)?;
        let new = self.dir.join(NEW);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, self.dir.join(FILE))?;
        File::open(&self.dir)?.sync_all()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 56_666_667;

    fn of(steps: &[(&str, u64)]) -> BTreeMap<String, u64> {
        steps.iter().map(|(name, step)| ((*name).to_owned(), *step)).collect()
    }

    #[test]
    fn what_is_written_is_read_but_for_what_a_wrong_clock_left() {
        let dir = tempfile::tempdir().expect("a place");
        let (file, used) = Used::open(dir.path(), NOW).expect("opens");
        assert!(used.is_empty());
        file.write(of(&[("anna", NOW)])).expect("writes");
        let all = of(&[("anna", NOW + 1), ("b \"=\" ert", NOW + STEPS_AHEAD_MAX), ("carl", 7)]);
        file.write(all.clone()).expect("writes");
        assert_eq!(Used::open(dir.path(), NOW).expect("opens").1, all);
        let (_, used) = Used::open(dir.path(), NOW - 1).expect("opens");
        assert_eq!(used, of(&[("anna", NOW + 1), ("carl", 7)]), "bert's clock was wrong");
        assert!(!dir.path().join(NEW).exists());
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_not_taken_for_none() {
        for bytes in [&b"used = 5"[..], b"\xff\xfe", b"[used]\nanna = -1\n", b"[more]\n"] {
            let dir = tempfile::tempdir().expect("a place");
            fs::write(dir.path().join(FILE), bytes).expect("writes");
            let refused = Used::open(dir.path(), NOW);
            assert!(matches!(refused, Err(UsedError::Unusable(_))), "{bytes:?}: {refused:?}");
        }
        let dir = tempfile::tempdir().expect("a place");
        fs::create_dir(dir.path().join(FILE)).expect("made");
        assert!(matches!(Used::open(dir.path(), NOW), Err(UsedError::File { .. })));
    }
}
