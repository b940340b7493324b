//! `ducat doctor --environment`: whether a machine is fit for a ledger, before one runs on it and when
//! one is slow. What is measured is the directory's disk; the rest is what the system says of itself
//! ([`super::machine`]).

use super::machine;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, output};
use ducat_actors::upkeep::disk::DiskOptions;
use ducat_persistence::disk;
use serde::Serialize;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Appends measured: a second or so on a disk that is fit.
const SYNCS: usize = 300;

/// A disk that takes longer for the half of its syncs makes every answer slow.
const SYNC_SLOW: Duration = Duration::from_millis(10);

/// And one that takes longer for one in a hundred is seen by whoever waits.
const SYNC_P99_SLOW: Duration = Duration::from_millis(50);

/// No disk makes anything durable in less.
const SYNC_TOO_FAST: Duration = Duration::from_micros(4);

/// How long a connection to the machine itself may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How much a check weighs.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Weight {
    /// As it should be.
    Ok,
    /// A server runs, and something is worth changing.
    Warning,
    /// A server does not run, or loses what it said to keep.
    Problem,
}

impl Weight {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

/// One check, as scripts read it.
#[derive(Serialize, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub name: &'static str,
    pub weight: Weight,
    /// What was found.
    pub found: String,
    /// What follows from it; nothing where it is as it should be.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub means: &'static str,
    /// What can be done.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub way_out: &'static str,
}

impl Check {
    /// As it should be, or what could not be looked at.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, weight: Weight::Ok, found: found.into(), means: "", way_out: "" }
    }

    /// Worth changing.
    pub fn warning(
        name: &'static str,
        found: impl Into<String>,
        means: &'static str,
        way_out: &'static str,
    ) -> Self {
        Self { name, weight: Weight::Warning, found: found.into(), means, way_out }
    }

    /// Not to be run like this.
    pub fn problem(
        name: &'static str,
        found: impl Into<String>,
        means: &'static str,
        way_out: &'static str,
    ) -> Self {
        Self { name, weight: Weight::Problem, found: found.into(), means, way_out }
    }
}

/// The report as scripts read it.
#[derive(Serialize)]
struct Report {
    worst: Weight,
    checks: Vec<Check>,
}

/// Looks at the machine, and at the disk below `dir`, which need not be there yet.
pub(super) fn run(global: &Global, dir: &Path) -> Done {
    let mut checks = of_disk(existing(dir));
    checks.extend(machine::checks());
    checks.push(loopback());
    let worst = checks.iter().map(|check| check.weight).max().unwrap_or(Weight::Ok);
    let no_directory =
        checks.iter().any(|check| check.name == "directory" && check.weight == Weight::Problem);
    let report = Report { worst, checks };
    output::print(&if global.json { output::json(&report)? } else { text(&report) })?;
    let failed = |exit, text: &str| Err(Failure::new(exit, text));
    match worst {
        Weight::Ok => Ok(Exit::Ok),
        Weight::Warning => Ok(Exit::Refused),
        Weight::Problem if no_directory => {
            failed(Exit::CannotCreate, "a server cannot write its directory")
        }
        Weight::Problem => {
            failed(Exit::Unavailable, "no ledger should run on this machine as it is")
        }
    }
}

/// The directory, or the nearest one above it that is there.
fn existing(dir: &Path) -> &Path {
    // Above a relative name stands the empty one, which is the current directory.
    dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."))
}

fn of_disk(dir: &Path) -> Vec<Check> {
    let shown = dir.display();
    let speed = match disk::sync_speed(dir, SYNCS) {
        Ok(speed) => speed,
        Err(error) => {
            return vec![Check::problem(
                "directory",
                format!("could not write to {shown}: {error}"),
                "A server must write its lock, the mark and the journal.",
                "make the directory, and give it to the server's user; see that its disk is mounted \
                 for writing and not full",
            )];
        }
    };
    let kind = disk::filesystem(dir).ok().flatten();
    let kind = kind.as_deref().unwrap_or("unknown");
    vec![
        Check::ok("directory", format!("{shown} can be written")),
        filesystem(kind),
        sync(speed, disk::is_memory(kind)),
        space(dir),
    ]
}

fn filesystem(kind: &str) -> Check {
    const NAME: &str = "filesystem";
    let is_network = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "virtiofs"].contains(&kind);
    if disk::is_memory(kind) {
        return Check::problem(
            NAME,
            format!("{kind}: memory, not a disk"),
            "Nothing in it survives a loss of power or a restart of the machine, although every \
             answer says that it does.",
            "put the data directory on a disk",
        );
    }
    if kind == "overlay" {
        return Check::warning(
            NAME,
            "overlay: the layer of a container",
            "The ledger is gone when the container is removed.",
            "mount a volume for the data directory",
        );
    }
    if is_network || kind.starts_with("fuse") {
        return Check::warning(
            NAME,
            format!("{kind}: on another machine, or made by a program"),
            "What a sync means is said by somebody else, and locks may not hold between machines.",
            "put the data directory on a disk of this machine, or find out what its sync promises",
        );
    }
    Check::ok(NAME, kind)
}

