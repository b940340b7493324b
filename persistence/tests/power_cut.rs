//! Power cuts: a filesystem of its own on a loop device is shut down at a random
//! moment without writing anything back, then mounted again. What was acknowledged
//! must be there. `kill -9` shows none of this: the page cache outlives the process.
//!
//! Needs root, ext4 and loop devices; says so and passes where they are missing.
//! `DUCAT_POWER_CUTS` sets how many cuts (default 3), `DUCAT_ATTACK_SEED` when.

mod support;

use ducat_engine::ids::Lsn;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::child::{Random, Verdict, open_in_child, run_child, setting, start, watch_writer};

/// `EXT4_IOC_SHUTDOWN`, and "do not even flush the filesystem's own log".
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
static WITHOUT_FLUSH: u32 = 2;

/// So that the disk does not fill up.
const CUTS_PER_DISK: u64 = 4;

/// Not a test of its own: the body of the processes that the tests start.
#[test]
fn child() {
    run_child();
}

/// A small filesystem in a file. Unmounted when dropped.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
    _home: tempfile::TempDir,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, mounted) = (home.path().join("image"), home.path().join("mounted"));
        std::fs::create_dir(&mounted).map_err(|error| error.to_string())?;
        let file = File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(1 << 30).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()])?;
        let disk = Self { image, mounted, _home: home };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        let loop_device: &Path = "-oloop".as_ref();
        run("mount", &[loop_device, &self.image, &self.mounted])
    }

    fn unmount(&self) -> Result<(), String> {
        // The killed process may take a moment to let go.
        let mut last = String::new();
        for _ in 0..100 {
            match run("umount", &[&self.mounted]) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(last)
    }

    /// From now on nothing reaches the image any more.
    fn cut_power(&self) {
        let root = File::open(&self.mounted).expect("opens");
        // SAFETY: the call reads one integer.
        #[allow(unsafe_code)]
        let result = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const WITHOUT_FLUSH) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing more can be done about a mount that stays.
        let _ = self.unmount();
    }
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    let mut random = Random(setting("DUCAT_ATTACK_SEED", 1));
    let mut left = setting("DUCAT_POWER_CUTS", 3);
    while left > 0 {
        match Disk::new() {
            Ok(disk) => cut_a_few_times(&disk, left.min(CUTS_PER_DISK), &mut random),
            Err(reason) => {
                // Past the harness, which swallows what passing tests print.
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped: no filesystem to cut the power of: {reason}"
                );
                return;
            }
        }
        left = left.saturating_sub(CUTS_PER_DISK);
    }
}

fn cut_a_few_times(disk: &Disk, cuts: u64, random: &mut Random) {
    let root = disk.mounted.join("data");
    let mut acked = Lsn::ZERO;
    for cut in 0..cuts {
        let child = start("write", &root, ("DUCAT_CHILD_MOST", [400, 30_000][(cut % 2) as usize]));
        let after = Duration::from_millis(random.below(1_500));
        let last = watch_writer(child, true, after, &mut || disk.cut_power());
        acked = acked.max(last);
        disk.unmount().expect("unmounts");
        disk.mount().expect("mounts what is left");
        let verdict = open_in_child(&root, acked);
        assert_eq!(verdict, Verdict::Whole, "cut {cut}, after LSN {acked}");
    }
    println!("LSN {acked} was reached");
}
