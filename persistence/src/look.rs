//! What lies about in a data directory beside the journal's records: who holds it, what an
//! interruption left over, what may not be written. Looks only.

use crate::data_dir::{DataDir, Held};
use crate::mark::Mark;
use crate::sled_journal::parse_dir_name;
use ducat_engine::ids::{Lsn, ShardId};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What an interruption or somebody else left over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// Something being made that was never used.
    Unfinished(PathBuf),
    /// A segment of which nothing is needed any more.
    Trimmed(PathBuf),
    /// Not of a data directory.
    Unknown(PathBuf),
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookAround {
    /// Set when a process holds the directory; its id, if known.
    pub held_by: Option<Option<u32>>,
    /// What was left over.
    pub leftovers: Vec<Leftover>,
    /// Files that the store made for single values.
    pub blobs: Vec<PathBuf>,
    /// What a server must write and nobody may, by its mode.
    pub unwritable: Vec<PathBuf>,
}

impl LookAround {
    /// Looks around in `root`; a directory that is not there has nothing in it.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn at(root: &Path) -> io::Result<Self> {
        let mut seen = Self::default();
        if !root.is_dir() {
            return Ok(seen);
        }
        if let Ok(None) = Held::try_shared(root) {
            let pid = fs::read_to_string(root.join("LOCK")).ok();
            seen.held_by = Some(pid.and_then(|text| text.trim().parse().ok()));
        }
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(
                    "FORMAT" | "LOCK" | "KEYS" | "KEYS.lock" | "CODES" | "shard-0" | "archive",
                ) => {}
                Some("FORMAT.new" | "KEYS.new" | "CODES.new" | "RESTORING") => {
                    seen.leftovers.push(Leftover::Unfinished(path));
                }
                _ => seen.leftovers.push(Leftover::Unknown(path)),
            }
        }
        let mark = DataDir::mark_path_in(root, ShardId(0));
        let journal = DataDir::journal_dir_in(root, ShardId(0));
        seen.check_writable([root, &root.join("LOCK"), &mark, &journal]);
        if journal.is_dir() {
            let base = Mark::read(&mark).map_or(Lsn::ZERO, |mark| mark.base.lsn);
            seen.look_at_segments(&journal, base)?;
        }
        Ok(seen)
    }

    fn look_at_segments(&mut self, journal: &Path, base: Lsn) -> io::Result<()> {
        let mut firsts = Vec::new();
        for entry in fs::read_dir(journal)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".new") {
                self.leftovers.push(Leftover::Unfinished(path));
            } else if let Some(first) = parse_dir_name(name) {
                firsts.push((first, path));
            } else {
                self.leftovers.push(Leftover::Unknown(path));
            }
        }
        firsts.sort();
        for pair in firsts.windows(2).take_while(|pair| pair[1].0 <= base.next()) {
            self.leftovers.push(Leftover::Trimmed(pair[0].1.clone()));
        }
        for (_, path) in &firsts {
            self.check_writable([path.as_path(), &path.join("db")]);
            let Ok(blobs) = fs::read_dir(path.join("blobs")) else { continue };
            self.blobs.extend(blobs.flatten().map(|entry| entry.path()));
        }
        Ok(())
    }

    fn check_writable<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) {
        let readonly =
            |path: &&Path| fs::metadata(path).is_ok_and(|meta| meta.permissions().readonly());
        self.unwritable.extend(paths.into_iter().filter(readonly).map(Path::to_owned));
    }
}
