//! The figures that alerts go by, as of one moment.

use crate::metrics::Metrics;
use crate::outside::BreakerState;
use crate::verification::ProofFigures;
use ducat_actors::latency::LatencyFigures;
use std::time::Duration;

/// How backing up does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupSample {
    /// For how long something durable has not been in the backup, seconds.
    pub lag_s: u64,
    /// Why the last run failed, if it did.
    pub failing: Option<String>,
}

/// How the disk under the journal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSample {
    /// Bytes free.
    pub free: u64,
    /// Below it, transfers are refused.
    pub reserve: u64,
    /// Whether they are.
    pub refusing: bool,
}

/// Figures of one moment. Counters are since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, since the watch began.
    pub at: Duration,
    /// Calls answered.
    pub calls: u64,
    /// Those that failed for a reason of the server's: `Unknown`, `Internal`, `Unavailable`,
    /// `DataLoss`.
    pub calls_failed: u64,
    /// Calls refused for want of an identity or a right.
    pub calls_denied: u64,
    /// Time to the answer of the ledger's own calls.
    pub latency: Vec<(f64, u64)>,
    /// Transfers posted.
    pub posted: u64,
    /// Transfers refused by a rule.
    pub refused: u64,
    /// Requests refused because of the load.
    pub overloaded: u64,
    /// Time of appends with their sync.
    pub appends: Vec<(f64, u64)>,
    /// The backup, where one is made.
    pub backup: Option<BackupSample>,
    /// Why the last snapshot failed, if it did.
    pub snapshot_failing: Option<String>,
    /// Why archiving fails, if it does.
    pub archive_failing: Option<String>,
    /// The disk, where it is watched.
    pub disk: Option<DiskSample>,
    /// The double-entry proof.
    pub proofs: ProofFigures,
    /// Dependencies and their breakers.
    pub breakers: Vec<(&'static str, BreakerState)>,
}

impl Sample {
    /// Asks everybody. `None` before the server takes calls: replay is no failure.
    #[must_use]
    pub fn take(metrics: &Metrics, at: Duration) -> Option<Self> {
        let sources = metrics.sources()?;
        let status = sources.handle.status();
        let health = sources.handle.health();
        let calls = metrics.call_totals();
        let LatencyFigures { buckets: appends, .. } = sources.handle.append_latency();
        let (unauthenticated, denied) =
            sources.guard.as_ref().map_or((0, 0), |guard| guard.refused());
        let backup = health.backup.map(|backup| BackupSample {
            lag_s: sources.backup_lag(&backup, status.durable_lsn).as_secs(),
            failing: backup.last_error,
        });
        Some(Self {
            at,
            calls: calls.answered,
            calls_failed: calls.failed,
            calls_denied: unauthenticated + denied,
            latency: calls.latency,
            posted: status.posted,
            refused: status.refused,
            overloaded: status.overloaded,
            appends,
            backup,
            snapshot_failing: sources.handle.snapshot_health().failed.map(|failed| failed.why),
            archive_failing: health.archive.and_then(|archive| archive.last_error),
            disk: health.disk.map(|disk| DiskSample {
                free: disk.free_bytes,
                reserve: disk.reserve_bytes,
                refusing: disk.refusing,
            }),
            proofs: sources.verifications.figures(),
            breakers: sources
                .breakers
                .iter()
                .map(|breaker| (breaker.name(), breaker.figures().state))
                .collect(),
        })
    }
}
