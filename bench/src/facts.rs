//! The machine a figure was measured on: without it a figure means nothing. Cores, CPU,
//! kernel, memory, two yardsticks of its speed, the file system below the data directory and how
//! long its disk takes to make 4 KiB durable.

use crate::procfs::keyed;
use crate::yardstick::Yardstick;
use anyhow::Context;
use ducat_persistence::disk;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::Duration;

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
            let fresh = speed.fresh_us_per_mb.map(|us| format!(", {us:.0} µs a fresh MB"));
            format!(
                "BLAKE3 {:.0} µs a MB, memory {:.0} ns a read{}",
                speed.blake3_us_per_mb,
                speed.memory_ns,
                fresh.unwrap_or_default()
            )
        })
    }
}

impl Disk {
    /// Measures the disk below `directory`.
    fn measure(directory: &Path) -> anyhow::Result<Self> {
        let filesystem = disk::filesystem(directory).context("find the data directory")?;
        let speed = disk::sync_speed(directory, SYNCS);
        let speed = speed.context("measure the disk's fdatasync")?;
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        Ok(Self {
            filesystem: filesystem.unwrap_or_else(|| "unknown".to_owned()),
            sync_p50_us: us(speed.p50),
            sync_p99_us: us(speed.p99),
        })
    }

    /// Memory dressed as a disk: syncing it means nothing.
    pub fn is_memory(&self) -> bool {
        disk::is_memory(&self.filesystem)
    }
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

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
