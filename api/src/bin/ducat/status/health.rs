//! How archive, backup and disk do, in `ducat status`.

use crate::output;
use ducat_api::proto;
use serde::Serialize;

/// The archive as scripts read it.
#[derive(Serialize)]
pub struct ArchiveLine<'a> {
    last_lsn: u64,
    /// Records that are not archived.
    lag_lsns: u64,
    files: u64,
    bytes: u64,
    journal_first_lsn: u64,
    journal_bytes: u64,
    dropped_bytes: u64,
    last_run_ns: u64,
    last_error: Option<&'a str>,
}

impl<'a> ArchiveLine<'a> {
    pub fn new(archive: &'a proto::ArchiveHealth, durable_lsn: u64) -> Self {
        Self {
            last_lsn: archive.last_lsn,
            lag_lsns: durable_lsn.saturating_sub(archive.last_lsn),
            files: archive.files,
            bytes: archive.bytes,
            journal_first_lsn: archive.journal_first_lsn,
            journal_bytes: archive.journal_bytes,
            dropped_bytes: archive.dropped_bytes,
            last_run_ns: archive.last_run_ns,
            last_error: Some(archive.last_error.as_str()).filter(|text| !text.is_empty()),
        }
    }
}

/// The backup as scripts read it.
#[derive(Serialize)]
pub struct BackupLine<'a> {
    to: &'a str,
    last_lsn: u64,
    last_run_ns: u64,
    last_took_ns: u64,
    last_written_bytes: u64,
    runs: u64,
    files: u64,
    bytes: u64,
    snapshot_lsn: u64,
    same_filesystem: bool,
    failures: u64,
    last_error: Option<&'a str>,
    /// Durable events that the backup does not have.
    lag_lsns: u64,
    lag_ns: u64,
}

impl<'a> From<&'a proto::BackupHealth> for BackupLine<'a> {
    fn from(backup: &'a proto::BackupHealth) -> Self {
        Self {
            to: &backup.to,
            last_lsn: backup.last_lsn,
            last_run_ns: backup.last_run_ns,
            last_took_ns: backup.last_took_ns,
            last_written_bytes: backup.last_written_bytes,
            runs: backup.runs,
            files: backup.files,
            bytes: backup.bytes,
            snapshot_lsn: backup.snapshot_lsn,
            same_filesystem: backup.same_filesystem,
            failures: backup.failures,
            last_error: Some(backup.last_error.as_str()).filter(|text| !text.is_empty()),
            lag_lsns: backup.lag_lsns,
            lag_ns: backup.lag_ns,
        }
    }
}

/// The backup as people read it.
pub fn backup_facts(backup: &proto::BackupHealth) -> Vec<(&'static str, String)> {
    let (count, mebibytes) = (output::count, output::bytes);
    let last = match backup.runs {
        0 => format!("none yet, to {}", backup.to),
        _ => format!(
            "LSN {}, at {}, {} in {:.1} ms, to {}",
            backup.last_lsn,
            output::time(backup.last_run_ns),
            mebibytes(backup.last_written_bytes),
            backup.last_took_ns as f64 / 1e6,
            backup.to
        ),
    };
    let mut facts = vec![
        ("last backup", last),
        (
            "not backed up",
            format!("{} events, {:.1} s", count(backup.lag_lsns), backup.lag_ns as f64 / 1e9),
        ),
    ];
    if backup.same_filesystem {
        let text = "it lies on the ledger's own filesystem: they would be lost together";
        facts.push(("BACKUP", text.to_owned()));
    }
    if !backup.last_error.is_empty() {
        let failures = count(backup.failures);
        let text = format!("failed, {failures} times since the start: {}", backup.last_error);
        facts.push(("BACKUP", text));
    }
    facts
}

/// The disk as scripts read it.
#[derive(Serialize)]
pub struct DiskLine {
    free_bytes: u64,
    total_bytes: u64,
    reserve_bytes: u64,
    resume_bytes: u64,
    refusing: bool,
}

impl From<&proto::DiskHealth> for DiskLine {
    fn from(disk: &proto::DiskHealth) -> Self {
        Self {
            free_bytes: disk.free_bytes,
            total_bytes: disk.total_bytes,
            reserve_bytes: disk.reserve_bytes,
            resume_bytes: disk.resume_bytes,
            refusing: disk.refusing,
        }
    }
}

/// All in words.
pub fn facts(s: &proto::GetStatusResponse) -> Vec<(&'static str, String)> {
    let (count, mebibytes) = (output::count, output::bytes);
    let mut facts = Vec::new();
    if let Some(archive) = &s.archive {
        let line = ArchiveLine::new(archive, s.durable_lsn);
        let upto = match line.last_lsn {
            0 => "nothing yet".to_owned(),
            lsn => {
                format!("up to LSN {lsn}, {} files, {}", count(line.files), mebibytes(line.bytes))
            }
        };
        facts.push(("archived", upto));
        let lag = format!(
            "{} events, {} of journal",
            count(line.lag_lsns),
            mebibytes(line.journal_bytes)
        );
        facts.push(("not archived", lag));
        if let Some(error) = line.last_error {
            facts.push(("ARCHIVE", format!("the last run failed: {error}")));
        }
    }
    facts.extend(s.backup.iter().flat_map(backup_facts));
    if let Some(disk) = &s.disk {
        let free =
            format!("{} free of {}", mebibytes(disk.free_bytes), mebibytes(disk.total_bytes));
        facts.push(("disk", free));
        if disk.refusing {
            let text = format!(
                "NEARLY FULL: new transfers are refused until {} are free",
                mebibytes(disk.resume_bytes)
            );
            facts.push(("DISK", text));
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_said() {
        let archive = proto::ArchiveHealth {
            last_lsn: 700,
            files: 2,
            bytes: 1 << 20,
            last_error: "no room".into(),
            ..Default::default()
        };
        let disk = proto::DiskHealth {
            free_bytes: 1 << 20,
            total_bytes: 8 << 20,
            resume_bytes: 2 << 20,
            refusing: true,
            ..Default::default()
        };
        let backup = proto::BackupHealth {
            to: "/mnt/b".into(),
            last_lsn: 900,
            runs: 2,
            last_took_ns: 1_500_000,
            failures: 1,
            last_error: "no room".into(),
            lag_lsns: 100,
            lag_ns: 61_000_000_000,
            ..Default::default()
        };
        let status = proto::GetStatusResponse {
            durable_lsn: 1_000,
            backup: Some(backup),
            archive: Some(archive),
            disk: Some(disk),
            ..Default::default()
        };
        assert_eq!(
            facts(&status),
            [
                ("archived", "up to LSN 700, 2 files, 1.0 MiB".to_owned()),
                ("not archived", "300 events, 0.0 KiB of journal".to_owned()),
                ("ARCHIVE", "the last run failed: no room".to_owned()),
                (
                    "last backup",
                    "LSN 900, at 1970-01-01T00:00:00.000000000Z, 0.0 KiB in 1.5 ms, to /mnt/b"
                        .to_owned()
                ),
                ("not backed up", "100 events, 61.0 s".to_owned()),
                ("BACKUP", "failed, 1 times since the start: no room".to_owned()),
                ("disk", "1.0 MiB free of 8.0 MiB".to_owned()),
                (
                    "DISK",
                    "NEARLY FULL: new transfers are refused until 2.0 MiB are free".to_owned()
                ),
            ]
        );
    }
}