fn sync(speed: disk::SyncSpeed, is_memory: bool) -> Check {
    const NAME: &str = "disk sync";
    let disk::SyncSpeed { syncs, p50, p99, max } = speed;
    let found = format!(
        "4 KiB made durable in {} (p50), {} (p99), {} (longest of {syncs})",
        ms(p50),
        ms(p99),
        ms(max)
    );
    if p50 < SYNC_TOO_FAST && !is_memory {
        return Check::warning(
            NAME,
            found,
            "No disk is that fast: something between says that it has written and has not.",
            "turn off what ignores syncs (a virtual disk's cache mode, eatmydata, nobarrier)",
        );
    }
    if p50 > SYNC_SLOW || p99 > SYNC_P99_SLOW {
        return Check::warning(
            NAME,
            found,
            "Every answer waits for a sync, those of a moment together for one: latency is this, \
             throughput is not.",
            "use a disk whose writes are safe in its own memory (power-loss protection), and nothing \
             else on it",
        );
    }
    Check::ok(NAME, found)
}

fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

fn space(dir: &Path) -> Check {
    const NAME: &str = "disk space";
    let (Ok(space), Ok(reserve)) = (disk::space(dir), DiskOptions::usual_reserve(dir)) else {
        return Check::ok(NAME, "the system does not tell");
    };
    weigh_space(space, reserve, NAME)
}

fn weigh_space(space: disk::Space, reserve: u64, name: &'static str) -> Check {
    let found = format!(
        "{} of {} are free, {} are the reserve",
        output::bytes(space.free_bytes),
        output::bytes(space.total_bytes),
        output::bytes(reserve)
    );
    let way_out = "make room, take a larger disk, or archive to another one (--archive-dir)";
    if space.free_bytes < reserve {
        let means = "A server refuses new transfers as DISK_FULL from the start.";
        return Check::problem(name, found, means, way_out);
    }
    if space.free_bytes < reserve.saturating_mul(4) {
        let means = "A transfer takes about 100 bytes of journal: this is soon full.";
        return Check::warning(name, found, means, way_out);
    }
    Check::ok(name, found)
}

/// Whether the machine reaches itself: probes, metrics and clients on it do so.
fn loopback() -> Check {
    const NAME: &str = "loopback";
    let tried = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
        TcpStream::connect_timeout(&listener.local_addr()?, CONNECT_TIMEOUT).map(drop)
    });
    match tried {
        Ok(()) => Check::ok(NAME, "127.0.0.1 can be listened on and reached"),
        Err(error) => Check::problem(
            NAME,
            format!("127.0.0.1 cannot be listened on or reached: {error}"),
            "Neither clients nor probes of this machine come in.",
            "bring the interface lo up; look at packet filters and at what the container allows",
        ),
    }
}

fn text(report: &Report) -> String {
    let mut lines = vec![match report.worst {
        Weight::Ok => "The machine is fit for a ledger.".to_owned(),
        Weight::Warning => {
            "A ledger runs on this machine; some things are worth changing.".to_owned()
        }
        Weight::Problem => "NO LEDGER SHOULD RUN ON THIS MACHINE AS IT IS.".to_owned(),
    }];
    lines.push(String::new());
    for check in &report.checks {
        lines.push(format!("{:<8} {:<12} {}", check.weight.name(), check.name, check.found));
        let more = [("", check.means), ("- ", check.way_out)];
        let more = more.iter().filter(|(_, text)| !text.is_empty());
        lines.extend(more.map(|(mark, text)| format!("           {mark}{text}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(p50_us: u64, p99_us: u64) -> disk::SyncSpeed {
        let (p50, p99) = (Duration::from_micros(p50_us), Duration::from_micros(p99_us));
        disk::SyncSpeed { syncs: 300, p50, p99, max: p99 }
    }

    #[test]
    fn disks_are_weighed_by_what_a_sync_takes() {
        for (p50, p99, weight) in [
            (1, 2, Weight::Warning),
            (30, 100, Weight::Ok),
            (2_000, 9_000, Weight::Ok),
            (11_000, 12_000, Weight::Warning),
            (1_000, 51_000, Weight::Warning),
        ] {
            assert_eq!(sync(speed(p50, p99), false).weight, weight, "{p50} {p99}");
        }
        assert_eq!(sync(speed(1, 2), true).weight, Weight::Ok, "memory is told of elsewhere");
    }

    #[test]
    fn filesystems_are_weighed_by_what_they_keep() {
        for (kind, weight) in [
            ("ext4", Weight::Ok),
            ("xfs", Weight::Ok),
            ("unknown", Weight::Ok),
            ("overlay", Weight::Warning),
            ("nfs4", Weight::Warning),
            ("fuse.sshfs", Weight::Warning),
            ("tmpfs", Weight::Problem),
        ] {
            assert_eq!(filesystem(kind).weight, weight, "{kind}");
        }
    }

    #[test]
    fn space_is_weighed_by_the_reserve() {
        for (free_bytes, weight) in [
            (99, Weight::Problem),
            (100, Weight::Warning),
            (399, Weight::Warning),
            (400, Weight::Ok),
        ] {
            let space = disk::Space { free_bytes, total_bytes: 2_000 };
            assert_eq!(weigh_space(space, 100, "disk space").weight, weight, "{free_bytes}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().expect("a place for tests");
        assert_eq!(existing(&dir.path().join("a/b/c")), dir.path());
        assert_eq!(existing(dir.path()), dir.path());
        assert_eq!(existing(Path::new("nowhere-at-all/ledger")), Path::new("."));
    }
}
