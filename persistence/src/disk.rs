//! How much room a filesystem has, which one it is, and how fast its disk makes something durable.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a probe appends before each sync: a page of most disks.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// The room of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Free for those who are not root.
    pub free_bytes: u64,
    /// In all.
    pub total_bytes: u64,
}

/// The room of the filesystem that holds `path`.
///
/// # Errors
/// When the system does not tell.
pub fn space(path: &Path) -> io::Result<Space> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut told = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the name ends with a zero, and the system fills the structure when it returns 0.
    #[allow(unsafe_code)]
    let told = unsafe {
        if libc::statvfs(name.as_ptr(), told.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        told.assume_init()
    };
    let bytes = |blocks: libc::fsblkcnt_t| blocks.saturating_mul(told.f_frsize);
    Ok(Space { free_bytes: bytes(told.f_bavail), total_bytes: bytes(told.f_blocks) })
}

/// How long a disk took to make 4 KiB durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncSpeed {
    /// Appends measured.
    pub syncs: usize,
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Appends 4 KiB `syncs` times, at least once, to a file of its own in `directory`, each with a sync as
/// the journal's. The file is removed again.
///
/// # Errors
/// When no file can be made, written or synced there.
pub fn sync_speed(directory: &Path, syncs: usize) -> io::Result<SyncSpeed> {
    let path = directory.join(format!(".sync-probe-{}", std::process::id()));
    let file = File::options().write(true).create_new(true).open(&path)?;
    let took = sync_times(file, syncs.max(1));
    let removed = fs::remove_file(&path);
    let mut took = took?;
    removed?;
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    Ok(SyncSpeed { syncs: took.len(), p50: at(50), p99: at(99), max: at(100) })
}

fn sync_times(mut file: File, syncs: usize) -> io::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(syncs);
    for _ in 0..syncs {
        let since = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        took.push(since.elapsed());
    }
    Ok(took)
}

/// The filesystem that holds `path`: `ext4`, `xfs`, `tmpfs`. `None` where the system does not tell.
///
/// # Errors
/// When there is no such path.
pub fn filesystem(path: &Path) -> io::Result<Option<String>> {
    let full = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(filesystem_in(&mounts, &full).map(str::to_owned))
}

/// Whether a filesystem is memory dressed as a disk: syncing it means nothing.
#[must_use]
pub fn is_memory(filesystem: &str) -> bool {
    matches!(filesystem, "tmpfs" | "ramfs")
}

/// The type of the mount that `path` is on: the longest mount point above it, the last of them when
/// several are mounted on one point.
fn filesystem_in<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
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
            assert_eq!(filesystem_in(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(filesystem_in("", Path::new("/")), None);
        assert!(is_memory("tmpfs") && !is_memory("ext4"));
    }

    #[test]
    fn a_disk_is_measured_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let speed = sync_speed(dir.path(), 20).expect("measured");
        assert_eq!(speed.syncs, 20);
        assert!(speed.p50 <= speed.p99 && speed.p99 <= speed.max && !speed.max.is_zero());
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
        let missing = dir.path().join("missing");
        sync_speed(&missing, 1).expect_err("nothing is there");
        filesystem(&missing).expect_err("nothing is there");
    }

    #[test]
    fn a_filesystem_has_room_and_a_missing_path_has_none() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let space = space(dir.path()).expect("told");
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0, "{space:?}");
        super::space(&dir.path().join("missing")).expect_err("nothing is there");
    }
}
