//! What can be chosen about the sled journal, and the two places where a test or a
//! server puts its own hand in: the sync, and what happens when one hangs.

use crate::vault::Vault;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Makes a file's content durable. The default asks the operating system; tests
/// count, fail or hang here.
pub trait Syncer: Send + Sync {
    /// As [`File::sync_data`].
    ///
    /// # Errors
    /// When the data may not be durable. The journal never asks twice.
    fn sync_data(&self, file: &File) -> io::Result<()>;
}

/// The operating system's `fdatasync`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSync;

impl Syncer for SystemSync {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Called, once, with what has not returned in time.
pub type OnStall = Arc<dyn Fn(&str) + Send + Sync>;

/// Options of the sled journal. [`sanitize`](Self::sanitize) raises what is below
/// its minimum.
#[derive(Clone)]
pub struct SledOptions {
    /// A segment is closed once it holds more than this many bytes of frames.
    /// Default 256 MiB, minimum 64 KiB.
    pub segment_bytes_max: u64,
    /// sled's page cache, for each open segment. Default 64 MiB, minimum 1 MiB.
    pub cache_bytes: u64,
    /// Closed segments kept open for reading. Default 4, minimum 1.
    pub open_segments_max: usize,
    /// An append that takes longer is reported to `on_stall`. Default 30,000 ms,
    /// minimum 10 ms.
    pub flush_timeout_ms: u64,
    /// What to do then. By default the process aborts with a message: an append that
    /// hangs would otherwise hold up every client without a word.
    pub on_stall: OnStall,
    /// How files are synced.
    pub syncer: Arc<dyn Syncer>,
    /// The keys that frames lie under. Those of the data directory, whatever is given here.
    pub vault: Option<Vault>,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: 256 << 20,
            cache_bytes: 64 << 20,
            open_segments_max: 4,
            flush_timeout_ms: 30_000,
            on_stall: Arc::new(abort_on_stall),
            syncer: Arc::new(SystemSync),
            vault: None,
        }
    }
}

impl SledOptions {
    /// Raises every value to its minimum.
    #[must_use]
    pub fn sanitize(mut self) -> Self {
        self.segment_bytes_max = self.segment_bytes_max.max(64 << 10);
        self.cache_bytes = self.cache_bytes.max(1 << 20);
        self.open_segments_max = self.open_segments_max.max(1);
        self.flush_timeout_ms = self.flush_timeout_ms.max(10);
        self
    }
}

impl fmt::Debug for SledOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledOptions")
            .field("segment_bytes_max", &self.segment_bytes_max)
            .field("cache_bytes", &self.cache_bytes)
            .field("open_segments_max", &self.open_segments_max)
            .field("flush_timeout_ms", &self.flush_timeout_ms)
            .finish_non_exhaustive()
    }
}

fn abort_on_stall(what: &str) {
    tracing::error!(what, "the journal hangs; stopping");
    eprintln!("ducat: the journal hangs ({what}); stopping, nothing in flight was acknowledged");
    std::process::abort();
}
