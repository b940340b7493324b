//! The flags of snapshots: whether a start uses them, when they are taken, how many stay.

use clap::Args;
use ducat_actors::snapshots::{SnapshotOptions, SnapshotSchedule};
use ducat_persistence::snapshot::SnapshotStore;
use std::time::Duration;

/// Options of snapshots.
#[derive(Args, Debug)]
pub struct SnapshotArgs {
    /// Start from the whole journal, whatever snapshots there are.
    #[arg(long, env = "DUCAT_IGNORE_SNAPSHOTS")]
    ignore_snapshots: bool,
    /// How often a snapshot is taken by itself, such as 30s, 10m or 1h; `off` for never. None is
    /// taken when nothing has changed.
    #[arg(long, env = "DUCAT_SNAPSHOT_EVERY", default_value = "10m", value_parser = every,
          value_name = "TIME")]
    snapshot_every: Every,
    /// A snapshot is also taken when the journal has grown by so many MiB since the last one,
    /// and by that one's size at least; 0 for never.
    #[arg(long, env = "DUCAT_SNAPSHOT_JOURNAL_MIB", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(0..=16_777_216), value_name = "MIB")]
    snapshot_journal_mib: u32,
    /// How many of the newest snapshots that can be used stay.
    #[arg(long, env = "DUCAT_SNAPSHOT_KEEP", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "COUNT")]
    snapshot_keep: u32,
}

impl SnapshotArgs {
    /// What the engine does with the snapshots in `store`.
    pub fn options(&self, store: SnapshotStore) -> SnapshotOptions {
        let mib = u64::from(self.snapshot_journal_mib);
        let schedule = SnapshotSchedule {
            every: self.snapshot_every,
            journal_bytes: (mib > 0).then_some(mib << 20),
            keep: self.snapshot_keep as usize,
            ..SnapshotSchedule::default()
        };
        let start_from = !self.ignore_snapshots;
        SnapshotOptions { start_from, schedule, ..SnapshotOptions::new(store) }
    }
}

/// A time between two snapshots or backups; none for never.
pub(super) type Every = Option<Duration>;

/// The longest time between two snapshots or backups that can be asked for.
const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) fn every(text: &str) -> Result<Every, String> {
    if matches!(text, "off" | "0") {
        return Ok(None);
    }
    let time: jiff::SignedDuration =
        text.parse().map_err(|_| "a time such as 30s, 10m or 1h, or `off`".to_owned())?;
    match Duration::try_from(time) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(time) if (Duration::from_secs(1)..=EVERY_MAX).contains(&time) => Ok(Some(time)),
        _ => Err("at least one second and at most a year, or `off`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SnapshotArgs,
    }

    #[test]
    fn snapshots_are_taken_as_often_as_asked() {
        let schedule = |flags: &[&str]| {
            let line = std::iter::once("serve").chain(flags.iter().copied());
            let args = Cli::try_parse_from(line).expect("parses").args;
            let at = std::path::PathBuf::from("nowhere");
            let ledger = ducat_persistence::LedgerId::from_bytes([1; 16]);
            let store = SnapshotStore::at(at, ledger, ducat_engine::ids::ShardId(0));
            args.options(store).schedule
        };
        assert_eq!(schedule(&[]), SnapshotSchedule::default(), "one default for all");
        let off = schedule(&["--snapshot-every", "off", "--snapshot-journal-mib", "0"]);
        assert_eq!(off, SnapshotSchedule::off());
        for (text, seconds) in [("30s", Some(30)), ("1h", Some(3600)), ("0", None), ("0s", None)] {
            let every = schedule(&["--snapshot-every", text]).every;
            assert_eq!(every, seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(schedule(&["--snapshot-keep", "7"]).keep, 7);
    }
}
