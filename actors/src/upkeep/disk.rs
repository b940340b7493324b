//! The disk guard: new transfers are refused before the disk is full, since the journal cannot
//! take back a write that found no room, and the process would have to stop.
//!
//! ```text
//! free < reserve ─▶ refusing: what would be journalled is refused, changing nothing; repeats
//!                             of known ids, reads and statements go on
//! free ≥ resume  ─▶ taken again, by itself
//! ```

use crate::admission::Shared;
use crate::handle::RequestError;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use ducat_persistence::disk::{self, Space};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What is watched.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// The journal's directory.
    pub path: PathBuf,
    /// With fewer bytes free, new transfers are refused.
    pub reserve_bytes: u64,
    /// With at least so many free, they are taken again; not less than the reserve.
    pub resume_bytes: u64,
    /// Time between two looks.
    pub period: Duration,
}

impl DiskOptions {
    /// A twentieth of the filesystem, at least 64 MiB (or a quarter of it) and at most 1 GiB: what
    /// is written between
    /// two looks, and an archive file, find room in it.
    ///
    /// # Errors
    /// When the system does not tell how large the filesystem is.
    pub fn usual_reserve(path: &std::path::Path) -> std::io::Result<u64> {
        let total = disk::space(path)?.total_bytes;
        Ok((total / 20).clamp((total / 4).min(64 << 20), 1 << 30))
    }
}

/// What the guard saw last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskHealth {
    /// Bytes free.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Below it, new transfers are refused.
    pub reserve_bytes: u64,
    /// From it on, they are taken again.
    pub resume_bytes: u64,
    /// Whether they are refused now.
    pub refusing: bool,
}

/// The guard's word, and what it goes by.
#[derive(Debug, Default)]
pub(crate) struct DiskGuard {
    /// Read once a batch.
    refusing: AtomicBool,
    free: AtomicU64,
    total: AtomicU64,
}

impl DiskGuard {
    /// Why new transfers are refused, if they are.
    pub fn refusal(&self) -> Option<RequestError> {
        if !self.refusing.load(Ordering::Relaxed) {
            return None;
        }
        Some(RequestError::DiskFull { free_bytes: self.free.load(Ordering::Relaxed) })
    }

    /// Looks at the disk. When the system does not tell, what was last known stays.
    pub fn look(&self, options: &DiskOptions) {
        match disk::space(&options.path) {
            Ok(space) => self.judge(options, space),
            Err(error) => {
                tracing::error!(path = %options.path.display(), %error, "could not ask for the space of the disk");
            }
        }
    }

    fn judge(&self, options: &DiskOptions, Space { free_bytes, total_bytes }: Space) {
        self.free.store(free_bytes, Ordering::Relaxed);
        self.total.store(total_bytes, Ordering::Relaxed);
        let was = self.refusing.load(Ordering::Relaxed);
        let bound = if was {
            options.resume_bytes.max(options.reserve_bytes)
        } else {
            options.reserve_bytes
        };
        let refusing = free_bytes < bound;
        self.refusing.store(refusing, Ordering::Relaxed);
        if refusing && !was {
            tracing::error!(
                free_bytes,
                reserve_bytes = options.reserve_bytes,
                path = %options.path.display(),
                "the disk is nearly full: new transfers are refused until there is room"
            );
        } else if was && !refusing {
            tracing::info!(free_bytes, "there is room on the disk again: transfers are taken");
        }
    }

    pub fn health(&self, options: &DiskOptions) -> DiskHealth {
        DiskHealth {
            free_bytes: self.free.load(Ordering::Relaxed),
            total_bytes: self.total.load(Ordering::Relaxed),
            reserve_bytes: options.reserve_bytes,
            resume_bytes: options.resume_bytes.max(options.reserve_bytes),
            refusing: self.refusing.load(Ordering::Relaxed),
        }
    }
}

/// Looks again and again, until the other end is dropped.
pub(super) fn run(shared: &Shared, options: &DiskOptions, stopped: &Receiver<()>) {
    while stopped.recv_timeout(options.period) == Err(RecvTimeoutError::Timeout) {
        shared.disk.look(options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_two_bounds_the_last_word_stands() {
        let options = DiskOptions {
            path: PathBuf::new(),
            reserve_bytes: 100,
            resume_bytes: 130,
            period: Duration::from_secs(1),
        };
        let guard = DiskGuard::default();
        let steps = [(100, false), (99, true), (129, true), (130, false), (101, false), (0, true)];
        for (free_bytes, refusing) in steps {
            guard.judge(&options, Space { free_bytes, total_bytes: 1_000 });
            assert_eq!(guard.refusal().is_some(), refusing, "{free_bytes}");
            assert_eq!(guard.health(&options).refusing, refusing);
        }
        assert_eq!(guard.refusal(), Some(RequestError::DiskFull { free_bytes: 0 }));
    }
}
