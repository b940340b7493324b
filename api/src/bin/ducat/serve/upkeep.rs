//! The flags of what a server does beside the transfers: archiving, backing up and watching the
//! disk.

use super::snapshots::{Every, every};
use crate::exit::{Exit, Failure};
use clap::{Args, ValueEnum};
use ducat_actors::upkeep::archiving::ArchiveOptions;
use ducat_actors::upkeep::backing_up::BackupOptions;
use ducat_actors::upkeep::disk::DiskOptions;
use ducat_persistence::archive::{ArchiveStore, TrimOptions};
use ducat_persistence::{LedgerId, Origin, Vault};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Options of archiving, of backing up and of the disk guard.
#[derive(Args, Debug)]
pub struct UpkeepArgs {
    /// Whether the journal's oldest part, once snapshots make it unneeded for a start, moves into
    /// compressed archive files and its space is given back.
    #[arg(long, env = "DUCAT_ARCHIVE", value_enum, default_value = "on", value_name = "SWITCH")]
    archive: Switch,
    /// Where the archive lies, on another disk for instance: `shard-0/archive` in the data
    /// directory becomes a link to it. By default it lies there itself.
    #[arg(long, env = "DUCAT_ARCHIVE_DIR", value_name = "DIR")]
    pub archive_dir: Option<PathBuf>,
    /// At least so much stays in the journal.
    #[arg(long, env = "DUCAT_ARCHIVE_KEEP_MIB", default_value_t = 1024,
          value_parser = clap::value_parser!(u64).range(0..=1_073_741_824), value_name = "MIB")]
    archive_keep_mib: u64,
    /// How many snapshots must reach the part that stays, each read whole: with 2, a start finds
    /// one even when the newest is bad.
    #[arg(long, env = "DUCAT_ARCHIVE_SNAPSHOTS", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=100), value_name = "COUNT")]
    archive_snapshots: u32,
    /// Time between two looks, beside those after each snapshot.
    #[arg(long, env = "DUCAT_ARCHIVE_EVERY_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u64).range(10..=86_400_000), value_name = "MS")]
    archive_every_ms: u64,
    /// Most of the journal that is archived in a second.
    #[arg(long, env = "DUCAT_ARCHIVE_RATE_MIB", default_value_t = 64,
          value_parser = clap::value_parser!(u64).range(1..=1_048_576), value_name = "MIB")]
    archive_rate_mib: u64,
    /// A segment of the journal is closed at this size; only closed ones are archived.
    #[arg(long, env = "DUCAT_SEGMENT_KIB", default_value_t = 262_144,
          value_parser = clap::value_parser!(u64).range(64..=1_048_576), value_name = "KIB")]
    segment_kib: u64,
    /// Back the ledger up to this directory, on another disk, at every --backup-every: what is new
    /// is copied there. `ducat restore --from-backup` makes a ledger of it.
    #[arg(long, env = "DUCAT_BACKUP_TO", value_name = "DIR")]
    pub backup_to: Option<PathBuf>,
    /// Time between two backups, such as 10s, 1m or 1h: so much is lost with the whole machine at
    /// most.
    #[arg(long, env = "DUCAT_BACKUP_EVERY", default_value = "1m", value_parser = every,
          value_name = "TIME")]
    backup_every: Every,
    /// Most that is copied into the backup in a second.
    #[arg(long, env = "DUCAT_BACKUP_RATE_MIB", default_value_t = 64,
          value_parser = clap::value_parser!(u64).range(1..=1_048_576), value_name = "MIB")]
    backup_rate_mib: u64,
    /// With less free on the journal's disk, new transfers are refused with DISK_FULL; repeats and
    /// reads go on. 0 watches nothing. By default a twentieth of the filesystem, at least 64 MiB
    /// and at most 1 GiB.
    #[arg(long, env = "DUCAT_DISK_RESERVE_MIB", value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(0..=1_073_741_824))]
    disk_reserve_mib: Option<u64>,
    /// With so much free, they are taken again. By default a quarter more than the reserve.
    #[arg(long, env = "DUCAT_DISK_RESUME_MIB", value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(0..=1_073_741_824))]
    disk_resume_mib: Option<u64>,
    /// Time between two looks at the disk.
    #[arg(long, env = "DUCAT_DISK_EVERY_MS", default_value_t = 200, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    disk_every_ms: u64,
}

impl UpkeepArgs {
    /// Bytes of a segment.
    pub const fn segment_bytes(&self) -> u64 {
        self.segment_kib << 10
    }

    /// How to archive; `None` when nothing is to be.
    pub fn archiving(
        &self,
        store: Option<Result<Arc<ArchiveStore>, String>>,
    ) -> Option<ArchiveOptions> {
        let store = store.filter(|_| self.archive == Switch::On)?;
        Some(ArchiveOptions {
            store,
            trim: TrimOptions {
                snapshots_kept: self.archive_snapshots as usize,
                journal_bytes_min: self.archive_keep_mib << 20,
            },
            period: Duration::from_millis(self.archive_every_ms),
            bytes_per_second_max: self.archive_rate_mib << 20,
        })
    }

    /// How to back this ledger up; `None` when it is not to be.
    pub fn backing_up(
        &self,
        data_dir: &Path,
        ledger: LedgerId,
        origins: &[Origin],
        vault: Option<&Vault>,
    ) -> Option<BackupOptions> {
        Some(BackupOptions {
            data_dir: data_dir.to_owned(),
            ledger,
            origins: origins.to_vec(),
            vault: vault.cloned(),
            to: self.backup_to.clone()?,
            period: self.backup_every?,
            bytes_per_second_max: self.backup_rate_mib << 20,
        })
    }

    /// How to watch the disk of this directory; `None` when it is not to be.
    pub fn disk(&self, data_dir: &Path) -> Result<Option<DiskOptions>, Failure> {
        let reserve_bytes = match self.disk_reserve_mib {
            Some(mib) => mib << 20,
            None => DiskOptions::usual_reserve(data_dir).map_err(|error| {
                let dir = data_dir.display();
                let text = format!("could not ask for the space of the disk of {dir}: {error}");
                Failure::new(Exit::CannotCreate, text)
            })?,
        };
        if reserve_bytes == 0 {
            return Ok(None);
        }
        let resume_bytes = match self.disk_resume_mib {
            Some(mib) if mib << 20 < reserve_bytes => {
                let text = "--disk-resume-mib must not be less than the reserve";
                return Err(Failure::usage(text));
            }
            Some(mib) => mib << 20,
            None => reserve_bytes + reserve_bytes / 4,
        };
        let period = Duration::from_millis(self.disk_every_ms);
        Ok(Some(DiskOptions { path: data_dir.to_owned(), reserve_bytes, resume_bytes, period }))
    }
}
