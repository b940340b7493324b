//! Filesystems of a test's own, unmounted whatever happens: an image on a loop device that can
//! lose its power, and a small memory disk that fills up.

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `FS_IOC_SHUTDOWN` and its flag for "now, and without writing the journal's log".
const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
const GOING_FLAGS_NOLOGFLUSH: u32 = 2;

/// Runs a program; the error says what it printed.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| format!("{program} does not run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are plain")
}

/// A filesystem that is on a disk and can be shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mkfs.ext4` is in e2fsprogs.
    Ext4,
    /// `mkfs.xfs` is in xfsprogs: `.ci/install-attack-tools`.
    Xfs,
}

impl Kind {
    /// As `mount` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn make(self, image: &Path) -> Result<(), String> {
        match self {
            Self::Ext4 => run("mkfs.ext4", &["-q", "-F", text(image)]),
            Self::Xfs => run("mkfs.xfs", &["-q", "-f", text(image)]),
        }
    }
}

/// A mounted filesystem.
pub struct Mount {
    at: PathBuf,
    /// The image file behind it and what is in that, when there is one.
    image: Option<(PathBuf, Kind)>,
    mounted: bool,
}

impl Mount {
    /// A fresh filesystem of this many bytes, its image and its mount point under `dir`.
    pub fn fresh(kind: Kind, dir: &Path, bytes: u64) -> Result<Self, String> {
        let image = dir.join("disk.img");
        let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(bytes).map_err(|e| e.to_string())?;
        kind.make(&image)?;
        let mut mount = Self { at: dir.join("disk"), image: Some((image, kind)), mounted: false };
        std::fs::create_dir(&mount.at).map_err(|e| e.to_string())?;
        mount.mount()?;
        Ok(mount)
    }

    /// A memory disk of this size.
    pub fn memory(dir: &Path, size: &str) -> Result<Self, String> {
        let at = dir.join("disk");
        std::fs::create_dir(&at).map_err(|e| e.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", text(&at)])?;
        Ok(Self { at, image: None, mounted: true })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Mounts the image; the filesystem replays its own log then, as after a loss of power.
    pub fn mount(&mut self) -> Result<(), String> {
        let (image, kind) = self.image.as_ref().expect("an image");
        run("mount", &["-t", kind.name(), "-o", "loop", text(image), text(&self.at)])?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts it; nobody may use it any more.
    pub fn unmount(&mut self) -> Result<(), String> {
        run("umount", &[text(&self.at)])?;
        self.mounted = false;
        Ok(())
    }

    /// Gives a memory disk another size.
    pub fn resize(&mut self, size: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,size={size}"), text(&self.at)])
    }

    /// Cuts the power: from now on nothing reaches the image, not even what was written and
    /// not yet synced.
    pub fn cut_power(&self) -> std::io::Result<()> {
        let dir = std::fs::File::open(&self.at)?;
        let flags = GOING_FLAGS_NOLOGFLUSH;
        // SAFETY: the call reads four bytes from `flags`, which outlives it.
        let done = unsafe { libc::ioctl(dir.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const flags) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily, so that it also goes away under a process that still has files open; the
            // loop device goes with it. There is nobody left to tell about a failure.
            let _gone = run("umount", &["-l", text(&self.at)]);
        }
    }
}
