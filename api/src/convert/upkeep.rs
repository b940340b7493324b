//! How archive, backup and disk do, as messages.

use crate::convert::snapshots;
use crate::proto;
use ducat_actors::upkeep::archiving::ArchiveHealth;
use ducat_actors::upkeep::backing_up::BackupHealth;
use ducat_actors::upkeep::disk::DiskHealth;
use std::time::{Duration, SystemTime};

/// How the archive does.
#[must_use]
pub fn archive_health(health: ArchiveHealth) -> proto::ArchiveHealth {
    proto::ArchiveHealth {
        last_lsn: health.last_lsn.0,
        files: health.files,
        bytes: health.bytes,
        journal_first_lsn: health.journal_first_lsn.0,
        journal_bytes: health.journal_bytes,
        dropped_bytes: health.dropped_bytes,
        last_run_ns: health.last_run_ns,
        last_error: health.last_error.unwrap_or_default(),
    }
}

/// How backing up does; `durable_lsn` is the last event that could be in the backup.
#[must_use]
pub fn backup_health(health: BackupHealth, durable_lsn: u64) -> proto::BackupHealth {
    let lag_lsns = durable_lsn.saturating_sub(health.last_lsn.0);
    let since_run = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH + Duration::from_nanos(health.last_run_ns));
    let lag = since_run.ok().filter(|_| lag_lsns > 0 && health.runs > 0);
    proto::BackupHealth {
        to: health.to.display().to_string(),
        last_lsn: health.last_lsn.0,
        last_run_ns: health.last_run_ns,
        last_took_ns: snapshots::nanos(health.last_took),
        last_written_bytes: health.last_written_bytes,
        runs: health.runs,
        files: health.files,
        bytes: health.bytes,
        snapshot_lsn: health.snapshot_lsn.0,
        same_filesystem: health.same_filesystem,
        failures: health.failures,
        last_error: health.last_error.unwrap_or_default(),
        lag_lsns,
        lag_ns: lag.map_or(0, snapshots::nanos),
    }
}

/// How the disk does.
#[must_use]
pub fn disk_health(health: DiskHealth) -> proto::DiskHealth {
    let DiskHealth { free_bytes, total_bytes, reserve_bytes, resume_bytes, refusing } = health;
    proto::DiskHealth { free_bytes, total_bytes, reserve_bytes, resume_bytes, refusing }
}
