//! The machine a figure was measured on: without it a figure means nothing. Cores, CPU,
//! kernel, memory, two yardsticks of its speed, the file system below the data directory and how
//! long its disk takes to make 4 KiB durable.

use crate::procfs::keyed;
use crate::yardstick::Yardstick;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Appends measured for the disk's latency.
const SYNCS: usize = 300;

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: usize,
    /// The CPU's name.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// How fast a core is; absent in reports from before it was measured.
    #[serde(default)]
    pub yardstick: Option<Yardstick>,
    /// What is below the data directory; absent when the server's is not known.
    pub disk: Option<Disk>,
}

/// The disk below a data directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// The file system: `ext4`, `xfs`, `tmpfs`.
    pub filesystem: String,
    /// 4 KiB appended and fdatasync, median, microseconds.
    pub sync_p50_us: f64,
    /// The same, 99th percentile, microseconds.
    pub sync_p99_us: f64,
}

impl Machine {
    /// This machine; `data` is the directory whose disk is measured.
    pub fn measure(data: Option<&Path>) -> anyhow::Result<Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or("unknown").to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: keyed(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024,
            yardstick: Some(Yardstick::measure()),
            disk: data.map(Disk::measure).transpose()?,
        })
    }
}

impl Machine {
    /// How fast a core is, in words.
    pub fn speed(&self) -> String {
        self.yardstick.map_or("speed unknown".to_owned(), |speed| {
            format!(
                "BLAKE3 {:.0} µs a MB, memory {:.0} ns a read",
                speed.blake3_us_per_mb, speed.memory_ns
            )
        })
    }
}

impl Disk {
    /// Measures the disk below `directory`.
    fn measure(directory: &Path) -> anyhow::Result<Self> {
        let full = directory.canonicalize().context("find the data directory")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut took_us = sync_times(&full).context("measure the disk's fdatasync")?;
        took_us.sort_by(f64::total_cmp);
        let at = |share: f64| took_us[((took_us.len() - 1) as f64 * share) as usize];
        Ok(Self {
            filesystem: filesystem(&mounts, &full).unwrap_or("unknown").to_owned(),
            sync_p50_us: at(0.5),
            sync_p99_us: at(0.99),
        })
    }

    /// Memory dressed as a disk: syncing it means nothing.
    pub fn is_memory(&self) -> bool {
        matches!(self.filesystem.as_str(), "tmpfs" | "ramfs")
    }
}

fn sync_times(directory: &Path) -> std::io::Result<Vec<f64>> {
    let path = directory.join("fsync-probe");
    let mut file = File::create(&path)?;
    let block = [0x5au8; 4096];
    let mut took_us = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took_us.push(start.elapsed().as_secs_f64() * 1e6);
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(took_us)
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The file system type of the mount that `path` is on: the longest mount point above it,
/// the last of them when several are mounted on one point.
fn filesystem<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    let mut found: Option<(usize, &str)> = None;
    for line in mountinfo.lines() {
        let (Some(point), Some((_, tail))) = (line.split(' ').nth(4), line.split_once(" - "))
        else {
            continue;
        };
        let point = point.replace("\\040", " ");
        if path.starts_with(&point) && found.is_none_or(|(length, _)| point.len() >= length) {
            found = tail.split(' ').next().map(|kind| (point.len(), kind));
        }
    }
    found.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /tmp rw shared:2 - tmpfs tmpfs rw
31 30 8:2 / /tmp/my\\040disk rw - xfs /dev/sdb rw
32 22 0:26 / /tmpfiles rw - btrfs /dev/sdc rw";

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        for (path, kind) in [
            ("/home/x", "ext4"),
            ("/tmp", "tmpfs"),
            ("/tmp/a", "tmpfs"),
            ("/tmp/my disk/data", "xfs"),
            ("/tmpfiles/a", "btrfs"),
        ] {
            assert_eq!(filesystem(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(filesystem("", Path::new("/")), None);
    }

    #[test]
    fn the_cpu_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nflags: x\n";
        assert_eq!(cpu_model(cpuinfo), Some("Some CPU @ 2GHz"));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let machine = Machine::measure(Some(directory.path())).expect("measured");
        let disk = machine.disk.expect("asked for");
        assert!(machine.yardstick.is_some());
        assert!(machine.cores >= 1 && disk.sync_p50_us <= disk.sync_p99_us);
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
    }
}
