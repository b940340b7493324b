//! Whether the store gives back what lies in its files: each segment is copied to a place of
//! its own, opened there through the store, and what comes out is held against what was found
//! in the original without it.
//!
//! A segment at a time, so that a journal of any size needs room for one of them. The segment
//! that a server is writing is left out: a copy of it is of no one moment.

use super::inspect::{Fault, FaultKind, SegmentDigest};
use super::{Files, RawJournal};
use crate::causes::with_causes;
use crate::contract::JournalError;
use crate::files::io_error;
use crate::sled_journal::visit_segment;
use ducat_engine::ids::Lsn;
use std::fs;
use std::io;
use std::path::Path;

impl RawJournal {
    /// Copies segment after segment below `room` and reads each through the store. Returns
    /// what the store loses or changes; `digests` come from [`RawJournal::inspect`].
    ///
    /// # Errors
    /// [`JournalError::Io`] when a segment cannot be copied.
    pub fn check_store(
        &self,
        digests: &[SegmentDigest],
        room: &Path,
    ) -> Result<Vec<Fault>, JournalError> {
        let files = &*self.0;
        let mut faults = Vec::new();
        let closed = files.segments.len() - usize::from(files.live && !files.segments.is_empty());
        for (index, expected) in digests.iter().enumerate().take(closed) {
            faults.extend(files.check_segment(index, expected, room)?);
        }
        Ok(faults)
    }
}

impl Files {
    fn check_segment(
        &self,
        index: usize,
        expected: &SegmentDigest,
        room: &Path,
    ) -> Result<Option<Fault>, JournalError> {
        let segment = &self.segments[index];
        let from = segment.path.parent().expect("a file lies in a directory");
        let to = room.join(from.file_name().expect("a segment has a name"));
        let copied = copy_files(from, &to);
        match copied {
            // A server has trimmed it meanwhile: it is not part of the journal any more.
            Err(error) if self.live && error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_error("copy", from))?,
        }
        let (durable, mut found) = (self.mark.durable.lsn, SegmentDigest::default());
        let mut gap = None;
        let visited = visit_segment(room, segment.first, self.vault.as_ref(), &mut |frame| {
            if frame.last_lsn() <= durable {
                let next = found.last_lsn.next().max(segment.first);
                if frame.first_lsn() != next {
                    gap.get_or_insert((next, Lsn(frame.first_lsn().0.saturating_sub(1))));
                }
                found.add(frame.last_lsn(), frame.hash());
            }
        });
        fs::remove_dir_all(&to).map_err(io_error("remove", &to))?;
        let next = found.last_lsn.next().max(segment.first);
        let (range, what) = match (visited, gap) {
            (Err(error), _) => {
                let text = with_causes(&error).replace(" at file offset None backtrace ()", "");
                ((next, expected.last_lsn), format!("the store cannot read it: {text}"))
            }
            (Ok(()), Some(gap)) => (gap, "the store has lost these records".to_owned()),
            (Ok(()), None) if found.last_lsn < expected.last_lsn => {
                ((next, expected.last_lsn), "the store has lost these records".to_owned())
            }
            (Ok(()), None) if found != *expected => {
                let what = "the store gives back other records".to_owned();
                ((segment.first, expected.last_lsn), what)
            }
            (Ok(()), None) => return Ok(None),
        };
        Ok(Some(Fault {
            kind: FaultKind::Store,
            lsn: range.0,
            last_lsn: range.1.max(range.0),
            path: segment.path.clone(),
            offset: None,
            what,
        }))
    }
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = (entry?, |name| to.join(name));
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), target(entry.file_name()))?;
        }
    }
    Ok(())
}
